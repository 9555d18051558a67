//! The server: joins the pure cores, the store and the sockets. It decides threads, order and shutdown; it must hold
//! no business rule.

pub mod config;
pub mod handle;

mod check;
mod start;
pub mod storage;
mod tally;

mod secret;

mod listener;
mod listeners;
mod origin;

mod demo;
mod recovery;

mod logins;
mod random;
mod readers;
mod service;
mod shard;
mod stored_bytes;

mod quic;

pub mod admission;
mod buckets;
mod certificates;
mod clock;
mod drops;
mod figures;
mod limits;
mod mailbox;
mod metric;
mod printed;
pub mod process;
pub mod repeats;
mod translate;
mod watchdog;

mod post;

pub use check::check_certificates;
pub use demo::{DemoLogin, DemoLoginState};
pub use listener::Endpoint;
pub use listeners::ListenerError;
pub use net::ListenError;
pub use quic::QuicError;
pub use recovery::RecoveryError;
pub use start::{Running, StartError, StartOptions, start};
pub use store::DataDirError;
