//! Worlds of the messenger by the thousand: a fixed range of seeds, and one that is another in every run, each of which must hold.

mod seeds;

use sim::Mistake;

/// Worlds of each kind, unless `SIM_SEEDS` says how many.
const SEEDS: u64 = 2_000;

#[test]
fn every_seed_s_world_holds() {
    seeds::hold(seeds::first(1), SEEDS, Mistake::None);
}

#[test]
fn so_do_worlds_that_nobody_has_seen() {
    if let Some(first) = seeds::unseen() {
        seeds::hold(first, SEEDS, Mistake::None);
    }
}
