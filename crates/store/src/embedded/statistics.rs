//! What the store counts, and what lies where.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::policy;
use super::shared::Shared;

/// The journal, the watermark, and the data directory's lock.
const FILES_ALWAYS_OPEN: u64 = 3;

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
    flushed_bytes: AtomicU64,
    /// Bytes a second of the flushes lately.
    flush_rate: AtomicU64,
    merged_bytes: AtomicU64,
    sync_seconds: metrics::Histogram,
    waits: AtomicU64,
    wait_micros: AtomicU64,
    failures: AtomicU64,
    damages: AtomicU64,
    /// When something was committed, flushed or merged last, in milliseconds since the start.
    advanced_ms: AtomicU64,
}

/// A reading of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Number of the last commit, counted from the directory's beginning.
    pub committed: u64,
    /// Bytes of keys and values that were committed since the start.
    pub stored_bytes: u64,
    /// Bytes written to the journal since the start.
    pub journal_written_bytes: u64,
    /// Bytes written to tables since the start, by flushes and merges.
    pub table_written_bytes: u64,
    /// Of the journal, what is there.
    pub journal_bytes: u64,
    /// Memory of rows that are in no table yet.
    pub memtable_bytes: u64,
    /// Of it, what waits to be written.
    pub waiting_bytes: u64,
    /// Memory of cached blocks.
    pub cached_bytes: u64,
    /// Files that it has open: those of tables that were read lately, the journal and the watermark.
    pub open_files: u64,
    /// Commits that were held up because memtables were full or tables too many.
    pub waits: u64,
    /// In microseconds.
    pub wait_micros: u64,
    /// Flushes and merges that failed and were tried again.
    pub work_failures: u64,
    /// Damaged stretches that were found since the start.
    pub damages: u64,
    /// How long nothing was committed, flushed or merged although something waits.
    pub stalled: Duration,
    /// What lies in each family.
    pub families: Vec<FamilyStatistics>,
}

/// What lies in a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyStatistics {
    /// Its name.
    pub name: &'static str,
    /// Memory of its rows that are in no table yet.
    pub memtable_bytes: u64,
    /// Bytes of its tables that are to become one next.
    pub merge_bytes: u64,
    /// Its tables, newest first.
    pub tables: Vec<TableStatistics>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStatistics {
    /// The file's name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Bytes of keys and values, uncompressed.
    pub row_bytes: u64,
    /// Rows, deletions among them.
    pub rows: u64,
    /// Rows that say that a key is deleted.
    pub deletions: u64,
    /// Bytes of rows that are thought to be overwritten or deleted.
    pub dead_bytes: u64,
}

impl StoreStatistics {
    /// Bytes on disk: journal and tables.
    pub fn disk_bytes(&self) -> u64 {
        self.journal_bytes
            + self
                .families
                .iter()
                .map(FamilyStatistics::bytes)
                .sum::<u64>()
    }
}

impl FamilyStatistics {
    /// Bytes of its tables.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

impl Counters {
    pub(super) fn new() -> Self {
        metrics::describe_histogram!(FSYNC_SECONDS, "Time of an fsync of the journal.");
        Self {
            begun: Instant::now(),
            stored_bytes: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(0),
            table_bytes: AtomicU64::new(0),
            flushed_bytes: AtomicU64::new(0),
            flush_rate: AtomicU64::new(FLUSH_RATE_AT_FIRST),
            merged_bytes: AtomicU64::new(0),
            sync_seconds: metrics::histogram!(FSYNC_SECONDS),
            waits: AtomicU64::new(0),
            wait_micros: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            damages: AtomicU64::new(0),
            advanced_ms: AtomicU64::new(0),
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
    }

    /// A commit was held up.
    pub(super) fn waited(&self, time: Duration) {
        add(&self.waits, 1);
        add(&self.wait_micros, micros(time));
    }

    /// A memtable of so many bytes was written.
    pub(super) fn flushed(&self, bytes: u64, took: Duration) {
        add(&self.flushed_bytes, bytes);
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

    pub(super) fn merged(&self, bytes: u64) {
        add(&self.merged_bytes, bytes);
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

    /// Something goes on.
    pub(super) fn advanced(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.advanced_ms.store(now, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

pub(super) fn gather(shared: &Shared) -> StoreStatistics {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &shared.counters;
    let journal_bytes = shared.journal().bytes();
    let state = shared.read_state();
    let families: Vec<FamilyStatistics> = state
        .families
        .iter()
        .map(|family| FamilyStatistics {
            name: family.family.name(),
            memtable_bytes: (family.active.bytes() + family.sealed_bytes()) as u64,
            merge_bytes: policy::choose(family.family, shared.scale, &family.tables).map_or(
                0,
                |choice| {
                    let merged = family.tables[choice.tables].iter();
                    merged.map(|table| table.length()).sum()
                },
            ),
            tables: family.tables.iter().map(|table| of_table(table)).collect(),
        })
        .collect();
    let waiting: usize = state
        .families
        .iter()
        .map(|family| family.sealed_bytes())
        .sum();
    let memtables = state.memtable_bytes();
    drop(state);
    let advanced = Duration::from_millis(read(&counters.advanced_ms));
    let stalled = if waiting > 0 {
        counters.begun.elapsed().saturating_sub(advanced)
    } else {
        Duration::ZERO
    };
    StoreStatistics {
        committed: shared.committed(),
        stored_bytes: read(&counters.stored_bytes),
        journal_written_bytes: read(&counters.journal_bytes),
        table_written_bytes: read(&counters.table_bytes),
        journal_bytes,
        memtable_bytes: memtables as u64,
        waiting_bytes: waiting as u64,
        cached_bytes: shared.blocks.cached_bytes(),
        open_files: shared.blocks.open_files() + FILES_ALWAYS_OPEN,
        waits: read(&counters.waits),
        wait_micros: read(&counters.wait_micros),
        work_failures: read(&counters.failures),
        damages: read(&counters.damages),
        stalled,
        families,
    }
}

fn of_table(table: &crate::table::Table) -> TableStatistics {
    let properties = table.properties();
    TableStatistics {
        file: table.id().file_name(),
        bytes: table.length(),
        row_bytes: properties.bytes,
        rows: properties.rows,
        deletions: properties.deletions,
        dead_bytes: table.dead(),
    }
}
