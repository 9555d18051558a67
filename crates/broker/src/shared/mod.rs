//! Shared subscriptions to ordinary topics: groups, their members, and the claims that they have on messages.

// What is held.
pub(crate) mod claim;
pub(crate) mod table;
pub(crate) mod waiting_claims;

// What is done with it.
pub(crate) mod claims;
pub(crate) mod members;
pub(crate) mod reassign;
