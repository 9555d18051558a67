//! The HTTP server over real loopback sockets, in front of a service that answers from a short list. What the real
//! service answers is tested with the real server.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bounds;
mod forwarded;
mod hosts;
mod monitoring;
mod rest;
mod site;
mod websocket;
mod world;
