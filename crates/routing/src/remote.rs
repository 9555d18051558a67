//! What the other shards have subscribers for, so that a message crosses to those shards only. It keeps what it
//! is told and knows no subscriber.

use crate::filter_map::FilterMap;
use crate::keys::Keys;
use crate::subscriber::Interest;

/// Shards are numbered from zero; a set of them is a 64-bit mask.
pub const SHARDS_MAX: u16 = 64;

/// Interest of other shards by filter.
#[derive(Debug)]
pub struct RemoteIndex {
    filters: FilterMap<Shards>,
}

/// Masks of shards; a durable one is in both.
#[derive(Debug, Default, Clone, Copy)]
struct Shards {
    live: u64,
    durable: u64,
}

/// Who else has use for a topic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RemoteMatch {
    /// Bit `n` is shard `n`.
    pub shards: u64,
    /// Whether a durable subscription is among them.
    pub durable: bool,
}

impl RemoteIndex {
    /// An empty index; `seeds` are the secret keys of its hash tables.
    pub fn new(seeds: [u64; 4]) -> Self {
        Self {
            filters: FilterMap::new(Keys::new(seeds)),
        }
    }

    /// Filters that other shards have subscribers for.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether no other shard has subscribers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces what is known of a shard's interest in a filter.
    ///
    /// # Panics
    /// When the shard's number is not below [`SHARDS_MAX`].
    pub fn announce(&mut self, filter: &str, shard: u16, interest: Interest) {
        assert!(shard < SHARDS_MAX, "no such shard: {shard}");
        let bit = 1 << shard;
        let known = self.filters.find(filter);
        if interest == Interest::default() && known.is_none() {
            return;
        }
        let id = known.unwrap_or_else(|| self.filters.find_or_insert(filter));
        let shards = self.filters.value_mut(id);
        shards.live = with(shards.live, bit, interest.live || interest.durable);
        shards.durable = with(shards.durable, bit, interest.durable);
        if shards.live == 0 {
            self.filters.remove(id);
        }
    }

    /// The shards with subscribers for a topic.
    pub fn matches(&self, topic: &str) -> RemoteMatch {
        let mut found = RemoteMatch::default();
        self.filters.matches(topic, |_, shards| {
            found.shards |= shards.live;
            found.durable |= shards.durable != 0;
        });
        found
    }
}

fn with(mask: u64, bit: u64, set: bool) -> u64 {
    if set { mask | bit } else { mask & !bit }
}
