//! Who may publish to and subscribe to which ordinary topics.

// State.
pub(crate) mod list;

// Flows: parts of `impl Shard`.
pub(crate) mod recheck;
