//! What the messenger asks of the store: look-ups, never writes; and to whom it tells which rows are damaged.

use bytes::Bytes;
use records::{KeyRange, Millis};

use crate::stored::damaged::Damaged;

/// From which end of a range it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The lowest key first.
    First,
    /// The highest key first.
    Last,
}

/// Reads from the store. Inside [`crate::Chat::handle`] only bounded look-ups are made through it; pages are read by queries.
pub trait Source {
    /// Keys and values of a range, beginning at one end of it, at most `limit`. No more are read once they come to more than
    /// `bytes_max`, counting for each its value and up to [`ROW_OVERHEAD_MAX`]; the first one is always read.
    fn rows(
        &self,
        range: &KeyRange,
        end: End,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Unreadable>;

    /// Keys of a range, beginning at one end of it, at most `limit`; the values are not read.
    fn keys(&self, range: &KeyRange, end: End, limit: usize) -> Result<Vec<Bytes>, Unreadable>;

    /// What stands under a key.
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable>;

    /// What time it is: what has expired by then is not shown.
    fn now(&self) -> Millis;

    /// A row is damaged and was left out: for the log and a counter.
    fn damaged(&self, row: &Damaged);

    /// Does pieces of work that are numbered from zero on, each with this source or one like it: one after the other, or several at
    /// once where there are threads for them. Returns when all are done.
    fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync));
}

/// What a source may count for a row besides its value.
pub const ROW_OVERHEAD_MAX: usize = 64;

/// The store could not be read; its own log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read")]
pub struct Unreadable;
