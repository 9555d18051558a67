//! What the committer counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    /// How long the commit that is under way has been so; zero if none is.
    pub under_way: Duration,
}

/// The histogram's name.
const COMMIT_SECONDS: &str = "magpie_commit_seconds";

#[derive(Debug)]
pub(super) struct Counters {
    started: Instant,
    seconds: metrics::Histogram,
    /// When the commit that is under way began, in milliseconds since the start; 0 if none is.
    under_way_since: AtomicU64,
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
    pub(super) fn new() -> Self {
        metrics::describe_histogram!(
            COMMIT_SECONDS,
            "Time of a commit: what is held up because the disk is behind, the journal, and its fsync."
        );
        Self {
            started: Instant::now(),
            seconds: metrics::histogram!(COMMIT_SECONDS),
            under_way_since: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            commit_micros: AtomicU64::new(0),
            commit_micros_max: AtomicU64::new(0),
            commit_time_counts: Default::default(),
        }
    }

    /// A commit begins.
    pub(super) fn begun(&self) {
        self.under_way_since
            .store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    /// It has ended, and everybody was told.
    pub(super) fn ended(&self) {
        self.under_way_since.store(0, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn under_way(&self) -> Duration {
        match read(&self.under_way_since) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.elapsed_ms().saturating_sub(since)),
        }
    }

    pub(super) fn committed(&self, appends: usize, writes: usize, bytes: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.seconds.record(took);
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
            under_way: self.under_way(),
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
