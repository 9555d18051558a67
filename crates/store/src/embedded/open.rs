//! Opens a store: looks at what is on disk, lets fjall recover it, and checks that nothing acknowledged is missing.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fjall::{CompressionType, Database, Keyspace};
use records::key::{self, META_COMMIT, META_FORMAT};
use records::{FORMAT_VERSION, Write};
use tracing::{info, warn};

use super::family::Family;
use super::inspect::{self, Inspection};
use super::syncer::Syncer;
use super::{Durability, EmbeddedStore, JOURNAL_BYTES_MAX, OpenOptions, Shared, StoreError};
use crate::contract::{Batch, Store};
use crate::data_dir::DataDir;
use crate::watermark::{Found, Mark, Watermark};

/// Fjall's directory in the data directory.
const STORE_FOLDER: &str = "store";

/// The watermark's file in the data directory.
const WATERMARK_FILE: &str = "committed";

/// Flushes and compactions. With more than one, fjall's first worker leaves compactions to the others, and hands one that
/// waits for them to itself over and over again: it takes a core meanwhile (decision 0007).
const WORKER_THREADS: usize = 1;

/// How often the watermark is made durable when every commit is synced by itself.
const WATERMARK_SYNC: Duration = Duration::from_secs(1);

/// Where every commit counts itself.
pub(super) fn commit_key() -> Vec<u8> {
    key::meta(META_COMMIT)
}

pub(super) fn open(data_dir: &DataDir, options: OpenOptions) -> Result<EmbeddedStore, StoreError> {
    let folder = data_dir.path().join(STORE_FOLDER);
    let mark_file = data_dir.path().join(WATERMARK_FILE);
    let found = Watermark::look(&mark_file).map_err(|source| io_error(&mark_file, source))?;
    let inspection = inspect::inspect(data_dir.path(), &folder, found, options.accept_loss)?;
    let database = Database::builder(&folder)
        .cache_size(options.cache_bytes)
        .worker_threads(WORKER_THREADS)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        // The journal is read by `journal` too, and what is fsynced per commit is small.
        .journal_compression(CompressionType::None)
        .open()
        .map_err(|error| engine_error(&folder, error))?;
    let keyspace = |family: Family| {
        database
            .keyspace(family.name(), || family.options())
            .map_err(|error| engine_error(&folder, error))
    };
    let [state, entry, dedup, queue] = Family::ALL.map(keyspace);
    let keyspaces = [state?, entry?, dedup?, queue?];
    let committed = count(&keyspaces[Family::State as usize], &folder)?;
    check_complete(
        &folder,
        &mark_file,
        found,
        &inspection,
        committed,
        options.accept_loss,
    )?;
    check_format(&keyspaces[Family::State as usize], &folder, committed)?;
    inspection.settle(options.accept_loss)?;

    let each_synced = match options.durability {
        Durability::Always => true,
        Durability::Interval(_) => false,
    };
    let watermark = Watermark::reset(
        &mark_file,
        Mark {
            commit: committed,
            each_synced,
        },
    )
    .map_err(|source| io_error(&mark_file, source))?;
    data_dir
        .sync()
        .map_err(|source| io_error(data_dir.path(), source))?;
    let shared = Arc::new(Shared {
        database,
        watermark,
        committed: AtomicU64::new(committed),
        poisoned: AtomicBool::new(false),
        each_synced,
    });
    let every = match options.durability {
        Durability::Always => WATERMARK_SYNC,
        Durability::Interval(every) => every,
    };
    let syncer = Syncer::start(&shared, every).map_err(|source| io_error(&folder, source))?;
    let store = EmbeddedStore {
        shared,
        keyspaces,
        writer: Mutex::new(()),
        syncer: Some(syncer),
        _lock: data_dir.lock(),
    };
    if committed == 0 {
        write_format(&store, &folder)?;
    }
    info!(path = %folder.display(), commits = store.committed(), "store open");
    Ok(store)
}

/// The number of the last commit that fjall recovered.
fn count(state: &Keyspace, folder: &Path) -> Result<u64, StoreError> {
    let Some(value) = state
        .get(commit_key())
        .map_err(|error| engine_error(folder, error))?
    else {
        return Ok(0);
    };
    let number = value.as_ref().try_into().map_err(|_| StoreError::Foreign {
        path: folder.to_owned(),
    })?;
    Ok(u64::from_be_bytes(number))
}

fn check_complete(
    folder: &Path,
    mark_file: &Path,
    found: Found,
    inspection: &Inspection,
    committed: u64,
    accept_loss: bool,
) -> Result<(), StoreError> {
    let known = match found {
        Found::Mark(mark) => mark.commit,
        // Without commits there is nothing to miss: the first start was cut off.
        Found::Missing | Found::Damaged if committed == 0 => 0,
        Found::Missing | Found::Damaged if accept_loss => {
            warn!(file = %mark_file.display(), "watermark missing, completeness taken on trust");
            committed
        }
        Found::Missing | Found::Damaged => {
            return Err(StoreError::Watermark {
                file: mark_file.to_owned(),
            });
        }
    };
    let expected = known.max(inspection.last_commit.unwrap_or(0));
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
        path: folder.to_owned(),
        found: committed,
        expected,
    })
}

fn check_format(state: &Keyspace, folder: &Path, committed: u64) -> Result<(), StoreError> {
    let value = state
        .get(key::meta(META_FORMAT))
        .map_err(|error| engine_error(folder, error))?;
    let foreign = || StoreError::Foreign {
        path: folder.to_owned(),
    };
    let Some(value) = value else {
        return if committed == 0 {
            Ok(())
        } else {
            Err(foreign())
        };
    };
    let found = u32::from_be_bytes(value.as_ref().try_into().map_err(|_| foreign())?);
    if found > FORMAT_VERSION {
        return Err(StoreError::NewerFormat {
            path: folder.to_owned(),
            found,
        });
    }
    Ok(())
}

/// The first commit of every data directory.
fn write_format(store: &EmbeddedStore, folder: &Path) -> Result<(), StoreError> {
    let format = Write::Put {
        key: key::meta(META_FORMAT),
        value: FORMAT_VERSION.to_be_bytes().to_vec(),
    };
    store
        .commit(Batch {
            preconditions: Vec::new(),
            writes: vec![format],
        })
        .map_err(|error| io_error(folder, std::io::Error::other(error)))
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

fn engine_error(path: &Path, error: fjall::Error) -> StoreError {
    // Fjall's errors are a foreign, open-ended enum.
    match error {
        fjall::Error::Locked => StoreError::Locked {
            path: path.to_owned(),
        },
        source => StoreError::Engine {
            path: path.to_owned(),
            source: Box::new(source),
        },
    }
}

/// Makes a directory's entries durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error(path, source))
}
