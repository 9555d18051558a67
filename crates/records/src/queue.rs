//! Values of the queue, retained and claim tables: ordinary MQTT messages, and who has still to get them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Reader, VALUE_VERSION};
use crate::{AccountId, Millis, RecordError, SessionNumber, Stamp};

const QUEUED: &str = "queued message";
const RETAINED: &str = "retained message";
/// The version of a retained message that names an account.
const WITH_ACCOUNT: u8 = 2;
const QOS_BITS: u8 = 0b0000_0011;
const RETAIN_BIT: u8 = 0b0000_0100;
const PUBLISHER_BIT: u8 = 0b0000_1000;
const EXPIRES_BIT: u8 = 0b0001_0000;
const FLAG_BITS: u8 = QOS_BITS | RETAIN_BIT | PUBLISHER_BIT | EXPIRES_BIT;
const QUEUED_HEADER_BYTES: usize = 2 + 3 * 8 + 2 + 4;

/// An ordinary message in borrowed pieces: what is encoded from a packet and decoded from a stored value without a copy.
///
/// Layout: version, flags (QoS, retain, has publisher, has expiry), at, publisher, expires at (eight bytes each,
/// 0 if there is none), length of the topic (two), length of the properties (four), topic, properties, and the
/// payload to the end. Numbers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedParts<'a> {
    /// The persistent session that published it, for "no local"; `None` if a temporary one or the server did.
    pub publisher: Option<SessionNumber>,
    /// The topic, at most 65,535 bytes as in MQTT.
    pub topic: &'a str,
    /// What was published.
    pub payload: &'a [u8],
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// The MQTT 5 properties to forward, as they stand in the packet, without their length.
    pub properties: &'a [u8],
    /// From when on it is not delivered; `None` is never.
    pub expires_at: Option<Millis>,
    /// When the server took it.
    pub at: Millis,
}

impl<'a> QueuedParts<'a> {
    /// The value as it stands on disk.
    ///
    /// # Panics
    /// If the topic is longer or the QoS higher than MQTT can say, or the properties exceed 4 GiB.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.encoded_bytes());
        self.encode_into(&mut value);
        value
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(QUEUED, bytes)?;
        let flags = reader.u8()?;
        let qos = flags & QOS_BITS;
        if flags & !FLAG_BITS != 0 || qos > 2 {
            return Err(reader.malformed("unknown flags"));
        }
        let at = Millis::new(reader.u64()?);
        let publisher = reader.u64()?;
        let expires_at = reader.u64()?;
        let topic_bytes = usize::from(reader.u16()?);
        let properties_bytes = reader.u32()? as usize;
        let topic = std::str::from_utf8(reader.slice(topic_bytes)?)
            .map_err(|_| reader.malformed("topic is not UTF-8"))?;
        let properties = reader.slice(properties_bytes)?;
        Ok(Self {
            publisher: (flags & PUBLISHER_BIT != 0).then_some(SessionNumber::new(publisher)),
            topic,
            payload: reader.rest(),
            qos,
            retain: flags & RETAIN_BIT != 0,
            properties,
            expires_at: (flags & EXPIRES_BIT != 0).then_some(Millis::new(expires_at)),
            at,
        })
    }

    fn encoded_bytes(&self) -> usize {
        QUEUED_HEADER_BYTES + self.topic.len() + self.properties.len() + self.payload.len()
    }

    fn encode_into(&self, value: &mut Vec<u8>) {
        assert!(self.qos <= 2, "qos {} does not exist", self.qos);
        let topic_bytes =
            u16::try_from(self.topic.len()).expect("a topic came out of an MQTT string");
        let properties_bytes =
            u32::try_from(self.properties.len()).expect("properties came out of an MQTT packet");
        let mut flags = self.qos;
        if self.retain {
            flags |= RETAIN_BIT;
        }
        if self.publisher.is_some() {
            flags |= PUBLISHER_BIT;
        }
        if self.expires_at.is_some() {
            flags |= EXPIRES_BIT;
        }
        value.extend_from_slice(&[VALUE_VERSION, flags]);
        value.extend_from_slice(&self.at.value().to_be_bytes());
        value.extend_from_slice(
            &self
                .publisher
                .unwrap_or(SessionNumber::ZERO)
                .value()
                .to_be_bytes(),
        );
        value.extend_from_slice(
            &self
                .expires_at
                .unwrap_or(Millis::ZERO)
                .value()
                .to_be_bytes(),
        );
        value.extend_from_slice(&topic_bytes.to_be_bytes());
        value.extend_from_slice(&properties_bytes.to_be_bytes());
        value.extend_from_slice(self.topic.as_bytes());
        value.extend_from_slice(self.properties);
        value.extend_from_slice(self.payload);
    }
}

/// An ordinary message, owned; the key in the queue table is its `Stamp`. Fields as in `QueuedParts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// The persistent session that published it.
    pub publisher: Option<SessionNumber>,
    /// The topic.
    pub topic: Box<str>,
    /// What was published.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// The MQTT 5 properties to forward, as they stand in the packet, without their length.
    pub properties: Bytes,
    /// From when on it is not delivered.
    pub expires_at: Option<Millis>,
    /// When the server took it.
    pub at: Millis,
}

impl QueuedMessage {
    /// The message in borrowed pieces.
    pub fn parts(&self) -> QueuedParts<'_> {
        QueuedParts {
            publisher: self.publisher,
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: &self.properties,
            expires_at: self.expires_at,
            at: self.at,
        }
    }

    /// The value as it stands on disk; panics as `QueuedParts::encode` does.
    pub fn encode(&self) -> Vec<u8> {
        self.parts().encode()
    }

    /// Reads what `encode` wrote; payload and properties share the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let parts = QueuedParts::decode(bytes)?;
        Ok(Self {
            publisher: parts.publisher,
            topic: parts.topic.into(),
            payload: bytes.slice_ref(parts.payload),
            qos: parts.qos,
            retain: parts.retain,
            properties: bytes.slice_ref(parts.properties),
            expires_at: parts.expires_at,
            at: parts.at,
        })
    }
}

/// A topic's retained message; the key is the topic.
///
/// Layout: version (2 if it names an account, else 1), stamp (eight bytes, big-endian), the account (eight bytes) in version 2, and
/// the message's own layout to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Which of two retained messages is the later one.
    pub stamp: Stamp,
    /// Whose share of the retained messages it counts for; `None` if a client without an account or the server itself published it.
    pub account: Option<AccountId>,
    /// The message.
    pub message: QueuedMessage,
}

impl Retained {
    /// The value as it stands on disk; panics as `QueuedParts::encode` does.
    pub fn encode(&self) -> Vec<u8> {
        let parts = self.message.parts();
        let mut value = Vec::with_capacity(1 + 8 + 8 + parts.encoded_bytes());
        let version = self.account.map_or(VALUE_VERSION, |_| WITH_ACCOUNT);
        value.push(version);
        value.extend_from_slice(&self.stamp.value().to_be_bytes());
        if let Some(account) = self.account {
            value.extend_from_slice(&account.value().to_be_bytes());
        }
        parts.encode_into(&mut value);
        value
    }

    /// Reads what `encode` wrote; payload and properties share the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let has_account = bytes.first() == Some(&WITH_ACCOUNT);
        let version = if has_account {
            WITH_ACCOUNT
        } else {
            VALUE_VERSION
        };
        let mut reader = Reader::open_as(RETAINED, version, bytes)?;
        let stamp = Stamp::new(reader.u64()?);
        let account = has_account.then(|| reader.u64()).transpose()?;
        let message = QueuedMessage::decode(&bytes.slice_ref(reader.rest()))?;
        Ok(Self {
            stamp,
            account: account.map(AccountId::new),
            message,
        })
    }
}

/// A message that a group of a shared subscription has still to get; the key is the claim. It is there until a member
/// has it, whichever member that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The message's key in the queue table.
    pub message: Stamp,
    /// The group, as its members subscribed: `$share/<name>/<filter>`.
    pub group: Box<str>,
}

impl Claim {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("claim", bytes)
    }
}
