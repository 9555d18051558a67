//! Worlds of the messenger by the thousand: a fixed range of seeds, and one that is another in every run, each of which must hold.

mod seeds_of;

use sim::Mistake;

/// Worlds of each kind, unless `SIM_SEEDS` says how many.
const SEEDS: u64 = 2_000;

#[test]
fn every_seed_s_world_holds() {
    seeds_of::hold(seeds_of::first(1), SEEDS, Mistake::None);
}

#[test]
fn so_do_worlds_that_nobody_has_seen() {
    if let Some(first) = seeds_of::unseen() {
        seeds_of::hold(first, SEEDS, Mistake::None);
    }
}
