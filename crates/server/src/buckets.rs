//! How fast something may happen for each address: buckets that fill with time. It owns the counting; what is refused when
//! one is empty is said where it is asked.

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
