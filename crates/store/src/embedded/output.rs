//! The table that a flush or a merge writes.

use std::path::PathBuf;
use std::sync::Arc;

use super::family::Family;
use super::shared::Shared;
use super::work_error::WorkError;
use crate::row::Row;
use crate::table::{Table, TableWriter};

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

    /// The table, with its name durable too; `None` if there was no row. Range deletions of flushes up to `flush` are carried out
    /// in it.
    pub(super) fn finish(
        mut self,
        commits: std::ops::RangeInclusive<u64>,
        flush: u64,
    ) -> Result<Option<Arc<Table>>, WorkError> {
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        let shared = self.shared;
        let io_error = |source| WorkError::io(&shared.folder, source);
        // What is older than this table was looked at when deletions were left out.
        let settled_before = shared.new_table_id();
        let (properties, length) = writer
            .finish(commits, settled_before, flush)
            .map_err(io_error)?;
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
