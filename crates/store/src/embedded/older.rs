//! What lies below a row: whether an older table holds its key, and in which one it becomes garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::family::Family;
use crate::merge::hiding_of;
use crate::range_deletions::{RangeDeletions, Visible};
use crate::row::{Bounds, Row};
use crate::table::{FilterKind, Table};

/// Of deletions of queued messages one in so many is looked up, and stands for all of them.
const SAMPLE_ROWS: u64 = 16;

/// The tables that are older than what is being written, newest first. Asked for keys in their order.
pub(super) struct Older<'a> {
    tables: &'a [Arc<Table>],
    overwrites: bool,
    filter: FilterKind,
    /// Deletions that were asked for.
    deletions: u64,
    /// The table that held the last key that was found. The next one is often there too.
    last: Option<usize>,
    /// Bytes of rows of each that are overwritten or deleted.
    dead: BTreeMap<usize, u64>,
}

impl<'a> Older<'a> {
    pub(super) fn new(family: Family, tables: &'a [Arc<Table>]) -> Self {
        Self {
            tables,
            overwrites: family.overwrites(),
            filter: family.filter(),
            deletions: 0,
            last: None,
            dead: BTreeMap::new(),
        }
    }

    /// Whether the row must be written: a deletion below which there is nothing need not be. Notes what it makes garbage of.
    pub(super) fn needs(&mut self, row: &Row) -> bool {
        if row.value.is_some() && !self.overwrites {
            return true;
        }
        self.deletions += 1;
        let found = match self.filter {
            // Ranges say whether something may be below, but not in which of the tables whose ranges overlap.
            FilterKind::None => {
                if self.deletions.is_multiple_of(SAMPLE_ROWS) {
                    let found = self.find(|table| holds(table, &row.key));
                    self.bury_in(found, SAMPLE_ROWS);
                }
                return self.tables.iter().any(|table| table.may_hold(&row.key));
            }
            FilterKind::Key { .. } => self.find(|table| table.may_hold(&row.key)),
            // It tells conversations apart, not rows: these are looked up.
            FilterKind::Prefix { .. } => self.find(|table| holds(table, &row.key)),
        };
        self.bury_in(found, 1);
        found.is_some() || row.value.is_some()
    }

    /// Counts what range deletions make garbage besides what older ones did. `counted` is told of each.
    pub(super) fn count_ranges(
        &mut self,
        ranges: &RangeDeletions,
        before: &Arc<RangeDeletions>,
        counted: impl Fn(),
    ) {
        for range in ranges.iter() {
            counted();
            let bounds = Bounds::ascending(&range.from, &range.to);
            for (at, table) in self.tables.iter().enumerate() {
                if !table.overlaps(&range.from, &range.to) {
                    continue;
                }
                let hidden = hiding_of(before, table);
                let mut alive = Visible::new(bounds.clone(), vec![hidden]);
                while let Some(stretch) = alive.next() {
                    let bytes = table.bytes_between(&stretch.from, &stretch.to);
                    *self.dead.entry(at).or_default() += bytes;
                }
            }
        }
    }

    /// The tables something of which becomes garbage, with the bytes of it.
    pub(super) fn garbage(self) -> Vec<(Arc<Table>, u64)> {
        let dead = self.dead.into_iter();
        dead.map(|(table, bytes)| (self.tables[table].clone(), bytes))
            .collect()
    }

    fn bury_in(&mut self, table: Option<usize>, rows: u64) {
        if let Some(table) = table {
            let bytes = rows.saturating_mul(self.tables[table].average_row_bytes());
            *self.dead.entry(table).or_default() += bytes;
        }
    }

    /// The newest table that holds the key, or the one that held the last one.
    fn find(&mut self, holds: impl Fn(&Table) -> bool) -> Option<usize> {
        if let Some(last) = self.last
            && holds(&self.tables[last])
        {
            return Some(last);
        }
        let found = self.tables.iter().position(|table| holds(table));
        if found.is_some() {
            self.last = found;
        }
        found
    }
}

/// Whether the table has a row with the key. Where that cannot be read, it may have.
fn holds(table: &Table, key: &[u8]) -> bool {
    table.get(key).map_or(true, |found| found.is_some())
}
