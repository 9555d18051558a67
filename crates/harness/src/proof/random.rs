//! Choices that a seed repeats (SplitMix64, Steele et al. 2014).

use std::hash::{BuildHasher as _, Hasher as _};

/// A sequence of choices.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Below `bound`, which is far below 2^64: the bias does not matter.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Another sequence.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// The number in an environment variable, unless it is empty or not set.
///
/// # Panics
/// When it is no number: a proof that was asked for otherwise than it runs proves nothing.
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is not a number")),
    )
}

/// A seed from the system's randomness.
pub fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() >> 1
}
