//! Checks a store: every block of every table, every commit of the journal, and whether the rows that rows name are there.
//! Must not change anything; a running store goes on meanwhile.

mod references;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::family::{self, Family};
use super::imaging::{self, PinnedJournal};
use super::manifest::{ListedFamily, Manifest};
use super::scale::Scale;
use super::shared::Shared;
use super::state::FamilyState;
use super::view::View;
use crate::disk::{Disk, ReadOnlyDisk};
use crate::error::StoreError;
use crate::journal;
use crate::progress::Progress;
use crate::table::{self, Blocks, Fault, Table, TableError, TableSpec};
use crate::watermark::{Found, Watermark};

/// Blocks that are kept while rows are looked up, apart from those of the people who use the store.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// So many bytes of rows between two words about progress.
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What, where, and which rows it costs.
    pub what: String,
}

/// What is told while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyEvent {
    /// How far it is.
    Progress(Progress),
    /// Something is wrong.
    Finding(Finding),
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The last commit.
    pub commit: u64,
    /// Tables.
    pub tables: u64,
    /// Their bytes.
    pub table_bytes: u64,
    /// Commits in the journal.
    pub journal_commits: u64,
    /// Rows that were read, deletions and what they hide left out.
    pub rows: u64,
    /// Rows of something that has ended, which the server strikes out by itself.
    pub leftovers: u64,
    /// What is wrong: how many `Finding`s there would be if each were told.
    pub findings: u64,
}

/// Where the files of a store that does not run are.
#[derive(Clone, Debug)]
pub(crate) struct StoreFiles {
    /// Journal and manifest.
    pub(crate) folder: PathBuf,
    /// Tables.
    pub(crate) tables: PathBuf,
    /// The file that says which commit was acknowledged last.
    pub(crate) watermark: PathBuf,
}

/// A store as it stands, to be checked.
pub struct Verifier {
    disk: Arc<dyn Disk>,
    tables: PathBuf,
    scale: Scale,
    /// The last commit, as far as it is known before the journal is read.
    commit: u64,
    manifest: Manifest,
    rows: Rows,
}

/// Where the rows are that are in no table.
enum Rows {
    /// In a running store's memtables, and in its journal, whose files are open.
    Pinned {
        views: Vec<View>,
        journal: Vec<PinnedJournal>,
    },
    /// In the journal alone.
    Files(StoreFiles),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Of a running store as it stands now. Its tables stay until this is dropped.
    pub(super) fn of_running(shared: &Shared) -> Result<Self, StoreError> {
        let pinned =
            imaging::pin(shared).map_err(|source| StoreError::io(&shared.folder, source))?;
        Ok(Self {
            disk: shared.disk.clone(),
            tables: shared.folder.clone(),
            scale: shared.scale,
            commit: pinned.commit,
            manifest: pinned.manifest,
            rows: Rows::Pinned {
                views: pinned.views,
                journal: pinned.journal,
            },
        })
    }

    /// Of files that nobody writes to.
    pub(crate) fn of_files(files: StoreFiles) -> Result<Self, StoreError> {
        let disk = Arc::new(ReadOnlyDisk);
        let Some(manifest) = Manifest::read(&*disk, &files.folder)? else {
            return Err(StoreError::Unusable {
                file: Manifest::path(&files.folder),
            });
        };
        Ok(Self {
            disk,
            tables: files.tables.clone(),
            scale: Scale::FULL,
            commit: manifest.in_tables,
            manifest,
            rows: Rows::Files(files),
        })
    }

    /// Checks everything. Takes as long as reading all of it does, and little memory beyond a number for every account,
    /// conversation and session.
    pub fn run(self, told: &mut dyn FnMut(VerifyEvent)) -> Verification {
        let mut check = Check {
            told,
            outcome: Verification {
                commit: self.commit,
                ..Verification::default()
            },
            done: 0,
            total: None,
            last_told: 0,
        };
        let blocks = Arc::new(Blocks::new(self.disk.clone(), CACHE_BYTES));
        let tables: Vec<Vec<Arc<Table>>> = Family::ALL
            .into_iter()
            .zip(&self.manifest.families)
            .map(|(family, listed)| {
                let spec = family.table_spec(self.scale);
                check.open(spec, listed, &blocks, &self.tables)
            })
            .collect();
        // Once for the blocks and once for the rows.
        let bytes = |table: &Arc<Table>| 2 * table.properties().bytes;
        check.total = Some(tables.iter().flatten().map(bytes).sum());
        for (family, tables) in Family::ALL.into_iter().zip(&tables) {
            for table in tables {
                check.table(family, table);
            }
        }
        let views = match &self.rows {
            Rows::Pinned { views, journal } => {
                for file in journal {
                    check.pinned_journal(file);
                }
                let views = views.iter().zip(tables);
                views
                    .map(|(view, tables)| View {
                        family: view.family,
                        memtables: view.memtables.clone(),
                        tables: Arc::new(tables),
                        range_deletions: view.range_deletions.clone(),
                    })
                    .collect()
            }
            Rows::Files(files) => check.journal(&*self.disk, files, &self.manifest, tables),
        };
        references::check(&views, &mut check);
        check.outcome
    }
}

/// A check that goes on.
struct Check<'a> {
    told: &'a mut dyn FnMut(VerifyEvent),
    outcome: Verification,
    done: u64,
    total: Option<u64>,
    last_told: u64,
}

impl Check<'_> {
    fn finding(&mut self, what: String) {
        self.outcome.findings += 1;
        (self.told)(VerifyEvent::Finding(Finding { what }));
    }

    /// One that is counted and not told.
    fn untold_finding(&mut self) {
        self.outcome.findings += 1;
    }

    fn took(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done - self.last_told >= PROGRESS_BYTES {
            self.last_told = self.done;
            (self.told)(VerifyEvent::Progress(Progress {
                done: self.done,
                // What newer rows hide is read once only.
                total: self.total.map(|total| total.max(self.done)),
            }));
        }
    }

    fn open(
        &mut self,
        spec: TableSpec,
        listed: &ListedFamily,
        blocks: &Arc<Blocks>,
        folder: &Path,
    ) -> Vec<Arc<Table>> {
        let mut tables = Vec::new();
        for listed in &listed.tables {
            match Table::open(blocks, folder, listed.id, spec, listed.dead) {
                Ok(table) => tables.push(Arc::new(table)),
                Err(TableError::Io { file, source }) => {
                    let file = file.display();
                    self.finding(format!("{file}: {source}: all its rows are lost"));
                }
                Err(TableError::Damaged(damage)) => {
                    let (file, offset) = (damage.file.display(), damage.offset);
                    self.finding(format!(
                        "{file} is damaged at byte {offset}, where it says what it holds: all its rows are lost"
                    ));
                }
            }
        }
        tables
    }

    fn table(&mut self, family: Family, table: &Arc<Table>) {
        self.outcome.tables += 1;
        self.outcome.table_bytes += table.length();
        let mut faults = Vec::new();
        let mut strays: u64 = 0;
        table::check(
            table,
            |key, bytes| {
                strays += u64::from(Family::of(key) != family);
                self.took(bytes);
            },
            |fault| faults.push(fault),
        );
        let file = table.path().display();
        for fault in faults {
            self.finding(match fault {
                Fault::Block(error) => error.to_string(),
                Fault::Filter(damage) => format!(
                    "{file} is damaged at byte {}: a filter, which costs no rows",
                    damage.offset
                ),
                Fault::Order(what) => format!("{file}: {what}"),
            });
        }
        if strays > 0 {
            let family = family.name();
            self.finding(format!(
                "{file}: {strays} of its rows are none of the family {family}"
            ));
        }
    }

    fn pinned_journal(&mut self, journal: &PinnedJournal) {
        let mut bytes = vec![0; usize::try_from(journal.bytes).unwrap_or(0)];
        match journal.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => match journal::check_file(journal.id, journal.path.clone(), &bytes) {
                Ok(commits) => self.outcome.journal_commits += commits,
                Err(error) => self.finding(error.to_string()),
            },
            Err(error) => self.finding(format!("{}: {error}", journal.path.display())),
        }
    }

    /// Checks journal and watermark, and reads what is in no table into memory.
    fn journal(
        &mut self,
        disk: &dyn Disk,
        files: &StoreFiles,
        manifest: &Manifest,
        tables: Vec<Vec<Arc<Table>>>,
    ) -> Vec<View> {
        let now = std::time::Instant::now();
        let states: Vec<FamilyState> = Family::ALL
            .into_iter()
            .zip(tables)
            .map(|(family, tables)| {
                let listed = &manifest.families[family as usize];
                FamilyState::new(family, Scale::FULL, tables, listed, now)
            })
            .collect();
        let watermark = Watermark::look(disk, &files.watermark).unwrap_or(Found::Damaged);
        if !matches!(watermark, Found::Mark(_)) {
            let file = files.watermark.display();
            self.finding(format!(
                "{file} is missing or damaged: nothing tells whether the store is complete"
            ));
        }
        let checked = match journal::check(disk, &files.folder, manifest.journal, watermark) {
            Ok(checked) => checked,
            Err(error) => {
                self.finding(format!("{}: {error}", files.folder.display()));
                return states.iter().map(View::of).collect();
            }
        };
        self.outcome.journal_commits = checked.commits;
        self.outcome.commit = checked.last_commit.unwrap_or(0).max(manifest.in_tables);
        let known = match watermark {
            Found::Mark(mark) => mark.commit.max(manifest.last_in_tables()),
            Found::Missing | Found::Damaged => manifest.last_in_tables(),
        };
        if known > self.outcome.commit && checked.loss.is_none() {
            let last = self.outcome.commit;
            self.finding(format!(
                "the store ends at commit {last}, but commit {known} had been acknowledged"
            ));
        }
        if let Some(loss) = checked.loss {
            self.finding(loss.to_string());
        }
        for id in checked.files {
            let read = journal::read(disk, &files.folder, id, |commit| {
                let segments = family::all_segments(commit.deleted_ranges());
                for state in states.iter().filter(|state| commit.number > state.flushed) {
                    state.apply(&segments, commit.changes(), commit.number);
                }
                Ok(())
            });
            if let Err(error) = read {
                self.finding(error.to_string());
            }
        }
        states.iter().map(View::of).collect()
    }
}
