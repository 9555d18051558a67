//! From a message and its recipients to bytes in output buffers, or to a place in a session's queue (`queue`). One frame per layout
//! is encoded, whatever the number of recipients.

use mqtt_codec::QoS;
use mqtt_session::{Alias, FlightState};
use records::{Millis, Outgoing, OutgoingState};
use routing::Match;

use crate::connections::connection::Stage;
use crate::delivery::frames::Layout;
use crate::delivery::publication::Publication;
use crate::delivery::waiting::Delivery;
use crate::message::{MessageView, Origin};
use crate::metrics::drops::DropReason;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::stored::queue::{Identifiers, StoredDelivery};

/// Finished exactly-once deliveries that may wait for a session's cursors to pass them.
const DONE_MAX: usize = 65_536;

/// Bytes of the property that stands for a topic.
const ALIAS_BYTES: u64 = 3;
/// What a packet may grow by with it: the property, and a byte more for each of two lengths.
const ALIAS_ROOM: usize = 5;
/// Topics shorter than this are not worth an alias.
const ALIASED_TOPIC_MIN: usize = 8;

impl Shard {
    /// Delivers to the subscribers of this shard; whether there are any.
    pub(crate) fn deliver_here(&mut self, publication: &mut Publication<'_>) -> bool {
        let topic = publication.view.topic;
        let publisher = self.sessions.local(publication.publisher);
        let mut matches = self.subscriptions.recipients(publisher, topic);
        let subscribed = !matches.is_empty();
        self.frames.clear();
        // Nobody durable waited when it came: one who does now would get it from memory, before what is stored.
        let unstored = publication.view.qos != QoS::AtMostOnce && publication.stamp.is_none();
        let is_newer = |found: &Match| unstored && found.durable();
        // The disk, or the way from another shard, may have taken all the time it had. [5 MQTT-3.3.2-5]
        if publication.view.is_late(publication.now) {
            self.metrics.counters.expired += matches.len() as u64;
            matches.clear();
        }
        if self.goes_in_pieces(matches.len()) {
            matches.retain(|found| !is_newer(found));
            self.begin_fanout(matches, publication);
        } else {
            for found in matches.iter().filter(|found| !is_newer(found)) {
                if !self.fanouts.is_empty() {
                    self.deliver_pending(found.session, publication.now);
                }
                self.deliver_match(found, publication);
            }
            self.subscriptions.reuse(matches);
        }
        if let Some(stamp) = publication.stamp {
            self.stored.note_routed(stamp);
        }
        subscribed
    }

    pub(crate) fn deliver_match(&mut self, found: &Match, publication: &mut Publication<'_>) {
        let slot = found.session;
        // [3.1.1 MQTT-3.8.4-6] [5 MQTT-3.8.4-8]
        let granted = QoS::from_bits(found.qos()).unwrap_or(QoS::AtMostOnce);
        let qos = publication.view.qos.min(granted);
        // [3.1.1 MQTT-3.3.1-9] [5 MQTT-3.3.1-12] [5 MQTT-3.3.1-13]
        let retain = found.retain_as_published() && publication.view.retain;
        if qos == QoS::AtMostOnce {
            self.deliver_qos0(slot, retain, found.identifiers(), publication);
        } else {
            self.deliver_flow(slot, qos, retain, found.identifiers(), publication);
        }
    }

    fn deliver_qos0(
        &mut self,
        slot: u32,
        retain: bool,
        identifiers: &[u32],
        publication: &mut Publication<'_>,
    ) {
        let Some(target) = self.open_connection(slot) else {
            return;
        };
        let session = &self.sessions[slot];
        let queued = session
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.queues(QoS::AtMostOnce));
        let connection = &self.connections[target];
        let room = connection.backlog() <= self.settings.limits.outgoing_bytes_max;
        // What is stored may have to be matched by the subscription's superseded terms after a crash.
        let early = publication.stamp.is_some() && self.subscriptions.changes.is_changing(slot);
        if queued || early || !room {
            let delivery = Delivery {
                message: publication.message(),
                qos: QoS::AtMostOnce,
                retain,
                origin: Origin::Memory,
                identifiers: owned(identifiers),
            };
            self.enqueue(slot, delivery);
            return;
        }
        let layout = Layout {
            version: connection.version,
            qos: QoS::AtMostOnce,
            retain,
            dup: false,
            alias: Alias::None,
            identifiers,
        };
        self.write_frame(target, publication.view, layout, None, publication.now);
    }

    fn deliver_flow(
        &mut self,
        slot: u32,
        qos: QoS,
        retain: bool,
        identifiers: &[u32],
        publication: &mut Publication<'_>,
    ) {
        let session = &self.sessions[slot];
        let stored = publication.stamp.filter(|_| session.is_stored());
        let first = session
            .waiting
            .as_ref()
            .is_none_or(|waiting| !waiting.holds_back());
        if first && self.window_open(slot) {
            let origin = stored.map_or(Origin::Memory, Origin::Queue);
            let delivery = Delivery {
                message: publication.message(),
                qos,
                retain,
                origin,
                identifiers: owned(identifiers),
            };
            self.begin_delivery(slot, &delivery, publication.now);
            return;
        }
        if session.has_ended() {
            return;
        }
        match stored {
            Some(stamp) => {
                let delivery = StoredDelivery {
                    stamp,
                    qos,
                    retain,
                    weight: publication.view.weight(),
                    identifiers: owned(identifiers),
                };
                self.enqueue_stored(slot, delivery);
            }
            None => {
                let message = publication.message();
                let delivery = Delivery {
                    message,
                    qos,
                    retain,
                    origin: Origin::Memory,
                    identifiers: owned(identifiers),
                };
                self.enqueue(slot, delivery);
            }
        }
    }

    /// The connection of a session that has had its CONNACK. [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1]
    pub(crate) fn open_connection(&self, slot: u32) -> Option<u32> {
        let connection = self.sessions[slot].connection;
        let stage = &self.connections.at(connection)?.stage;
        matches!(stage, Stage::Open { .. }).then_some(connection)
    }

    /// Whether a QoS 1 or 2 delivery may begin at once. [5 MQTT-3.3.4-9] [5 MQTT-4.9.0-2]
    pub(crate) fn window_open(&self, slot: u32) -> bool {
        let Some(connection) = self.open_connection(slot) else {
            return false;
        };
        let session = &self.sessions[slot];
        let connection = &self.connections[connection];
        let window = connection
            .receive_maximum
            .min(self.settings.limits.inflight_max);
        connection.backlog() <= self.settings.limits.outgoing_bytes_max
            && !self.subscriptions.changes.is_changing(slot)
            && session.done.len() < DONE_MAX
            && session
                .outbound
                .as_ref()
                .is_none_or(|outbound| outbound.unsent() == 0 && outbound.has_room(window))
    }

    /// Gives a delivery its packet identifier and sends it; an exactly-once delivery of a stored message is
    /// remembered on disk first.
    pub(crate) fn begin_delivery(&mut self, slot: u32, delivery: &Delivery, now: Millis) {
        let state = match delivery.qos {
            QoS::AtMostOnce => {
                let connection = self.sessions[slot].connection;
                self.send_publish(connection, delivery, None, false, now);
                return;
            }
            QoS::AtLeastOnce => FlightState::AwaitPuback,
            QoS::ExactlyOnce => FlightState::AwaitPubrec,
        };
        self.mark_dirty(slot, now);
        if self.too_large(slot, delivery, now) {
            // [5 MQTT-3.1.2-25]: as if its delivery was completed.
            self.metrics.counters.dropped_too_large += 1;
            self.note_dropped(slot, DropReason::TooLarge, 1);
            self.claim_over(delivery.origin, now);
            return;
        }
        let session = &mut self.sessions[slot];
        let repeat = self.cursors.redeliveries.repeat_of(slot, session, delivery);
        if let Some(repeat) = repeat {
            self.redeliver(slot, delivery, repeat, now);
            return;
        }
        let remembered =
            delivery.qos == QoS::ExactlyOnce && self.is_remembered(slot, delivery.origin);
        let session = &mut self.sessions[slot];
        let connection = session.connection;
        let state = if remembered {
            FlightState::Beginning
        } else {
            state
        };
        let packet_id = session.outbound().begin(state, delivery.clone());
        if remembered {
            let outgoing = Outgoing {
                packet_id,
                state: OutgoingState::Sent,
                retain: delivery.retain,
                identifiers: delivery.identifiers.clone(),
            };
            let writes = self.outgoing_writes(slot, delivery.origin, &outgoing);
            let session = self.sessions.reference(slot);
            self.append(writes, Then::Deliver { session, packet_id }, now);
            return;
        }
        self.send_publish(connection, delivery, Some(packet_id), false, now);
    }

    /// Encodes one delivery into the connection's buffer. Whoever begins with another message has selected it
    /// in the frame cache.
    pub(crate) fn send_publish(
        &mut self,
        connection: u32,
        delivery: &Delivery,
        packet_id: Option<u16>,
        dup: bool,
        now: Millis,
    ) {
        let layout = Layout {
            version: self.connections[connection].version,
            qos: delivery.qos,
            retain: delivery.retain,
            dup,
            alias: Alias::None,
            identifiers: delivery.identifiers.as_deref().unwrap_or(&[]),
        };
        self.write_frame(connection, delivery.message.view(), layout, packet_id, now);
    }

    fn write_frame(
        &mut self,
        connection: u32,
        view: MessageView<'_>,
        layout: Layout<'_>,
        packet_id: Option<u16>,
        now: Millis,
    ) {
        let limit = self.connections[connection].packet_bytes_max as usize;
        let mut room = usize::MAX;
        if limit != u32::MAX as usize {
            let length = self.frames.length(view, layout, now);
            // [5 MQTT-3.1.2-24] [5 MQTT-3.1.2-25]
            let Some(left) = limit.checked_sub(length) else {
                self.metrics.counters.dropped_too_large += 1;
                if let Some(slot) = self.connections.session_of(connection) {
                    self.note_dropped(slot, DropReason::TooLarge, 1);
                }
                return;
            };
            room = left;
        }
        // Setting an alias makes a packet larger.
        let layout = if room >= ALIAS_ROOM {
            self.aliased(connection, view.topic, layout)
        } else {
            layout
        };
        let out = self.connections.buffer(connection);
        let written = self.frames.write(view, layout, packet_id, now, out);
        self.turn.buffer(written);
        self.turn.spend(written);
        if let Alias::Use(_) = layout.alias {
            // A property of three bytes stands for the topic.
            self.metrics.counters.alias_bytes_saved += view.topic.len() as u64 - ALIAS_BYTES;
        }
        self.metrics.counters.publishes_sent += 1;
        if !layout.dup {
            self.metrics.latencies.delivered(view.read_at);
        }
        self.metrics.counters.payload_bytes_sent += view.payload.len() as u64;
    }

    /// Writes the topic by an alias, if the client allows them and it is worth one. Whoever has not been told of an
    /// alias on this very connection is not sent it. [5 MQTT-3.3.2-7] [5 MQTT-3.1.2-26] [5 MQTT-3.1.2-27]
    fn aliased<'a>(&mut self, connection: u32, topic: &str, layout: Layout<'a>) -> Layout<'a> {
        let connection = &mut self.connections[connection];
        let maximum = connection.aliases_max;
        if maximum == 0 || topic.len() < ALIASED_TOPIC_MIN {
            return layout;
        }
        let (hash, kept) = self.frames.topic(topic);
        let aliases = connection.aliases.get_or_insert_default();
        Layout {
            alias: aliases.next(topic, hash, maximum, kept),
            ..layout
        }
    }

    pub(crate) fn too_large(&mut self, slot: u32, delivery: &Delivery, now: Millis) -> bool {
        let connection = &self.connections[self.sessions[slot].connection];
        if connection.packet_bytes_max == u32::MAX {
            return false;
        }
        let limit = connection.packet_bytes_max as usize;
        let layout = Layout {
            version: connection.version,
            qos: delivery.qos,
            retain: delivery.retain,
            dup: false,
            alias: Alias::None,
            identifiers: delivery.identifiers.as_deref().unwrap_or(&[]),
        };
        self.frames.length(delivery.message.view(), layout, now) > limit
    }
}

fn owned(identifiers: &[u32]) -> Identifiers {
    (!identifiers.is_empty()).then(|| identifiers.into())
}
