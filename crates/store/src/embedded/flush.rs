//! Writes the oldest memtable of a family to a table.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::family::Family;
use super::install::{Change, install};
use super::maintenance::WorkError;
use super::older::Older;
use super::shared::Shared;
use crate::memtable::Snapshot;
use crate::merge::Merge;
use crate::row::{Bounds, Row};
use crate::table::{Table, TableWriter};

/// Flushes what was sealed first. The family must have a sealed memtable, and nobody else may flush it meanwhile.
pub(super) fn flush(shared: &Shared, family: Family) -> Result<(), WorkError> {
    let (memtable, tables, progress) = {
        let state = shared.read_state();
        let state = state.of(family);
        let Some(memtable) = state.sealed.last() else {
            return Ok(());
        };
        (
            memtable.clone(),
            state.tables.clone(),
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
    rows.add_memtable(memtable.clone(), Snapshot::ALL, Bounds::all());
    let mut older = Older::new(family, &tables);
    let mut output = Output::new(shared, family);
    while let Some((row, _)) = rows.next()? {
        progress.fetch_add(row.bytes(), Ordering::Relaxed);
        if older.needs(&row) {
            output.add(&row)?;
        }
    }
    let commits = memtable.first_commit()..=memtable.last_commit();
    let table = output.finish(commits)?;
    older.bury();
    let change = Change::Flushed {
        memtable: memtable.clone(),
        table,
    };
    install(shared, family, change)?;
    let bytes = memtable.bytes() as u64;
    shared.counters.flushed(bytes, begun.elapsed());
    shared.wakeup.ring();
    Ok(())
}

/// A table that is begun with its first row, if there is one.
pub(super) struct Output<'a> {
    shared: &'a Shared,
    family: Family,
    writer: Option<TableWriter>,
    /// The file, until it is a table.
    begun: Option<PathBuf>,
}

impl<'a> Output<'a> {
    pub(super) fn new(shared: &'a Shared, family: Family) -> Self {
        Self {
            shared,
            family,
            writer: None,
            begun: None,
        }
    }

    pub(super) fn add(&mut self, row: &Row) -> Result<(), WorkError> {
        let shared = self.shared;
        let io_error = |source| WorkError::io(&shared.folder, source);
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let id = shared.new_table_id();
                let path = shared.folder.join(id.file_name());
                let spec = self.family.table_spec(shared.scale);
                let writer =
                    TableWriter::create(&*shared.disk, &path, id, spec).map_err(io_error)?;
                self.begun = Some(path);
                writer
            }
        };
        writer
            .add(&row.key, row.value.as_deref())
            .map_err(io_error)?;
        self.writer = Some(writer);
        shared.counters.advanced();
        Ok(())
    }

    /// The table, with its name durable too; `None` if there was no row.
    pub(super) fn finish(
        mut self,
        commits: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<Arc<Table>>, WorkError> {
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        let shared = self.shared;
        let io_error = |source| WorkError::io(&shared.folder, source);
        // What is older than this table was looked at when deletions were left out.
        let settled_before = shared.new_table_id();
        let (properties, length) = writer.finish(commits, settled_before).map_err(io_error)?;
        shared.counters.wrote_table(length);
        shared.disk.sync_folder(&shared.folder).map_err(io_error)?;
        let spec = self.family.table_spec(shared.scale);
        let table = Table::open(&shared.blocks, &shared.folder, properties.id, spec, 0)?;
        // From here on it is the table's.
        self.begun = None;
        Ok(Some(Arc::new(table)))
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        // Given up: what is there of the file is of no use, and takes room that may be what there was none of.
        if let Some(path) = &self.begun
            && let Err(error) = self.shared.disk.remove(path)
        {
            tracing::debug!(%error, file = %path.display(), "unfinished table stays until the next start");
        }
    }
}
