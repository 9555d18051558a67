//! What the messenger asks of the store: look-ups, never writes.

use records::{AccountId, ConversationId, Dedup, Entry, Pos, Seq};

/// Reads from the store. Inside [`crate::Chat::handle`] only bounded look-ups are made through it; pages are read by queries.
pub trait Source {
    /// Entries of a conversation with `from <= pos < to`, ascending, or from the end when `reverse`; at most `limit`. No more are
    /// read once they come to more than `bytes_max`, counting for each its wire and up to [`ENTRY_OVERHEAD_MAX`]; the first one is
    /// always read.
    fn entries(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        reverse: bool,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Unreadable>;

    /// Where entries of a conversation with `from <= pos < to` stand, ascending, at most `limit`; the entries are not read.
    fn positions(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        limit: usize,
    ) -> Result<Vec<Pos>, Unreadable>;

    /// Where a message stands.
    fn pos_of(&self, conversation: ConversationId, seq: Seq) -> Result<Option<Pos>, Unreadable>;

    /// What became of a `mid` in a week (weeks since the epoch).
    fn mid(&self, week: u32, account: AccountId, mid: &str) -> Result<Option<Dedup>, Unreadable>;
}

/// What a source may count for an entry besides its wire.
pub const ENTRY_OVERHEAD_MAX: usize = 64;

/// The store could not be read; its own log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read")]
pub struct Unreadable;
