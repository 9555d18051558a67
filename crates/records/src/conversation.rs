//! Values of the conversation, member, entry and dedup tables.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Reader, VALUE_VERSION};
use crate::{AccountId, ConversationId, GroupSlug, Millis, Pos, RecordError, Seq};

/// Who talks in a conversation, and how it is addressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversationKind {
    /// Two accounts; `low <= high`, so that a pair has one form only. Both are the same in a chat with oneself.
    Direct {
        /// The smaller id.
        low: AccountId,
        /// The larger id.
        high: AccountId,
    },
    /// Any number of accounts under a slug.
    Group {
        /// Its address.
        slug: GroupSlug,
        /// What people see, NFC.
        title: String,
        /// Whether anybody may join it, and any member invite; otherwise owners and moderators invite.
        open: bool,
    },
    /// A group that everybody has left. What was said in it is gone or going; its id and its positions are not given again.
    Ended {
        /// The newest position of the server when it ended.
        newest: Pos,
    },
}

/// A direct chat or a group; the key is its `ConversationId`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Who talks in it.
    pub kind: ConversationKind,
    /// When it was made.
    pub created: Millis,
    /// Who made it.
    pub created_by: AccountId,
}

impl Conversation {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("conversation", bytes)
    }
}

/// What a member may do in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRole {
    /// Everything, deleting the group included.
    Owner,
    /// Keeps order: removes messages and members.
    Moderator,
    /// Reads and writes.
    Member,
}

/// An account in a conversation; the key is both ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it may do here.
    pub role: MemberRole,
    /// The commit in which it joined: nothing older is delivered to it.
    pub joined: Pos,
    /// When it joined.
    pub joined_at: Millis,
    /// Read up to here, inclusive.
    pub read: Seq,
    /// Received by some device up to here, inclusive.
    pub received: Seq,
    /// Whether it began the conversation or came of its own accord; otherwise somebody brought it in.
    pub own: bool,
    /// Bytes of the messages that it has stored here since it joined; what releases stored that did not count them is not among them.
    #[serde(skip)]
    pub stored_bytes: u64,
}

/// The layout of a member who has stored something: what version 1 has, and the bytes behind it.
const MEMBER_WITH_BYTES: u8 = 2;

impl Member {
    /// The value as it stands on disk; without bytes it is written as version 1.
    pub fn encode(&self) -> Vec<u8> {
        if self.stored_bytes == 0 {
            codec::encode(self)
        } else {
            codec::encode_as(MEMBER_WITH_BYTES, &(self, self.stored_bytes))
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() != Some(&MEMBER_WITH_BYTES) {
            return codec::decode("member", bytes);
        }
        let (member, stored_bytes): (Self, u64) =
            codec::decode_as("member", MEMBER_WITH_BYTES, bytes)?;
        Ok(Self {
            stored_bytes,
            ..member
        })
    }
}

/// Whether an entry is a message or something else that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Has a `seq`.
    Message,
    /// An edit, deletion, reaction, change of members …
    Event,
}

/// One message or event; the key is the conversation and `pos`.
///
/// Layout: version, kind (1 message, 2 event), pos, seq (0 is none), from, at, each number eight bytes big-endian,
/// then the wire bytes to the end. Not postcard, so that the wire bytes are a slice of the stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The commit that holds it.
    pub pos: Pos,
    /// A message's number; `None` for an event. Never `Some(Seq::ZERO)`.
    pub seq: Option<Seq>,
    /// Who caused it.
    pub from: AccountId,
    /// When the server took it.
    pub at: Millis,
    /// Message or event.
    pub kind: EntryKind,
    /// The JSON exactly as it goes out.
    pub wire: Bytes,
}

const ENTRY_HEADER_BYTES: usize = 2 + 4 * 8;
const ENTRY_MESSAGE: u8 = 1;
const ENTRY_EVENT: u8 = 2;

impl Entry {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(ENTRY_HEADER_BYTES + self.wire.len());
        value.push(VALUE_VERSION);
        value.push(match self.kind {
            EntryKind::Message => ENTRY_MESSAGE,
            EntryKind::Event => ENTRY_EVENT,
        });
        for number in [
            self.pos.value(),
            self.seq.unwrap_or(Seq::ZERO).value(),
            self.from.value(),
            self.at.value(),
        ] {
            value.extend_from_slice(&number.to_be_bytes());
        }
        value.extend_from_slice(&self.wire);
        value
    }

    /// Reads what `encode` wrote; `wire` shares the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::open("entry", bytes)?;
        let kind = match reader.u8()? {
            ENTRY_MESSAGE => EntryKind::Message,
            ENTRY_EVENT => EntryKind::Event,
            _ => return Err(reader.malformed("unknown kind")),
        };
        let pos = Pos::new(reader.u64()?);
        let seq = match (kind, reader.u64()?) {
            (EntryKind::Event, 0) => None,
            (EntryKind::Message, number @ 1..) => Some(Seq::new(number)),
            (EntryKind::Message, 0) => return Err(reader.malformed("a message without a number")),
            (EntryKind::Event, _) => return Err(reader.malformed("an event with a number")),
        };
        let from = AccountId::new(reader.u64()?);
        let at = Millis::new(reader.u64()?);
        Ok(Self {
            pos,
            seq,
            from,
            at,
            kind,
            wire: bytes.slice_ref(reader.rest()),
        })
    }
}

/// What became of an account's `mid`, for as long as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// Where the message went.
    pub conversation: ConversationId,
    /// Its number there.
    pub seq: Seq,
    /// The commit that holds it.
    pub pos: Pos,
    /// When the server took it.
    pub at: Millis,
}

impl Dedup {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("dedup", bytes)
    }
}
