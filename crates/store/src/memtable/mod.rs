//! What was committed and is not yet in a table: rows in key order, each with its versions, in memory.
//! Written by one thread and read by several; a reader sees what stood there when it began.

mod arena;
mod index;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Memory};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::range_deletions::RangeDeletions;
use crate::row::{Bounds, Row};
use arena::Arena;
use index::Index;

/// A version of a row beyond this is not given: the memtable is full long before.
const VERSIONS_MAX: u32 = u32::MAX - 1;

/// Rows of a deleted range that a memtable marks as deleted; of more it is better sealed.
const MANY_ROWS: usize = 4_096;

/// Stands in the place of a flush's number in the range deletions of a memtable: all of them belong to the one that is to come.
pub(crate) const UNFLUSHED: u64 = 1;

/// A map from keys to values and deletions.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    rows: RwLock<Rows>,
    bytes: AtomicUsize,
    first_commit: AtomicU64,
    last_commit: AtomicU64,
}

#[derive(Debug, Default)]
struct Rows {
    arena: Arena,
    index: Index,
    versions: u32,
    /// What is deleted in everything older than this memtable. Its own rows are deleted one by one.
    range_deletions: Arc<RangeDeletions>,
}

/// How much of a memtable a reader sees: rows with a smaller version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(u32);

impl Snapshot {
    /// Everything, of a memtable that is no longer written.
    pub(crate) const ALL: Self = Self(u32::MAX);
}

impl Memtable {
    /// Takes in what a commit does: first the ranges that it deletes, each its first key and the first one behind it, then keys and
    /// values in their order; `None` deletes.
    pub(crate) fn apply<'a>(
        &self,
        deleted_ranges: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        commit: u64,
    ) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in deleted_ranges {
            rows.delete_range(from, to);
        }
        for (key, value) in changes {
            rows.insert(key, value);
        }
        if self.is_empty() {
            self.first_commit.store(commit, Memory::Relaxed);
        }
        self.bytes.store(rows.bytes(), Memory::Relaxed);
        self.last_commit.store(commit, Memory::Relaxed);
    }

    /// Whether it has more rows of a range, old versions among them, than are deleted one by one while everybody waits.
    pub(crate) fn has_many(&self, from: &[u8], to: &[u8]) -> bool {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut place = rows.lower_bound(from);
        for _ in 0..=MANY_ROWS {
            match rows.index.at(place) {
                Some(entry) if rows.arena.entry(entry).key < to => place = rows.index.after(place),
                _ => return false,
            }
        }
        true
    }

    /// What a reader that begins now may see, and what is hidden from it in everything older.
    pub(crate) fn snapshot(&self) -> (Snapshot, Arc<RangeDeletions>) {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        (Snapshot(rows.versions), rows.range_deletions.clone())
    }

    /// What it deletes in everything older.
    pub(crate) fn range_deletions(&self) -> Arc<RangeDeletions> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.range_deletions.clone()
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Memory::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// The first commit that wrote here; 0 if none did.
    pub(crate) fn first_commit(&self) -> u64 {
        self.first_commit.load(Memory::Relaxed)
    }

    /// The last commit that wrote here; 0 if none did.
    pub(crate) fn last_commit(&self) -> u64 {
        self.last_commit.load(Memory::Relaxed)
    }

    /// The row at a key: `None` if nothing is known of it here, `Some(None)` if it was deleted.
    pub(crate) fn get(&self, key: &[u8], snapshot: Snapshot) -> Option<Option<Bytes>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut place = rows.lower_bound(key);
        while let Some(entry) = rows.index.at(place) {
            let entry = rows.arena.entry(entry);
            if entry.key != key {
                return None;
            }
            if entry.version < snapshot.0 {
                return Some(entry.value.map(Bytes::copy_from_slice));
            }
            place = rows.index.after(place);
        }
        None
    }

    /// Copies rows of the bounds to `out` from one end until they come to `bytes_max`; `false` if there are no more.
    pub(crate) fn scan(
        &self,
        bounds: &Bounds,
        snapshot: Snapshot,
        bytes_max: usize,
        out: &mut VecDeque<Row>,
    ) -> bool {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        if bounds.reverse {
            rows.scan_back(bounds, snapshot, bytes_max, out)
        } else {
            rows.scan_forward(bounds, snapshot, bytes_max, out)
        }
    }
}

impl Rows {
    fn insert(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(
            self.versions < VERSIONS_MAX,
            "a memtable is flushed in time"
        );
        let entry = self.arena.push(self.versions, key, value);
        self.versions += 1;
        // The newest version of a key stands first.
        let Self { arena, index, .. } = self;
        index.insert(entry, |other| arena.entry(other).key.cmp(key));
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        let mut place = self.lower_bound(from);
        let mut deleted: Vec<Vec<u8>> = Vec::new();
        let mut last: Option<&[u8]> = None;
        while let Some(entry) = self.index.at(place) {
            let entry = self.arena.entry(entry);
            if entry.key >= to {
                break;
            }
            place = self.index.after(place);
            // The newest version of a key comes first.
            if last.replace(entry.key) != Some(entry.key) && entry.value.is_some() {
                deleted.push(entry.key.to_vec());
            }
        }
        for key in deleted {
            self.insert(&key, None);
        }
        Arc::make_mut(&mut self.range_deletions).insert(from, to, UNFLUSHED);
    }

    fn bytes(&self) -> usize {
        self.arena.bytes() + self.index.bytes() + self.range_deletions.bytes()
    }

    fn lower_bound(&self, key: &[u8]) -> index::Place {
        let before = |entry| self.arena.entry(entry).key.cmp(key) == Ordering::Less;
        self.index.partition_point(before)
    }

    fn scan_forward(
        &self,
        bounds: &Bounds,
        snapshot: Snapshot,
        bytes_max: usize,
        out: &mut VecDeque<Row>,
    ) -> bool {
        let mut place = self.lower_bound(&bounds.from);
        let mut taken = 0;
        let mut last: Option<&[u8]> = None;
        while let Some(entry) = self.index.at(place) {
            let entry = self.arena.entry(entry);
            if entry.key >= bounds.to.as_slice() {
                return false;
            }
            place = self.index.after(place);
            if entry.version >= snapshot.0 || last == Some(entry.key) {
                continue;
            }
            if taken >= bytes_max {
                return true;
            }
            last = Some(entry.key);
            taken += entry.bytes();
            out.push_back(entry.row());
        }
        false
    }

    fn scan_back(
        &self,
        bounds: &Bounds,
        snapshot: Snapshot,
        bytes_max: usize,
        out: &mut VecDeque<Row>,
    ) -> bool {
        let mut place = self.lower_bound(&bounds.to);
        let mut taken = 0;
        // Versions of a key come oldest first in this direction: the last one seen is the row.
        let mut newest: Option<arena::Entry<'_>> = None;
        while let Some(before) = self.index.before(place) {
            place = before;
            let entry = self
                .arena
                .entry(self.index.at(place).expect("it is a place"));
            if entry.key < bounds.from.as_slice() {
                break;
            }
            if entry.version >= snapshot.0 {
                continue;
            }
            if let Some(row) = newest.replace(entry)
                && row.key != entry.key
            {
                taken += row.bytes();
                out.push_back(row.row());
                if taken >= bytes_max {
                    return true;
                }
            }
        }
        out.extend(newest.map(|entry| entry.row()));
        false
    }
}

#[cfg(test)]
mod tests;
