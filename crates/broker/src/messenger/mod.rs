//! The part of sessions in the messenger: filters under `im/`, deliveries, and catching up.

pub(crate) mod deliver;
pub(crate) mod recipients;
