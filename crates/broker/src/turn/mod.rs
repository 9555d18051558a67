//! What one turn of the event loop does at most, and what is put off to later ones.

pub(crate) mod deferred;
pub(crate) mod run;
