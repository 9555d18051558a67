//! What waits for a session: put into its bounded queues, read from the store when its turn comes, and sent as far as window and
//! socket allow.

use std::sync::Arc;

use mqtt_codec::QoS;
use records::{Millis, SessionRef, Stamp};

use crate::delivery::waiting::Delivery;
use crate::io::Output;
use crate::message::{Message, Origin};
use crate::metrics::drops::DropReason;
use crate::shard::Shard;
use crate::stored::queue::StoredDelivery;

impl Shard {
    /// Keeps a delivery in memory, within the session's bound: beyond it QoS 0 goes first, the oldest of it, then the
    /// oldest of all.
    pub(crate) fn enqueue(&mut self, slot: u32, delivery: Delivery) {
        let limits = &self.settings.limits;
        let waiting = self.sessions[slot].waiting.get_or_insert_default();
        waiting.enqueue(delivery);
        self.metrics.counters.held += 1;
        let (mut live, mut flows) = (0, 0);
        while waiting.queued() > limits.queued_messages_max
            || waiting.queued_bytes() > limits.queued_bytes_max
        {
            let Some(dropped) = waiting.drop_oldest() else {
                break;
            };
            if dropped.qos == QoS::AtMostOnce {
                live += 1;
            } else {
                flows += 1;
            }
        }
        self.drop_qos0(slot, live);
        self.drop_queued(slot, DropReason::QueueFull, flows);
    }

    /// Keeps a delivery whose message is on disk; what waits there in total is bounded too.
    pub(crate) fn enqueue_stored(&mut self, slot: u32, delivery: StoredDelivery) {
        let limits = &self.settings.limits;
        let waiting = self.sessions[slot].waiting.get_or_insert_default();
        waiting.push_stored(delivery);
        let mut dropped = 0;
        while waiting.stored().len() > limits.stored_messages_max
            || waiting.stored_bytes() > limits.stored_bytes_max
        {
            if waiting.drop_oldest_stored().is_none() {
                break;
            }
            dropped += 1;
        }
        self.drop_queued(slot, DropReason::QueueFull, dropped);
    }

    /// Sends what waits, as far as window and buffer allow: first what was under way when the connection
    /// broke, then what has waited longest.
    pub(crate) fn pump(&mut self, slot: u32, now: Millis) {
        if self.open_connection(slot).is_none() {
            return;
        }
        self.resend(slot, now);
        loop {
            while !self.turn.is_spent() && self.next_waiting(slot, now) {}
            if self.turn.is_spent() || !self.pull_claims(slot) {
                break;
            }
        }
        self.pump_chat(slot, now);
        self.pump_retained(slot);
        if self.turn.is_spent() && self.sessions[slot].wants_room() {
            self.defer_pump(slot);
        }
        self.sessions[slot].shed();
    }

    /// Sends or drops one waiting delivery; false when nothing can be done now.
    fn next_waiting(&mut self, slot: u32, now: Millis) -> bool {
        let open = self.window_open(slot);
        let changing = self.subscriptions.changes.is_changing(slot);
        let session = &mut self.sessions[slot];
        let connection = session.connection;
        let Some(waiting) = session.waiting.as_mut() else {
            return false;
        };
        let limit = self.settings.limits.outgoing_bytes_max;
        let room = self.connections[connection].backlog() <= limit && !changing;
        if let Some(delivery) = waiting.next_queued(open, room) {
            self.begin_unless_expired(slot, &delivery, now);
            return true;
        }
        if !open {
            return false;
        }
        if waiting.has_claims() {
            return self.next_claimed(slot, now);
        }
        if waiting.stored().is_empty() {
            return false;
        }
        let Some((delivery, message)) = waiting.next_fetched() else {
            self.fetch(slot);
            return false;
        };
        match message {
            Some(message) => self.begin_stored(slot, delivery, message, now),
            // What is remembered of its delivery goes with the next cursors.
            None => self.mark_dirty(slot, now),
        }
        true
    }

    fn begin_stored(
        &mut self,
        slot: u32,
        stored: StoredDelivery,
        message: Arc<Message>,
        now: Millis,
    ) {
        let delivery = Delivery {
            message,
            qos: stored.qos,
            retain: stored.retain,
            origin: Origin::Queue(stored.stamp),
            identifiers: stored.identifiers,
        };
        let recovered = self.sessions[slot].waiting().take_recovered(stored.stamp);
        match recovered {
            Some(outgoing) => self.continue_recovered(slot, outgoing, delivery, now),
            None => self.begin_unless_expired(slot, &delivery, now),
        }
    }

    pub(crate) fn begin_unless_expired(&mut self, slot: u32, delivery: &Delivery, now: Millis) {
        if delivery.message.view().expired(now) {
            self.metrics.counters.expired += 1;
            self.claim_over(delivery.origin, now);
            self.mark_dirty(slot, now);
            return;
        }
        self.frames.select(&delivery.message);
        self.begin_delivery(slot, delivery, now);
    }

    pub(crate) fn fetch(&mut self, slot: u32) {
        let reference = self.sessions.reference(slot);
        let Some(stamps) = self.sessions[slot].waiting().begin_fetch() else {
            return;
        };
        self.outputs.push(Output::Fetch {
            session: reference,
            stamps,
        });
    }

    /// Stored messages have been read.
    pub(crate) fn fetched(
        &mut self,
        reference: SessionRef,
        messages: Vec<(Stamp, Option<Arc<Message>>)>,
        now: Millis,
    ) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let open = self.open_connection(slot).is_some();
        self.sessions[slot].waiting().end_fetch();
        if !open {
            // Offline again: nothing is kept in memory for it.
            self.sessions[slot].shed();
            return;
        }
        let Some(mut waiting) = self.sessions[slot].waiting.take() else {
            return;
        };
        let session = &self.sessions[slot];
        let withdrawn = |topic: &str| session.withdraws && !self.may_receive(session, topic);
        let has_news = waiting.take_fetched(messages, withdrawn);
        self.sessions[slot].waiting = Some(waiting);
        if has_news {
            self.pump(slot, now);
        }
    }
}
