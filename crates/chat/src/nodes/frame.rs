//! What goes from node to node. Owned values only.

use records::{AccountId, Cursor, Pos};

use crate::command::Command;
use crate::nodes::link::Envelope;
use crate::nodes::view::Incarnation;
use crate::note::Note;
use crate::sessions::presence_state::PresenceRow;

/// What one node sends another at once. Opaque to whoever carries it, who may lose it, double it or carry it late.
#[derive(Debug, Clone)]
pub struct Frame {
    pub(super) from: Incarnation,
    pub(super) to: Incarnation,
    pub(super) envelope: Envelope<Message>,
}

/// One thing in a frame.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// To be carried out by the owner of its partition in this term, and by nobody else.
    Command { term: u64, command: Command },
    /// Something that has happened, told by the owner of this term; the word on a command is for its sender only.
    Note { term: u64, note: Note },
    /// How far the sender has come with the partitions that it owns in this version of the view.
    Stored { version: u64, watermark: Watermark },
    /// What an account has on the sender.
    Presence {
        account: AccountId,
        row: PresenceRow,
    },
    /// All that accounts have there is told anew.
    Presences,
}

/// How far a node has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Everything up to here is on disk, and what comes is newer.
    pub(super) stored: Cursor,
    /// The newest position of what it has told.
    pub(super) newest: Pos,
}

impl Frame {
    /// Who sends it.
    pub fn from(&self) -> Incarnation {
        self.from
    }

    /// To whom it goes.
    pub fn to(&self) -> Incarnation {
        self.to
    }
}
