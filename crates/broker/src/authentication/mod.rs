//! How a client proves who it is, where that takes more than a password in CONNECT.

pub(crate) mod closed;
pub(crate) mod enhanced;
pub(crate) mod exchange;
