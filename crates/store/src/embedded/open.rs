//! Opens a store: judges what is on disk, reads what is in no table, and checks that nothing acknowledged is missing.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use records::key::{self, META_FORMAT};
use records::{FORMAT_VERSION, Write};
use tracing::{info, warn};

use super::family::Family;
use super::manifest::{ListedFamily, Manifest};
use super::shared::{Parts, Shared};
use super::state::{FamilyState, State};
use super::{Durability, EmbeddedStore, OpenOptions, STORE_FOLDER, WATERMARK_FILE, maintenance, view};
use crate::contract::{Batch, Store};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::{self, Inspection, JournalId, JournalWriter};
use crate::table::{Blocks, Table, TableError, TableId};
use crate::watermark::{Found, Mark, Watermark};

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
    let found = Watermark::look(&*disk, &mark_file)
        .map_err(|source| StoreError::io(&mark_file, source))?;
    let opening = Opening {
        folder: data_dir.join(STORE_FOLDER),
        disk,
        data_dir,
        mark_file,
        found,
        options,
    };
    let manifest = opening.manifest()?;
    let inspection = journal::inspect(
        &*opening.disk,
        data_dir,
        &opening.folder,
        manifest.journal,
        opening.found,
        options.accept_loss,
    )?;
    let committed = inspection.last_commit.unwrap_or(0).max(manifest.commit);
    opening.check_complete(committed)?;
    let blocks = Arc::new(Blocks::new(opening.disk.clone(), options.cache_bytes));
    let state = opening.tables(&manifest, &blocks)?;
    opening.remove_strangers(&manifest)?;
    let journal = opening.journal(&manifest, &inspection, committed)?;
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
    });
    opening.replay(&shared, &files)?;
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

    /// The manifest, or that of a new store where nothing was ever committed.
    fn manifest(&self) -> Result<Manifest, StoreError> {
        if let Some(manifest) = Manifest::read(&*self.disk, &self.folder)? {
            return Ok(manifest);
        }
        let known = match self.found {
            Found::Mark(mark) => mark.commit,
            Found::Missing | Found::Damaged => 0,
        };
        let names = self.disk.list(&self.folder).map_err(|source| self.io(source))?;
        let has_tables = names.iter().any(|name| TableId::of_file_name(name).is_some());
        let has_journal = names.iter().any(|name| JournalId::of_file_name(name).is_some());
        if has_tables || (has_journal && known > 0) {
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
        );
        begun
            .and_then(|_| manifest.write(&*self.disk, &self.folder))
            .map_err(|source| self.io(source))?;
        Ok(manifest)
    }

    fn check_complete(&self, committed: u64) -> Result<(), StoreError> {
        let accept_loss = self.options.accept_loss;
        let expected = match self.found {
            Found::Mark(mark) => mark.commit,
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
            warn!(found = committed, expected, "acknowledged commits are lost, as was accepted");
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
            states.push(FamilyState::new(family, tables, listed.flushed, now));
        }
        let families = states.try_into().expect("as many states as families");
        Ok(State { families })
    }

    fn tables_of(
        &self,
        family: Family,
        listed: &ListedFamily,
        blocks: &Arc<Blocks>,
    ) -> Result<Vec<Arc<Table>>, StoreError> {
        let mut tables = Vec::with_capacity(listed.tables.len());
        for table in &listed.tables {
            let spec = family.table_spec();
            let loss = match Table::open(blocks, &self.folder, table.id, spec, table.dead) {
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
    fn remove_strangers(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let names = self.disk.list(&self.folder).map_err(|source| self.io(source))?;
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
        let files = inspection.files.iter();
        let mut ended: VecDeque<(JournalId, u64, u64)> = files
            .map(|(id, last_commit, length)| (*id, last_commit.unwrap_or(0), *length))
            .collect();
        let newest = inspection.files.last();
        let journal = match newest {
            // Its header is whole, and what it holds leads up to where the store is.
            Some((id, Some(last_commit), length)) if *last_commit == committed => {
                ended.pop_back();
                JournalWriter::resume(disk, folder, *id, (committed, *length), ended)
            }
            // It holds nothing, not even a header.
            Some((id, None, _)) => {
                ended.pop_back();
                JournalWriter::begin(disk, folder, *id, committed + 1, ended)
            }
            Some((id, Some(_), _)) => {
                let next = JournalId(id.0 + 1);
                JournalWriter::begin(disk, folder, next, committed + 1, ended)
            }
            None => JournalWriter::begin(disk, folder, manifest.journal, committed + 1, ended),
        };
        journal.map_err(|source| self.io(source))
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
    fn replay(&self, shared: &Shared, files: &[JournalId]) -> Result<(), StoreError> {
        for id in files {
            journal::read(&*self.disk, &self.folder, *id, |commit| {
                replay_commit(shared, commit)
            })?;
        }
        Ok(())
    }
}

fn replay_commit(shared: &Shared, commit: journal::Commit<'_>) -> Result<(), StoreError> {
    let writes: Vec<Write> = commit.writes().collect();
    let now = Instant::now();
    let mut sealed = false;
    let mut state = shared.write_state();
    for family in &mut state.families {
        let of_family = |write: &&Write| Family::of(write.key()) == family.family;
        if commit.number <= family.flushed || !writes.iter().any(|write| of_family(&write)) {
            continue;
        }
        family
            .active
            .apply(writes.iter().filter(of_family), commit.number);
        if family.is_full() {
            family.seal(now);
            sealed = true;
        }
    }
    drop(state);
    if sealed {
        maintenance::flush_all(shared).map_err(|error| {
            StoreError::io(&shared.folder, std::io::Error::other(error.to_string()))
        })?;
    }
    Ok(())
}

fn check_format(shared: &Shared) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign {
        path: shared.folder.clone(),
    };
    let value = view::get(shared, &key::meta(META_FORMAT))
        .map_err(|error| StoreError::DamagedTable {
            detail: error.to_string(),
        })?;
    let Some(value) = value else {
        return if shared.committed() == 0 || shared.accept_loss {
            Ok(())
        } else {
            Err(foreign())
        };
    };
    let found = u32::from_be_bytes(value.as_ref().try_into().map_err(|_| foreign())?);
    if found > FORMAT_VERSION {
        return Err(StoreError::NewerFormat {
            path: shared.folder.clone(),
            found,
        });
    }
    Ok(())
}

/// The first commit of every data directory.
pub(super) fn write_format(store: &EmbeddedStore, data_dir: &Path) -> Result<(), StoreError> {
    let format = Write::Put {
        key: key::meta(META_FORMAT),
        value: FORMAT_VERSION.to_be_bytes().to_vec(),
    };
    store
        .commit(Batch {
            preconditions: Vec::new(),
            writes: vec![format],
        })
        .map_err(|error| StoreError::io(data_dir, std::io::Error::other(error)))
}
