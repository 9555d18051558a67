//! What conversations tell sessions, once it is on disk. Owned values only, like commands. What has a position is an entry; its
//! partition is that of the position.

use std::sync::Arc;

use bytes::Bytes;
use records::{AccountId, ConversationId, Millis, Moment, PartitionId, Pos, Seq};

use crate::command::{Address, Command, CommandId, What};
use crate::format::device::DeviceId;
use crate::format::draft;
use crate::refusal::Refusal;

/// Something that has happened in a conversation.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// A message, or a change of members.
    Entry(Box<Entry>),
    /// Markers of these have moved to one message; for the authors of what they newly cover.
    Marker {
        conversation: ConversationId,
        address: Address,
        accounts: Vec<AccountId>,
        kind: Marker,
        upto: Seq,
        authors: Vec<AccountId>,
    },
    /// How the conversation is for one member has changed without an entry.
    Changed {
        conversation: ConversationId,
        address: Address,
        account: AccountId,
        /// Up to where it has read, if that is further than before.
        read: Option<Seq>,
    },
    /// Accounts take part in it from here on.
    Joined {
        conversation: ConversationId,
        address: Address,
        /// And whether each came of its own accord.
        accounts: Vec<(AccountId, bool)>,
    },
    /// An account takes no longer part in it.
    Left {
        conversation: ConversationId,
        address: Address,
        account: AccountId,
    },
    /// A group was deleted.
    Ended {
        conversation: ConversationId,
        address: Address,
        members: Vec<Departed>,
    },
    /// All have left a group of this account's, or somebody has come into it again.
    Abandoned {
        conversation: ConversationId,
        maker: AccountId,
        is_abandoned: bool,
    },
    /// Somebody types.
    Typing {
        address: Address,
        account: AccountId,
        audience: Arc<[AccountId]>,
    },
    /// What became of a command.
    Done {
        id: CommandId,
        /// The client's own id of a message, if that much could be read.
        mid: Option<Box<str>>,
        outcome: Result<Outcome, Refusal>,
    },
}

/// See [`Note::Entry`].
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) conversation: ConversationId,
    pub(crate) address: Address,
    pub(crate) pos: Pos,
    /// A message's number.
    pub(crate) seq: Option<Seq>,
    /// Which device has published it.
    pub(crate) speaker: Option<(AccountId, DeviceId)>,
    /// Who gets it.
    pub(crate) audience: Arc<[AccountId]>,
    /// The JSON as it goes out.
    pub(crate) wire: Bytes,
    /// What a terminal shows of a message.
    pub(crate) line: Bytes,
    /// When it is not to be delivered any more.
    pub(crate) expires_at: Option<Millis>,
    /// When what a client published and this came of was read.
    pub(crate) read_at: Moment,
}

/// Which marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Marker {
    Read,
    Received,
}

/// A member of a group that was deleted.
#[derive(Debug, Clone)]
pub(crate) struct Departed {
    pub(crate) account: AccountId,
    /// Bytes of messages that it had stored there.
    pub(crate) stored_bytes: u64,
}

/// What came of a command that was carried out.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The message is stored.
    Stored {
        seq: Seq,
        pos: Pos,
        /// Whether it was before.
        repeated: bool,
        /// Bytes that its author is charged.
        bytes: u64,
    },
    /// These have become members.
    Invited {
        accounts: Vec<AccountId>,
        member_count: u32,
    },
    /// The conversation.
    Conversation(ConversationId),
    /// Nothing more to say.
    Done,
}

impl Note {
    /// The word on a command that is not carried out, if anybody waits for it.
    pub(crate) fn refused(command: &Command, refusal: Refusal) -> Option<Self> {
        let mid = match &command.what {
            What::Send(sending) if !sending.is_text => draft::mid(&sending.payload),
            What::Send(_)
            | What::Read { .. }
            | What::MarkReceived { .. }
            | What::Received { .. }
            | What::Typing
            | What::Create(_)
            | What::Invite { .. }
            | What::Join
            | What::Leave
            | What::Delete { .. } => None,
        };
        Some(Self::Done {
            id: command.id?,
            mid,
            outcome: Err(refusal),
        })
    }

    /// The partition that tells it; `None` of the word on a command, which is for one node.
    pub(crate) fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Entry(entry) => Some(entry.pos.partition()),
            Self::Marker { conversation, .. }
            | Self::Changed { conversation, .. }
            | Self::Joined { conversation, .. }
            | Self::Left { conversation, .. }
            | Self::Ended { conversation, .. }
            | Self::Abandoned { conversation, .. } => conversation.partition(),
            Self::Typing { address, .. } => Some(address.partition()),
            Self::Done { .. } => None,
        }
    }
}

impl Marker {
    /// Its word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Received => "received",
        }
    }
}
