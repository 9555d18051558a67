//! What a store promises: reads, and batches that happen wholly and durably or not at all.
//! Must not say how; the implementations stand beside it.

use std::sync::Arc;

use bytes::Bytes;
use records::{KeyRange, Write};
use thiserror::Error;

/// The longest key: journal and tables write a key's length in 16 bits.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The longest value; far below the 32 bits that its length is written in, and above any MQTT packet that is let in.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many keys are deleted with a commit where a range is deleted key by key.
pub const DELETE_SLICE_KEYS: usize = 1_000;

/// An ordered map from bytes to bytes.
pub trait Store: Send + Sync {
    /// The value that stands at the key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// Keys and values in order, as of one moment.
    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError>;

    /// Like `range`, the keys alone.
    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError>;

    /// Carries out all writes of the batch, or none. On return it is as durable as the store gets.
    ///
    /// Writes to the same key happen in their order. Preconditions look at the state before the batch. After a
    /// failure that leaves open what is on disk the store is poisoned, and this and every later commit fails.
    fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Whether deleting this range costs as little as a row at the moment. If not, keys are to be deleted in its place.
    fn takes_range(&self, range: &KeyRange) -> bool {
        let _ = range;
        true
    }

    /// Deletes every key of the range: in one commit, or where the store takes no ranges in several of `DELETE_SLICE_KEYS`.
    fn delete_range(&self, range: &KeyRange) -> Result<(), CommitError> {
        let mut rest = Some(range.clone());
        while let Some(range) = rest.take() {
            let slice = delete_slice(self, range).map_err(CommitError::Read)?;
            rest = slice.rest;
            self.commit(slice.batch)?;
        }
        Ok(())
    }
}

/// One commit's part in the deletion of a range.
#[derive(Debug)]
pub(crate) struct DeleteSlice {
    pub(crate) batch: Batch,
    /// What later commits have to delete.
    pub(crate) rest: Option<KeyRange>,
}

/// What the next commit deletes of a range.
pub(crate) fn delete_slice(
    store: &(impl Store + ?Sized),
    range: KeyRange,
) -> Result<DeleteSlice, ReadError> {
    let mut batch = Batch::default();
    if store.takes_range(&range) {
        batch.deleted_ranges.push(range);
        return Ok(DeleteSlice { batch, rest: None });
    }
    let slice = Range::forward(range, DELETE_SLICE_KEYS);
    let keys = store.keys(&slice)?;
    // On from the last one, which is deleted by then: what was deleted before still has to be stepped over.
    let rest = (keys.len() == DELETE_SLICE_KEYS).then(|| KeyRange {
        from: keys.last().map_or(slice.from, |last| last.to_vec()),
        to: slice.to,
    });
    let deleted = keys.into_iter();
    batch.writes = deleted
        .map(|key| Write::Delete { key: key.into() })
        .collect();
    Ok(DeleteSlice { batch, rest })
}

/// The first key behind a key: that key and a zero byte.
pub(crate) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A stretch of the key space, from one end, up to a number of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key that belongs to it.
    pub from: Vec<u8>,
    /// The first key that no longer does.
    pub to: Vec<u8>,
    /// Begins at the end and goes down.
    pub reverse: bool,
    /// At most so many keys.
    pub limit: usize,
    /// Nothing is read after the key with which the values come to more bytes than this. Counts in `range` only.
    pub bytes_max: usize,
}

impl Range {
    /// The first `limit` keys, ascending.
    pub fn forward(keys: KeyRange, limit: usize) -> Self {
        Self {
            from: keys.from,
            to: keys.to,
            reverse: false,
            limit,
            bytes_max: usize::MAX,
        }
    }

    /// The last `limit` keys, descending.
    pub fn backward(keys: KeyRange, limit: usize) -> Self {
        Self {
            from: keys.from,
            to: keys.to,
            reverse: true,
            limit,
            bytes_max: usize::MAX,
        }
    }

    /// The same range, bounded in bytes as well.
    #[must_use]
    pub fn up_to_bytes(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }
}

/// Writes that belong together, and what must hold for them to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Everything that stands in these is deleted before the writes are carried out.
    pub deleted_ranges: Vec<KeyRange>,
    /// Carried out in order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Whether it changes nothing, whatever its preconditions are.
    pub fn is_empty(&self) -> bool {
        self.deleted_ranges.is_empty() && self.writes.is_empty()
    }
}

/// What must hold at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// Where.
    pub key: Vec<u8>,
    /// What.
    pub expected: Expected,
}

/// What a precondition can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing stands there.
    Absent,
    /// Something stands there.
    Present,
    /// Exactly this stands there.
    Equals(Vec<u8>),
}

impl Expected {
    /// Whether what was found is what was asked for.
    pub fn holds(&self, found: Option<&[u8]>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Equals(value) => found == Some(value.as_slice()),
        }
    }
}

/// The store could not be read: a disk error, or a table that fails its checksum.
#[derive(Clone, Debug, Error)]
#[error("store cannot be read: {0}")]
pub struct ReadError(pub Arc<dyn std::error::Error + Send + Sync>);

/// Why a batch did not happen.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// Nothing was written; the store goes on.
    #[error("precondition failed at a key of {} bytes", key.len())]
    PreconditionFailed {
        /// The first key where it did not hold.
        key: Vec<u8>,
    },
    /// A key is empty or too long, or a value too long. Nothing was written; the store goes on.
    #[error(
        "key of {key_bytes} bytes or value of {value_bytes} bytes is outside the store's limits"
    )]
    Size {
        /// Length of the key.
        key_bytes: usize,
        /// Length of the value.
        value_bytes: usize,
    },
    /// A precondition could not be looked up. Nothing was written; the store goes on.
    #[error(transparent)]
    Read(ReadError),
    /// This write or its fsync failed. Whether it is on disk is unknown, and the store is poisoned.
    #[error("store cannot be written: {0}")]
    Write(Arc<dyn std::error::Error + Send + Sync>),
    /// An earlier write failed, and nothing is written after it.
    #[error("store stopped writing after a failure")]
    Poisoned,
}

impl CommitError {
    /// Whether the store refuses every later commit too.
    pub fn poisons(&self) -> bool {
        match self {
            Self::PreconditionFailed { .. } | Self::Size { .. } | Self::Read(_) => false,
            Self::Write(_) | Self::Poisoned => true,
        }
    }
}

/// Refuses ranges whose ends are no keys, and what `check_sizes` does.
pub(crate) fn check_batch(batch: &Batch) -> Result<(), CommitError> {
    for range in &batch.deleted_ranges {
        let key_bytes = range.from.len().max(range.to.len());
        if key_bytes > KEY_BYTES_MAX {
            return Err(CommitError::Size {
                key_bytes,
                value_bytes: 0,
            });
        }
    }
    check_sizes(&batch.writes)
}

/// Refuses keys and values that the store would have to cut.
pub(crate) fn check_sizes(writes: &[Write]) -> Result<(), CommitError> {
    for write in writes {
        let (key_bytes, value_bytes) = match write {
            Write::Put { key, value } => (key.len(), value.len()),
            Write::Delete { key } => (key.len(), 0),
        };
        if key_bytes == 0 || key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(CommitError::Size {
                key_bytes,
                value_bytes,
            });
        }
    }
    Ok(())
}
