//! Opens a store: judges what is on disk, reads what is in no table, and checks that nothing acknowledged is missing.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use records::key::{self, META_FORMAT};
use records::{FORMAT_VERSION, Write};
use tracing::{info, warn};

use super::family::{self, Family};
use super::manifest::{ListedFamily, Manifest};
use super::shared::{Parts, Shared};
use super::state::{FamilyState, State};
use super::{
    Durability, EmbeddedStore, OpenOptions, STORE_FOLDER, WATERMARK_FILE, maintenance, view,
};
use crate::contract::{Batch, Store};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::{
    self, Inspection, JOURNAL_FILE_BYTES, JOURNAL_HEADER_BYTES, JournalId, JournalWriter,
};
use crate::table::{Blocks, Table, TableError, TableId};
use crate::watermark::{Found, Mark, Watermark};

/// What is read of the journal is flushed when it takes so much memory.
const REPLAY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What is opened, and how.
struct Opening<'a> {
    disk: Arc<dyn Disk>,
    data_dir: &'a Path,
    folder: std::path::PathBuf,
    mark_file: std::path::PathBuf,
    found: Found,
    options: OpenOptions,
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    data_dir: &Path,
    options: OpenOptions,
) -> Result<Shared, StoreError> {
    let begun = Instant::now();
    let mark_file = data_dir.join(WATERMARK_FILE);
    let found =
        Watermark::look(&*disk, &mark_file).map_err(|source| StoreError::io(&mark_file, source))?;
    let opening = Opening {
        folder: data_dir.join(STORE_FOLDER),
        disk,
        data_dir,
        mark_file,
        found,
        options,
    };
    let mut manifest = opening.manifest()?;
    // What this start goes on from must not be undone by a power cut when it has removed what it does not need.
    opening.sync_names()?;
    let inspection = journal::inspect(
        &*opening.disk,
        data_dir,
        &opening.folder,
        manifest.journal,
        opening.found,
        options.accept_loss,
    )?;
    let committed = inspection.last_commit.unwrap_or(0).max(manifest.in_tables);
    opening.check_complete(committed, manifest.last_in_tables())?;
    manifest.go_back_to(committed);
    let blocks = Arc::new(Blocks::new(opening.disk.clone(), options.cache_bytes));
    let state = opening.tables(&manifest, &blocks)?;
    opening.remove_unknown(&manifest)?;
    let journal = opening.journal(&manifest, &inspection, committed)?;
    opening.accept(&mut manifest, &journal)?;
    let files: Vec<JournalId> = inspection.files.iter().map(|(id, _, _)| *id).collect();
    let shared = Shared::new(Parts {
        disk: opening.disk.clone(),
        folder: opening.folder.clone(),
        blocks,
        state,
        journal,
        first_journal: manifest.journal,
        next_table: manifest.next_table,
        watermark: opening.watermark(committed)?,
        committed,
        each_synced: options.durability == Durability::Always,
        accept_loss: options.accept_loss,
        scale: options.scale,
        background: options.background,
    });
    opening.replay(&shared, &files, inspection.last_commit)?;
    shared.write_state().applied = committed;
    check_format(&shared)?;
    inspection.settle(&*opening.disk, options.accept_loss)?;
    let took = begun.elapsed();
    info!(path = %shared.folder.display(), commits = committed, ?took, "store open");
    Ok(shared)
}

impl Opening<'_> {
    fn io(&self, source: std::io::Error) -> StoreError {
        StoreError::io(&self.folder, source)
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        self.disk
            .sync_folder(&self.folder)
            .map_err(|source| self.io(source))
    }

    /// The manifest, or that of a new store where nothing was ever committed.
    fn manifest(&self) -> Result<Manifest, StoreError> {
        if let Some(manifest) = Manifest::read(&*self.disk, &self.folder)? {
            return Ok(manifest);
        }
        let known = match self.found {
            Found::Mark(mark) => mark.commit,
            Found::Missing | Found::Damaged => 0,
        };
        let names = self
            .disk
            .list(&self.folder)
            .map_err(|source| self.io(source))?;
        let has_tables = names
            .iter()
            .any(|name| TableId::of_file_name(name).is_some());
        let has_journal = names
            .iter()
            .any(|name| JournalId::of_file_name(name).is_some());
        if has_tables || (has_journal && known > 0) || self.has_commits(&names)? {
            return Err(StoreError::Unusable {
                file: Manifest::path(&self.folder),
            });
        }
        if known > 0 && !self.options.accept_loss {
            return Err(StoreError::MissingCommits {
                path: self.folder.clone(),
                found: 0,
                expected: known,
            });
        }
        // Whatever is there is of a first start that was cut off.
        for name in names {
            self.disk
                .remove(&self.folder.join(name))
                .map_err(|source| self.io(source))?;
        }
        self.disk
            .make_folder(&self.folder)
            .and_then(|()| self.disk.sync_folder(self.data_dir))
            .map_err(|source| self.io(source))?;
        let manifest = Manifest::new();
        let begun = JournalWriter::begin(
            self.disk.clone(),
            self.folder.clone(),
            manifest.journal,
            1,
            VecDeque::new(),
            self.options.scale.bytes(JOURNAL_FILE_BYTES),
        );
        begun
            .and_then(|_| manifest.write(&*self.disk, &self.folder))
            .map_err(|source| self.io(source))?;
        Ok(manifest)
    }

    /// Whether there is more in the journal than a first start that was cut off leaves there.
    fn has_commits(&self, names: &[String]) -> Result<bool, StoreError> {
        for id in names
            .iter()
            .filter_map(|name| JournalId::of_file_name(name))
        {
            let path = id.path(&self.folder);
            let bytes = self
                .disk
                .open(&path)
                .and_then(|file| file.read_to_end())
                .map_err(|source| StoreError::io(&path, source))?;
            if bytes
                .iter()
                .skip(JOURNAL_HEADER_BYTES)
                .any(|byte| *byte != 0)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `in_tables` is the last commit that a table has rows of: the journal must lead up to it.
    fn check_complete(&self, committed: u64, in_tables: u64) -> Result<(), StoreError> {
        let accept_loss = self.options.accept_loss;
        let expected = match self.found {
            Found::Mark(mark) => mark.commit.max(in_tables),
            // Without commits there is nothing to miss: the first start was cut off.
            Found::Missing | Found::Damaged if committed == 0 => 0,
            Found::Missing | Found::Damaged if accept_loss => {
                warn!(file = %self.mark_file.display(), "watermark missing, completeness taken on trust");
                committed
            }
            Found::Missing | Found::Damaged => {
                return Err(StoreError::Watermark {
                    file: self.mark_file.clone(),
                });
            }
        };
        if committed >= expected {
            return Ok(());
        }
        if accept_loss {
            warn!(
                found = committed,
                expected, "acknowledged commits are lost, as was accepted"
            );
            return Ok(());
        }
        Err(StoreError::MissingCommits {
            path: self.folder.clone(),
            found: committed,
            expected,
        })
    }

    fn tables(&self, manifest: &Manifest, blocks: &Arc<Blocks>) -> Result<State, StoreError> {
        let now = Instant::now();
        let mut states = Vec::new();
        for (family, listed) in Family::ALL.into_iter().zip(&manifest.families) {
            let tables = self.tables_of(family, listed, blocks)?;
            states.push(FamilyState::new(
                family,
                self.options.scale,
                tables,
                listed,
                now,
            ));
        }
        let families = states.try_into().expect("as many states as families");
        // The replay begins behind it.
        let applied = manifest.in_tables;
        Ok(State { applied, families })
    }

    fn tables_of(
        &self,
        family: Family,
        listed: &ListedFamily,
        blocks: &Arc<Blocks>,
    ) -> Result<Vec<Arc<Table>>, StoreError> {
        let mut tables = Vec::with_capacity(listed.tables.len());
        for table in &listed.tables {
            let spec = family.table_spec(self.options.scale);
            let loss = match Table::open(blocks, &self.folder, table.id, spec, table.dead) {
                // One of a flush that has not been would not be hidden by what is deleted later.
                Ok(other) if other.properties().flush > listed.flushes => {
                    StoreError::DamagedTable {
                        detail: format!(
                            "{} is of a flush that the manifest does not know",
                            other.path().display()
                        ),
                    }
                }
                Ok(table) => {
                    tables.push(Arc::new(table));
                    continue;
                }
                Err(TableError::Io { file, source }) => {
                    if source.kind() != std::io::ErrorKind::NotFound {
                        return Err(StoreError::io(&file, source));
                    }
                    StoreError::MissingFile { file }
                }
                Err(error @ TableError::Damaged(_)) => StoreError::DamagedTable {
                    detail: error.to_string(),
                },
            };
            if !self.options.accept_loss {
                return Err(loss);
            }
            warn!(%loss, "accepted");
        }
        Ok(tables)
    }

    /// Removes files that a crash has left and that nothing names.
    fn remove_unknown(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let names = self
            .disk
            .list(&self.folder)
            .map_err(|source| self.io(source))?;
        for name in names {
            let unnamed = TableId::of_file_name(&name).is_some_and(|id| !manifest.names(id));
            if unnamed || name.ends_with(".new") {
                self.disk
                    .remove(&self.folder.join(name))
                    .map_err(|source| self.io(source))?;
            }
        }
        Ok(())
    }

    /// The journal, to go on with behind its last whole commit.
    fn journal(
        &self,
        manifest: &Manifest,
        inspection: &Inspection,
        committed: u64,
    ) -> Result<JournalWriter, StoreError> {
        let (disk, folder) = (self.disk.clone(), self.folder.clone());
        let file_bytes = self.options.scale.bytes(JOURNAL_FILE_BYTES);
        let files = inspection.files.iter();
        let mut ended: VecDeque<(JournalId, u64, u64)> = files
            .map(|(id, last_commit, length)| (*id, last_commit.unwrap_or(0), *length))
            .collect();
        let newest = inspection.files.last();
        let journal = match newest {
            // Its header is whole, and it leads up to where the store is.
            Some((id, Some(last_commit), length)) if *last_commit == committed => {
                ended.pop_back();
                let end = (committed, *length);
                JournalWriter::resume(disk, folder, *id, end, ended, file_bytes)
            }
            // It holds nothing, not even a header.
            Some((id, None, _)) => {
                ended.pop_back();
                JournalWriter::begin(disk, folder, *id, committed + 1, ended, file_bytes)
            }
            // Its end was lost, and tables hold more than what is left of it.
            Some((id, Some(_), _)) => {
                let next = JournalId(id.0 + 1);
                JournalWriter::begin(disk, folder, next, committed + 1, ended, file_bytes)
            }
            None => JournalWriter::begin(
                disk,
                folder,
                manifest.journal,
                committed + 1,
                ended,
                file_bytes,
            ),
        };
        journal.map_err(|source| self.io(source))
    }

    /// Where something was lost, notes what the store goes on from, so that the next start is an ordinary one.
    fn accept(&self, manifest: &mut Manifest, journal: &JournalWriter) -> Result<(), StoreError> {
        if !self.options.accept_loss {
            return Ok(());
        }
        manifest.journal = journal.first_needed(manifest.in_tables);
        manifest
            .write(&*self.disk, &self.folder)
            .map_err(|source| self.io(source))
    }

    fn watermark(&self, committed: u64) -> Result<Watermark, StoreError> {
        let mark = Mark {
            commit: committed,
            each_synced: self.options.durability == Durability::Always,
        };
        let watermark = Watermark::reset(&*self.disk, &self.mark_file, mark)
            .map_err(|source| StoreError::io(&self.mark_file, source))?;
        self.disk
            .sync_folder(self.data_dir)
            .map_err(|source| StoreError::io(self.data_dir, source))?;
        Ok(watermark)
    }

    /// Brings what is in no table into the memtables, and these into tables when they are full.
    fn replay(
        &self,
        shared: &Shared,
        files: &[JournalId],
        last_commit: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut replayed = None;
        for id in files {
            journal::read(&*self.disk, &self.folder, *id, |commit| {
                replayed = Some(commit.number);
                replay_commit(shared, commit)
            })?;
        }
        if replayed != last_commit {
            let text = "the journal was read twice and differs: the disk or the memory is faulty";
            return Err(self.io(std::io::Error::other(text)));
        }
        for family in &mut shared.write_state().families {
            family.replayed();
        }
        Ok(())
    }
}

fn replay_commit(shared: &Shared, commit: journal::Commit<'_>) -> Result<(), StoreError> {
    let now = Instant::now();
    let segments = family::all_segments(commit.deleted_ranges());
    let mut state = shared.write_state();
    for family in &mut state.families {
        if commit.number > family.flushed
            && family.apply(&segments, commit.changes(), commit.number)
            && family.is_as_large_as_may_be()
        {
            family.seal(now);
        }
    }
    state.applied = commit.number;
    // Flushes can wait until clients are served, as long as there is memory.
    let full = state.memtable_bytes() > shared.scale.memory(REPLAY_BYTES_MAX);
    drop(state);
    if full {
        shared.seal_all();
        maintenance::flush_all(shared).map_err(|error| {
            StoreError::io(&shared.folder, std::io::Error::other(error.to_string()))
        })?;
    }
    Ok(())
}

fn check_format(shared: &Shared) -> Result<(), StoreError> {
    let there_is_one = find_format(shared)?;
    if there_is_one || shared.committed() == 0 || shared.accept_loss {
        return Ok(());
    }
    Err(StoreError::Foreign {
        path: shared.folder.clone(),
    })
}

/// Whether the store says which format it has; refuses one that this program does not know.
fn find_format(shared: &Shared) -> Result<bool, StoreError> {
    let foreign = || StoreError::Foreign {
        path: shared.folder.clone(),
    };
    let value =
        view::get(shared, &key::meta(META_FORMAT)).map_err(|error| StoreError::DamagedTable {
            detail: error.to_string(),
        })?;
    let Some(value) = value else {
        return Ok(false);
    };
    let found = u32::from_be_bytes(value.as_ref().try_into().map_err(|_| foreign())?);
    let path = shared.folder.clone();
    match found.cmp(&FORMAT_VERSION) {
        Ordering::Less => Err(StoreError::OlderFormat { path, found }),
        Ordering::Equal => Ok(true),
        Ordering::Greater => Err(StoreError::NewerFormat { path, found }),
    }
}

/// The first commit of every data directory, and the first after a loss that took it.
pub(super) fn write_format(store: &EmbeddedStore, data_dir: &Path) -> Result<(), StoreError> {
    let found = store
        .get(&key::meta(META_FORMAT))
        .map_err(|error| StoreError::io(data_dir, std::io::Error::other(error)))?;
    if found.is_some() {
        return Ok(());
    }
    let format = Write::Put {
        key: key::meta(META_FORMAT),
        value: FORMAT_VERSION.to_be_bytes().to_vec(),
    };
    store
        .commit(Batch {
            writes: vec![format],
            ..Batch::default()
        })
        .map_err(|error| StoreError::io(data_dir, std::io::Error::other(error)))
}
