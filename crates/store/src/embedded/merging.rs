//! Makes one table out of several, or one anew without what newer ones have overwritten and deleted.

use std::sync::Arc;
use std::time::Duration;

use super::family::Family;
use super::install::{Change, install};
use super::older::Older;
use super::output::Output;
use super::policy::{self, Choice};
use super::shared::Shared;
use super::view::hiding_of;
use super::work_error::WorkError;
use crate::contract::behind;
use crate::merge::Merge;
use crate::range_deletions::RangeDeletions;
use crate::row::Bounds;
use crate::table::{Table, TableId};

/// After so many rows a merge looks whether more is deleted by now, which it need not read then.
const LOOK_ROWS: u64 = 4096;

/// After so many bytes of rows a merge looks whether it should leave the disk to others …
const GIVE_WAY_BYTES: usize = 256 * 1024;

/// … which is when commits wait so long for theirs to be synced …
const SLOW_SYNC: Duration = Duration::from_millis(2);

/// … for as long as that, and at most …
const GIVE_WAY_MAX: Duration = Duration::from_millis(20);

/// … unless merges are so far behind.
const URGENT_DEBT: f64 = 0.75;

/// The tables of a merge, and those around them.
pub(super) struct Merging {
    family: Family,
    /// Newer ones that may hide rows of these.
    newer: Vec<Arc<Table>>,
    /// What becomes one, newest first.
    merged: Vec<Arc<Table>>,
    /// What deletions may still hide.
    older: Vec<Arc<Table>>,
}

impl Merging {
    pub(super) fn new(family: Family, tables: &[Arc<Table>], choice: &Choice) -> Self {
        let hides = |table: &&Arc<Table>| {
            (family.overwrites() || table.properties().deletions > 0) && !table.is_given_up()
        };
        Self {
            family,
            newer: tables[..choice.tables.start]
                .iter()
                .filter(hides)
                .cloned()
                .collect(),
            merged: tables[choice.tables.clone()].to_vec(),
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
        let dead_at_first = self.merged.iter().map(|table| table.dead()).sum();
        let mut rows = Merge::new(false);
        let keys = self.merged.iter().map(|table| &table.properties().keys);
        let from = keys.clone().map(|keys| keys.start()).min();
        let to = keys.map(|keys| keys.end()).max();
        let (from, to) = from.zip(to).expect("a merge has tables");
        let bounds = Bounds {
            from: from.to_vec(),
            to: behind(to),
            reverse: false,
        };
        // One table alone is written anew for what others hide of it. Where several become one that is left to another time.
        let newer = if self.merged.len() == 1 {
            self.newer.as_slice()
        } else {
            &[]
        };
        let mut hiding = 0;
        for table in newer {
            hiding += usize::from(rows.add_table(table, &bounds, Vec::new()));
        }
        let (mut deletions, flush) = self.range_deletions(shared);
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
                let (newer, _) = self.range_deletions(shared);
                if !Arc::ptr_eq(&newer, &deletions) {
                    deletions = newer;
                    rows.hide_more(&row.key, |table| hiding_of(&deletions, table));
                }
            }
            let is_deletion = row.value.is_none();
            if source >= hiding && (!is_deletion || older.needs(&row)) {
                output.add(&row)?;
                written += row.bytes();
                if written >= GIVE_WAY_BYTES {
                    written = 0;
                    self.give_way(shared);
                }
            }
        }
        let commits = self.merged.iter().map(|table| &table.properties().commits);
        let first = commits.clone().map(|commits| *commits.start()).min();
        let last = commits.map(|commits| *commits.end()).max();
        // What was deleted while it went on has come too late for some of its rows.
        let table = output.finish(first.unwrap_or(0)..=last.unwrap_or(0), flush)?;
        let settled_bytes = self.settled_bytes(dead_at_first, table.as_deref());
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
    fn give_way(&self, shared: &Shared) {
        let sync = shared.counters.sync_time();
        if sync < SLOW_SYNC {
            return;
        }
        let tables = shared.read_state().of(self.family).tables.clone();
        if policy::debt(self.family, shared.scale, &tables) < URGENT_DEBT {
            std::thread::sleep(sync.min(GIVE_WAY_MAX));
        }
    }

    /// What is deleted in the family's tables, and the last flush that has brought something of it.
    fn range_deletions(&self, shared: &Shared) -> (Arc<RangeDeletions>, u64) {
        let state = shared.read_state();
        let family = state.of(self.family);
        (family.range_deletions.clone(), family.flushes)
    }

    /// Of what was dead in the merged tables, what is gone.
    fn settled_bytes(&self, dead_at_first: u64, table: Option<&Table>) -> u64 {
        if self.merged.len() == 1 {
            // All that was known when it began; what has been deleted meanwhile is still there.
            return dead_at_first;
        }
        let bytes = self.merged.iter().map(|table| table.properties().bytes);
        let left = table.map_or(0, |table| table.properties().bytes);
        bytes.sum::<u64>().saturating_sub(left)
    }
}
