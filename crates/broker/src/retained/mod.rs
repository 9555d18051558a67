//! Retained messages: how they are kept, counted and delivered.

// What is held.
pub(crate) mod message;
pub(crate) mod table;
pub(crate) mod usage;

// What is done with it.
pub(crate) mod deliver;
