//! From rows on disk back to shards.

// What is held.
pub(crate) mod rows;

// What is done with it.
pub(crate) mod recover;
pub(crate) mod sessions;
