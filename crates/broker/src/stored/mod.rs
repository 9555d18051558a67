//! What is on its way to the disk and what waits there: appends, cursors of sessions, the queue table.

// State.
pub(crate) mod appends;
pub(crate) mod cursors;
pub(crate) mod messages;
pub(crate) mod positions;
pub(crate) mod queue;
pub(crate) mod queue_marks;
pub(crate) mod redelivery;
pub(crate) mod shed_order;
pub(crate) mod survey;

// Flows: parts of `impl Shard`.
pub(crate) mod census;
pub(crate) mod completed;
pub(crate) mod session_rows;
pub(crate) mod shedding;
