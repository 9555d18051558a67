//! Hash tables with seeds that are given, for look-ups only. Must not be iterated where the order could be seen.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashMap;

/// A hash table keyed by the messenger's seeds.
pub(crate) type Table<K, V> = HashMap<K, V, RandomState>;

/// Makes tables that share the messenger's seeds.
#[derive(Debug, Clone)]
pub(crate) struct Tables(RandomState);

impl Tables {
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Self {
        Self(RandomState::with_seeds(a, b, c, d))
    }

    pub(crate) fn table<K: Hash + Eq, V>(&self) -> Table<K, V> {
        HashMap::with_hasher(self.0.clone())
    }
}
