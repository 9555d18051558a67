//! Makes one table out of several, or one anew without what newer ones have overwritten and deleted.

use std::sync::Arc;
use std::time::Duration;

use super::family::Family;
use super::install::{Change, install};
use super::older::Older;
use super::output::Output;
use super::policy::{self, Choice};
use super::shared::Shared;
use super::state::FamilyState;
use super::work_error::WorkError;
use crate::contract::behind;
use crate::merge::{Merge, hiding_of};
use crate::range_deletions::RangeDeletions;
use crate::row::Bounds;
use crate::table::{Table, TableId};

/// After so many rows a merge looks whether more is deleted by now, which it need not read then.
const LOOK_ROWS: u64 = 4096;

/// After so many bytes of rows a merge looks whether commits wait for the disk.
const YIELD_BYTES: usize = 256 * 1024;

/// An fsync of the journal that takes longer than this is a wait: a merge pauses for the time of one.
const SLOW_SYNC: Duration = Duration::from_millis(2);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Merges that are further behind than this do not pause: commits begin to wait for them.
const URGENT_DEBT: f64 = super::pace::SLOW_FROM;

/// The tables of a merge, and those around them.
pub(super) struct Merging {
    family: Family,
    /// What is deleted in the family's tables, and the last flush that has brought something of it.
    deletions: (Arc<RangeDeletions>, u64),
    /// Bytes that are dead in what becomes one.
    dead: u64,
    /// Newer ones that may hide rows of these.
    newer: Vec<Arc<Table>>,
    /// What becomes one, newest first.
    merged: Vec<Arc<Table>>,
    /// What deletions may still hide.
    older: Vec<Arc<Table>>,
}

impl Merging {
    /// Of tables as they stand. No change of them may be half made.
    pub(super) fn new(state: &FamilyState, choice: &Choice) -> Self {
        let (family, tables) = (state.family, &state.tables);
        let hides = |table: &&Arc<Table>| {
            (family.overwrites() || table.properties().deletions > 0) && !table.is_given_up()
        };
        let merged = tables[choice.tables.clone()].to_vec();
        Self {
            family,
            deletions: (state.range_deletions.clone(), state.flushes),
            dead: merged.iter().map(|table| table.dead()).sum(),
            newer: tables[..choice.tables.start]
                .iter()
                .filter(hides)
                .cloned()
                .collect(),
            merged,
            older: tables[choice.tables.end..].to_vec(),
        }
    }

    /// The tables that become one.
    pub(super) fn tables(&self) -> impl Iterator<Item = TableId> {
        self.merged.iter().map(|table| table.id())
    }

    /// Carries it out. Nobody else may merge these tables meanwhile. What becomes of others does not matter: deletions that they
    /// have now, and rows that they have now, are more than they will have.
    pub(super) fn run(&self, shared: &Shared) -> Result<(), WorkError> {
        let outcome = self.merge(shared);
        if let Err(WorkError::Table(error)) = &outcome {
            let tables = self.newer.iter().chain(&self.merged);
            let failed = tables.filter(|table| table.path() == error.file());
            failed.for_each(|table| table.note_failure(error));
        }
        outcome
    }

    fn merge(&self, shared: &Shared) -> Result<(), WorkError> {
        let mut rows = Merge::new(false);
        let keys = self.merged.iter().map(|table| &table.properties().keys);
        let from = keys.clone().map(|keys| keys.start()).min();
        let to = keys.map(|keys| keys.end()).max();
        let (from, to) = from.zip(to).expect("a merge has tables");
        let bounds = Bounds::ascending(from, &behind(to));
        // One table alone is written anew for what others hide of it. Where several become one that is left to another time.
        let newer = if self.merged.len() == 1 {
            self.newer.as_slice()
        } else {
            &[]
        };
        let mut newer_count = 0;
        for table in newer {
            newer_count += usize::from(rows.add_table(table, &bounds, Vec::new()));
        }
        let (mut deletions, flush) = self.deletions.clone();
        for table in &self.merged {
            rows.add_scan(table.clone(), hiding_of(&deletions, table));
        }
        let mut older = Older::new(self.family, &self.older);
        let mut output = Output::new(shared, self.family);
        let (mut read, mut written) = (0_u64, 0);
        while let Some((row, source)) = rows.next()? {
            // A merge can be begun again; a shutdown does not wait for it.
            if shared.wakeup.is_stopping() {
                return Err(WorkError::Stopped);
            }
            // Also where nothing is left of what is read.
            shared.counters.advanced();
            read += 1;
            if read.is_multiple_of(LOOK_ROWS) {
                let newer = shared.read_state().of(self.family).range_deletions.clone();
                if !Arc::ptr_eq(&newer, &deletions) {
                    deletions = newer;
                    rows.hide_more(&row.key, |table| hiding_of(&deletions, table));
                }
            }
            let is_deletion = row.value.is_none();
            if source >= newer_count && (!is_deletion || older.needs(&row)) {
                output.add(&row)?;
                written += row.bytes();
                if written >= YIELD_BYTES {
                    written = 0;
                    self.yield_disk(shared);
                }
            }
        }
        let commits = self.merged.iter().map(|table| &table.properties().commits);
        let first = commits.clone().map(|commits| *commits.start()).min();
        let last = commits.map(|commits| *commits.end()).max();
        // What was deleted while it went on has come too late for some of its rows.
        let table = output.finish(first.unwrap_or(0)..=last.unwrap_or(0), flush)?;
        let settled_bytes = self.settled_bytes(table.as_deref());
        let merged = self.merged.clone();
        install(
            shared,
            self.family,
            Change::Merged {
                merged,
                table,
                settled_bytes,
            },
        )?;
        shared.wakeup.ring();
        Ok(())
    }

    /// Leaves the disk to commits for a moment if these have to wait for it, unless merges are behind: then commits would soon wait for
    /// them.
    fn yield_disk(&self, shared: &Shared) {
        let sync = shared.counters.sync_time();
        if sync < SLOW_SYNC {
            return;
        }
        let debt = policy::debt(shared.read_state().of(self.family));
        if debt < URGENT_DEBT {
            std::thread::sleep(sync.min(PAUSE_MAX));
        }
    }

    /// Of what was dead in the merged tables, what is gone.
    fn settled_bytes(&self, table: Option<&Table>) -> u64 {
        if self.merged.len() == 1 {
            // All that was known when it began; what has been deleted meanwhile is still there.
            return self.dead;
        }
        let bytes = self.merged.iter().map(|table| table.properties().bytes);
        let left = table.map_or(0, |table| table.properties().bytes);
        bytes.sum::<u64>().saturating_sub(left)
    }
}
