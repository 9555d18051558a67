//! SUBSCRIBE and UNSUBSCRIBE to ordinary topics, and what filters were while something waited for them.

// What is held.
pub(crate) mod changes;
pub(crate) mod filter_request;
pub(crate) mod superseded;
pub(crate) mod table;

// What is done with it.
pub(crate) mod removal;
pub(crate) mod requests;
pub(crate) mod subscribe;
