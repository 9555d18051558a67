//! A message on its way through a shard: borrowed from the packet it came in while it can be, owned and
//! shared once it has to wait. It knows no recipients.

use bytes::Bytes;
use mqtt_codec::QoS;
use records::{ConversationId, Millis, Moment, Pos, QueuedMessage, Seq, SessionNumber, Stamp};
use routing::GroupId;

/// What is delivered, borrowed from wherever it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// Properties forwarded unaltered, in wire form. [5 MQTT-3.3.2-4] [5 MQTT-3.3.2-17]
    pub(crate) properties: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires_at: Option<Millis>,
    /// When its PUBLISH was read, for measuring.
    pub(crate) read_at: Moment,
}

/// A message that waits or travels between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: Box<str>,
    /// Application message.
    pub payload: Bytes,
    /// Properties forwarded unaltered, in MQTT 5 wire form without their length.
    pub properties: Bytes,
    /// Quality of service it was published with.
    pub qos: QoS,
    /// RETAIN as published.
    pub retain: bool,
    /// When it must no longer be delivered.
    pub expires_at: Option<Millis>,
    /// When it was received.
    pub at: Millis,
    /// The same for measuring; unknown for what was stored meanwhile, or came from no client.
    pub read_at: Moment,
}

impl Message {
    /// Stands for a message whose exactly-once delivery is past its PUBLISH: it is never sent again.
    pub(crate) fn released() -> Self {
        Self {
            topic: Box::default(),
            payload: Bytes::new(),
            properties: Bytes::new(),
            qos: QoS::ExactlyOnce,
            retain: false,
            expires_at: None,
            at: Millis::ZERO,
            read_at: Moment::UNKNOWN,
        }
    }

    pub(crate) fn view(&self) -> MessageView<'_> {
        MessageView {
            topic: &self.topic,
            payload: &self.payload,
            properties: &self.properties,
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
            read_at: self.read_at,
        }
    }

    /// Bytes it keeps in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// The form in which it is stored.
    pub fn to_record(&self, publisher: Option<SessionNumber>) -> QueuedMessage {
        QueuedMessage {
            publisher,
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            qos: self.qos as u8,
            retain: self.retain,
            properties: self.properties.clone(),
            expires_at: self.expires_at,
            at: self.at,
        }
    }

    /// Back from the stored form.
    pub fn from_record(record: QueuedMessage) -> Self {
        Self {
            topic: record.topic,
            payload: record.payload,
            properties: record.properties,
            qos: QoS::from_bits(record.qos).unwrap_or(QoS::AtLeastOnce),
            retain: record.retain,
            expires_at: record.expires_at,
            at: record.at,
            read_at: Moment::UNKNOWN,
        }
    }
}

impl MessageView<'_> {
    /// Bytes it takes where it waits, roughly.
    pub(crate) fn weight(&self) -> u32 {
        let bytes = self.topic.len() + self.payload.len() + self.properties.len();
        u32::try_from(size_of::<Message>() + bytes).unwrap_or(u32::MAX)
    }

    pub(crate) fn to_message(self, at: Millis) -> Message {
        Message {
            topic: self.topic.into(),
            payload: Bytes::copy_from_slice(self.payload),
            properties: Bytes::copy_from_slice(self.properties),
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
            at,
            read_at: self.read_at,
        }
    }

    /// Whether its time was over before this moment: one that has none goes to whoever is there in the moment it comes.
    pub(crate) fn is_late(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at < now)
    }

    /// Whether its time is over. [5 MQTT-3.3.2-5]
    pub(crate) fn expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Levels of a topic name or filter.
pub(crate) fn levels(topic: &str) -> usize {
    topic.bytes().filter(|byte| *byte == b'/').count() + 1
}

/// Where a waiting delivery comes from, which decides what its acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Only in memory.
    Memory,
    /// In the queue table.
    Queue(Stamp),
    /// An entry of a conversation.
    Chat {
        pos: Pos,
        part: u8,
        receipt: Option<(ConversationId, Seq)>,
    },
    /// An entry of a conversation that went to one of several devices.
    Share {
        receipt: Option<(ConversationId, Seq)>,
    },
    /// It answers the claim of this group.
    Claim {
        group: GroupId,
        stored: Option<StoredClaim>,
        /// Quality of service it was published with.
        qos: QoS,
    },
}

/// Where a message stands that a group has still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredClaim {
    /// Key in the claim table.
    pub(crate) claim: Stamp,
    /// Key in the queue table; zero for a delivery whose message is not needed any more.
    pub(crate) message: Stamp,
}

/// Marks the key of a conversation's entry; no stamp reaches this bit before the year 3000.
const CHAT_KEY: u64 = 1 << 63;
/// Marks the key of a claim; no stamp reaches this bit before the year 2500.
const CLAIM_KEY: u64 = 1 << 62;
/// Marks, both of them together, the key of a delivery whose message is only in memory. No position in the messenger reaches
/// the bit that it shares with a conversation's entry.
const MEMORY_KEY: u64 = CHAT_KEY | CLAIM_KEY;
/// Bits of such a key that say which packet of the entry it is.
const PART_BITS: u32 = 2;

/// Whether a clock can have said this: the marks of keys leave it room.
pub(crate) fn is_stamp(stamp: Stamp) -> bool {
    stamp.value() < CLAIM_KEY
}

impl Origin {
    /// The key under which an exactly-once delivery of it is remembered. One whose message is only in memory has none
    /// but its packet identifier, which is its session's alone as long as it is under way.
    pub(crate) fn outgoing_key(self, packet_id: u16) -> Stamp {
        self.stored_key()
            .unwrap_or_else(|| Stamp::new(MEMORY_KEY | u64::from(packet_id)))
    }

    /// That key, unless the message is only in memory.
    pub(crate) fn stored_key(self) -> Option<Stamp> {
        match self {
            Self::Memory | Self::Share { .. } | Self::Claim { stored: None, .. } => None,
            Self::Queue(stamp) => Some(stamp),
            Self::Claim {
                stored: Some(stored),
                ..
            } => Some(Stamp::new(CLAIM_KEY | stored.claim.value())),
            Self::Chat { pos, part, .. } => Some(Stamp::new(
                CHAT_KEY | (pos.value() << PART_BITS) | u64::from(part),
            )),
        }
    }

    /// The stored message that must not go before this is delivered.
    pub(crate) fn needs(self) -> Option<Stamp> {
        match self {
            Self::Queue(stamp) => Some(stamp),
            Self::Claim { stored, .. } => stored
                .map(|stored| stored.message)
                .filter(|message| *message != Stamp::ZERO),
            Self::Memory | Self::Share { .. } | Self::Chat { .. } => None,
        }
    }

    /// Back from the key; a receipt is not remembered in it, nor a group.
    pub(crate) fn from_outgoing_key(key: Stamp) -> Self {
        if key.value() & MEMORY_KEY == MEMORY_KEY {
            return Self::Memory;
        }
        if key.value() & CHAT_KEY == 0 {
            let claim = Stamp::new(key.value() & !CLAIM_KEY);
            if claim == key {
                return Self::Queue(key);
            }
            let message = Stamp::ZERO;
            return Self::Claim {
                group: GroupId::default(),
                stored: Some(StoredClaim { claim, message }),
                qos: QoS::ExactlyOnce,
            };
        }
        let rest = key.value() & !CHAT_KEY;
        let part = (rest & ((1 << PART_BITS) - 1)) as u8;
        Self::Chat {
            pos: Pos::new(rest >> PART_BITS),
            part,
            receipt: None,
        }
    }
}
