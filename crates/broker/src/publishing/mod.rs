//! A PUBLISH from a client: whether it is allowed, how fast, and to which shards it goes.

// State.
pub(crate) mod allowances;
pub(crate) mod rates;

// Flows: parts of `impl Shard`.
pub(crate) mod forward;
pub(crate) mod publish;
pub(crate) mod slowing;
