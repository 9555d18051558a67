//! Seeded worlds around the pure cores: of the broker with clients, network, disk, clock and mailboxes that do whatever the seed says,
//! checked against a model written from the specification; and of the messenger on one to four nodes over one store, checked
//! against a model written from `docs/topics.md`. No threads, sockets or wall clock: the same seed is the same world.

mod order;
mod run;
mod world;

mod client;
mod dice;
mod disk;
mod link;
mod log;
mod messenger;
mod model;
mod mutation;
mod plan;
mod server;
mod wire;

pub use messenger::Mistake;
pub use mutation::Mutation;
pub use order::Order;
pub use run::{Failure, Worlds, run, verdict};
