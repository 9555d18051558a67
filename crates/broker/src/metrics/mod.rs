//! What a shard counts and measures, and the figures of the server under `$SYS/`.

// What is held.
pub(crate) mod collected;
pub(crate) mod counters;
pub(crate) mod drops;
pub(crate) mod latency;
pub(crate) mod system;

// What is done with it.
pub(crate) mod publish_system;
