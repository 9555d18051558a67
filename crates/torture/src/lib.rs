//! Workloads that decide whether a store may be trusted: what the server writes, at full speed, at size, and killed.
//! Knows a store by its trait only; whoever brings one says how it is opened. Not part of the product.

mod command;
mod engine;

mod workload;

mod lane;
mod rows;

mod limits;
mod measure;
mod verdict;

pub use command::main;
pub use engine::Engine;
