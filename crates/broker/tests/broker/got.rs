//! What a client has got, owned and comparable.

use mqtt_codec::{DecodeLimits, Packet, Version, decode, frame};

/// The reason code of a publish that has no subscriber.
pub(crate) const UNHEARD: u8 = 0x10;

/// A PUBLISH from the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) packet_id: Option<u16>,
    pub(crate) expiry: Option<u32>,
    pub(crate) alias: Option<u16>,
    pub(crate) format: Option<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) user: Vec<(String, String)>,
    pub(crate) identifiers: Vec<u32>,
    /// Bytes of the whole packet.
    pub(crate) bytes: usize,
}

/// Any packet from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Connack {
        present: bool,
        code: u8,
        assigned: Option<String>,
        keep_alive: Option<u16>,
        session_expiry: Option<u32>,
    },
    Publish(Message),
    Puback(u16, u8),
    Pubrec(u16, u8),
    Pubrel(u16, u8),
    Pubcomp(u16, u8),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(u8),
    Auth {
        reason: u8,
        method: String,
        data: Option<String>,
    },
}

/// Cuts a stream into packets; every byte must belong to one.
pub(crate) fn split(version: Version, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let length = frame::length(version, bytes, u32::MAX)
            .expect("the server writes whole packets")
            .expect("the server writes whole packets");
        let (packet, rest) = bytes.split_at(length.total);
        packets.push(packet.to_vec());
        bytes = rest;
    }
    packets
}

/// Reads one packet.
pub(crate) fn read(version: Version, bytes: &[u8]) -> Got {
    let limits = DecodeLimits::default();
    match decode(version, bytes, &limits).expect("the server writes sound packets") {
        Packet::Connack(connack) => Got::Connack {
            present: connack.session_present,
            code: connack.code,
            assigned: connack.assigned_client_id.map(Into::into),
            keep_alive: connack.server_keep_alive,
            session_expiry: connack.session_expiry,
        },
        Packet::Publish(publish) => Got::Publish(Message {
            topic: publish.topic.into(),
            payload: String::from_utf8_lossy(publish.payload).into(),
            qos: publish.qos as u8,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id,
            expiry: publish.properties.message_expiry,
            alias: publish.properties.topic_alias,
            format: publish.properties.payload_format,
            content_type: publish.properties.content_type.map(Into::into),
            response_topic: publish.properties.response_topic.map(Into::into),
            correlation: publish.properties.correlation_data.map(Into::into),
            user: publish
                .properties
                .user()
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            identifiers: publish.subscription_identifiers().collect(),
            bytes: bytes.len(),
        }),
        Packet::Puback(ack) => Got::Puback(ack.packet_id, ack.reason.0),
        Packet::Pubrec(ack) => Got::Pubrec(ack.packet_id, ack.reason.0),
        Packet::Pubrel(ack) => Got::Pubrel(ack.packet_id, ack.reason.0),
        Packet::Pubcomp(ack) => Got::Pubcomp(ack.packet_id, ack.reason.0),
        Packet::Suback(suback) => Got::Suback(suback.packet_id, suback.codes.to_vec()),
        Packet::Unsuback(suback) => Got::Unsuback(suback.packet_id, suback.codes.to_vec()),
        Packet::Pingresp => Got::Pingresp,
        Packet::Disconnect(disconnect) => {
            assert_eq!(
                disconnect.properties.session_expiry, None,
                "only clients change the expiry"
            );
            Got::Disconnect(disconnect.reason.0)
        }
        Packet::Auth(auth) => {
            assert_eq!((auth.reason_string, auth.user.iter().count()), (None, 0));
            Got::Auth {
                reason: auth.reason.0,
                method: auth.method.expect("AUTH always names its method").into(),
                data: auth.data.map(|data| String::from_utf8_lossy(data).into()),
            }
        }
        other @ (Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Pingreq) => panic!("not a packet for a client: {other:?}"),
    }
}
