//! Makes a change of the tables the store's: first on disk, in the manifest, and then for readers.

use std::sync::{Arc, PoisonError};

use tracing::warn;

use super::family::Family;
use super::manifest::{ListedTable, Manifest};
use super::shared::Shared;
use super::work_error::WorkError;
use crate::memtable::Memtable;
use crate::range_deletions::RangeDeletions;
use crate::table::Table;

/// What has changed.
pub(super) enum Change {
    /// The oldest memtable is in a table; in none, if nothing of it has to be kept.
    Flushed {
        memtable: Arc<Memtable>,
        table: Option<Arc<Table>>,
        /// What it makes garbage of older tables, in bytes.
        garbage: Vec<(Arc<Table>, u64)>,
    },
    /// These tables have become one; none, if nothing of them has to be kept.
    Merged {
        merged: Vec<Arc<Table>>,
        table: Option<Arc<Table>>,
        /// Of what was dead in them, what is gone.
        settled_bytes: u64,
    },
}

/// Returns when the change is durable and readers see it. After an error nothing has changed, and the change's table goes.
pub(super) fn install(shared: &Shared, family: Family, change: Change) -> Result<(), WorkError> {
    let mut first_journal = shared
        .installing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    count_garbage(&change);
    let manifest = listed(shared, family, &change);
    let range_deletions = manifest.families[family as usize].range_deletions.clone();
    if let Err(source) = manifest.write(&*shared.disk, &shared.folder) {
        give_up(shared, &change);
        return Err(WorkError::io(&Manifest::path(&shared.folder), source));
    }
    match change {
        Change::Flushed {
            memtable, table, ..
        } => {
            let mut state = shared.write_state();
            let state = state.of_mut(family);
            state.flushed(&memtable, table);
            state.range_deletions = range_deletions;
        }
        Change::Merged { merged, table, .. } => {
            let mut state = shared.write_state();
            let state = state.of_mut(family);
            state.replace(&merged, table);
            state.range_deletions = range_deletions;
            merged.iter().for_each(|table| table.retire());
        }
    }
    let released = shared.journal().release_before(manifest.journal);
    *first_journal = manifest.journal;
    for file in released {
        // The next start removes it too.
        if let Err(error) = shared.disk.remove(&file) {
            warn!(%error, file = %file.display(), "journal that is no longer needed stays");
        }
    }
    Ok(())
}

/// Counts what is dead. What was dead in merged tables and is still there is dead in what they have become, and so is what a flush,
/// which still knows the old ones, finds out from here on.
fn count_garbage(change: &Change) {
    match change {
        Change::Flushed { garbage, .. } => {
            for (table, bytes) in garbage {
                table.bury_bytes(*bytes);
            }
        }
        Change::Merged {
            merged,
            table: Some(heir),
            settled_bytes,
        } => {
            let dead: u64 = merged.iter().map(|table| table.leave_to(heir)).sum();
            heir.bury_bytes(dead.saturating_sub(*settled_bytes));
        }
        Change::Merged { table: None, .. } => {}
    }
}

/// The change's table goes, unless the manifest that names it has come to stand there all the same: then it stays until the next
/// start finds out what is on disk.
fn give_up(shared: &Shared, change: &Change) {
    match change {
        Change::Flushed { garbage, .. } => {
            for (table, bytes) in garbage {
                table.unbury_bytes(*bytes);
            }
        }
        Change::Merged { merged, .. } => merged.iter().for_each(|table| table.leave_to_nobody()),
    }
    let (Change::Flushed { table, .. } | Change::Merged { table, .. }) = change;
    let Some(table) = table else { return };
    if let Ok(Some(manifest)) = Manifest::read(&*shared.disk, &shared.folder)
        && !manifest.names(table.id())
    {
        table.retire();
    } else {
        warn!(file = %table.path().display(), "table stays until the next start");
    }
}

/// Range deletions go when no table is left that they hide something of.
fn forget_useless(deletions: &mut Arc<RangeDeletions>, tables: &[Arc<Table>]) {
    if deletions.is_empty() {
        return;
    }
    let deletions = Arc::make_mut(deletions);
    deletions.prune(tables, |one, table| {
        one.flush > table.properties().flush && table.may_have(&one.from, &one.to)
    });
    let mut flushes: Vec<u64> = tables
        .iter()
        .map(|table| table.properties().flush)
        .collect();
    flushes.sort_unstable();
    deletions.join(|flush| flushes.partition_point(|of_table| *of_table < flush));
}

/// The manifest as the change makes it.
fn listed(shared: &Shared, family: Family, change: &Change) -> Manifest {
    let (mut families, mut tables, flushed) = {
        let state = shared.read_state();
        let flushing = match change {
            Change::Flushed { .. } => Some(family),
            Change::Merged { .. } => None,
        };
        let listed = state
            .families
            .each_ref()
            .map(super::state::FamilyState::listed);
        let tables = (*state.of(family).tables).clone();
        (listed, tables, state.flushed(flushing))
    };
    let listed = &mut families[family as usize];
    match change {
        Change::Flushed {
            memtable, table, ..
        } => {
            listed.flushed = listed.flushed.max(memtable.last_commit());
            listed.flushes += 1;
            let newer = memtable.range_deletions();
            if !newer.is_empty() {
                Arc::make_mut(&mut listed.range_deletions).overlay(&newer, listed.flushes);
            }
            tables.splice(0..0, table.clone());
        }
        Change::Merged { merged, table, .. } => {
            let is_merged =
                |table: &Arc<Table>| merged.iter().any(|merged| Arc::ptr_eq(merged, table));
            let at = tables.iter().position(is_merged).unwrap_or(0);
            tables.retain(|table| !is_merged(table));
            tables.splice(at..at, table.clone());
        }
    }
    listed.tables = tables.iter().map(|table| ListedTable::of(table)).collect();
    forget_useless(&mut listed.range_deletions, &tables);
    Manifest {
        next_table: shared.new_table_id(),
        journal: shared.journal().first_needed(flushed),
        in_tables: flushed,
        families,
    }
}
