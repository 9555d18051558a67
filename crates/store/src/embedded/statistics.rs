//! What the store counts, and what lies where.

use std::collections::HashSet;
use std::time::Duration;

use super::policy::{self, Allowed};
use super::shared::Shared;

/// The journal, the watermark, and the data directory's lock.
const FILES_ALWAYS_OPEN: u64 = 3;

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
    /// Ranges that are deleted in its tables and not yet merged away.
    pub range_deletions: u64,
    /// Memory of these. From a bound on keys are deleted in their place.
    pub range_deletion_bytes: u64,
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

pub(super) fn gather(shared: &Shared) -> StoreStatistics {
    let counted = shared.counters.read();
    let journal_bytes = shared.journal().bytes();
    let state = shared.read_state();
    let busy = HashSet::new();
    let anything = Allowed {
        busy: &busy,
        bytes_max: u64::MAX,
    };
    let families: Vec<FamilyStatistics> = state
        .families
        .iter()
        .map(|family| FamilyStatistics {
            name: family.family.name(),
            memtable_bytes: (family.active.bytes() + family.sealed_bytes()) as u64,
            range_deletions: family.range_deletion_count() as u64,
            range_deletion_bytes: family.range_deletion_bytes() as u64,
            merge_bytes: policy::choose(family, anything).map_or(0, |choice| {
                let merged = family.tables[choice.tables].iter();
                merged.map(|table| table.length()).sum()
            }),
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
    let stalled = if waiting > 0 {
        counted.idle.max(counted.failing)
    } else {
        Duration::ZERO
    };
    StoreStatistics {
        committed: shared.committed(),
        stored_bytes: counted.stored_bytes,
        journal_written_bytes: counted.journal_bytes,
        table_written_bytes: counted.table_bytes,
        journal_bytes,
        memtable_bytes: memtables as u64,
        waiting_bytes: waiting as u64,
        cached_bytes: shared.blocks.cached_bytes(),
        open_files: shared.blocks.open_files() + FILES_ALWAYS_OPEN,
        waits: counted.waits,
        wait_micros: counted.wait_micros,
        work_failures: counted.failures,
        damages: counted.damages,
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
