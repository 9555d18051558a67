//! What the committer counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of commit times, in microseconds; the last bucket of the counts has none.
pub const COMMIT_TIME_BUCKETS: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000,
];

/// A reading of the counters since the committer's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitCounters {
    /// Successful commits, each one fsync unless durability says otherwise.
    pub commits: u64,
    /// Appends in them.
    pub appends: u64,
    /// Keys written or deleted by them.
    pub writes: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
    /// Appends left out for a precondition or their size.
    pub refused: u64,
    /// 1 once a commit has failed.
    pub failed: u64,
    /// Sum of the commits' durations.
    pub commit_micros: u64,
    /// The longest of them.
    pub commit_micros_max: u64,
    /// How many took at most `COMMIT_TIME_BUCKETS[i]` and more than the bound before; the last is all longer ones.
    pub commit_time_counts: [u64; COMMIT_TIME_BUCKETS.len() + 1],
    /// Appends that wait at this moment.
    pub queued_appends: u64,
    /// Bytes of keys and values in them.
    pub queued_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    appends: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    commit_micros: AtomicU64,
    commit_micros_max: AtomicU64,
    commit_time_counts: [AtomicU64; COMMIT_TIME_BUCKETS.len() + 1],
}

impl Counters {
    pub(super) fn committed(&self, appends: usize, writes: usize, bytes: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.commits, 1);
        add(&self.appends, appends as u64);
        add(&self.writes, writes as u64);
        add(&self.bytes, bytes as u64);
        add(&self.commit_micros, micros);
        self.commit_micros_max.fetch_max(micros, Ordering::Relaxed);
        let bucket = COMMIT_TIME_BUCKETS.partition_point(|bound| *bound < micros);
        add(&self.commit_time_counts[bucket], 1);
    }

    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    pub(super) fn failed(&self) {
        self.failed.store(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, queued_appends: usize, queued_bytes: usize) -> CommitCounters {
        CommitCounters {
            commits: read(&self.commits),
            appends: read(&self.appends),
            writes: read(&self.writes),
            bytes: read(&self.bytes),
            refused: read(&self.refused),
            failed: read(&self.failed),
            commit_micros: read(&self.commit_micros),
            commit_micros_max: read(&self.commit_micros_max),
            commit_time_counts: std::array::from_fn(|i| read(&self.commit_time_counts[i])),
            queued_appends: queued_appends as u64,
            queued_bytes: queued_bytes as u64,
        }
    }
}

// Counters are read one by one and may be a commit apart from each other; metrics do not mind.
fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
