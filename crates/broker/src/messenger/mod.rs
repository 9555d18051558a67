//! The part of sessions in the messenger: filters under `im/`, deliveries, and catching up.

// State.
pub(crate) mod interest;
pub(crate) mod pending;
pub(crate) mod shares;
pub(crate) mod topics;
pub(crate) mod wanted;

// Flows: parts of `impl Shard`.
pub(crate) mod deliver;
pub(crate) mod deliver_shared;
pub(crate) mod filters;
pub(crate) mod publish;
pub(crate) mod recipients;
