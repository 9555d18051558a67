//! The part of sessions in the messenger: filters under `im/`, deliveries, and catching up.

// What is held.
pub(crate) mod interest;
pub(crate) mod pending;
pub(crate) mod shares;
pub(crate) mod topics;
pub(crate) mod wanted;

// What is done with it.
pub(crate) mod deliver;
pub(crate) mod deliver_shared;
pub(crate) mod filters;
pub(crate) mod publish;
pub(crate) mod recipients;
