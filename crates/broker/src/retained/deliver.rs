//! Retained messages: kept on every shard, so that a subscription is answered where it is made, and
//! delivered in slices, so that no other connection waits for a large tree.

use mqtt_codec::QoS;
use records::Millis;
use routing::RetainedCursor;

use crate::delivery::waiting::{Delivery, RetainedReplay};
use crate::message::{MessageView, Origin};
use crate::retained::message::RetainedMessage;
use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

/// Retained messages delivered in one slice.
const SLICE: usize = 256;
/// What a slice costs that has looked for messages and found few, in the bytes that `turn` counts.
const SEARCH_WORK: usize = 256 * 1024;
/// Slices are deferred while this much waits in the session already.
const WAITING_MAX: usize = 1024;

impl Shard {
    /// Whether a session may have this message retained.
    pub(crate) fn may_retain(&self, slot: u32, view: MessageView<'_>) -> bool {
        let account = self.sessions[slot].account;
        self.retained
            .may_retain(account, view, &self.settings.limits)
    }

    /// Makes the message the topic's retained one unless a later one is known; an empty one clears.
    pub(crate) fn retain(&mut self, topic: &str, message: RetainedMessage) {
        self.clock.observe(message.stamp());
        self.retained.retain(topic, message);
    }

    /// Begins to deliver what is retained under `filter`. [3.1.1 MQTT-3.3.1-6] [5 MQTT-3.3.1-9]
    pub(crate) fn begin_retained(&mut self, slot: u32, filter: &str, qos: QoS, identifier: u32) {
        if self.retained.is_empty() {
            return;
        }
        let replay = RetainedReplay {
            filter: filter.into(),
            qos,
            identifier,
            cursor: RetainedCursor::default(),
        };
        self.sessions[slot].waiting().push_replay(replay);
        self.pump_retained(slot);
    }

    /// Lists a session for its next slice when it has room for one.
    pub(crate) fn pump_retained(&mut self, slot: u32) {
        let open = self.open_connection(slot).is_some();
        let session = &mut self.sessions[slot];
        let serial = session.serial;
        let Some(waiting) = &mut session.waiting else {
            return;
        };
        let room = open && waiting.queued() < WAITING_MAX;
        if room && waiting.list_replay() {
            self.turn.defer(DeferredWork::Retained(slot, serial));
        }
    }

    /// Delivers one slice to a session.
    pub(crate) fn run_retained_slice(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        let Some(waiting) = session.waiting.as_mut() else {
            return;
        };
        let Some(mut replay) = waiting.next_replay() else {
            return;
        };
        let slice = self
            .retained
            .next_slice(&replay.filter, &mut replay.cursor, SLICE, now);
        if slice.more && slice.looked_at < SLICE {
            // As many were looked at as may be, nearly for nothing.
            self.turn.spend_exactly(SEARCH_WORK);
        }
        for message in slice.found {
            let delivery = Delivery {
                qos: message.qos.min(replay.qos),
                message,
                // [3.1.1 MQTT-3.3.1-8]
                retain: true,
                origin: Origin::Memory,
                identifiers: (replay.identifier != 0).then(|| [replay.identifier].into()),
            };
            self.deliver_retained(slot, delivery, now);
        }
        if slice.more {
            self.sessions[slot].waiting().continue_replay(replay);
        }
        self.pump(slot, now);
    }

    pub(crate) fn deliver_retained(&mut self, slot: u32, delivery: Delivery, now: Millis) {
        let session = &self.sessions[slot];
        let queued = session
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.queues(delivery.qos));
        let open = if delivery.qos == QoS::AtMostOnce {
            self.open_connection(slot).is_some_and(|connection| {
                self.connections[connection].backlog() <= self.settings.limits.outgoing_bytes_max
            })
        } else {
            self.window_open(slot)
        };
        if open && !queued {
            self.frames.select(&delivery.message);
            self.begin_delivery(slot, &delivery, now);
        } else {
            self.enqueue(slot, delivery);
        }
    }
}
