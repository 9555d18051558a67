//! SUBSCRIBE and UNSUBSCRIBE to ordinary topics, and what filters were while something waited for them.

// State.
pub(crate) mod changes;
pub(crate) mod filter_request;
pub(crate) mod superseded;
pub(crate) mod table;

// Flows: parts of `impl Shard`.
pub(crate) mod removal;
pub(crate) mod requests;
pub(crate) mod subscribe;
