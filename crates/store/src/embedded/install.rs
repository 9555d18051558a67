//! Makes a change of the tables the store's: first on disk, in the manifest, and then for readers.

use std::sync::{Arc, PoisonError};

use tracing::warn;

use super::family::Family;
use super::manifest::{ListedTable, Manifest};
use super::shared::Shared;
use super::work_error::WorkError;
use crate::memtable::Memtable;
use crate::table::Table;

/// What has changed.
pub(super) enum Change {
    /// The oldest memtable is in a table; in none, if nothing of it has to be kept.
    Flushed {
        memtable: Arc<Memtable>,
        table: Option<Arc<Table>>,
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
    hand_on(&change);
    let manifest = listed(shared, family, &change);
    if let Err(source) = manifest.write(&*shared.disk, &shared.folder) {
        give_up(shared, &change);
        return Err(WorkError::io(&Manifest::path(&shared.folder), source));
    }
    match change {
        Change::Flushed { memtable, table } => {
            shared
                .write_state()
                .of_mut(family)
                .flushed(&memtable, table);
        }
        Change::Merged { merged, table, .. } => {
            shared.write_state().of_mut(family).replace(&merged, table);
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

/// What was dead in merged tables and is still there is dead in what they have become, and so is what a flush, which still knows the
/// old ones, finds out from here on.
fn hand_on(change: &Change) {
    let Change::Merged {
        merged,
        table: Some(heir),
        settled_bytes,
    } = change
    else {
        return;
    };
    let dead: u64 = merged.iter().map(|table| table.leave_to(heir)).sum();
    heir.bury_bytes(dead.saturating_sub(*settled_bytes));
}

/// The change's table goes, unless the manifest that names it has come to stand there all the same: then it stays until the next
/// start finds out what is on disk.
fn give_up(shared: &Shared, change: &Change) {
    if let Change::Merged { merged, .. } = change {
        merged.iter().for_each(|table| table.leave_to_nobody());
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

/// The manifest as the change makes it.
fn listed(shared: &Shared, family: Family, change: &Change) -> Manifest {
    let (mut families, flushed) = {
        let state = shared.read_state();
        let flushing = match change {
            Change::Flushed { .. } => Some(family),
            Change::Merged { .. } => None,
        };
        let listed = state
            .families
            .each_ref()
            .map(super::state::FamilyState::listed);
        (listed, state.flushed(flushing))
    };
    let listed = &mut families[family as usize];
    match change {
        Change::Flushed { memtable, table } => {
            listed.flushed = listed.flushed.max(memtable.last_commit());
            if let Some(table) = table {
                listed.tables.insert(0, ListedTable::of(table));
            }
        }
        Change::Merged { merged, table, .. } => {
            let is_merged =
                |listed: &ListedTable| merged.iter().any(|table| table.id() == listed.id);
            let at = listed.tables.iter().position(is_merged).unwrap_or(0);
            listed.tables.retain(|table| !is_merged(table));
            if let Some(table) = table {
                listed.tables.insert(at, ListedTable::of(table));
            }
        }
    }
    Manifest {
        next_table: shared.new_table_id(),
        journal: shared.journal().first_needed(flushed),
        in_tables: flushed,
        families,
    }
}
