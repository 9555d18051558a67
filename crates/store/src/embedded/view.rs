//! Reads: one row, or a stretch, out of memtables and tables as they stand at one moment.

use std::sync::Arc;

use bytes::Bytes;

use super::family::{self, Family, Segment};
use super::shared::Shared;
use super::state::FamilyState;
use crate::contract::{Range, ReadError};
use crate::memtable::{Memtable, Snapshot};
use crate::merge::{Merge, hiding_of};
use crate::range_deletions::{Hiding, RangeDeletions};
use crate::row::Bounds;
use crate::table::{Damage, Table, TableError};

/// A family as it stands at a moment.
pub(super) struct View {
    pub(super) family: Family,
    /// Newest first.
    pub(super) memtables: Vec<MemtableView>,
    /// Newest first.
    pub(super) tables: Arc<Vec<Arc<Table>>>,
    /// What is deleted in tables, besides what memtables delete.
    pub(super) range_deletions: Arc<RangeDeletions>,
}

/// A memtable as it stands at a moment.
#[derive(Clone)]
pub(super) struct MemtableView {
    table: Arc<Memtable>,
    snapshot: Snapshot,
    /// What it deletes in everything older.
    range_deletions: Arc<RangeDeletions>,
}

impl MemtableView {
    fn active(table: &Arc<Memtable>) -> Self {
        let (snapshot, range_deletions) = table.snapshot();
        Self {
            table: table.clone(),
            snapshot,
            range_deletions,
        }
    }

    fn sealed(table: &Arc<Memtable>) -> Self {
        Self {
            table: table.clone(),
            snapshot: Snapshot::ALL,
            range_deletions: table.range_deletions(),
        }
    }
}

impl View {
    pub(super) fn of(state: &FamilyState) -> Self {
        let active = MemtableView::active(&state.active);
        let sealed = state.sealed.iter().map(MemtableView::sealed);
        Self {
            family: state.family,
            memtables: std::iter::once(active).chain(sealed).collect(),
            tables: state.tables.clone(),
            range_deletions: state.range_deletions.clone(),
        }
    }

    /// The value at a key.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.find_and(key, Err)
    }

    /// The same. `failed` says what becomes of a table that cannot be read: whether it has the row, nobody knows.
    fn find_and<E>(
        &self,
        key: &[u8],
        failed: impl Fn(TableError) -> Result<(), E>,
    ) -> Result<Option<Bytes>, E> {
        for memtable in &self.memtables {
            if let Some(found) = memtable.table.get(key, memtable.snapshot) {
                return Ok(found);
            }
            if memtable.range_deletions.covers(key) {
                return Ok(None);
            }
        }
        let deleted = self.range_deletions.find(key).map_or(0, |one| one.flush);
        let tables = self.tables.iter();
        for table in tables.filter(|table| deleted <= table.properties().flush) {
            match table.get(key) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => failed(error)?,
            }
        }
        Ok(None)
    }

    /// The rows of the bounds, and for each source of them its age: 0 for memtables, then as the tables lie.
    pub(super) fn merge(&self, bounds: &Bounds) -> (Merge, Vec<usize>) {
        let mut merge = Merge::new(bounds.reverse);
        let mut ages = Vec::new();
        let mut hiding: Vec<Hiding> = Vec::new();
        for memtable in &self.memtables {
            let (table, snapshot) = (memtable.table.clone(), memtable.snapshot);
            if !table.is_empty() && merge.add_memtable(table, snapshot, bounds, hiding.clone()) {
                ages.push(0);
            }
            let newer = Hiding::all(memtable.range_deletions.clone());
            hiding.extend(newer.reaches(bounds).then_some(newer));
        }
        let of_tables = Hiding::all(self.range_deletions.clone()).reaches(bounds);
        for (at, table) in self.tables.iter().enumerate() {
            let mut hiding = hiding.clone();
            hiding.extend(of_tables.then(|| hiding_of(&self.range_deletions, table)));
            if merge.add_table(table, bounds, hiding) {
                ages.push(at + 1);
            }
        }
        (merge, ages)
    }

    /// What the damage may have hidden, if its table hides anything.
    fn unknown(&self, damage: Damage) -> Option<Unknown> {
        let mut tables = self.tables.iter();
        let at = tables.position(|table| table.path() == damage.file)?;
        let hides = self.family.overwrites() || self.tables[at].properties().deletions > 0;
        hides.then(|| Unknown {
            age: at + 1,
            first: self.tables[at].properties().keys.start().clone(),
            damage,
        })
    }
}

/// Keys of which nobody knows whether older rows count: the block that would say so, by its deletions, is damaged.
struct Unknown {
    age: usize,
    /// The first key of the table.
    first: Bytes,
    damage: Damage,
}

impl Unknown {
    fn conceals(&self, key: &[u8], age: usize) -> bool {
        let behind = self.damage.after.is_empty() || key > self.damage.after.as_ref();
        age > self.age && behind && key >= self.first.as_ref() && key <= self.damage.upto.as_ref()
    }
}

pub(super) fn get(shared: &Shared, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
    let family = Family::of(key);
    let view = View::of(shared.read_state().of(family));
    view.find_and(key, |error| match error {
        TableError::Damaged(damage) => {
            shared.note_damage(&damage);
            if shared.accept_loss {
                return Ok(());
            }
            Err(read_error(TableError::Damaged(damage)))
        }
        TableError::Io { .. } => Err(read_error(error)),
    })
}

/// Visits the rows of a range in its order until `limit` are taken or what was taken has more than `bytes_max`; `take` says what
/// of a row is wanted, and how many bytes it counts for.
pub(super) fn range<T>(
    shared: &Shared,
    range: &Range,
    take: impl Fn(Bytes, Bytes) -> (T, usize),
) -> Result<Vec<T>, ReadError> {
    let mut segments = family::segments(&range.from, &range.to);
    if range.reverse {
        segments.reverse();
    }
    let views: Vec<View> = {
        let state = shared.read_state();
        let families = segments.iter().map(|segment| state.of(segment.family));
        families.map(View::of).collect()
    };
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for (segment, view) in segments.into_iter().zip(views) {
        let Segment { from, to, .. } = segment;
        let bounds = Bounds {
            from,
            to,
            reverse: range.reverse,
        };
        let (mut merge, ages) = view.merge(&bounds);
        let mut unknown: Vec<Unknown> = Vec::new();
        while taken.len() < range.limit {
            match merge.next() {
                Ok(None) => break,
                Ok(Some((row, source))) => {
                    let Some(value) = row.value else { continue };
                    // A hole in the history, but nothing that was deleted.
                    if unknown
                        .iter()
                        .any(|stretch| stretch.conceals(&row.key, ages[source]))
                    {
                        continue;
                    }
                    let (one, size) = take(row.key, value);
                    taken.push(one);
                    bytes += size;
                    if bytes > range.bytes_max {
                        return Ok(taken);
                    }
                }
                Err(TableError::Damaged(damage)) => {
                    shared.note_damage(&damage);
                    if shared.accept_loss {
                        continue;
                    }
                    if !view.family.tolerates_damage() {
                        return Err(read_error(TableError::Damaged(damage)));
                    }
                    unknown.extend(view.unknown(damage));
                }
                Err(error) => return Err(read_error(error)),
            }
        }
    }
    Ok(taken)
}

fn read_error(error: TableError) -> ReadError {
    ReadError(Arc::new(error))
}
