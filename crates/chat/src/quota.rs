//! How often an account may do something: a token bucket that fills with time.

use records::Millis;

/// One event costs a thousand, so that a millisecond fills a whole number.
const COST: u64 = 1_000;

/// What an account has used up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// In parts of an event; nothing is used up in the beginning.
    used: u64,
    at: Millis,
}

impl Bucket {
    /// Takes so many events out; false, and none taken, if there are not so many.
    pub(crate) fn take(&mut self, events: usize, per_second: u32, burst: u32, now: Millis) -> bool {
        let cost = (events as u64).saturating_mul(COST);
        self.spend(cost, per_second, u64::from(burst.max(1)) * COST, now)
    }

    /// Takes one event out of a bucket that fills by the minute; not to be mixed with `take`.
    pub(crate) fn take_one(&mut self, per_minute: u32, burst: u32, now: Millis) -> bool {
        const COST: u64 = 60_000;
        self.spend(COST, per_minute, u64::from(burst.max(1)) * COST, now)
    }

    fn spend(&mut self, cost: u64, per_milli: u32, most: u64, now: Millis) -> bool {
        let filled = now
            .since(self.at)
            .saturating_mul(u64::from(per_milli.max(1)));
        let used = self.used.saturating_sub(filled).saturating_add(cost);
        if used > most {
            return false;
        }
        *self = Self { used, at: now };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, at| {
            (0..100)
                .filter(|_| bucket.take(1, 2, 5, Millis::new(at)))
                .count()
        };
        assert_eq!(taken(&mut bucket, 10_000), 5);
        assert_eq!(taken(&mut bucket, 10_400), 0);
        assert_eq!(taken(&mut bucket, 10_500), 1);
        assert_eq!(taken(&mut bucket, 12_000), 3);
        assert_eq!(taken(&mut bucket, 999_000), 5);
        assert!(!bucket.take(6, 2, 5, Millis::new(9_999_000)));
        assert!(bucket.take(5, 2, 5, Millis::new(9_999_000)));
    }
}
