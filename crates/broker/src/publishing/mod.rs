//! A PUBLISH from a client: whether it is allowed, how fast, and to which shards it goes.

pub(crate) mod allowances;
pub(crate) mod forward;
pub(crate) mod publish;
pub(crate) mod rates;
pub(crate) mod slowing;
