//! The store on disks that fail: whatever goes wrong, what was acknowledged is there, nothing is there by halves, and what cannot
//! be read is refused.
//!
//! Random runs print their seed. `STORE_SEED=n cargo nextest run -p store --test faults NAME` replays one; `STORE_ROUNDS=n` makes as
//! many of them, `STORE_EVERY=1` tries every single fault.

#![allow(clippy::unwrap_used, reason = "a test")]

mod model;
mod random;
mod workload;

mod damage;
mod random_faults;
mod regressions;
mod single_faults;
mod threads;
