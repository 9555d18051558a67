//! A store around the store that notes how long commits take, when the last one was done, and what was stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use records::{KeyRange, Write};
use store::{Batch, CommitError, Range, ReadError, Store};

use super::histogram::Histogram;

/// What has been noted. Shared by the store and whoever watches it.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    /// How long commits took.
    pub(crate) commits: Histogram,
    /// Keys and values that were put.
    stored_bytes: AtomicU64,
    writes: AtomicU64,
    /// Microseconds after `begun`.
    last_micros: AtomicU64,
    longest_gap_micros: AtomicU64,
    /// Whether there is something to commit, so that a moment without a commit is a moment of standing still.
    busy: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            commits: Histogram::new(),
            stored_bytes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            last_micros: AtomicU64::new(0),
            longest_gap_micros: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        })
    }

    /// From here on there is always something to commit.
    pub(crate) fn begin(&self) {
        self.last_micros.store(self.now(), Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    /// From here on there need not be.
    pub(crate) fn end(&self) {
        if self.busy.swap(false, Ordering::Relaxed) {
            self.longest_gap_micros
                .fetch_max(self.since_last(), Ordering::Relaxed);
        }
    }

    /// How long nothing has been committed although there was something to commit.
    pub(crate) fn stands_still(&self) -> Duration {
        if self.busy.load(Ordering::Relaxed) {
            Duration::from_micros(self.since_last())
        } else {
            Duration::ZERO
        }
    }

    /// The longest such time, the present one included.
    pub(crate) fn longest_gap(&self) -> Duration {
        let longest = Duration::from_micros(self.longest_gap_micros.load(Ordering::Relaxed));
        longest.max(self.stands_still())
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn since_last(&self) -> u64 {
        self.now()
            .saturating_sub(self.last_micros.load(Ordering::Relaxed))
    }

    fn advanced(&self) {
        let now = self.now();
        let before = self.last_micros.swap(now, Ordering::Relaxed);
        if self.busy.load(Ordering::Relaxed) {
            self.longest_gap_micros
                .fetch_max(now.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

/// See the file's header.
pub(crate) struct Timed {
    store: Arc<dyn Store>,
    progress: Arc<Progress>,
}

impl Timed {
    pub(crate) fn around(store: Arc<dyn Store>, progress: &Arc<Progress>) -> Arc<dyn Store> {
        Arc::new(Self {
            store,
            progress: progress.clone(),
        })
    }
}

impl Store for Timed {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.store.get(key)
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.store.range(range)
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        self.store.keys(range)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let put = batch.writes.iter().map(|write| match write {
            Write::Put { .. } => write.bytes() as u64,
            Write::Delete { .. } => 0,
        });
        let (bytes, writes) = (put.sum(), batch.writes.len() as u64);
        let begin = Instant::now();
        self.store.commit(batch)?;
        self.progress.commits.add(begin.elapsed());
        self.progress
            .stored_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.progress.writes.fetch_add(writes, Ordering::Relaxed);
        self.progress.advanced();
        Ok(())
    }

    fn takes_range(&self, range: &KeyRange) -> bool {
        self.store.takes_range(range)
    }
}
