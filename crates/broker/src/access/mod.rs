//! Who may publish to and subscribe to which ordinary topics.

// What is held.
pub(crate) mod list;

// What is done with it.
pub(crate) mod recheck;
