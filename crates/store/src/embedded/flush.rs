//! Writes the oldest memtable of a family to a table.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::family::Family;
use super::install::{Change, install};
use super::older::Older;
use super::output::Output;
use super::shared::Shared;
use super::work_error::WorkError;
use crate::memtable::Snapshot;
use crate::merge::Merge;
use crate::row::Bounds;

/// Flushes what was sealed first. The family must have a sealed memtable, and nobody else may flush it meanwhile.
pub(super) fn flush(shared: &Shared, family: Family) -> Result<(), WorkError> {
    let (memtable, tables, deletions, flush, progress) = {
        let state = shared.read_state();
        let state = state.of(family);
        let Some(memtable) = state.sealed.last() else {
            return Ok(());
        };
        (
            memtable.clone(),
            state.tables.clone(),
            state.range_deletions.clone(),
            state.flushes + 1,
            state.flush_progress.clone(),
        )
    };
    let begun = Instant::now();
    if !shared.each_synced {
        // A table must not know commits that the journal could lose: half a batch would be there.
        shared
            .sync()
            .map_err(|source| WorkError::io(&shared.folder, source))?;
    }
    let mut rows = Merge::new(false);
    rows.add_memtable(memtable.clone(), Snapshot::ALL, &Bounds::all(), Vec::new());
    let range_deletions = memtable.range_deletions();
    let mut older = Older::new(family, &tables);
    let mut output = Output::new(shared, family);
    while let Some((row, _)) = rows.next()? {
        progress.fetch_add(row.bytes(), Ordering::Relaxed);
        // What a range deletion says of everything older need not be said again.
        let is_covered = row.value.is_none() && range_deletions.covers(&row.key);
        if !is_covered && older.needs(&row) {
            output.add(&row)?;
        }
    }
    let commits = memtable.first_commit()..=memtable.last_commit();
    let table = output.finish(commits, flush)?;
    older.count_ranges(&range_deletions, &deletions, || shared.counters.advanced());
    let change = Change::Flushed {
        memtable: memtable.clone(),
        table,
        garbage: older.garbage(),
    };
    install(shared, family, change)?;
    let bytes = memtable.bytes() as u64;
    shared.counters.flushed(bytes, begun.elapsed());
    shared.wakeup.ring();
    Ok(())
}
