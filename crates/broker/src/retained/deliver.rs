//! Retained messages: kept on every shard, so that a subscription is answered where it is made, and
//! delivered in slices, so that no other connection waits for a large tree.

use std::sync::Arc;

use mqtt_codec::QoS;
use records::Millis;
use routing::RetainedCursor;

use crate::message::{MessageView, Origin};
use crate::retained::message::{RetainedMessage, charge};
use crate::sessions::session::{Delivery, RetainedReplay};
use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

/// Retained messages delivered in one slice.
const SLICE: usize = 256;
/// What a slice costs that has looked for messages and found few, in the bytes that `turn` counts.
const SEARCH_WORK: usize = 256 * 1024;
/// Slices are deferred while this much waits in the session already.
const WAITING_MAX: usize = 1024;

impl Shard {
    /// Whether a session may have this message retained; the topic's present one counts as gone.
    pub(crate) fn may_retain(&self, slot: u32, view: MessageView<'_>) -> bool {
        let new = charge(self.sessions[slot].account, view);
        let known = self.retained.get(view.topic);
        let previous = known.map(|known| known.charge(view.topic));
        self.retained_usage
            .fits(new, previous, &self.settings.limits)
    }

    /// Makes the message the topic's retained one unless a later one is known; an empty one clears.
    /// [3.1.1 MQTT-3.3.1-5] [3.1.1 MQTT-3.3.1-10] [3.1.1 MQTT-3.3.1-11] [5 MQTT-3.3.1-5]
    pub(crate) fn retain(&mut self, topic: &str, message: RetainedMessage) {
        self.clock.observe(message.stamp());
        if self
            .retained
            .get(topic)
            .is_some_and(|known| known.stamp() > message.stamp())
        {
            return;
        }
        let previous = if message.clears() {
            self.retained.remove(topic)
        } else {
            self.retained_usage.add(message.charge(topic));
            self.retained.insert(topic, message)
        };
        if let Some(previous) = previous {
            self.retained_usage.remove(previous.charge(topic));
        }
    }

    /// Begins to deliver what is retained under `filter`. [3.1.1 MQTT-3.3.1-6] [5 MQTT-3.3.1-9]
    pub(crate) fn begin_retained(&mut self, slot: u32, filter: &str, qos: QoS, identifier: u32) {
        if self.retained.is_empty() {
            return;
        }
        let job = RetainedReplay {
            filter: filter.into(),
            qos,
            identifier,
            cursor: RetainedCursor::default(),
        };
        self.sessions[slot].waiting().retained.push_back(job);
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
        if room && !waiting.retained.is_empty() && !waiting.retained_listed {
            waiting.retained_listed = true;
            self.turn.defer(DeferredWork::Retained(slot, serial));
        }
    }

    /// Delivers one slice to a session.
    pub(crate) fn run_retained_slice(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        let Some(waiting) = session.waiting.as_mut() else {
            return;
        };
        waiting.retained_listed = false;
        let Some(mut job) = waiting.retained.pop_front() else {
            return;
        };
        let mut found = Vec::with_capacity(SLICE);
        let mut expired: Vec<Box<str>> = Vec::new();
        let more =
            self.retained
                .matching(&job.filter, &mut job.cursor, SLICE, |topic, retained| {
                    if retained.expired(now) {
                        expired.push(topic.into());
                    } else {
                        found.push(Arc::new(retained.unpack(topic)));
                    }
                });
        if more && found.len() + expired.len() < SLICE {
            // As many were looked at as may be, nearly for nothing.
            self.turn.spend_exactly(SEARCH_WORK);
        }
        for topic in expired {
            // Its record stays until a later message replaces it or recovery passes it over.
            if let Some(retained) = self.retained.remove(&topic) {
                self.retained_usage.remove(retained.charge(&topic));
            }
        }
        for message in found {
            let delivery = Delivery {
                qos: message.qos.min(job.qos),
                message,
                // [3.1.1 MQTT-3.3.1-8]
                retain: true,
                origin: Origin::Memory,
                identifiers: (job.identifier != 0).then(|| [job.identifier].into()),
            };
            self.deliver_retained(slot, delivery, now);
        }
        if more {
            self.sessions[slot].waiting().retained.push_front(job);
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
