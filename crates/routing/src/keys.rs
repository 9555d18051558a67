//! Keyed fingerprints for the crate's tables. The key comes in from outside and is secret, so that nobody can
//! choose topics that collide; nothing here reads a global or random source.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

/// Hash keys of one index.
#[derive(Debug, Clone)]
pub(crate) struct Keys(RandomState);

impl Keys {
    pub(crate) fn new(seeds: [u64; 4]) -> Self {
        let [a, b, c, d] = seeds;
        Self(RandomState::with_seeds(a, b, c, d))
    }

    /// Fingerprint of a text.
    pub(crate) fn text(&self, text: &str) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text.as_bytes());
        fingerprint(hasher.finish())
    }

    /// Fingerprint of an ordered pair of numbers.
    pub(crate) fn pair(&self, first: u32, second: u32) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(u64::from(first) << 32 | u64::from(second));
        fingerprint(hasher.finish())
    }
}

fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32
}
