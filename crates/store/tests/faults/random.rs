//! Random numbers that a seed replays, and the settings of a run.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// Once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Runs `round` for every seed of this run, and says how to replay the one that fails.
pub(crate) fn each_seed(test: &str, rounds: u64, round: impl Fn(u64)) {
    let seeds = match setting("STORE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("STORE_ROUNDS").unwrap_or(rounds),
    };
    for seed in seeds {
        let replay = Replay { test, seed };
        round(seed);
        std::mem::forget(replay);
    }
}

/// A number out of the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells how to replay a round, unless forgotten.
struct Replay<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        let Self { test, seed } = self;
        eprintln!("replay: STORE_SEED={seed} cargo nextest run -p store --test faults {test}");
    }
}
