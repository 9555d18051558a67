//! A client written from `docs/topics.md` alone ("Catching up"), through kills of the server, cuts, deaths of its own and sessions that are
//! gone: what devices have in the end is what a client without a cache reads, and everything sent is there once.
//! `MAGPIE_CATCHING_UP_ROUNDS` sets how often the server is killed, `MAGPIE_CATCHING_UP_SEED` replays a choice of moments.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cache;
mod device;
mod judge;
mod ledger;
mod world;

use std::io::Write as _;
use std::time::Instant;

use harness::proof::{self, Random};

use device::Rules;
use world::World;

const ROUNDS: u64 = 16;
/// After so many it begins anew, with a new server: caches that only grow slow the test down.
const WORLD_ROUNDS: u64 = 40;
/// Everything is checked after so many.
const CHECKED_EVERY: u64 = 4;
/// Findings that are shown.
const SHOWN_MAX: usize = 20;
/// Rounds in which a mistake has to be found. Mostly a few are enough.
const MISTAKEN_ROUNDS: u64 = 60;

#[test]
fn clients_that_follow_the_documentation_agree_with_the_server() {
    let rounds = proof::number("MAGPIE_CATCHING_UP_ROUNDS").unwrap_or(ROUNDS);
    let seed = proof::number("MAGPIE_CATCHING_UP_SEED").unwrap_or_else(proof::seed);
    say(&format!(
        "seed {seed}; again: MAGPIE_CATCHING_UP_SEED={seed} MAGPIE_CATCHING_UP_ROUNDS={rounds} cargo test -p magpie --test catching_up"
    ));
    let mut random = Random::new(seed);
    let mut left = rounds;
    while left > 0 {
        let rounds = left.min(WORLD_ROUNDS);
        follow_the_documentation(random.below(u64::MAX), rounds);
        left -= rounds;
    }
}

fn follow_the_documentation(seed: u64, rounds: u64) {
    let begun = Instant::now();
    let mut world = World::new(seed, Rules::Documented);
    for round in 1..=rounds {
        world.round();
        if round % CHECKED_EVERY == 0 || round == rounds {
            let findings = world.judge();
            assert!(
                findings.is_empty(),
                "round {round}: {} findings:\n{}",
                findings.len(),
                findings[..findings.len().min(SHOWN_MAX)].join("\n")
            );
        }
    }
    let secs = begun.elapsed().as_secs();
    say(&format!("{rounds} rounds, {}, {secs} s", world.summary()));
}

#[test]
fn a_client_that_moves_its_cursor_with_live_entries_is_found() {
    let seed = proof::number("MAGPIE_CATCHING_UP_SEED").unwrap_or_else(proof::seed);
    let mut world = World::new(seed, Rules::LiveMovesCursor);
    for round in 1..=MISTAKEN_ROUNDS {
        world.round();
        let findings = world.judge();
        if let Some(lost) = findings.iter().find(|finding| finding.contains("lacks")) {
            return say(&format!("the mistake was found in round {round}: {lost}"));
        }
    }
    panic!("seed {seed}: {MISTAKEN_ROUNDS} rounds did not find the mistake");
}

/// Straight to standard error: a seed that the test runner keeps to itself helps nobody.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "catching_up: {text}");
}
