//! Takes an image of a store that goes on: pins the tables of a moment, and the journal's files up to the last commit in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use records::FORMAT_VERSION;

use super::manifest::Manifest;
use super::shared::Shared;
use super::view::View;
use super::{STORE_FOLDER, WATERMARK_FILE};
use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::image::{Identity, Image, ImageFile, ImageHeader, Piece};
use crate::journal::JournalId;
use crate::table::Table;
use crate::watermark::{Mark, Watermark};

/// A store as it stands at a moment. No file of it goes while this lives.
pub(super) struct Pinned {
    /// The last commit in it.
    pub(super) commit: u64,
    /// What belongs to it.
    pub(super) manifest: Manifest,
    /// One for each family.
    pub(super) views: Vec<View>,
    /// The journal's files, oldest first: open, because their names may go, and up to which byte they belong to the moment.
    pub(super) journal: Vec<PinnedJournal>,
}

/// A file of the journal.
pub(super) struct PinnedJournal {
    pub(super) id: JournalId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) bytes: u64,
}

/// Pins the store as it is. Commits go on; flushes and merges wait for a moment with what they have made.
pub(super) fn pin(shared: &Shared) -> io::Result<Pinned> {
    // While this is held, no table becomes the store's or ceases to be, and no journal file goes.
    let _installing = shared
        .installing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let (views, families, flushed) = {
        let state = shared.read_state();
        let views: Vec<View> = state.families.iter().map(View::of).collect();
        let listed = state
            .families
            .each_ref()
            .map(super::state::FamilyState::listed);
        (views, listed, state.flushed(None))
    };
    // Behind the tables: the journal holds every commit that they do. Its last one may not be synced yet, and is there wholly.
    let (first, commit, files, newest) = {
        let journal = shared.journal();
        let first = journal.first_needed(flushed);
        (
            first,
            journal.last_commit(),
            journal.files(),
            journal.file(),
        )
    };
    let mut journal = Vec::new();
    let needed = files.iter().filter(|(id, _)| *id >= first);
    for (id, bytes) in needed.copied() {
        let path = id.path(&shared.folder);
        let is_newest = files.last().is_some_and(|(last, _)| *last == id);
        let file = if is_newest {
            newest.clone()
        } else {
            shared.disk.open(&path)?
        };
        journal.push(PinnedJournal {
            id,
            path,
            file,
            bytes,
        });
    }
    Ok(Pinned {
        commit,
        manifest: Manifest {
            next_table: shared.next_table_id(),
            journal: first,
            in_tables: flushed,
            families,
        },
        views,
        journal,
    })
}

/// The files of the last commit.
pub(super) fn image(shared: &Shared) -> Result<Image, StoreError> {
    let data_dir = data_dir(shared);
    let io_error = |source| StoreError::io(data_dir, source);
    let identity = Identity::of(&*shared.disk, data_dir).map_err(io_error)?;
    let pinned = pin(shared).map_err(io_error)?;
    let commit = pinned.commit;
    let mut contents = Files::default();
    // First of all: a restore that is cut off behind it does not pass for a data directory in which nothing happened yet.
    let mark = Mark {
        commit,
        each_synced: true,
    };
    contents.add(WATERMARK_FILE.to_owned(), Watermark::file_contents(mark));
    for table in pinned.views.iter().flat_map(|view| view.tables.iter()) {
        contents
            .add_table(table)
            .map_err(|error| StoreError::DamagedTable {
                detail: error.to_string(),
            })?;
    }
    for journal in pinned.journal {
        let name = in_store(&journal.path);
        contents.push(name, journal.bytes, Piece::File(journal.file));
    }
    // Last: without it a store is none.
    contents.add(
        in_store(&Manifest::path(&shared.folder)),
        pinned.manifest.encode(),
    );
    let header = ImageHeader {
        identity,
        commit,
        format: FORMAT_VERSION,
        files: contents.files,
    };
    Ok(Image::new(header, contents.pieces, shared.disk.clone()))
}

/// The folder that holds the store's.
fn data_dir(shared: &Shared) -> &Path {
    shared.folder.parent().unwrap_or(Path::new("."))
}

/// The place in the data directory of a file of the store.
fn in_store(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("{STORE_FOLDER}/{}", name.to_string_lossy())
}

/// Files of an image, as they are put together.
#[derive(Default)]
struct Files {
    files: Vec<ImageFile>,
    pieces: Vec<Piece>,
}

impl Files {
    fn push(&mut self, name: String, bytes: u64, piece: Piece) {
        self.files.push(ImageFile {
            name,
            bytes,
            fingerprint: None,
        });
        self.pieces.push(piece);
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.push(name, bytes.len() as u64, Piece::Bytes(bytes));
    }

    fn add_table(&mut self, table: &Arc<Table>) -> Result<(), crate::table::TableError> {
        self.files.push(ImageFile {
            name: in_store(table.path()),
            bytes: table.length(),
            fingerprint: Some(table.fingerprint()?),
        });
        self.pieces.push(Piece::Table(table.clone()));
        Ok(())
    }
}
