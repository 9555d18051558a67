//! What outlives a connection: sessions, where they are found, how they end, and what one account may have of them.

// State.
pub(crate) mod account_limits;
pub(crate) mod account_usage;
pub(crate) mod deadlines;
pub(crate) mod offline;
pub(crate) mod session;
pub(crate) mod table;

// Flows: parts of `impl Shard`.
pub(crate) mod admission;
pub(crate) mod ending;
pub(crate) mod removal;
