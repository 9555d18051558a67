//! What one turn of the event loop does at most, and what is deferred to later ones.

pub(crate) mod deferred;
pub(crate) mod run;
pub(crate) mod work;
