//! Network connections: bytes, packets, CONNECT, time limits.

// State.
pub(crate) mod connection;
pub(crate) mod pending_connect;
pub(crate) mod table;
pub(crate) mod wheel;

// Flows: parts of `impl Shard`.
pub(crate) mod closing;
pub(crate) mod connect;
pub(crate) mod hand_over;
pub(crate) mod packets;
pub(crate) mod reading;
pub(crate) mod socket;
pub(crate) mod timeouts;
pub(crate) mod unauthenticated;
