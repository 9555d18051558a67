//! Shared subscriptions to ordinary topics: groups, their members, and the claims that they have on messages.

// State.
pub(crate) mod claim;
pub(crate) mod table;
pub(crate) mod waiting_claims;

// Flows: parts of `impl Shard`.
pub(crate) mod claims;
pub(crate) mod members;
pub(crate) mod reassign;
