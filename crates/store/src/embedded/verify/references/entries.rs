//! Messages and events of conversations, and the mids of messages.

use records::{ConversationId, Dedup, Entry, EntryKind, Pos, Seq, Table, key};

use super::{Judged, References, Wrong, fault};
use crate::embedded::family::Family;

/// The entry before, which says what the next one must be.
#[derive(Clone, Copy, Default)]
struct Before {
    conversation: ConversationId,
    seq: Seq,
    pos: Pos,
}

impl References<'_, '_> {
    /// Rows stand in the order in which they were made.
    pub(super) fn entries(&mut self) {
        let mut before = Before::default();
        self.each(Table::Entry, |all, key, value| {
            let (conversation, seq, pos) = key::parse_entry(key)?;
            let here = Before {
                conversation,
                seq,
                pos,
            };
            let mut last = std::mem::replace(&mut before, here);
            if last.conversation != conversation {
                last = Before::default();
            }
            all.is_living(conversation)?;
            let entry = Entry::decode(value)?;
            if entry.pos != pos {
                return fault("it says another position than its key");
            }
            if pos <= last.pos {
                return fault("its position is not behind that of the entry before");
            }
            if conversation.partition() != Some(pos.partition()) {
                return fault("its position is of another partition");
            }
            if entry.seq.is_some_and(|said| said != seq) {
                return fault("it says another number than its key");
            }
            let expected = match entry.kind {
                EntryKind::Message if seq == last.seq => {
                    return fault("another message has the same number");
                }
                EntryKind::Message => last.seq.next(),
                EntryKind::Event => last.seq,
            };
            if seq != expected {
                return Err(Wrong::Fault {
                    kind: "messages before it are missing",
                    detail: format!("the newest before it has the number {}", last.seq),
                });
            }
            Ok(())
        });
    }

    pub(super) fn dedups(&mut self) {
        let entries = &self.views[Family::Entry as usize];
        self.each(Table::Dedup, |all, key, value| {
            let (_, conversation, _, _) = key::parse_dedup(key)?;
            let dedup = Dedup::decode(value)?;
            all.is_living(conversation)?;
            match entries.find(&key::entry(conversation, dedup.seq, dedup.pos)) {
                Ok(Some(_)) | Err(_) => Ok(()),
                Ok(None) => fault("its message is missing"),
            }
        });
    }

    /// What is in a conversation that has ended goes in pieces.
    fn is_living(&self, conversation: ConversationId) -> Judged {
        match self.conversations.get(&conversation) {
            Some(known) if known.has_ended() => Err(Wrong::Leftover),
            Some(_) => Ok(()),
            None => fault("its conversation does not exist"),
        }
    }
}
