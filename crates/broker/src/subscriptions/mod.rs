//! SUBSCRIBE and UNSUBSCRIBE to ordinary topics, and what filters were while something waited for them.

pub(crate) mod changes;
pub(crate) mod removal;
pub(crate) mod requests;
pub(crate) mod subscribe;
pub(crate) mod superseded;
pub(crate) mod table;
