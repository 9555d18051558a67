//! The form in which a retained message is kept. It knows nothing of topics' order, limits or delivery.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::QoS;
use records::{Millis, Stamp};

use crate::message::{Message, MessageView};

/// Bytes before the rest: stamp, time, flags. Behind them stand, if the flags say so, the expiry and the length of the
/// properties with the properties; the payload is the rest.
const HEAD: usize = 8 + 8 + 1;
/// What the tables take for a topic beside its text and its message: allocations, references, a place in the tree.
const ENTRY_BYTES: usize = 96;
const QOS: u8 = 0b011;
const EXPIRES: u8 = 0b100;
const PROPERTIES: u8 = 0b1000;

/// What is retained for a topic, in one allocation that all shards share: there may be a million of them, and most are
/// never looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedMessage(Arc<[u8]>);

impl RetainedMessage {
    /// Packs a message; `stamp` orders those of one topic.
    pub fn new(stamp: Stamp, message: &Message) -> Self {
        let mut flags = message.qos as u8;
        let mut bytes = Vec::with_capacity(
            packed_len(message.expires_at, message.properties.len()) + message.payload.len(),
        );
        bytes.extend_from_slice(&stamp.value().to_le_bytes());
        bytes.extend_from_slice(&message.at.value().to_le_bytes());
        bytes.push(0);
        if let Some(at) = message.expires_at {
            flags |= EXPIRES;
            bytes.extend_from_slice(&at.value().to_le_bytes());
        }
        if !message.properties.is_empty() {
            flags |= PROPERTIES;
            let len = u32::try_from(message.properties.len());
            let len = len.expect("a packet is shorter than 256 MiB");
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(&message.properties);
        }
        bytes[HEAD - 1] = flags;
        bytes.extend_from_slice(&message.payload);
        Self(bytes.into())
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(self.number(0))
    }

    fn has(&self, flag: u8) -> bool {
        self.0[HEAD - 1] & flag != 0
    }

    fn expires_at(&self) -> Option<Millis> {
        self.has(EXPIRES).then(|| Millis::new(self.number(HEAD)))
    }

    pub(crate) fn expired(&self, now: Millis) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    pub(crate) fn clears(&self) -> bool {
        self.properties_and_payload().1.is_empty()
    }

    fn properties_and_payload(&self) -> (&[u8], &[u8]) {
        let rest = &self.0[if self.has(EXPIRES) { HEAD + 8 } else { HEAD }..];
        match rest.split_first_chunk::<4>() {
            Some((len, rest)) if self.has(PROPERTIES) => {
                rest.split_at(u32::from_le_bytes(*len) as usize)
            }
            Some(_) | None => (&[], rest),
        }
    }

    /// Bytes it keeps in memory with its topic, roughly.
    pub(crate) fn weight(&self, topic: &str) -> usize {
        ENTRY_BYTES + topic.len() + self.0.len()
    }

    /// The message again.
    pub(crate) fn unpack(&self, topic: &str) -> Message {
        let (properties, payload) = self.properties_and_payload();
        Message {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            properties: Bytes::copy_from_slice(properties),
            qos: QoS::from_bits(self.0[HEAD - 1] & QOS).expect("it was one"),
            retain: true,
            expires_at: self.expires_at(),
            at: Millis::new(self.number(8)),
        }
    }

    fn number(&self, at: usize) -> u64 {
        let bytes = self.0[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes"))
    }
}

/// What a message would weigh if it were retained.
pub(crate) fn weight(view: MessageView<'_>) -> usize {
    let packed = packed_len(view.expires_at, view.properties.len()) + view.payload.len();
    ENTRY_BYTES + view.topic.len() + packed
}

/// Bytes a message takes without its payload.
fn packed_len(expires_at: Option<Millis>, properties: usize) -> usize {
    let expiry = expires_at.map_or(0, |_| 8);
    let properties = if properties == 0 { 0 } else { 4 + properties };
    HEAD + expiry + properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        for expires_at in [None, Some(Millis::new(5))] {
            for properties in [&b""[..], b"\x03\x00\x01x"] {
                for payload in [&b""[..], b"p", &[7; 300]] {
                    let message = Message {
                        topic: "a/b".into(),
                        payload: Bytes::copy_from_slice(payload),
                        properties: Bytes::copy_from_slice(properties),
                        qos: QoS::ExactlyOnce,
                        retain: true,
                        expires_at,
                        at: Millis::new(9),
                    };
                    let packed = RetainedMessage::new(Stamp::new(77), &message);
                    assert_eq!(packed.unpack("a/b"), message);
                    assert_eq!(packed.stamp(), Stamp::new(77));
                    assert_eq!(packed.clears(), payload.is_empty());
                    assert_eq!(packed.expired(Millis::new(5)), expires_at.is_some());
                    assert_eq!(
                        packed.0.len(),
                        packed_len(expires_at, properties.len()) + payload.len()
                    );
                }
            }
        }
    }
}
