//! What the store counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An fsync longer ago says nothing of the disk's load.
const SYNC_LATELY_MS: u64 = 100;

/// The histogram's name.
const FSYNC_SECONDS: &str = "magpie_fsync_seconds";

/// Bytes a second, until a flush has shown what the disk does.
const FLUSH_RATE_AT_FIRST: u64 = 50 * 1024 * 1024;

/// However slow the disk is, commits are held up for no slower one.
const FLUSH_RATE_MIN: f64 = 1024.0 * 1024.0;

/// Flushes from this size on say how fast the disk is.
const FLUSH_MEASURED_BYTES: u64 = 2 * 1024 * 1024;

/// Counted since the start; read one by one, so they may be a commit apart from each other.
#[derive(Debug)]
pub(super) struct Counters {
    begun: Instant,
    stored_bytes: AtomicU64,
    journal_bytes: AtomicU64,
    table_bytes: AtomicU64,
    /// Bytes a second of the flushes lately.
    flush_rate: AtomicU64,
    sync_seconds: metrics::Histogram,
    /// Of the last ones, on average.
    sync_micros: AtomicU64,
    /// When the last one was.
    synced_ms: AtomicU64,
    waits: AtomicU64,
    wait_micros: AtomicU64,
    failures: AtomicU64,
    damages: AtomicU64,
    /// When something was committed, flushed or merged last, in milliseconds since the start.
    advanced_ms: AtomicU64,
    /// When the first of the flushes failed that have failed in a row, in milliseconds since the start; 0 if the last one did not.
    failing_since_ms: AtomicU64,
}

/// A reading of them.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) stored_bytes: u64,
    pub(super) journal_bytes: u64,
    pub(super) table_bytes: u64,
    pub(super) waits: u64,
    pub(super) wait_micros: u64,
    pub(super) failures: u64,
    pub(super) damages: u64,
    /// Since something was committed, flushed or merged last.
    pub(super) idle: Duration,
    /// Since flushes fail; zero if they do not.
    pub(super) failing: Duration,
}

impl Counters {
    pub(super) fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let advanced = Duration::from_millis(read(&self.advanced_ms));
        Counted {
            stored_bytes: read(&self.stored_bytes),
            journal_bytes: read(&self.journal_bytes),
            table_bytes: read(&self.table_bytes),
            waits: read(&self.waits),
            wait_micros: read(&self.wait_micros),
            failures: read(&self.failures),
            damages: read(&self.damages),
            idle: self.begun.elapsed().saturating_sub(advanced),
            failing: match read(&self.failing_since_ms) {
                0 => Duration::ZERO,
                since => (self.begun.elapsed()).saturating_sub(Duration::from_millis(since)),
            },
        }
    }

    pub(super) fn new() -> Self {
        metrics::describe_histogram!(FSYNC_SECONDS, "Time of an fsync of the journal.");
        Self {
            begun: Instant::now(),
            stored_bytes: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(0),
            table_bytes: AtomicU64::new(0),
            flush_rate: AtomicU64::new(FLUSH_RATE_AT_FIRST),
            sync_seconds: metrics::histogram!(FSYNC_SECONDS),
            sync_micros: AtomicU64::new(0),
            synced_ms: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            wait_micros: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            damages: AtomicU64::new(0),
            advanced_ms: AtomicU64::new(0),
            failing_since_ms: AtomicU64::new(0),
        }
    }

    /// A commit of so many bytes of keys and values, which took so many in the journal.
    pub(super) fn committed(&self, stored: u64, journal: u64) {
        add(&self.stored_bytes, stored);
        add(&self.journal_bytes, journal);
        self.advanced();
    }

    pub(super) fn synced(&self, took: Duration) {
        self.sync_seconds.record(took);
        let before = self.sync_micros.load(Ordering::Relaxed);
        let lately = (before * 7 + micros(took)) / 8;
        self.sync_micros.store(lately, Ordering::Relaxed);
        self.synced_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// What an fsync of the journal takes at the moment; nothing if there was none lately.
    pub(super) fn sync_time(&self) -> Duration {
        let ago = self
            .now_ms()
            .saturating_sub(self.synced_ms.load(Ordering::Relaxed));
        if ago > SYNC_LATELY_MS {
            return Duration::ZERO;
        }
        Duration::from_micros(self.sync_micros.load(Ordering::Relaxed))
    }

    /// A commit was held up.
    pub(super) fn waited(&self, time: Duration) {
        add(&self.waits, 1);
        add(&self.wait_micros, micros(time));
    }

    /// A memtable of so many bytes was written.
    pub(super) fn flushed(&self, bytes: u64, took: Duration) {
        // Of small ones the syncs are most.
        if bytes >= FLUSH_MEASURED_BYTES {
            let rate = bytes as f64 / took.as_secs_f64().max(0.001);
            let lately = (self.flush_rate() * 3.0 + rate) / 4.0;
            self.flush_rate.store(lately as u64, Ordering::Relaxed);
        }
    }

    /// Bytes a second.
    pub(super) fn flush_rate(&self) -> f64 {
        (self.flush_rate.load(Ordering::Relaxed) as f64).max(FLUSH_RATE_MIN)
    }

    pub(super) fn wrote_table(&self, bytes: u64) {
        add(&self.table_bytes, bytes);
    }

    pub(super) fn work_failed(&self) {
        add(&self.failures, 1);
    }

    pub(super) fn damaged(&self) {
        add(&self.damages, 1);
    }

    /// A flush has ended, well or not. One that begins again and again is no progress.
    pub(super) fn flush_ended(&self, failed: bool) {
        if !failed {
            self.failing_since_ms.store(0, Ordering::Relaxed);
        } else if self.failing_since_ms.load(Ordering::Relaxed) == 0 {
            let now = self.now_ms().max(1);
            self.failing_since_ms.store(now, Ordering::Relaxed);
        }
    }

    /// Something goes on.
    pub(super) fn advanced(&self) {
        self.advanced_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_that_begins_again_and_again_is_no_progress() {
        let counters = Counters::new();
        assert_eq!(counters.read().failing, Duration::ZERO);
        counters.flush_ended(true);
        while counters.read().failing.is_zero() {
            std::thread::yield_now();
        }
        let before = counters.read().failing;
        // Rows were written once more, and it failed once more.
        counters.advanced();
        counters.flush_ended(true);
        assert!(counters.read().failing >= before);
        counters.flush_ended(false);
        assert_eq!(counters.read().failing, Duration::ZERO);
    }
}
