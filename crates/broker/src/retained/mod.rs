//! Retained messages: how they are kept, counted and delivered.

pub(crate) mod deliver;
pub(crate) mod message;
pub(crate) mod table;
pub(crate) mod usage;
