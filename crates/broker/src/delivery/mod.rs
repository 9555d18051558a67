//! From a message and its recipients to bytes in output buffers, and what waits until a client takes it.

// What is held.
pub(crate) mod fanouts;
pub(crate) mod frames;
pub(crate) mod publication;
pub(crate) mod waiting;

// What is done with it.
pub(crate) mod acknowledge;
pub(crate) mod deliver;
pub(crate) mod dropping;
pub(crate) mod fanout;
pub(crate) mod queue;
pub(crate) mod redeliver;
