//! What conversations have read, and what was found. Opaque to whoever carries it.

use crate::conversations::author_lookup::{Authors, AuthorsWanted};
use crate::conversations::load::{Load, Loaded};
use crate::stored::source::Source;

/// Something to be read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Rows of a conversation.
    Conversation(Load),
    /// Who wrote what a marker newly covers.
    Authors(AuthorsWanted),
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Finding {
    Conversation(Loaded),
    Authors(Authors),
}

impl Reading {
    /// Reads it where a disk may be waited for.
    pub(crate) fn run(self, source: &dyn Source) -> Finding {
        match self {
            Self::Conversation(load) => Finding::Conversation(load.run(source)),
            Self::Authors(wanted) => Finding::Authors(wanted.run(source)),
        }
    }

    /// There is no room to read it now.
    pub(crate) fn refuse(self) -> Finding {
        match self {
            Self::Conversation(load) => Finding::Conversation(load.refuse()),
            Self::Authors(wanted) => Finding::Authors(wanted.refuse()),
        }
    }
}
