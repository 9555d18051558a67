//! Values of the conversation, member, joined, entry and dedup tables.

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
        /// What whoever joins may read.
        history: HistoryAccess,
        /// Who left it last, when all have left: whoever that is owned it.
        left_by: Option<AccountId>,
    },
    /// A group that was deleted. What was said in it is gone or going; its id is not given again.
    Ended {
        /// The position of its end.
        at: Pos,
    },
}

/// What whoever joins a group may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryAccess {
    /// Everything that was ever said in it.
    #[default]
    All,
    /// What is said while it is a member.
    Joined,
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
    /// How many take part in it.
    pub member_count: u32,
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
    /// The entry with which it joined: nothing older is delivered to it.
    pub joined: Pos,
    /// When it joined.
    pub joined_at: Millis,
    /// Read up to here, inclusive.
    pub read: Seq,
    /// Received by some device up to here, inclusive.
    pub received: Seq,
    /// When, among the entries of the server, one of the two moved last.
    pub moved: Pos,
    /// Whether it began the conversation or came of its own accord; otherwise somebody brought it in.
    pub own: bool,
    /// Bytes of the messages that it has stored here since it joined.
    pub stored_bytes: u64,
    /// What others may know of how far it has read, if that is less.
    #[serde(skip)]
    pub shown: Option<ReadShown>,
}

/// What others may know of a member that has read further than they may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadShown {
    /// Read up to here, inclusive; less than it has read.
    pub read: Seq,
    /// When, among the entries of the server, something moved last that they may know of.
    pub moved: Pos,
}

/// The layout of a member that has read what others may not know.
const WITH_SHOWN: u8 = 2;

impl Member {
    /// Read up to here as far as others may know.
    pub fn read_shown(&self) -> Seq {
        self.shown.map_or(self.read, |shown| shown.read)
    }

    /// When one of the two markers moved last, as far as others may know.
    pub fn moved_shown(&self) -> Pos {
        self.shown.map_or(self.moved, |shown| shown.moved)
    }

    /// Has read up to here; returns up to where others knew before.
    pub fn move_read(&mut self, upto: Seq, at: Pos) -> Seq {
        let before = self.read_shown();
        let shown = before.max(upto);
        self.read = self.read.max(upto);
        self.received = self.received.max(upto);
        self.moved = at;
        self.shown = (shown < self.read).then_some(ReadShown {
            read: shown,
            moved: at,
        });
        before
    }

    /// The same, of which others learn nothing.
    pub fn move_read_in_private(&mut self, upto: Seq, at: Pos) {
        let shown = ReadShown {
            read: self.read_shown(),
            moved: self.moved_shown(),
        };
        self.read = self.read.max(upto);
        self.moved = at;
        self.shown = (shown.read < self.read).then_some(shown);
    }

    /// Others see that the received marker has moved.
    pub fn note_moved(&mut self, at: Pos) {
        self.moved = at;
        if let Some(shown) = &mut self.shown {
            shown.moved = at;
        }
    }

    /// No further than the newest message.
    pub fn limit_read(&mut self, last: Seq) {
        self.read = self.read.min(last);
        self.received = self.received.min(last);
        self.shown = self.shown.filter(|shown| shown.read < self.read);
    }

    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        match self.shown {
            None => codec::encode(self),
            Some(shown) => codec::encode_as(WITH_SHOWN, &(self, shown)),
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() != Some(&WITH_SHOWN) {
            return codec::decode("member", bytes);
        }
        let (member, shown): (Self, ReadShown) = codec::decode_as("member", WITH_SHOWN, bytes)?;
        if shown.read >= member.read {
            let detail = "others know that it has read more than it has";
            let record = "member";
            return Err(RecordError::Malformed { record, detail });
        }
        let shown = Some(shown);
        Ok(Self { shown, ..member })
    }
}

/// Whom or what an account joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A direct chat with this account, which may be the same.
    Direct {
        /// The other one.
        peer: AccountId,
    },
    /// The group of this address.
    Group {
        /// Its address.
        slug: GroupSlug,
    },
}

/// A conversation as one of an account's; the key is both ids. It stays when the account leaves, so that devices that were away
/// hear of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// How the account addresses it.
    pub place: Place,
    /// The entry since which it is a member; `None` if it is none.
    pub since: Option<Pos>,
    /// As [`Member::own`].
    pub own: bool,
    /// Whether it is a group that this account made and all have left.
    pub abandoned: bool,
    /// Earlier times as a member, the oldest first; of very many, the newest.
    pub stays: Vec<Stay>,
}

impl Joined {
    /// Earlier times that are kept.
    pub const STAYS_MAX: usize = 8;

    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("joined", bytes)
    }
}

/// A time as a member that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The entry with which it began.
    pub since: Pos,
    /// The entry with which it ended, the last that the member gets.
    pub until: Pos,
    /// The number of the newest message then.
    pub seq: Seq,
}

/// Whether an entry is a message or something else that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Has a `seq`.
    Message,
    /// An edit, deletion, reaction, change of members …
    Event,
}

/// One message or event; the key is the conversation, the newest message's number, and `pos`.
///
/// Layout: version, kind (1 message, 2 event), pos, seq (0 is none), from, at, each number eight bytes big-endian,
/// then the wire bytes to the end. Not postcard, so that the wire bytes are a slice of the stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
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

/// What became of a `mid` that an account sent to a conversation, for as long as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// The message's number.
    pub seq: Seq,
    /// The message's position.
    pub pos: Pos,
    /// When the server took it.
    pub at: Millis,
    /// A hash of what was sent, so that a `mid` that is used for something else is told from a repetition.
    pub content: u64,
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

/// What became of a message that has no `mid` of its own but must not be sent twice: a QoS 2 message of a persistent session, or a
/// will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Where it was sent.
    pub conversation: ConversationId,
    /// What became of it there.
    pub message: Dedup,
}

impl Sent {
    /// The value as it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        codec::decode("sent", bytes)
    }
}
