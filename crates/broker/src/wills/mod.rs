//! Wills, from CONNECT to their publication.

// State.
pub(crate) mod pending;
pub(crate) mod will;

// Flows: parts of `impl Shard`.
pub(crate) mod publish;
