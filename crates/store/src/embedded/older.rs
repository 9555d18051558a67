//! What lies below a row: whether an older table holds its key, and in which one it becomes garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::family::Family;
use crate::row::Row;
use crate::table::{FilterKind, Table};

/// The tables that are older than what is being written, newest first. Asked for keys in their order.
pub(super) struct Older<'a> {
    tables: &'a [Arc<Table>],
    overwrites: bool,
    /// A filter of beginnings tells conversations apart, not rows: these are looked up.
    looked_up: bool,
    /// The table that held the last key that was found. The next one is often there too.
    last: Option<usize>,
    /// How many rows of each were overwritten or deleted.
    buried: BTreeMap<usize, u64>,
}

impl<'a> Older<'a> {
    pub(super) fn new(family: Family, tables: &'a [Arc<Table>]) -> Self {
        let looked_up = match family.filter() {
            FilterKind::Prefix { .. } => true,
            FilterKind::None | FilterKind::Key { .. } => false,
        };
        Self {
            tables,
            overwrites: family.overwrites(),
            looked_up,
            last: None,
            buried: BTreeMap::new(),
        }
    }

    /// Whether the row must be written: a deletion below which there is nothing need not be. Notes what it makes garbage of.
    pub(super) fn needs(&mut self, row: &Row) -> bool {
        if row.value.is_some() && !self.overwrites {
            return true;
        }
        match self.find(&row.key) {
            Some(table) => {
                *self.buried.entry(table).or_default() += 1;
                true
            }
            None => row.value.is_some(),
        }
    }

    /// Tells the tables how much of them has become garbage.
    pub(super) fn bury(self) {
        for (table, rows) in self.buried {
            self.tables[table].bury(rows);
        }
    }

    fn find(&mut self, key: &[u8]) -> Option<usize> {
        if let Some(last) = self.last
            && self.holds(last, key)
        {
            return Some(last);
        }
        let found = (0..self.tables.len()).find(|table| self.holds(*table, key));
        if found.is_some() {
            self.last = found;
        }
        found
    }

    fn holds(&self, table: usize, key: &[u8]) -> bool {
        let table = &self.tables[table];
        if self.looked_up {
            // Where it cannot be read, it may be.
            table.get(key).map_or(true, |found| found.is_some())
        } else {
            table.may_hold(key)
        }
    }
}
