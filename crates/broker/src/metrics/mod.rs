//! What a shard counts and measures, and the figures of the server under `$SYS/`.

// State.
pub(crate) mod collected;
pub(crate) mod counters;
pub(crate) mod drops;
pub(crate) mod latency;
pub(crate) mod system;

// Flows: parts of `impl Shard`.
pub(crate) mod publish_system;
