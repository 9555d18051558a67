//! A PUBLISH from a client: whether it is allowed, how fast, and to which shards it goes.

// What is held.
pub(crate) mod allowances;
pub(crate) mod rates;

// What is done with it.
pub(crate) mod forward;
pub(crate) mod publish;
pub(crate) mod slowing;
