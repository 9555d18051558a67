//! A PUBLISH from a client: protocol rules, permission, and the way it goes on: to the messenger
//! (`messenger::publish`), to the disk first, or straight to its recipients.

use std::sync::Arc;

use mqtt_codec::{Publish, QoS, ReasonCode, Version};
use mqtt_session::{AckKind, AliasError};
use records::{Incoming, Millis, SessionNumber, Stamp, Write, key};

use crate::access::list::{Client, RESERVED};
use crate::connections::connection::Fault;
use crate::delivery::publication::Publication;
use crate::io::ConnectionId;
use crate::message::{Message, MessageView, levels};
use crate::messenger::topics::is_chat;
use crate::retained::message::retained_write;
use crate::shard::Shard;
use crate::shared::claim::Claims;
use crate::stored::appends::{APPEND_BYTES_MAX, StoredPublish, Then};
use crate::stored::positions::stored_number;

/// A PUBLISH whose protocol part is done.
pub(crate) struct Accepted<'a> {
    pub(crate) id: ConnectionId,
    pub(crate) session: u32,
    pub(crate) view: MessageView<'a>,
    pub(crate) ack: Option<(AckKind, u16)>,
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation: Option<&'a [u8]>,
}

impl Shard {
    /// A client published.
    pub(crate) fn on_publish(
        &mut self,
        id: ConnectionId,
        session: u32,
        packet: &Publish<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        self.metrics.counters.publishes_received += 1;
        self.metrics.counters.payload_bytes_received += packet.payload.len() as u64;
        if packet.properties.has_subscription_identifier() {
            // [5 MQTT-3.3.4-6]
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        let mut resolved = String::new();
        let topic = self.resolve_topic(id, packet, &mut resolved)?;
        if let Some(packet_id) = packet.packet_id {
            if packet.qos == QoS::ExactlyOnce && self.is_repeated(id, session, packet_id, now) {
                return Ok(());
            }
            self.check_window(id, session)?;
            if packet.qos == QoS::ExactlyOnce {
                self.sessions[session]
                    .inbound
                    .get_or_insert_default()
                    .publish(packet_id);
            }
        }
        if !self.topic_fits(topic) {
            let sentence = "topic too long or too deep";
            return self.refuse(
                id,
                session,
                packet,
                ReasonCode::TOPIC_NAME_INVALID,
                sentence,
            );
        }
        let mut properties = Vec::new();
        packet.properties.write_forwarded(&mut properties);
        let view = MessageView {
            topic,
            payload: packet.payload,
            properties: &properties,
            qos: packet.qos,
            retain: packet.retain,
            expires_at: packet
                .properties
                .message_expiry
                .map(|secs| now.saturating_add(u64::from(secs) * 1000)),
            read_at: self.metrics.latencies.turn_at(),
        };
        let accepted = Accepted {
            id,
            session,
            view,
            ack: ack_of(packet),
            response_topic: packet.properties.response_topic,
            correlation: packet.properties.correlation_data,
        };
        if is_chat(topic) {
            return self.publish_to_messenger(&accepted, packet);
        }
        if !self.session_may_publish(session, topic) {
            let sentence = if topic.starts_with('$') {
                RESERVED
            } else {
                "not allowed by the access list"
            };
            return self.refuse(id, session, packet, ReasonCode::NOT_AUTHORIZED, sentence);
        }
        self.charge_publish(id, session, now);
        self.publish_ordinary(&accepted, packet, now)
    }

    /// The topic, through its alias if it has one. [5 MQTT-3.3.2-7] [5 MQTT-3.3.2-12]
    fn resolve_topic<'a>(
        &mut self,
        id: ConnectionId,
        packet: &Publish<'a>,
        resolved: &'a mut String,
    ) -> Result<&'a str, Fault> {
        let maximum = self.settings.limits.topic_alias_maximum;
        let Some(alias) = packet.properties.topic_alias else {
            return Ok(packet.topic);
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(packet.topic);
        };
        let aliases = &mut connection.publishing().aliases;
        let outcome = if packet.topic.is_empty() {
            aliases
                .topic(alias, maximum)
                .map(|topic| resolved.push_str(topic))
        } else {
            aliases.set(alias, packet.topic, maximum)
        };
        match outcome {
            Ok(()) if packet.topic.is_empty() => Ok(resolved),
            Ok(()) => Ok(packet.topic),
            Err(AliasError::Invalid { .. }) => Err(ReasonCode::TOPIC_ALIAS_INVALID),
            Err(AliasError::Unset(_)) => Err(ReasonCode::PROTOCOL_ERROR),
        }
    }

    /// A client may have at most Receive Maximum publishes unacknowledged. [5 MQTT-3.3.4-9]
    fn check_window(&mut self, id: ConnectionId, session: u32) -> Result<(), Fault> {
        let maximum = usize::from(self.settings.limits.receive_maximum);
        let unreleased = self.sessions[session]
            .inbound
            .as_ref()
            .map_or(0, |inbound| inbound.len());
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(());
        };
        // PUBRECs that are owed belong to unreleased messages, which are counted.
        let owed = connection
            .publishing
            .as_ref()
            .map_or(0, |publishing| publishing.acks.pubacks());
        if owed + unreleased < maximum {
            return Ok(());
        }
        match connection.version {
            Version::V5 => Err(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED),
            // Older clients were not told; only what they hold open without bound is refused.
            Version::V31 | Version::V311 if unreleased >= maximum => {
                Err(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED)
            }
            Version::V31 | Version::V311 => {
                self.stall(id);
                Ok(())
            }
        }
    }

    /// Whether a QoS 2 publish is one we own already; it is acknowledged again, once it is on disk, and
    /// nothing else. [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]
    fn is_repeated(&mut self, id: ConnectionId, session: u32, packet_id: u16, now: Millis) -> bool {
        let owned = self.sessions[session]
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.holds(packet_id));
        if !owned {
            return false;
        }
        let ordinal = self.owe(id, AckKind::Pubrec, packet_id);
        let unsettled = &mut self.sessions[session].unsettled;
        let waiting = unsettled
            .iter_mut()
            .find(|waiting| waiting.packet_id == packet_id && waiting.connection != id);
        if let Some(waiting) = waiting {
            waiting.connection = id;
            waiting.ordinal = ordinal;
            return true;
        }
        // Repeated on the connection it came on, its answer stands before this one.
        let then = Then::Settle {
            connection: id,
            ordinal,
        };
        self.append(Vec::new(), then, now);
        true
    }

    fn session_may_publish(&self, session: u32, topic: &str) -> bool {
        let session = &self.sessions[session];
        let client = Client {
            account: session.account.map(|_| &*session.name),
            client_id: &session.client_id,
        };
        self.may_publish(client, session.admin, topic)
    }

    /// Whether a client may publish to an ordinary topic.
    pub(crate) fn may_publish(&self, client: Client<'_>, admin: bool, topic: &str) -> bool {
        // Topics of the server itself are nobody's to publish.
        if topic.starts_with('$') {
            return false;
        }
        admin || self.settings.allow_anonymous || self.settings.access.may_publish(client, topic)
    }

    /// Whether a topic name is neither too long nor too deep.
    pub(crate) fn topic_fits(&self, topic: &str) -> bool {
        topic.len() <= self.topic_bytes_max()
            && levels(topic) <= self.settings.limits.topic_levels_max
    }

    /// The longest topic name or filter, one that a key can hold whatever the operator allows.
    pub(crate) fn topic_bytes_max(&self) -> usize {
        let limit = self.settings.limits.topic_bytes_max;
        limit.min(key::TEXT_BYTES_MAX)
    }

    /// Refuses a publish: MQTT 5 has a reason code for it, earlier versions get their acknowledgement and
    /// nothing happens. [3.1.1 MQTT-3.3.5-2]
    pub(crate) fn refuse(
        &mut self,
        id: ConnectionId,
        session: u32,
        packet: &Publish<'_>,
        reason: ReasonCode,
        sentence: &str,
    ) -> Result<(), Fault> {
        self.metrics.counters.publishes_refused += 1;
        let Some((kind, packet_id)) = ack_of(packet) else {
            return Ok(());
        };
        if kind == AckKind::Pubrec
            && let Some(inbound) = self.sessions[session].inbound.as_mut()
        {
            // [5 MQTT-4.3.3-9]: after an error the identifier is free.
            inbound.release(packet_id);
        }
        self.acknowledge(id, kind, packet_id, reason, Some(sentence.into()));
        Ok(())
    }

    // Ordinary topics.

    fn publish_ordinary(
        &mut self,
        accepted: &Accepted<'_>,
        packet: &Publish<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        let view = accepted.view;
        if view.retain && !view.payload.is_empty() && !self.may_retain(accepted.session, view) {
            self.metrics.counters.retained_refused += 1;
            let sentence = "too many or too large retained messages";
            return self.refuse(
                accepted.id,
                accepted.session,
                packet,
                ReasonCode::QUOTA_EXCEEDED,
                sentence,
            );
        }
        let publisher = self.sessions.reference(accepted.session);
        let ordered_behind_others = self.connections.owes_acks(accepted.id);
        let claims = self.begin_claims(view.topic, view.qos, now);
        let durable = !claims.is_empty()
            || (view.qos != QoS::AtMostOnce && self.subscriptions.has_durable(view.topic));
        let owned_by_session = accepted
            .ack
            .is_some_and(|(kind, _)| kind == AckKind::Pubrec)
            && self.sessions[accepted.session].is_stored();
        let promised = accepted.ack.is_some() && ordered_behind_others;
        let stays = durable || owned_by_session || (view.retain && !view.payload.is_empty());
        if (durable && self.stored.is_full()) || (stays && self.stored.is_disk_full()) {
            return self.refuse_for_room(accepted.id, accepted.session, packet, now);
        }
        if durable || view.retain || owned_by_session || promised {
            let copies = usize::from(durable) + usize::from(view.retain);
            let beside = self.claim_bytes_max(&claims);
            if copies * record_bytes_max(view) + beside > APPEND_BYTES_MAX {
                let sentence = "too large to be stored";
                return self.refuse(
                    accepted.id,
                    accepted.session,
                    packet,
                    ReasonCode::QUOTA_EXCEEDED,
                    sentence,
                );
            }
            self.publish_stored(accepted, durable.then_some(claims), owned_by_session, now);
            return Ok(());
        }
        let mut publication = Publication {
            view,
            shared: None,
            stamp: None,
            publisher,
            now,
        };
        let reason = self.deliver_everywhere(&mut publication, None, &claims);
        if let Some((kind, packet_id)) = accepted.ack {
            self.acknowledge(accepted.id, kind, packet_id, reason, None);
        }
        Ok(())
    }

    /// Writes first; delivery and acknowledgement follow the disk. `durable` are the claims of a message that goes
    /// into the queue. A QoS 0 message to be retained does not
    /// wait: nothing was promised for it.
    fn publish_stored(
        &mut self,
        accepted: &Accepted<'_>,
        durable: Option<Claims>,
        owned_by_session: bool,
        now: Millis,
    ) {
        let message = Arc::new(accepted.view.to_message(now));
        let session = &self.sessions[accepted.session];
        let number = stored_number(session.number);
        let account = session.account;
        let publisher = self.sessions.reference(accepted.session);
        let stamp = self.clock.stamp(now);
        let mut writes = Vec::new();
        let queued = durable.is_some();
        let claims = durable.unwrap_or_default();
        if queued {
            writes.push(self.queue_write(stamp, &message, number));
            writes.extend(self.claim_writes(&claims, stamp));
        }
        if message.retain {
            writes.push(retained_write(&message, stamp, account));
        }
        if let (true, Some(number), Some((_, packet_id))) = (owned_by_session, number, accepted.ack)
        {
            writes.push(Write::Put {
                key: key::incoming(number, packet_id),
                value: Incoming {
                    to_conversation: false,
                }
                .encode(),
            });
        }
        let ack = accepted
            .ack
            .map(|(kind, packet_id)| (accepted.id, self.owe(accepted.id, kind, packet_id)));
        let stored = StoredPublish {
            retained: message.retain.then_some(stamp),
            stamp: queued.then_some(stamp),
            message,
            claims,
            publisher,
            account,
            ack,
        };
        if accepted.ack.is_none() {
            self.release_publish(&stored, now);
            self.append(writes, Then::Nothing, now);
        } else {
            self.append(writes, Then::Publish(Box::new(stored)), now);
        }
    }

    /// Writes a message into the queue.
    pub(crate) fn queue_write(
        &mut self,
        stamp: Stamp,
        message: &Message,
        publisher: Option<SessionNumber>,
    ) -> Write {
        let write = Write::Put {
            key: key::queue(stamp),
            value: message.to_record(publisher).encode(),
        };
        let before = self.metrics.counters.queue_bytes_stored;
        self.metrics.counters.queue_bytes_stored += write.bytes() as u64;
        let after = self.metrics.counters.queue_bytes_stored;
        self.stored.note_written(stamp, before, after);
        write
    }
}

/// How a publish is acknowledged. [3.1.1 MQTT-3.3.4-1] [5 MQTT-3.3.4-1]
fn ack_of(packet: &Publish<'_>) -> Option<(AckKind, u16)> {
    let kind = match packet.qos {
        QoS::AtMostOnce => return None,
        QoS::AtLeastOnce => AckKind::Puback,
        QoS::ExactlyOnce => AckKind::Pubrec,
    };
    packet.packet_id.map(|packet_id| (kind, packet_id))
}

/// Bytes that key and value of a stored message take at most, and what goes into the same append beside it.
fn record_bytes_max(view: MessageView<'_>) -> usize {
    const REST: usize = 256;
    2 * view.topic.len() + view.payload.len() + view.properties.len() + REST
}
