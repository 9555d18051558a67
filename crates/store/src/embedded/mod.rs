//! The store in the data directory: a journal that every commit is synced to, memtables that it is read from at first, and
//! sorted tables that these are written to and that are merged behind the scenes (docs/decisions/0009).
//! Must not open what has lost an acknowledged commit without being told to.

mod family;
mod manifest;
mod scale;
mod state;

mod counters;
mod shared;
mod view;
mod wakeup;
mod work_error;
mod write;

mod flush;
mod imaging;
mod install;
mod maintenance;
mod merging;
mod older;
mod output;
mod pace;
mod policy;

mod open;
mod statistics;
mod syncer;
mod verify;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use records::KeyRange;
use tracing::{error, warn};

use crate::contract::{Batch, CommitError, Range, ReadError, Store, check_batch};
use crate::data_dir::DataDir;
use crate::disk::{Disk, OsDisk};
use crate::error::StoreError;
use crate::image::Image;
use maintenance::Maintenance;
pub use scale::Scale;
use shared::Shared;
pub use statistics::{FamilyStatistics, StoreStatistics, TableStatistics};
use syncer::Syncer;
pub(crate) use verify::StoreFiles;
pub use verify::{Finding, Verification, Verifier, VerifyEvent};

/// The store's folder in the data directory.
pub(crate) const STORE_FOLDER: &str = "store";

/// The watermark's file in the data directory.
pub(crate) const WATERMARK_FILE: &str = "committed";

/// The block cache, unless the options say otherwise.
pub const CACHE_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;

/// What is in no table is in the journal, and is flushed when it makes the journal longer than this.
pub const JOURNAL_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// Ranges that are deleted in a family's tables and not yet merged away stand in memory. From so many bytes of them on, keys are
/// deleted in their place.
const RANGE_DELETION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is in memory is flushed at the end if the next start would have to read a journal as long as this.
const FLUSHED_AT_END_BYTES: u64 = 2 * 1024 * 1024;

/// When a commit is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it returns: one fdatasync each.
    #[default]
    Always,
    /// At the latest so much later. Survives the process, not a power cut in between.
    Interval(Duration),
}

/// Who flushes and merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Threads of the store.
    #[default]
    Threads,
    /// Whoever calls `EmbeddedStore::maintain`, so that a test can say when.
    Caller,
}

/// How to open an `EmbeddedStore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// When a commit is on disk.
    pub durability: Durability,
    /// Size of the block cache.
    pub cache_bytes: u64,
    /// Go on with what can be read if acknowledged commits are missing, and say in the log what was cut off.
    pub accept_loss: bool,
    /// Who flushes and merges.
    pub background: Background,
    /// How large buffers and files become.
    pub scale: Scale,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            cache_bytes: CACHE_BYTES_DEFAULT,
            accept_loss: false,
            background: Background::Threads,
            scale: Scale::FULL,
        }
    }
}

/// An ordered key-value store in a directory.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// One commit at a time: its preconditions and its writes see nothing of another.
    writer: Mutex<()>,
    maintenance: Option<Maintenance>,
    syncer: Option<Syncer>,
    /// Keeps the data directory this process's own.
    _lock: Option<Arc<File>>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("committed", &self.committed())
            .finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store of a data directory, or makes it. If it is refused, nothing that can be read was
    /// removed.
    pub fn open(data_dir: &DataDir, options: OpenOptions) -> Result<Self, StoreError> {
        let mut store = Self::open_on(Arc::new(OsDisk), data_dir.path(), options)?;
        store._lock = Some(data_dir.lock());
        Ok(store)
    }

    /// The same on a disk of the caller's, for tests. Nobody else may have the directory open.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        options: OpenOptions,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(open::open(disk, data_dir, options)?);
        let io_error = |source| StoreError::io(data_dir, source);
        let every = match options.durability {
            Durability::Always => syncer::WATERMARK_SYNC,
            Durability::Interval(every) => every,
        };
        let (syncer, maintenance) = match options.background {
            Background::Threads => (
                Some(Syncer::start(&shared, every).map_err(io_error)?),
                Some(Maintenance::start(&shared).map_err(io_error)?),
            ),
            Background::Caller => (None, None),
        };
        let store = Self {
            shared,
            writer: Mutex::new(()),
            maintenance,
            syncer,
            _lock: None,
        };
        open::write_format(&store, data_dir)?;
        Ok(store)
    }

    /// The number of the last commit, counted from the directory's beginning.
    pub fn committed(&self) -> u64 {
        self.shared.committed()
    }

    /// What lies where, and what is being done.
    pub fn statistics(&self) -> StoreStatistics {
        statistics::gather(&self.shared)
    }

    /// The files of the last commit, which stay readable while commits, flushes and merges go on.
    pub fn image(&self) -> Result<Image, StoreError> {
        imaging::image(&self.shared)
    }

    /// The store as it stands, to be checked while it goes on.
    pub fn verifier(&self) -> Result<Verifier, StoreError> {
        Verifier::of_running(&self.shared)
    }

    /// Bytes on disk, the journal included.
    pub fn disk_bytes(&self) -> u64 {
        self.statistics().disk_bytes()
    }

    /// One piece of work of a store that was opened with `Background::Caller`: a flush, or a merge. `false` if there is none.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        maintenance::step(&self.shared)
            .map_err(|error| StoreError::io(&self.shared.folder, std::io::Error::other(error)))
    }

    /// Puts everything into tables at once, as a shutdown does.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.seal_all();
        maintenance::flush_all(&self.shared)
            .map_err(|error| StoreError::io(&self.shared.folder, std::io::Error::other(error)))
    }
}

impl Store for EmbeddedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        view::get(&self.shared, key)
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        view::range(&self.shared, range, |key, value| {
            let size = value.len();
            ((key, value), size)
        })
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        view::range(&self.shared, range, |key, _| (key, 0))
    }

    fn takes_range(&self, range: &KeyRange) -> bool {
        let segments = family::segments(&range.from, &range.to);
        let state = self.shared.read_state();
        segments.iter().all(|segment| {
            let bytes = state.of(segment.family).range_deletion_bytes();
            bytes < self.shared.scale.memory(RANGE_DELETION_BYTES_MAX)
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        check_batch(&batch)?;
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.is_poisoned() {
            return Err(CommitError::Poisoned);
        }
        for precondition in &batch.preconditions {
            let found = self.get(&precondition.key).map_err(CommitError::Read)?;
            if !precondition.expected.holds(found.as_deref()) {
                return Err(CommitError::PreconditionFailed {
                    key: precondition.key.clone(),
                });
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        write::write(&self.shared, &batch.deleted_ranges, &batch.writes)
            .map_err(|error| CommitError::Write(Arc::new(error)))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The threads first: they work on what is dropped after them.
        let had_threads = self.maintenance.take().is_some();
        self.syncer.take();
        if self.shared.is_poisoned() {
            return;
        }
        // The next start need not read much of the journal again.
        if had_threads
            && self.statistics().journal_bytes >= FLUSHED_AT_END_BYTES
            && let Err(error) = self.flush()
        {
            warn!(%error, "what is in memory could not be flushed; the next start takes it from the journal");
        }
        if let Err(error) = self.shared.sync() {
            error!(%error, "last sync failed, commits since the one before may be lost in a power cut");
        }
    }
}
