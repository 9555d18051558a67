//! From a message and its recipients to bytes in output buffers, and what waits until a client takes it.

// State.
pub(crate) mod fanouts;
pub(crate) mod frames;
pub(crate) mod publication;
pub(crate) mod waiting;

// Flows: parts of `impl Shard`.
pub(crate) mod acknowledge;
pub(crate) mod deliver;
pub(crate) mod dropping;
pub(crate) mod fanout;
pub(crate) mod queue;
pub(crate) mod redeliver;
