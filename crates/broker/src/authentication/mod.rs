//! How a client proves who it is, where that takes more than a password in CONNECT.

// What is held.
pub(crate) mod closed;
pub(crate) mod exchange;

// What is done with it.
pub(crate) mod enhanced;
