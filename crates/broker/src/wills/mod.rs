//! Wills, from CONNECT to their publication.

// What is held.
pub(crate) mod pending;
pub(crate) mod will;

// What is done with it.
pub(crate) mod publish;
