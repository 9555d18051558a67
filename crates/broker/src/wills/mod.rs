//! Wills, from CONNECT to their publication.

pub(crate) mod pending;
pub(crate) mod publish;
pub(crate) mod will;
