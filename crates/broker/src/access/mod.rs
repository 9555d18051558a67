//! Who may publish to and subscribe to which ordinary topics.

pub(crate) mod list;
pub(crate) mod recheck;
