//! Reads: one row, or a stretch, out of memtables and tables as they stand at one moment.

use std::sync::Arc;

use bytes::Bytes;

use super::family::{self, Family, Segment};
use super::shared::Shared;
use super::state::FamilyState;
use crate::contract::{Range, ReadError};
use crate::memtable::{Memtable, Snapshot};
use crate::merge::Merge;
use crate::row::Bounds;
use crate::table::{Table, TableError};

/// A family as it stands at a moment.
pub(super) struct View {
    pub(super) family: Family,
    /// Newest first.
    pub(super) memtables: Vec<(Arc<Memtable>, Snapshot)>,
    /// Newest first.
    pub(super) tables: Arc<Vec<Arc<Table>>>,
}

impl View {
    pub(super) fn of(state: &FamilyState) -> Self {
        let active = (state.active.clone(), state.active.snapshot());
        let sealed = state.sealed.iter();
        let sealed = sealed.map(|table| (table.clone(), Snapshot::ALL));
        Self {
            family: state.family,
            memtables: std::iter::once(active).chain(sealed).collect(),
            tables: state.tables.clone(),
        }
    }

    /// The value at a key.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        for (table, snapshot) in &self.memtables {
            if let Some(found) = table.get(key, *snapshot) {
                return Ok(found);
            }
        }
        for table in self.tables.iter() {
            if let Some(found) = table.get(key)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) fn merge(&self, bounds: &Bounds) -> Merge {
        let mut merge = Merge::new(bounds.reverse);
        for (table, snapshot) in &self.memtables {
            if !table.is_empty() {
                merge.add_memtable(table.clone(), *snapshot, bounds.clone());
            }
        }
        for table in self.tables.iter() {
            merge.add_table(table, bounds.clone());
        }
        merge
    }
}

pub(super) fn get(shared: &Shared, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
    let family = Family::of(key);
    let view = View::of(shared.read_state().of(family));
    for (table, snapshot) in &view.memtables {
        if let Some(found) = table.get(key, *snapshot) {
            return Ok(found);
        }
    }
    for table in view.tables.iter() {
        match table.get(key) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // Whether the row is there, or an older one is, nobody knows.
            Err(TableError::Damaged(damage)) => {
                shared.note_damage(&damage);
                if !shared.accept_loss {
                    return Err(read_error(TableError::Damaged(damage)));
                }
            }
            Err(error) => return Err(read_error(error)),
        }
    }
    Ok(None)
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
        let mut merge = view.merge(&bounds);
        while taken.len() < range.limit {
            match merge.next() {
                Ok(None) => break,
                Ok(Some((row, _))) => {
                    let Some(value) = row.value else { continue };
                    let (one, size) = take(row.key, value);
                    taken.push(one);
                    bytes += size;
                    if bytes > range.bytes_max {
                        return Ok(taken);
                    }
                }
                Err(TableError::Damaged(damage)) => {
                    shared.note_damage(&damage);
                    if !shared.accept_loss && !view.family.tolerates_damage() {
                        return Err(read_error(TableError::Damaged(damage)));
                    }
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
