//! What one turn of the event loop does at most, and what is deferred to later ones.

// What is held.
pub(crate) mod deferred;
pub(crate) mod work;

// What is done with it.
pub(crate) mod run;
