//! A damaged row: which one, and what is wrong with it. Must not decide what becomes of it.

use records::{KeyError, RecordError, describe};

/// A stored row that is not what should stand there. The store's own sums have been right: this is damage they cannot see, or a
/// fault of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", describe(key))]
pub struct Damaged {
    /// Where it stands.
    pub key: Box<[u8]>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its value cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It can be read, but says what this program has not written there.
    #[error("{0}")]
    Untrue(&'static str),
}

impl Damaged {
    pub(crate) fn new(key: &[u8], fault: impl Into<Fault>) -> Self {
        Self {
            key: key.into(),
            fault: fault.into(),
        }
    }

    pub(crate) fn untrue(key: &[u8], what: &'static str) -> Self {
        Self::new(key, Fault::Untrue(what))
    }
}
