//! Worlds of the messenger: one to four nodes over one store that fences, links between them that delay, double, lose and reorder,
//! partitions that move at any moment, nodes that pause, die and come back, devices that move between them. What everybody must have
//! in the end is told by a model that reads nothing but the entries that were ever stored.

mod calm;
mod checks;
mod device;
mod events;
mod journal;
mod mistake;
mod node;
mod presence;
mod store;
mod world;

pub use mistake::Mistake;
