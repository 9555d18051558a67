//! Rows of the store as the messenger reads them. Must not write any, nor decide what is asked for.

pub(crate) mod conversations;
pub(crate) mod damaged;
pub(crate) mod entries;
pub(crate) mod mids;
pub(crate) mod source;
