//! From rows on disk back to shards.

// What they may say.
pub(crate) mod rows;

// What takes them back.
pub(crate) mod recover;
pub(crate) mod sessions;
