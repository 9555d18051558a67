//! Retained messages: how they are kept, counted and delivered.

// State.
pub(crate) mod message;
pub(crate) mod table;
pub(crate) mod usage;

// Flows: parts of `impl Shard`.
pub(crate) mod deliver;
