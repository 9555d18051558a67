//! How a client proves who it is, where that takes more than a password in CONNECT.

// State.
pub(crate) mod closed;
pub(crate) mod exchange;

// Flows: parts of `impl Shard`.
pub(crate) mod enhanced;
