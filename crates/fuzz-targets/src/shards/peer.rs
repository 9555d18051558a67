//! One client's end of a connection: what it has said, and whether what it is told is sound. It knows of the server
//! only what a client may know.

use std::collections::BTreeSet;

use broker::ConnectionId;
use mqtt_codec::{DecodeLimits, Packet, Publish, QoS, ReasonCode, Version, ack, decode, frame};

use crate::feed::Feed;

const VERSIONS: [Version; 3] = [Version::V311, Version::V31, Version::V5];

/// An acknowledgement that the client owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
}

/// A client's end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) shard: usize,
    pub(super) id: ConnectionId,
    /// What the server has not read yet.
    pub(super) unsent: Vec<u8>,
    /// The largest piece that the server gets at once.
    pub(super) piece: usize,
    /// The socket takes nothing.
    pub(super) blocked: bool,
    /// The server wants to close it.
    pub(super) closing: bool,
    pub(super) closed: bool,
    /// The beginning of what was said, until it is a whole packet.
    said: Vec<u8>,
    hello: Hello,
    /// It has sent any bytes, which may have acknowledged anything.
    wild: bool,
    received: Vec<u8>,
    greeted: bool,
    refused: bool,
    owed: Vec<Owed>,
    in_flight: BTreeSet<u16>,
    aliases: BTreeSet<u16>,
}

/// What the first packet said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hello {
    Awaited,
    Nonsense,
    Said {
        version: Version,
        receive_maximum: u16,
        packet_bytes_max: u32,
        alias_maximum: u16,
    },
}

impl Peer {
    pub(super) fn new(shard: usize, id: ConnectionId) -> Self {
        Self {
            shard,
            id,
            unsent: Vec::new(),
            piece: usize::MAX,
            blocked: false,
            closing: false,
            closed: false,
            said: Vec::new(),
            hello: Hello::Awaited,
            wild: false,
            received: Vec::new(),
            greeted: false,
            refused: false,
            owed: Vec::new(),
            in_flight: BTreeSet::new(),
            aliases: BTreeSet::new(),
        }
    }

    /// The version in which it goes on.
    pub(super) fn version(&self) -> Version {
        match self.hello {
            Hello::Said { version, .. } => version,
            Hello::Awaited | Hello::Nonsense => Version::V5,
        }
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        if self.hello != Hello::Awaited {
            return;
        }
        self.said.extend_from_slice(bytes);
        match frame::length(Version::V311, &self.said, u32::MAX) {
            Ok(Some(length)) if length.total <= self.said.len() => {
                let limits = DecodeLimits::default();
                self.hello = match decode(Version::V311, &self.said[..length.total], &limits) {
                    Ok(Packet::Connect(connect)) => Hello::Said {
                        version: connect.version,
                        receive_maximum: connect.properties.receive_maximum.unwrap_or(u16::MAX),
                        packet_bytes_max: connect
                            .properties
                            .maximum_packet_size
                            .unwrap_or(u32::MAX),
                        alias_maximum: connect.properties.topic_alias_maximum,
                    },
                    _ => Hello::Nonsense,
                };
            }
            Ok(_) => {}
            Err(_) => self.hello = Hello::Nonsense,
        }
    }

    pub(super) fn say_anything(&mut self, bytes: &[u8]) {
        self.wild = true;
        self.say(bytes);
    }

    /// An acknowledgement that is owed, of whichever message; a PINGREQ when nothing is.
    pub(super) fn acknowledgement(&mut self, feed: &mut Feed<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let pick = feed.byte();
        let Some(place) = usize::from(pick >> 1).checked_rem(self.owed.len()) else {
            ack::encode_pingreq(&mut out);
            return out;
        };
        let version = self.version();
        let refuse = pick & 1 != 0 && version == Version::V5;
        let reason = if refuse {
            ReasonCode::QUOTA_EXCEEDED
        } else {
            ReasonCode::SUCCESS
        };
        match self.owed.remove(place) {
            Owed::Puback(id) => {
                self.in_flight.remove(&id);
                ack::encode_puback(version, id, reason, None, u32::MAX, &mut out);
            }
            Owed::Pubrec(id) => {
                if refuse {
                    self.in_flight.remove(&id);
                }
                ack::encode_pubrec(version, id, reason, None, u32::MAX, &mut out);
            }
            Owed::Pubcomp(id) => {
                self.in_flight.remove(&id);
                ack::encode_pubcomp(version, id, ReasonCode::SUCCESS, &mut out);
            }
        }
        out
    }

    /// Bytes came from the server.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        let mut received = std::mem::take(&mut self.received);
        let mut used = 0;
        while let Some(length) = self.extent(&received[used..]) {
            if received.len() - used < length {
                break;
            }
            self.hear(&received[used..used + length]);
            used += length;
        }
        received.drain(..used);
        self.received = received;
    }

    /// Whether the stream ends with a whole packet.
    pub(super) fn is_between_packets(&self) -> bool {
        self.received.is_empty()
    }

    fn extent(&self, bytes: &[u8]) -> Option<usize> {
        let length = frame::length(self.version(), bytes, u32::MAX);
        let length = length.unwrap_or_else(|error| panic!("{error}: {bytes:02x?} to {self:?}"));
        length.map(|length| length.total)
    }

    fn hear(&mut self, bytes: &[u8]) {
        let limits = DecodeLimits {
            user_properties_max: u16::MAX,
        };
        let Hello::Said {
            version,
            receive_maximum,
            packet_bytes_max,
            alias_maximum,
        } = self.hello
        else {
            // It did not say how it wants to be spoken to.
            let sound = VERSIONS
                .iter()
                .any(|version| decode(*version, bytes, &limits).is_ok());
            assert!(sound, "not a packet in any version: {bytes:02x?}");
            return;
        };
        let packet = decode(version, bytes, &limits);
        let packet = packet.unwrap_or_else(|error| panic!("{error}: {bytes:02x?} to {self:?}"));
        assert!(
            bytes.len() <= packet_bytes_max as usize,
            "too large: {bytes:02x?} to {self:?}"
        );
        assert!(!self.refused, "after a refusal: {packet:?} to {self:?}");
        if let Packet::Connack(connack) = &packet {
            assert!(!self.greeted, "a second CONNACK");
            self.greeted = true;
            self.refused = connack.code != 0;
            assert!(!self.refused || !connack.session_present);
            return;
        }
        // [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1] [5 MQTT-3.14.0-1]
        let begins = matches!(packet, Packet::Auth(_));
        assert!(
            self.greeted || begins,
            "before the CONNACK: {packet:?} to {self:?}"
        );
        match packet {
            Packet::Publish(publish) => {
                self.check_alias(&publish, alias_maximum);
                let id = publish.packet_id.unwrap_or(0);
                match publish.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.owe(Owed::Puback(id), receive_maximum),
                    QoS::ExactlyOnce => self.owe(Owed::Pubrec(id), receive_maximum),
                }
            }
            Packet::Pubrel(told) => {
                self.owed
                    .retain(|owed| *owed != Owed::Pubcomp(told.packet_id));
                self.owed.push(Owed::Pubcomp(told.packet_id));
            }
            Packet::Disconnect(_) => {
                // MQTT 3 has a DISCONNECT from clients only.
                assert_eq!(version, Version::V5);
                self.refused = true;
            }
            Packet::Auth(_) => assert_eq!(version, Version::V5),
            Packet::Puback(_)
            | Packet::Pubrec(_)
            | Packet::Pubcomp(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => {}
            other => panic!("not a packet of a server: {other:?}"),
        }
    }

    /// [5 MQTT-3.1.2-26] [5 MQTT-3.3.2-9]: only as many as the client allows, and none before it was set.
    fn check_alias(&mut self, publish: &Publish<'_>, maximum: u16) {
        let Some(alias) = publish.properties.topic_alias else {
            assert!(!publish.topic.is_empty(), "neither topic nor alias");
            return;
        };
        assert!((1..=maximum).contains(&alias), "alias {alias} of {maximum}");
        let known = !self.aliases.insert(alias);
        assert!(
            known || !publish.topic.is_empty(),
            "alias {alias} was never set"
        );
    }

    fn owe(&mut self, owed: Owed, receive_maximum: u16) {
        self.owed.push(owed);
        let (Owed::Puback(id) | Owed::Pubrec(id) | Owed::Pubcomp(id)) = owed;
        let fresh = self.in_flight.insert(id);
        if self.wild {
            return;
        }
        // [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4]
        assert!(fresh, "packet id {id} is in use: {self:?}");
        // [5 MQTT-3.3.4-9]
        let flying = self.in_flight.len();
        assert!(
            flying <= usize::from(receive_maximum),
            "{flying} under way: {self:?}"
        );
    }
}
