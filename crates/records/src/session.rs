//! Values of the session, subscription, outgoing, incoming and will tables.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Reader, VALUE_VERSION};
use crate::queue::QueuedMessage;
use crate::{Cursor, Millis, RecordError, SessionNumber, Stamp};

/// A session expiry that means never.
pub const EXPIRY_NEVER: u32 = u32::MAX;

/// A persistent session; the key is the account and the client id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The short id that its subscriptions and flows are keyed by.
    pub number: SessionNumber,
    /// Seconds that it outlives its connection; `EXPIRY_NEVER` is forever.
    pub expiry_secs: u32,
    /// When its last connection ended; `None` while it is connected.
    pub disconnected_at: Option<Millis>,
    /// Messenger entries that this covers are done with. Entries of one partition come in order, those of different partitions need not.
    pub chat_cursor: Cursor,
    /// Ordinary messages up to here are done with, one cursor per shard that stamped messages: stamps of
    /// one shard come in order, those of different shards need not.
    pub queue_cursors: Vec<Stamp>,
    /// The protocol level of its last connection: 3, 4 or 5.
    pub protocol_level: u8,
    /// What it had been sent beyond its cursors.
    #[serde(skip)]
    pub progress: Progress,
}

/// What a session had been sent of stored messages and has not acknowledged, or had not when the server died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// QoS 1 deliveries that were under way, by the stamps that stand for them in `outgoing` keys, and their packet ids.
    pub under_way: Vec<(Stamp, u16)>,
    /// Ordinary messages up to here had been sent, one stamp per shard, where that is beyond the cursor.
    pub queue_sent: Vec<Stamp>,
    /// Messenger entries that this covers had been sent, where that is beyond the cursor; otherwise nothing.
    pub chat_sent: Cursor,
    /// The packet id of the next delivery; zero when there is no reason for any.
    pub next_packet_id: u16,
    /// Ordinary messages up to here may have been sent before the server died.
    pub queue_doubtful: Stamp,
    /// Messenger entries that this covers may have been.
    pub chat_doubtful: Cursor,
}

/// The version byte of a session with progress, which follows the rest: most sessions have none,
/// and need no bytes to say so.
const WITH_PROGRESS: u8 = 2;

impl Session {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        if self.progress == Progress::default() {
            codec::encode(self)
        } else {
            codec::encode_as(WITH_PROGRESS, &(self, &self.progress))
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() != Some(&WITH_PROGRESS) {
            return codec::decode("session", bytes);
        }
        let (session, progress): (Self, Progress) =
            codec::decode_as("session", WITH_PROGRESS, bytes)?;
        Ok(Self {
            progress,
            ..session
        })
    }
}

/// A persistent session's subscription; the key is the session number and the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The subscription options byte of MQTT 5: QoS, no local, retain as published, retain handling.
    pub options: u8,
    /// The subscription identifier, if one was given.
    pub identifier: Option<u32>,
    /// Only messages after this one match.
    pub since: Stamp,
    /// Per shard, the newest message that was matched before the subscription was given up; empty while it is held.
    #[serde(skip)]
    pub until: Vec<Stamp>,
    /// What it was before, oldest first, as long as messages may wait that were matched then.
    #[serde(skip)]
    pub former: Vec<Terms>,
}

/// What a subscription was until a SUBSCRIBE replaced it or an UNSUBSCRIBE ended it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// As [`Subscription::options`].
    pub options: u8,
    /// As [`Subscription::identifier`].
    pub identifier: Option<u32>,
    /// Only messages after this one were matched.
    pub since: Stamp,
    /// Per shard, the newest message that was.
    pub until: Vec<Stamp>,
}

/// The version byte of a subscription with a past, which follows the rest: until when it was held and what it was. Few have one.
const WITH_PAST: u8 = 2;

impl Subscription {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        if self.until.is_empty() && self.former.is_empty() {
            codec::encode(self)
        } else {
            codec::encode_as(WITH_PAST, &(self, &self.until, &self.former))
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() != Some(&WITH_PAST) {
            return codec::decode("subscription", bytes);
        }
        let (subscription, until, former): (Self, _, _) =
            codec::decode_as("subscription", WITH_PAST, bytes)?;
        Ok(Self {
            until,
            former,
            ..subscription
        })
    }
}

/// How far a QoS 2 delivery to a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutgoingState {
    /// PUBLISH sent, PUBREC awaited.
    Sent,
    /// PUBREC seen, PUBREL sent, PUBCOMP awaited.
    Released,
    /// PUBCOMP seen, while the cursor has not yet passed it.
    Done,
}

/// A QoS 2 delivery that has begun; the key is the session number and the message's stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The packet id of the flow.
    pub packet_id: u16,
    /// How far it has come.
    pub state: OutgoingState,
    /// RETAIN of its PUBLISH, which is sent again as it was. False once that cannot happen any more.
    pub retain: bool,
    /// Subscription identifiers of its PUBLISH. None once it is not sent again.
    pub identifiers: Option<Box<[u32]>>,
}

impl Outgoing {
    /// One whose PUBLISH is not sent again.
    pub fn past(packet_id: u16, state: OutgoingState) -> Self {
        Self {
            packet_id,
            state,
            retain: false,
            identifiers: None,
        }
    }

    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("outgoing", bytes)
    }
}

/// A QoS 2 receipt that the client has not yet released; the key is session number and packet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Whether it is that of a message to a conversation, which is known by the packet id until then.
    pub to_conversation: bool,
}

impl Incoming {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("incoming", bytes)
    }
}

/// What a connection leaves to be published when it ends without a word.
///
/// Layout: version, delay, 1 or 0 for whether the message expires, expiry (four bytes each number, big-endian), and the
/// message's own layout to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Seconds to wait after the connection's end.
    pub delay_secs: u32,
    /// Seconds the message lives once it is published.
    pub expiry_secs: Option<u32>,
    /// The message; `at` is when the connection was made.
    pub message: QueuedMessage,
}

impl Will {
    /// The value as it stands on disk; panics as `QueuedParts::encode` does.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = vec![VALUE_VERSION];
        value.extend_from_slice(&self.delay_secs.to_be_bytes());
        value.push(u8::from(self.expiry_secs.is_some()));
        value.extend_from_slice(&self.expiry_secs.unwrap_or(0).to_be_bytes());
        value.extend_from_slice(&self.message.encode());
        value
    }

    /// Reads what `encode` wrote; payload and properties share the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::open("will", bytes)?;
        let delay_secs = reader.u32()?;
        let expires = reader.u8()?;
        let expiry_secs = reader.u32()?;
        if expires > 1 || (expires == 0 && expiry_secs != 0) {
            return Err(reader.malformed("unknown expiry"));
        }
        let message = QueuedMessage::decode(&bytes.slice_ref(reader.rest()))?;
        Ok(Self {
            delay_secs,
            expiry_secs: (expires == 1).then_some(expiry_secs),
            message,
        })
    }
}
