//! A seeded world around the broker's pure core: clients, network, disk, clock and mailboxes that do whatever the
//! seed says, checked against a model written from the specification. No threads, sockets or wall clock: the same
//! seed is the same world.

mod order;
mod run;
mod world;

mod client;
mod dice;
mod disk;
mod link;
mod log;
mod model;
mod mutation;
mod plan;
mod server;
mod wire;

pub use mutation::Mutation;
pub use order::Order;
pub use run::{Failure, run, verdict};
