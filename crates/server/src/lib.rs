//! The server: joins the pure cores, the store and the sockets. It decides threads, order and shutdown; it must hold
//! no business rule.

pub mod config;
pub mod handle;
