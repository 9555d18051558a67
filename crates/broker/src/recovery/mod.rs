//! From rows on disk back to shards.

pub(crate) mod recover;
pub(crate) mod rows;
pub(crate) mod sessions;
