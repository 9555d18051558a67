//! Durations counted in buckets a few percent wide, from a microsecond to hours, in constant memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of each power of two: the error is at most one in so many.
const PARTS: u64 = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
const BUCKETS: usize = (PARTS as usize) * 40;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<AtomicU64>,
    longest_micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            longest_micros: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest_micros.fetch_max(micros, Ordering::Relaxed);
        let bucket = bucket(micros).min(BUCKETS - 1);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The time that a share of them did not exceed, in milliseconds.
    pub(crate) fn millis(&self, share: f64) -> f64 {
        let longest = self.longest_micros.load(Ordering::Relaxed);
        let rank = (self.count() as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (index, count) in self.counts.iter().enumerate() {
            passed += count.load(Ordering::Relaxed);
            if passed >= rank && passed > 0 {
                return upper_bound(index).min(longest) as f64 / 1e3;
            }
        }
        longest as f64 / 1e3
    }

    /// The longest, in milliseconds.
    pub(crate) fn longest_millis(&self) -> f64 {
        self.longest_micros.load(Ordering::Relaxed) as f64 / 1e3
    }
}

fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let shift = micros.ilog2() - PARTS_BITS;
    (u64::from(shift) * PARTS + (micros >> shift)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let part = bucket - shift * PARTS;
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_to_a_few_percent() {
        for micros in [0, 1, 31, 32, 63, 64, 65, 1_000, 20_000, 150_000, 5_000_000] {
            let told = upper_bound(bucket(micros));
            assert!(
                told >= micros && told <= micros + micros / PARTS + 1,
                "{micros}: {told}"
            );
        }
        let histogram = Histogram::new();
        for millis in 1..=1_000 {
            histogram.add(Duration::from_millis(millis));
        }
        let p99 = histogram.millis(0.99);
        assert!((990.0..1_022.0).contains(&p99), "{p99}");
        assert_eq!(histogram.longest_millis(), 1_000.0);
    }
}
