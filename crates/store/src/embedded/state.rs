//! What the store consists of at a moment: for each family the memtables and tables that its rows are in.
//! Must not do IO.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::family::{self, FAMILIES, Family, Segment};
use super::manifest::{ListedFamily, ListedTable};
use super::scale::Scale;
use crate::memtable::Memtable;
use crate::range_deletions::RangeDeletions;
use crate::table::Table;

/// A write buffer that is full again so soon is too small.
const FULL_SOON: Duration = Duration::from_secs(2);

/// After so many of them it becomes twice as large: a burst of messages is no reason.
const FULL_SOON_TIMES: u32 = 8;

/// One that takes so long to fill need not be so large.
const FULL_LATE: Duration = Duration::from_secs(30);

/// All families.
#[derive(Debug)]
pub(super) struct State {
    /// The last commit that is in memtables or tables: what a replay has not come to yet is behind it.
    pub(super) applied: u64,
    pub(super) families: [FamilyState; FAMILIES],
}

/// Where a family's rows are.
#[derive(Debug)]
pub(super) struct FamilyState {
    pub(super) family: Family,
    /// What is being written.
    pub(super) active: Arc<Memtable>,
    /// Since when.
    pub(super) active_since: Instant,
    /// When the family was written last.
    pub(super) written_at: Instant,
    /// Memtables that are full and not yet in a table, newest first.
    pub(super) sealed: Vec<Arc<Memtable>>,
    /// Newest first. Replaced as a whole, so that readers keep what they began with.
    pub(super) tables: Arc<Vec<Arc<Table>>>,
    /// What is deleted in tables, by the number of the flush that brought it.
    pub(super) range_deletions: Arc<RangeDeletions>,
    /// Rows up to this commit are in tables.
    pub(super) flushed: u64,
    /// How many flushes have brought them there.
    pub(super) flushes: u64,
    pub(super) scale: Scale,
    /// The active memtable is sealed when it takes so much memory.
    memtable_bytes_max: usize,
    /// How many were full soon, one after the other.
    full_soon: u32,
    /// Of the memtable that is being flushed, what is written of it.
    pub(super) flush_progress: Arc<AtomicUsize>,
}

impl State {
    pub(super) fn of(&self, family: Family) -> &FamilyState {
        &self.families[family as usize]
    }

    pub(super) fn of_mut(&mut self, family: Family) -> &mut FamilyState {
        &mut self.families[family as usize]
    }

    /// Everything up to this commit is in tables, or will be once the oldest memtable of `flushing` is.
    pub(super) fn flushed(&self, flushing: Option<Family>) -> u64 {
        let floor = |family: &FamilyState| {
            let ends = usize::from(flushing == Some(family.family));
            family.floor(self.applied, ends)
        };
        self.families
            .iter()
            .map(floor)
            .min()
            .unwrap_or(self.applied)
    }

    /// The family whose memtable has held rows for longest; the journal is kept for it. `None` if that memtable is about to be
    /// flushed anyway.
    pub(super) fn holding_most_back(&mut self) -> Option<&mut FamilyState> {
        let written = |family: &&mut FamilyState| family.oldest().is_some();
        let held = self.families.iter_mut().filter(written);
        held.min_by_key(|family| family.oldest().map(|oldest| oldest.first_commit()))
            .filter(|family| family.sealed.is_empty())
    }

    /// Memory of all memtables.
    pub(super) fn memtable_bytes(&self) -> usize {
        self.families
            .iter()
            .map(|family| family.active.bytes() + family.sealed_bytes())
            .sum()
    }
}

impl FamilyState {
    pub(super) fn new(
        family: Family,
        scale: Scale,
        tables: Vec<Arc<Table>>,
        listed: &ListedFamily,
        now: Instant,
    ) -> Self {
        Self {
            family,
            active: Arc::default(),
            active_since: now,
            written_at: now,
            sealed: Vec::new(),
            tables: Arc::new(tables),
            range_deletions: listed.range_deletions.clone(),
            flushed: listed.flushed,
            flushes: listed.flushes,
            scale,
            memtable_bytes_max: *family.memtable_bytes(scale).start(),
            full_soon: 0,
            flush_progress: Arc::default(),
        }
    }

    /// Everything of the family up to this commit is in tables, once the `flushing` oldest memtables are.
    fn floor(&self, applied: u64, flushing: usize) -> u64 {
        match self.sealed.iter().rev().nth(flushing) {
            Some(oldest) => oldest.first_commit().saturating_sub(1),
            None if self.active.is_empty() => applied,
            None => self.active.first_commit().saturating_sub(1),
        }
    }

    /// The memtable that has held rows for longest.
    fn oldest(&self) -> Option<&Arc<Memtable>> {
        let active = (!self.active.is_empty()).then_some(&self.active);
        self.sealed.last().or(active)
    }

    /// Brings what a commit does in the family into the active memtable: of its deleted ranges the segments, then its keys and values
    /// in their order. `false` if that is nothing.
    pub(super) fn apply<'a>(
        &self,
        deleted: &'a [Segment],
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        commit: u64,
    ) -> bool {
        let mut ranges = family::ends_of(deleted, self.family).peekable();
        let mut changes = changes
            .filter(|(key, _)| Family::of(key) == self.family)
            .peekable();
        if changes.peek().is_none() && ranges.peek().is_none() {
            return false;
        }
        self.active.apply(ranges, changes, commit);
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.active.bytes() >= self.memtable_bytes_max
    }

    /// Whether the active memtable has reached the greatest size that any has.
    pub(super) fn is_as_large_as_may_be(&self) -> bool {
        self.active.bytes() >= *self.family.memtable_bytes(self.scale).end()
    }

    /// What a replay has brought is no more than there may be.
    pub(super) fn replayed(&mut self) {
        let waiting = self.active.bytes() + self.sealed_bytes();
        let bounds = self.family.memtable_bytes(self.scale);
        self.memtable_bytes_max = waiting.clamp(*bounds.start(), *bounds.end());
    }

    pub(super) fn sealed_bytes(&self) -> usize {
        self.sealed.iter().map(|table| table.bytes()).sum()
    }

    /// How full the memtables are, of what they may be: a full buffer that waits and a full one that is written.
    pub(super) fn fill(&self) -> f64 {
        let flushed = self.flush_progress.load(Ordering::Relaxed);
        let waiting = self.sealed_bytes().saturating_sub(flushed) + self.active.bytes();
        waiting as f64 / (2 * self.memtable_bytes_max) as f64
    }

    /// Begins a new memtable.
    pub(super) fn seal(&mut self, now: Instant) {
        let took = now.duration_since(self.active_since);
        self.full_soon = if self.is_full() && took < FULL_SOON {
            self.full_soon + 1
        } else {
            0
        };
        if self.full_soon == FULL_SOON_TIMES {
            self.full_soon = 0;
            self.memtable_bytes_max *= 2;
        } else if took > FULL_LATE {
            self.memtable_bytes_max /= 2;
        }
        let bounds = self.family.memtable_bytes(self.scale);
        self.memtable_bytes_max = self
            .memtable_bytes_max
            .clamp(*bounds.start(), *bounds.end());
        let full = std::mem::take(&mut self.active);
        self.active_since = now;
        self.sealed.insert(0, full);
    }

    /// The oldest memtable is in a table, or has left nothing behind but range deletions.
    pub(super) fn flushed(&mut self, memtable: &Arc<Memtable>, table: Option<Arc<Table>>) {
        let oldest = self.sealed.pop();
        assert!(
            oldest.is_some_and(|oldest| Arc::ptr_eq(&oldest, memtable)),
            "memtables are flushed in their order"
        );
        self.flush_progress.store(0, Ordering::Relaxed);
        self.flushed = self.flushed.max(memtable.last_commit());
        self.flushes += 1;
        if let Some(table) = table {
            let mut tables = Vec::with_capacity(self.tables.len() + 1);
            tables.push(table);
            tables.extend(self.tables.iter().cloned());
            self.tables = Arc::new(tables);
        }
    }

    /// Puts a merged table in the place of those that it was made of, which lie side by side.
    pub(super) fn replace(&mut self, merged: &[Arc<Table>], by: Option<Arc<Table>>) {
        let is_merged = |table: &Arc<Table>| merged.iter().any(|one| Arc::ptr_eq(one, table));
        let at = self.tables.iter().position(is_merged);
        let at = at.expect("a merge is the only one that removes tables");
        let mut tables = (*self.tables).clone();
        let gone: Vec<_> = tables.splice(at..at + merged.len(), by).collect();
        assert!(gone.iter().all(is_merged), "they lie side by side");
        self.tables = Arc::new(tables);
    }

    /// How many ranges memtables delete, and are deleted in tables.
    pub(super) fn range_deletion_count(&self) -> usize {
        self.sum_range_deletions(RangeDeletions::len)
    }

    /// Memory of these.
    pub(super) fn range_deletion_bytes(&self) -> usize {
        self.sum_range_deletions(RangeDeletions::bytes)
    }

    fn sum_range_deletions(&self, of: impl Fn(&RangeDeletions) -> usize) -> usize {
        let memtables = std::iter::once(&self.active).chain(&self.sealed);
        let of_memtables = memtables.map(|table| of(&table.range_deletions()));
        of_memtables.sum::<usize>() + of(&self.range_deletions)
    }

    pub(super) fn listed(&self) -> ListedFamily {
        ListedFamily {
            flushed: self.flushed,
            flushes: self.flushes,
            range_deletions: self.range_deletions.clone(),
            tables: self
                .tables
                .iter()
                .map(|table| ListedTable::of(table))
                .collect(),
        }
    }
}
