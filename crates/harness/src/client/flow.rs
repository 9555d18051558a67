//! The client's half of QoS 1 and 2: what is under way, and what a reconnect resends. It survives connections.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_codec::publish::{PublishHead, encode};
use mqtt_codec::{Ack, Publish, QoS, ReasonCode, Version, ack};

use super::{Acknowledgement, Message};

#[derive(Debug, Default)]
pub(super) struct Flow {
    last_packet_id: u16,
    last_published: u16,
    sent: u64,
    outgoing: BTreeMap<u16, Outgoing>,
    /// QoS 2 messages that are here and that the server has not released.
    incoming: BTreeSet<u16>,
    /// Topics the server has set aliases for on this connection, and how many it may.
    aliases: BTreeMap<u16, String>,
    alias_maximum: u16,
}

#[derive(Debug)]
struct Outgoing {
    order: u64,
    stage: Stage,
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

/// The packet that is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Puback,
    Pubrec,
    Pubcomp,
}

impl Flow {
    pub(super) fn packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.outgoing.contains_key(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    pub(super) fn last_published(&self) -> u16 {
        self.last_published
    }

    pub(super) fn publish(
        &mut self,
        version: Version,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
    ) -> (u16, Vec<u8>) {
        let stage = match qos {
            QoS::AtMostOnce => {
                let mut bytes = Vec::new();
                write(version, topic, payload, qos, retain, None, &mut bytes);
                return (0, bytes);
            }
            QoS::AtLeastOnce => Stage::Puback,
            QoS::ExactlyOnce => Stage::Pubrec,
        };
        let packet_id = self.packet_id();
        self.last_published = packet_id;
        self.sent += 1;
        let outgoing = Outgoing {
            order: self.sent,
            stage,
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            retain,
        };
        let bytes = outgoing.bytes(version, packet_id, false);
        self.outgoing.insert(packet_id, outgoing);
        (packet_id, bytes)
    }

    /// What a client sends after a reconnect, in the order of the first time. [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
    pub(super) fn resume(&mut self, version: Version, session_present: bool) -> Vec<u8> {
        if !session_present && version != Version::V31 {
            self.incoming.clear();
            self.outgoing
                .retain(|_, outgoing| outgoing.stage != Stage::Pubcomp);
        }
        let mut in_order: Vec<_> = self.outgoing.iter().collect();
        in_order.sort_by_key(|(_, outgoing)| outgoing.order);
        in_order
            .into_iter()
            .flat_map(|(&packet_id, outgoing)| outgoing.bytes(version, packet_id, session_present))
            .collect()
    }

    /// A message, unless it is a QoS 2 message that is here already.
    pub(super) fn take(&mut self, publish: &Publish<'_>) -> Option<Message> {
        let topic = self.topic(publish);
        if publish.qos == QoS::ExactlyOnce {
            let packet_id = publish.packet_id.expect("decoded at QoS 2");
            if !self.incoming.insert(packet_id) {
                // [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]
                assert!(
                    publish.dup,
                    "packet id {packet_id} used again before PUBREL: {publish:?}"
                );
                return None;
            }
        }
        Some(Message {
            topic,
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id,
            correlation: publish.properties.correlation_data.map(<[u8]>::to_vec),
            subscription_identifiers: publish.subscription_identifiers().collect(),
        })
    }

    /// A connection begins: aliases of the last one mean nothing on it. [5 MQTT-3.3.2-7]
    pub(super) fn connected(&mut self, alias_maximum: u16) {
        self.aliases.clear();
        self.alias_maximum = alias_maximum;
    }

    /// The topic, through its alias. [5 MQTT-3.1.2-26] [5 MQTT-3.3.2-12]
    fn topic(&mut self, publish: &Publish<'_>) -> String {
        let Some(alias) = publish.properties.topic_alias else {
            return publish.topic.to_owned();
        };
        assert!(
            (1..=self.alias_maximum).contains(&alias),
            "an alias that was not allowed: {publish:?}"
        );
        if !publish.topic.is_empty() {
            self.aliases.insert(alias, publish.topic.to_owned());
        }
        let known = self.aliases.get(&alias);
        known
            .unwrap_or_else(|| panic!("an alias that was never set: {publish:?}"))
            .clone()
    }

    pub(super) fn acknowledgement(version: Version, message: &Message) -> Vec<u8> {
        answer(version, message.qos, message.packet_id)
    }

    pub(super) fn received(version: Version, publish: &Publish<'_>) -> Vec<u8> {
        answer(version, publish.qos, publish.packet_id)
    }

    pub(super) fn acknowledged(&mut self, ack: &Ack<'_>) -> Acknowledgement {
        let removed = self.outgoing.remove(&ack.packet_id);
        assert_eq!(
            removed.map(|outgoing| outgoing.stage),
            Some(Stage::Puback),
            "PUBACK for {}",
            ack.packet_id
        );
        owned(ack)
    }

    /// PUBREC, and the PUBREL that answers it unless the message was refused.
    pub(super) fn recorded(
        &mut self,
        version: Version,
        ack: &Ack<'_>,
    ) -> (Acknowledgement, Vec<u8>) {
        let outgoing = self.outgoing.get_mut(&ack.packet_id);
        let outgoing = outgoing
            .unwrap_or_else(|| panic!("PUBREC for {}, which is not under way", ack.packet_id));
        assert_ne!(outgoing.stage, Stage::Puback, "PUBREC for a QoS 1 message");
        let mut release = Vec::new();
        if ack.reason.is_error() {
            self.outgoing.remove(&ack.packet_id);
        } else {
            outgoing.stage = Stage::Pubcomp;
            ack::encode_pubrel(version, ack.packet_id, ReasonCode::SUCCESS, &mut release);
        }
        (owned(ack), release)
    }

    /// PUBREL; answered even if the message is not known, because the answer may have been lost.
    pub(super) fn released(&mut self, version: Version, ack: &Ack<'_>) -> Vec<u8> {
        self.incoming.remove(&ack.packet_id);
        let mut bytes = Vec::new();
        ack::encode_pubcomp(version, ack.packet_id, ReasonCode::SUCCESS, &mut bytes);
        bytes
    }

    pub(super) fn completed(&mut self, ack: &Ack<'_>) -> u16 {
        let removed = self.outgoing.remove(&ack.packet_id);
        assert_eq!(
            removed.map(|outgoing| outgoing.stage),
            Some(Stage::Pubcomp),
            "PUBCOMP for {}",
            ack.packet_id
        );
        ack.packet_id
    }
}

impl Outgoing {
    fn bytes(&self, version: Version, packet_id: u16, dup: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let qos = match self.stage {
            Stage::Puback => QoS::AtLeastOnce,
            Stage::Pubrec => QoS::ExactlyOnce,
            Stage::Pubcomp => {
                ack::encode_pubrel(version, packet_id, ReasonCode::SUCCESS, &mut bytes);
                return bytes;
            }
        };
        let again = Some((packet_id, dup));
        write(
            version,
            &self.topic,
            &self.payload,
            qos,
            self.retain,
            again,
            &mut bytes,
        );
        bytes
    }
}

fn write(
    version: Version,
    topic: &str,
    payload: &[u8],
    qos: QoS,
    retain: bool,
    packet_id: Option<(u16, bool)>,
    out: &mut Vec<u8>,
) {
    let head = PublishHead {
        dup: packet_id.is_some_and(|(_, dup)| dup),
        qos,
        retain,
        topic,
        packet_id: packet_id.map(|(packet_id, _)| packet_id),
        expiry: None,
        alias: None,
        subscription_identifiers: &[],
        forwarded: &[],
    };
    encode(version, head, payload, out);
}

fn answer(version: Version, qos: QoS, packet_id: Option<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let success = ReasonCode::SUCCESS;
    match (qos, packet_id) {
        (QoS::AtLeastOnce, Some(packet_id)) => {
            ack::encode_puback(version, packet_id, success, None, u32::MAX, &mut bytes);
        }
        (QoS::ExactlyOnce, Some(packet_id)) => {
            ack::encode_pubrec(version, packet_id, success, None, u32::MAX, &mut bytes);
        }
        (QoS::AtMostOnce | QoS::AtLeastOnce | QoS::ExactlyOnce, _) => {}
    }
    bytes
}

fn owned(ack: &Ack<'_>) -> Acknowledgement {
    Acknowledgement {
        packet_id: ack.packet_id,
        reason: ack.reason.0,
        sentence: ack.reason_string.map(str::to_owned),
        user: ack
            .user
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}
