//! What one of several nodes does when the cluster changes, when another node has sent something, and as time passes.

use records::Millis;

use crate::chat::Chat;
use crate::nodes::Message;
use crate::nodes::view::{ClusterView, NodeId};
use crate::note::Note;
use crate::refusal::Refusal;
use crate::sessions::Context;
use crate::stored::source::Source;

impl Chat {
    /// Nodes have come or gone, or partitions are somebody else's.
    pub(crate) fn cluster(&mut self, view: ClusterView, source: &dyn Source, now: Millis) {
        let changes = self.nodes.apply(view);
        for partition in changes.lost {
            self.conversations
                .hand_over(partition, &self.accounts, source, now);
        }
        for (partition, ownership) in changes.gained {
            let ceiling = ownership.ceiling;
            self.conversations
                .take_over(partition, ceiling, &self.accounts, source, now);
        }
        for note in changes.refused {
            self.note(note, now);
        }
        for node in changes.gone {
            let context = Context {
                accounts: &self.accounts,
                now,
            };
            self.sessions.forget_presences(node, context);
        }
        self.promise(now);
    }

    /// Nodes that have not heard yet who is connected here are told.
    pub(crate) fn introduce_sessions(&mut self) {
        if self.nodes.wants_presences() {
            let rows = self.sessions.presence_rows();
            self.nodes.tell_presences(&rows);
        }
    }

    /// Another node has sent something.
    pub(crate) fn frame(&mut self, frame: &crate::Frame, source: &dyn Source, now: Millis) {
        let arrived = self.nodes.receive(frame, now);
        for note in arrived.refused {
            self.note(note, now);
        }
        for batch in arrived.batches {
            for message in batch.iter() {
                self.message(frame.from().node, message, source, now);
            }
            // What follows from one batch is seen before the next one.
            self.carry(source, now);
        }
    }

    fn message(&mut self, from: NodeId, message: &Message, source: &dyn Source, now: Millis) {
        match message {
            Message::Command { term, command } if self.nodes.accepts(command, *term) => {
                let command = command.clone();
                self.conversations
                    .command(command, &self.accounts, source, now);
            }
            Message::Command { command, .. } => {
                let note = Note::refused(command, Refusal::unavailable());
                if let Some(note) = note.and_then(|note| self.nodes.tell(note)) {
                    self.note(note, now);
                }
            }
            Message::Note { term, note } => self.heard(from, *term, note, now),
            Message::Stored { version, watermark } => {
                self.nodes.heard_watermark(from, *version, watermark);
                self.update_stored();
            }
            Message::Presence { account, row } => {
                let context = Context {
                    accounts: &self.accounts,
                    now,
                };
                self.sessions.heard_presence(from, *account, row, context);
            }
            Message::Presences => {
                let context = Context {
                    accounts: &self.accounts,
                    now,
                };
                self.sessions.forget_presences(from, context);
            }
        }
    }

    fn heard(&mut self, from: NodeId, term: u64, note: &Note, now: Millis) {
        let note = self.nodes.heard(from, term, note);
        self.update_stored();
        if let Some(note) = note {
            self.note(note, now);
        }
    }

    /// From time to time a node says how far it has come, whatever happens.
    pub(crate) fn beat(&mut self, now: Millis) {
        if self.nodes.is_beat_due(now) {
            self.promise(now);
        }
    }

    fn promise(&mut self, now: Millis) {
        if !self.nodes.is_alone() {
            let newest = self.nodes.newest();
            self.conversations
                .promise(self.nodes.own().node, newest, now);
        }
    }
}
