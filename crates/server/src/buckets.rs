//! How fast something may happen for each address or account: buckets that fill with time. It owns the counting; what is
//! refused when one is empty is said where it is asked.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What one key has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Thousandths of what may happen.
    left: u64,
    at: Instant,
}

/// How fast buckets fill, and how much they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In a second; 0 is without limit.
    pub(crate) per_second: u32,
    /// Seconds that fill an empty bucket.
    pub(crate) burst_secs: u32,
}

const THOUSAND: u64 = 1000;

/// Keys remembered; beyond it those that have nothing against them are forgotten, then all.
const KEYS_MAX: usize = 100_000;

impl Rate {
    fn capacity(self) -> u64 {
        u64::from(self.per_second) * u64::from(self.burst_secs) * THOUSAND
    }
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.capacity(),
            at: now,
        }
    }

    /// Takes one out, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        self.fill(rate, now);
        let enough = self.left >= THOUSAND;
        if enough {
            self.left -= THOUSAND;
        }
        enough
    }

    /// Whether it has nothing to remember.
    pub(crate) fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.left >= rate.capacity()
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let millis = now.saturating_duration_since(self.at).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        if millis == 0 {
            // What is less than a millisecond goes on counting.
            return;
        }
        self.at = now;
        let filled = millis.saturating_mul(u64::from(rate.per_second));
        self.left = self.left.saturating_add(filled).min(rate.capacity());
    }
}

/// A bucket for each key, of a bounded number of keys. Threads share it.
pub(crate) struct Buckets<K> {
    state: Mutex<State<K>>,
}

struct State<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        let buckets = HashMap::new();
        Self {
            state: Mutex::new(State { rate, buckets }),
        }
    }

    /// Another rate, from here on.
    pub(crate) fn limit(&self, rate: Rate) {
        self.lock().rate = rate;
    }

    /// Counts one, unless it is one too many.
    pub(crate) fn admit(&self, key: K, now: Instant) -> bool {
        let mut state = self.lock();
        let rate = state.rate;
        if state.buckets.len() >= KEYS_MAX {
            state.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            // Not worth a search for each one that comes.
            if state.buckets.len() > KEYS_MAX / 2 {
                state.buckets.clear();
            }
        }
        let bucket = state.buckets.entry(key);
        bucket
            .or_insert_with(|| Bucket::full(rate, now))
            .take(rate, now)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_key_cannot_use_up_what_another_may_do() {
        let rate = |per_second| Rate {
            per_second,
            burst_secs: 10,
        };
        let buckets = Buckets::new(rate(5));
        let begin = Instant::now();
        let admitted = (0..1000).filter(|_| buckets.admit("greedy", begin)).count();
        assert_eq!(admitted, 50);
        assert!(buckets.admit("other", begin));
        buckets.limit(rate(0));
        assert!(buckets.admit("greedy", begin));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let rate = Rate {
            per_second: 1,
            burst_secs: 1,
        };
        let buckets = Buckets::new(rate);
        let begin = Instant::now();
        for key in 0..2 * KEYS_MAX {
            assert!(buckets.admit(key, begin));
            assert!(buckets.lock().buckets.len() <= KEYS_MAX);
        }
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_so_many_a_second() {
        let rate = Rate {
            per_second: 10,
            burst_secs: 2,
        };
        let begin = Instant::now();
        let mut bucket = Bucket::full(rate, begin);
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(&mut bucket, begin), 20);
        assert_eq!(taken(&mut bucket, begin + Duration::from_secs(1)), 10);
        assert!(!bucket.is_full(rate, begin + Duration::from_secs(2)));
        assert!(bucket.is_full(rate, begin + Duration::from_secs(3)));
        assert_eq!(taken(&mut bucket, begin + Duration::from_secs(60)), 20);
    }

    #[test]
    fn a_rate_of_zero_refuses_nobody() {
        let rate = Rate {
            per_second: 0,
            burst_secs: 2,
        };
        let now = Instant::now();
        let mut bucket = Bucket::full(rate, now);
        assert!((0..1000).all(|_| bucket.take(rate, now)));
    }
}
