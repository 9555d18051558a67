//! A fuzzer without instrumentation, for every machine: inputs of the corpus, changed at random from a seed. Which
//! inputs are tried follows from `FUZZ_SEED` and `FUZZ_ROUNDS` alone.

use fuzz_targets::{TARGETS, Target};

use crate::{attempt, corpus};

const SEED: u64 = 0x6d61_6770_6965;
/// Inputs per target: about a second each in a test build.
const ROUNDS: u64 = 1500;
const INPUT_BYTES_MAX: usize = 4096;
/// Values at which lengths and counters change their ways.
const EDGES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, b'#', b'+', b'/'];

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} needs a number: {value}"))
    })
}

/// An input of the corpus with a few changes.
fn changed(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 => input.insert(at, random.next() as u8),
            1 => input.insert(at, EDGES[random.below(EDGES.len())]),
            2 if at < input.len() => input[at] = random.next() as u8,
            3 if at < input.len() => input[at] ^= 1 << random.below(8),
            4 => {
                let end = (at + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            5 => {
                let end = (at + random.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn check(target: Target) {
    let corpus = corpus::inputs(target);
    let mut random = Random(setting("FUZZ_SEED", SEED));
    for _ in 0..setting("FUZZ_ROUNDS", ROUNDS) {
        attempt(target, &changed(&corpus, &mut random));
    }
}

#[test]
fn every_target_survives_changed_inputs() {
    let only = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS {
        if only.as_ref().is_none_or(|only| only == target.name) {
            check(*target);
        }
    }
}
