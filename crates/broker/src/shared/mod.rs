//! Shared subscriptions to ordinary topics: groups, their members, and the claims that they have on messages.

pub(crate) mod claims;
pub(crate) mod members;
pub(crate) mod reassign;
