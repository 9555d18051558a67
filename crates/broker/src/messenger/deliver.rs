//! A session's part in the messenger: which of its subscriptions under `im/` a delivery meets, and how a
//! session that cannot keep up, or was offline, gets the same entries from the store. What is delivered is
//! the messenger's business; `im/` topics are relative to the session and never enter the shard's index.

use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode};
use records::{Cursor, Millis, Pos, SessionRef};

use crate::io::{ChatDelivery, Explanation, Output, Recipients, Service};
use crate::message::{Message, Origin};
use crate::messenger::wanted::{Wanted, wanted};
use crate::sessions::session::{ChatFilter, ChatMode};
use crate::shard::Shard;

impl Shard {
    /// One session gets what it has subscribed to of a delivery.
    pub(crate) fn deliver_chat_to(&mut self, slot: u32, delivery: &Arc<ChatDelivery>, now: Millis) {
        // What the store has brought already is not brought again by the live path.
        let known = delivery.pos.is_some_and(|pos| {
            let chat = self.sessions[slot].chat.as_ref();
            chat.is_some_and(|chat| chat.sent.covers(pos))
        });
        if known {
            return;
        }
        let reference = self.sessions.reference(slot);
        // What is addressed to one session is shared with nobody.
        let addressed = matches!(delivery.recipients, Recipients::Session(_));
        for (part, message) in delivery.packets.iter().enumerate() {
            let session = &self.sessions[slot];
            let counts = |known: &ChatFilter| {
                (addressed || known.share.is_none())
                    && !delivery.is_kept_from(reference, known.options)
            };
            let Some(wanted) = wanted(session, message, counts) else {
                continue;
            };
            let Some(pos) = delivery.pos.filter(|_| wanted.qos != QoS::AtMostOnce) else {
                self.deliver_live(slot, message, &wanted, Origin::Memory, now);
                continue;
            };
            let live = session
                .chat
                .as_ref()
                .is_some_and(|chat| chat.mode == ChatMode::Live);
            if live && !self.send_part(slot, delivery, pos, part, &wanted, now) {
                // The store has the entry, and brings the rest of it.
                self.set_chat_mode(slot, ChatMode::Behind);
            }
        }
        if let (Some(pos), Some(chat)) = (delivery.pos, self.sessions[slot].chat.as_mut()) {
            match chat.mode {
                // Whatever was delivered before it, the session has been sent.
                ChatMode::Live => chat.has_sent(pos, delivery.floor),
                ChatMode::Behind | ChatMode::Fetching | ChatMode::Draining { .. } => {
                    chat.has_seen(pos, delivery.floor);
                }
            }
        }
    }

    /// What is not stored goes to connected sessions only, within their bound.
    pub(crate) fn deliver_live(
        &mut self,
        slot: u32,
        message: &Arc<Message>,
        wanted: &Wanted,
        origin: Origin,
        now: Millis,
    ) {
        let Some(connection) = self.open_connection(slot) else {
            return;
        };
        let session = &self.sessions[slot];
        let delivery = wanted.delivery(message.clone(), origin);
        let backlog = self.connections[connection].backlog();
        let free = session
            .waiting
            .as_ref()
            .is_none_or(|waiting| !waiting.queues(delivery.qos));
        let room = match delivery.qos {
            QoS::AtMostOnce => backlog <= self.settings.limits.outgoing_bytes_max,
            QoS::AtLeastOnce | QoS::ExactlyOnce => self.window_open(slot),
        };
        if free && room {
            self.begin_unless_expired(slot, &delivery, now);
        } else {
            self.enqueue(slot, delivery);
        }
    }

    /// Sends one packet of a stored entry; false when the window has no room, and then the session's cursor
    /// stands inside the entry.
    fn send_part(
        &mut self,
        slot: u32,
        entry: &ChatDelivery,
        pos: Pos,
        part: usize,
        wanted: &Wanted,
        now: Millis,
    ) -> bool {
        if !self.window_open(slot) {
            if let Some(chat) = self.sessions[slot].chat.as_mut() {
                chat.begun = pos;
                chat.begun_packets = part as u8;
            }
            return false;
        }
        let origin = Origin::Chat {
            pos,
            part: part as u8,
            receipt: entry.receipt.filter(|_| part == 0),
        };
        let delivery = wanted.delivery(entry.packets[part].clone(), origin);
        let waiting = &mut self.sessions[slot].waiting;
        let recovered = origin.stored_key().and_then(|key| {
            let waiting = waiting.as_mut();
            waiting.and_then(|waiting| waiting.take_recovered(key))
        });
        match recovered {
            Some(outgoing) => self.continue_recovered(slot, outgoing, delivery, now),
            None => self.begin_unless_expired(slot, &delivery, now),
        }
        self.mark_dirty(slot, now);
        true
    }

    fn set_chat_mode(&mut self, slot: u32, mode: ChatMode) {
        if let Some(chat) = self.sessions[slot].chat.as_mut() {
            chat.mode = mode;
        }
    }

    /// Sends what was read from the store as far as the window allows, and asks for more.
    pub(crate) fn pump_chat(&mut self, slot: u32, now: Millis) {
        loop {
            if self.turn.is_spent() || !self.window_open(slot) {
                return;
            }
            let Some(chat) = self.sessions[slot].chat.as_mut() else {
                return;
            };
            match chat.mode {
                ChatMode::Live | ChatMode::Fetching => return,
                ChatMode::Behind => {
                    self.catch_up(slot);
                    return;
                }
                ChatMode::Draining { more } => match chat.next_read() {
                    Some(entry) => self.send_entry(slot, entry, now),
                    None if more => chat.mode = ChatMode::Behind,
                    None => chat.mode = ChatMode::Live,
                },
            }
        }
    }

    fn catch_up(&mut self, slot: u32) {
        let reference = self.sessions.reference(slot);
        let session = &mut self.sessions[slot];
        let (Some(account), Some(chat)) = (session.account, session.chat.as_mut()) else {
            return;
        };
        chat.mode = ChatMode::Fetching;
        let since = chat.sent.clone();
        self.outputs.push(Output::Service(Service::CatchUp {
            session: reference,
            account,
            since,
        }));
    }

    /// One entry from the store, or the rest of it; what does not fit the window is put back.
    fn send_entry(&mut self, slot: u32, entry: Arc<ChatDelivery>, now: Millis) {
        let (Some(pos), Some(chat)) = (entry.pos, self.sessions[slot].chat.as_ref()) else {
            return;
        };
        let from = chat.packets_begun(pos);
        let reference = self.sessions.reference(slot);
        for (part, message) in entry.packets.iter().enumerate().skip(from) {
            let session = &self.sessions[slot];
            let counts = |known: &ChatFilter| {
                known.share.is_none() && !entry.is_kept_from(reference, known.options)
            };
            let Some(wanted) =
                wanted(session, message, counts).filter(|wanted| wanted.qos != QoS::AtMostOnce)
            else {
                continue;
            };
            if !self.send_part(slot, &entry, pos, part, &wanted, now) {
                if let Some(chat) = self.sessions[slot].chat.as_mut() {
                    chat.put_back(entry);
                }
                return;
            }
        }
        if let Some(chat) = self.sessions[slot].chat.as_mut() {
            chat.has_sent_read(pos);
        }
        self.mark_dirty(slot, now);
    }

    /// The store has answered a session that was behind.
    pub(crate) fn caught_up(
        &mut self,
        reference: SessionRef,
        entries: Vec<Arc<ChatDelivery>>,
        upto: Cursor,
        more: bool,
        now: Millis,
    ) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let Some(chat) = self.sessions[slot].chat.as_mut() else {
            return;
        };
        if chat.mode != ChatMode::Fetching {
            return;
        }
        chat.has_read(entries, upto, more);
        self.pump(slot, now);
    }

    /// A session that was live is live again only after it has asked the store.
    pub(crate) fn chat_connected(&mut self, slot: u32, now: Millis) {
        if let Some(chat) = self.sessions[slot].chat.as_mut() {
            chat.backlog = None;
            // Live-only subscriptions have nothing to catch up with.
            let resumes = chat
                .filters
                .iter()
                .any(|known| known.options & 3 != 0 && known.share.is_none());
            chat.mode = if resumes {
                ChatMode::Behind
            } else {
                ChatMode::Live
            };
            self.pump_chat(slot, now);
        }
    }

    /// The connection ended: from here on the store collects.
    pub(crate) fn chat_disconnected(&mut self, slot: u32) {
        if let Some(chat) = self.sessions[slot].chat.as_mut() {
            chat.backlog = None;
            chat.mode = ChatMode::Behind;
        }
    }

    /// A device has acknowledged a message.
    pub(crate) fn chat_received(&mut self, slot: u32, origin: Origin) {
        let (Origin::Chat {
            receipt: Some((conversation, seq)),
            ..
        }
        | Origin::Share {
            receipt: Some((conversation, seq)),
        }) = origin
        else {
            return;
        };
        let Some(account) = self.sessions[slot].account else {
            return;
        };
        self.outputs.push(Output::Service(Service::Received {
            account,
            conversation,
            seq,
        }));
    }

    /// The messenger has stored or refused a publish.
    pub(crate) fn chat_acknowledged(
        &mut self,
        reference: SessionRef,
        ack: u64,
        outcome: Result<(), (ReasonCode, Box<Explanation>)>,
        now: Millis,
    ) {
        self.messenger.note_answered();
        if self.chat_will_settled(ack, &outcome, now) {
            // Nobody waits for it.
        } else if let Some(slot) = self.sessions.slot_of(reference) {
            self.settle_chat(slot, ack, outcome, now);
        }
        self.wake_stalled();
    }
}
