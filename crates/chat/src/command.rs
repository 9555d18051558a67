//! What sessions ask of conversations. Owned values only: whoever carries out a command may be another thread or another machine.

use bytes::Bytes;
use records::{
    AccountId, ConversationId, GroupSlug, HistoryAccess, Moment, PartitionId, Place, Seq,
    SessionMid,
};

use crate::format::device::DeviceId;
use crate::format::properties::MessageProperties;
use crate::nodes::view::Incarnation;

/// The sender's own number of a command, given back with [`crate::note::Note::Done`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CommandId {
    /// Whose.
    pub(crate) sender: Incarnation,
    pub(crate) number: u64,
}

/// Something to be done in one conversation.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Set when somebody waits for the outcome.
    pub(crate) id: Option<CommandId>,
    pub(crate) speaker: Speaker,
    pub(crate) to: To,
    pub(crate) what: What,
}

/// Who wants it.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
}

/// Which conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum To {
    /// By its address; it may not have begun.
    Address(Address),
    /// By its id; nothing happens if it has ended.
    Conversation(ConversationId),
}

/// How a conversation is addressed: there is one at most for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Address {
    /// Two accounts, the smaller id first; both are the same in a chat with oneself.
    Pair { low: AccountId, high: AccountId },
    /// A group.
    Group(GroupSlug),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Say something.
    Send(Sending),
    /// Move the own read marker.
    Read {
        seq: u64,
        /// Whether nobody else is to know.
        is_private: bool,
    },
    /// Move the own received marker, because a client says so.
    MarkReceived { seq: u64 },
    /// A device has acknowledged a message.
    Received { seq: Seq },
    /// Tell the others that this account types.
    Typing,
    /// Make a group.
    Create(Making),
    /// Make these accounts members.
    Invite { accounts: Vec<AccountId> },
    /// Come into an open group.
    Join,
    /// Go.
    Leave,
    /// Delete the group.
    Delete {
        /// Whether who runs the server wants it, who need not be a member.
        by_administrator: bool,
    },
}

/// A group that begins.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    pub(crate) title: String,
    pub(crate) open: bool,
    pub(crate) history: HistoryAccess,
    /// Who is in it besides its maker.
    pub(crate) members: Vec<AccountId>,
}

/// A message as it was published.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) payload: Bytes,
    /// Whether the payload is the text itself, whatever it begins with.
    pub(crate) is_text: bool,
    pub(crate) properties: Option<Box<MessageProperties>>,
    /// What stands for the client's `mid` if it gave none: a message that its session sends again is the same message.
    pub(crate) session_mid: Option<SessionMid>,
    /// Whether the account may begin one more conversation.
    pub(crate) may_begin: bool,
    /// When it was read.
    pub(crate) read_at: Moment,
}

/// Bytes that a client has given for a message.
pub(crate) fn given_bytes(payload: &[u8], properties: Option<&MessageProperties>) -> usize {
    payload.len() + properties.map_or(0, MessageProperties::bytes)
}

/// What a message takes on disk beside its text: its keys, its number, and the memory of its `mid`, roughly.
const ROWS_BYTES: u64 = 256;

/// What a message is charged.
pub(crate) fn charge(message_bytes: usize) -> u64 {
    message_bytes as u64 + ROWS_BYTES
}

impl Address {
    /// The address of two accounts.
    pub(crate) fn pair(one: AccountId, other: AccountId) -> Self {
        Self::Pair {
            low: one.min(other),
            high: one.max(other),
        }
    }

    /// Where the conversation belongs.
    pub(crate) fn partition(&self) -> PartitionId {
        match self {
            Self::Pair { low, high } => PartitionId::of_pair(*low, *high),
            Self::Group(slug) => PartitionId::of_group(slug.as_str()),
        }
    }

    /// The key under which its id stands.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self {
            Self::Pair { low, high } => records::key::pair_address(*low, *high),
            Self::Group(slug) => records::key::group_address(slug.as_str()),
        }
    }

    /// What an account's list says that it has joined.
    pub(crate) fn place(&self, account: AccountId) -> Place {
        match self {
            Self::Group(slug) => Place::Group { slug: slug.clone() },
            Self::Pair { .. } => Place::Direct {
                peer: self.peer(account).unwrap_or(account),
            },
        }
    }

    /// Whom an account talks to in a direct chat, itself in one with itself; `None` for a group.
    pub(crate) fn peer(&self, account: AccountId) -> Option<AccountId> {
        match self {
            Self::Pair { low, high } if *low == account => Some(*high),
            Self::Pair { low, .. } => Some(*low),
            Self::Group(_) => None,
        }
    }
}

impl To {
    /// The partition that does it; `None` if there is none such.
    pub(crate) fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Address(address) => Some(address.partition()),
            Self::Conversation(id) => id.partition(),
        }
    }
}
