//! What one turn of the event loop does at most, and what is deferred to later ones.

// State.
pub(crate) mod deferred;
pub(crate) mod pieces;
pub(crate) mod work;

// Flows: parts of `impl Shard`.
pub(crate) mod run;
