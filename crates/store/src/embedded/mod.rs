//! The store in the data directory, on fjall: one keyspace per family of tables, one fsync per commit.
//! Must not open what has lost an acknowledged commit without being told to.

mod error;
mod family;
mod inspect;
mod open;
mod syncer;

use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, Keyspace, PersistMode, Readable, Snapshot};
use records::Write;
use tracing::error;

use crate::contract::{Batch, CommitError, Range, ReadError, Store, check_sizes};
use crate::data_dir::DataDir;
use crate::watermark::{Mark, Watermark};
pub use error::StoreError;
use family::{FAMILIES, Family};
use syncer::Syncer;

/// The block cache, unless the options say otherwise.
pub const CACHE_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;

/// Journals grow to about so much before the tables that hold them up are flushed.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// When a commit is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it returns: one fdatasync each.
    #[default]
    Always,
    /// At the latest so much later. Survives the process, not a power cut in between.
    Interval(Duration),
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
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            cache_bytes: CACHE_BYTES_DEFAULT,
            accept_loss: false,
        }
    }
}

/// An ordered key-value store in a directory.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    keyspaces: [Keyspace; FAMILIES],
    /// One commit at a time: its preconditions and its writes see nothing of another.
    writer: Mutex<()>,
    syncer: Option<Syncer>,
    /// Keeps the data directory this process's own.
    _lock: Arc<File>,
}

/// What the store and its syncer hold together.
struct Shared {
    database: Database,
    watermark: Watermark,
    /// Number of the last commit.
    committed: AtomicU64,
    poisoned: AtomicBool,
    each_synced: bool,
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
        open::open(data_dir, options)
    }

    /// The number of the last commit, counted from the directory's beginning.
    pub fn committed(&self) -> u64 {
        self.shared.committed.load(Ordering::Acquire)
    }

    /// Bytes on disk, journals included.
    pub fn disk_bytes(&self) -> Result<u64, ReadError> {
        self.shared.database.disk_space().map_err(read_error)
    }

    fn keyspace(&self, family: Family) -> &Keyspace {
        &self.keyspaces[family as usize]
    }

    /// Visits the keyspaces that a range touches, in its order, until `limit` keys are taken or what was taken has more than
    /// `bytes_max`; `take` says how many bytes that is.
    fn select<T>(
        &self,
        range: &Range,
        take: impl Fn(fjall::Guard) -> fjall::Result<(T, usize)>,
    ) -> Result<Vec<T>, ReadError> {
        let snapshot = self.shared.database.snapshot();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut segments = family::segments(&range.from, &range.to);
        if range.reverse {
            segments.reverse();
        }
        for segment in segments {
            let keyspace = self.keyspace(segment.family);
            let found = Snapshot::range(&snapshot, keyspace, segment.from..segment.to);
            let left = range.limit - taken.len();
            let guards: &mut dyn Iterator<Item = fjall::Guard> = if range.reverse {
                &mut found.rev().take(left)
            } else {
                &mut found.take(left)
            };
            for guard in guards {
                let (one, size) = take(guard).map_err(read_error)?;
                taken.push(one);
                bytes += size;
                if bytes > range.bytes_max {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }
}

impl Store for EmbeddedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let value = self
            .keyspace(Family::of(key))
            .get(key)
            .map_err(read_error)?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.select(range, |guard| {
            let (key, value) = guard.into_inner()?;
            let size = value.len();
            Ok(((Bytes::from(key), Bytes::from(value)), size))
        })
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        self.select(range, |guard| guard.key().map(|key| (Bytes::from(key), 0)))
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        check_sizes(&batch.writes)?;
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.poisoned.load(Ordering::Acquire) {
            return Err(CommitError::Poisoned);
        }
        for precondition in batch.preconditions {
            let found = self.get(&precondition.key).map_err(CommitError::Read)?;
            if !precondition.expected.holds(found.as_deref()) {
                return Err(CommitError::PreconditionFailed {
                    key: precondition.key,
                });
            }
        }
        if batch.writes.is_empty() {
            return Ok(());
        }
        let poisoning = PoisonOnDrop(&self.shared);
        self.write(batch.writes)
            .map_err(|error| CommitError::Write(cause(error)))?;
        std::mem::forget(poisoning);
        Ok(())
    }
}

impl EmbeddedStore {
    fn write(&self, writes: Vec<Write>) -> Result<(), fjall::Error> {
        let number = self.committed() + 1;
        // Fjall writes and syncs the journal before the memtables: nobody reads what is not durable.
        let mode = if self.shared.each_synced {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        let mut batch = self.shared.database.batch().durability(Some(mode));
        batch.insert(
            self.keyspace(Family::of(&open::commit_key())),
            open::commit_key(),
            number.to_be_bytes().to_vec(),
        );
        for write in writes {
            let keyspace = self.keyspace(Family::of(write.key()));
            match write {
                Write::Put { key, value } => batch.insert(keyspace, key, value),
                Write::Delete { key } => batch.remove(keyspace, key),
            }
        }
        batch.commit()?;
        self.shared.committed.store(number, Ordering::Release);
        if self.shared.each_synced {
            self.shared.watermark.advance(Mark {
                commit: number,
                each_synced: true,
            })?;
        }
        Ok(())
    }
}

impl Shared {
    /// Makes every commit so far durable and notes it, which itself is durable.
    fn sync(&self) -> Result<(), fjall::Error> {
        let commit = self.committed.load(Ordering::Acquire);
        if !self.each_synced {
            self.database.persist(PersistMode::SyncData)?;
            self.watermark.advance(Mark {
                commit,
                each_synced: false,
            })?;
        }
        self.watermark.sync()?;
        Ok(())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The thread first: it works on what is dropped after it.
        self.syncer.take();
        if self.shared.poisoned.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.shared.sync() {
            error!(%error, "last sync failed, commits since the one before may be lost in a power cut");
        }
    }
}

/// Poisons the store unless forgotten: after an error or a panic nobody knows what is on disk.
struct PoisonOnDrop<'a>(&'a Shared);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.poisoned.store(true, Ordering::Release);
    }
}

fn read_error(error: fjall::Error) -> ReadError {
    ReadError(cause(error))
}

/// What an operator can act on: the operating system's own words where it was the one that failed. Fjall shows its errors as
/// it would to its developers.
fn cause(error: fjall::Error) -> Arc<dyn std::error::Error + Send + Sync> {
    match error {
        fjall::Error::Io(error) => Arc::new(error),
        // Foreign and open-ended.
        error => Arc::new(error),
    }
}

#[cfg(test)]
mod tests {
    use records::{Millis, key};

    use super::*;
    use crate::data_dir::Holder;
    use crate::watermark::Found;

    fn put(value: &str) -> Batch {
        let write = Write::Put {
            key: key::meta("a"),
            value: value.as_bytes().to_vec(),
        };
        Batch {
            preconditions: Vec::new(),
            writes: vec![write],
        }
    }

    #[test]
    fn a_failed_write_poisons_for_as_long_as_the_store_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
        let mut store = EmbeddedStore::open(&dir, OpenOptions::default()).unwrap();
        store.commit(put("1")).unwrap();
        // With the thread gone nobody else holds what is made to fail.
        store.syncer.take();
        let file = folder.path().join("committed");
        Arc::get_mut(&mut store.shared).unwrap().watermark = Watermark::read_only(&file);
        assert!(matches!(store.commit(put("2")), Err(CommitError::Write(_))));
        assert!(matches!(store.commit(put("3")), Err(CommitError::Poisoned)));
        assert!(CommitError::Poisoned.poisons());
        drop(store);
        // What was in doubt turns out to be there; what came after it is not.
        let store = EmbeddedStore::open(&dir, OpenOptions::default()).unwrap();
        assert_eq!(
            store.get(&key::meta("a")).unwrap().as_deref(),
            Some(&b"2"[..])
        );
        store.commit(put("4")).unwrap();
    }

    #[test]
    fn the_directory_stays_held_while_a_store_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
        let store = EmbeddedStore::open(&dir, OpenOptions::default()).unwrap();
        drop(dir);
        assert!(DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).is_err());
        drop(store);
        assert!(DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).is_ok());
    }

    #[test]
    fn an_interval_marks_its_commits_as_synced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
        let durability = Durability::Interval(Duration::from_millis(1));
        let options = OpenOptions {
            durability,
            ..OpenOptions::default()
        };
        let store = EmbeddedStore::open(&dir, options).unwrap();
        store.commit(put("1")).unwrap();
        let expected = Found::Mark(Mark {
            commit: store.committed(),
            each_synced: false,
        });
        while Watermark::look(&folder.path().join("committed")).unwrap() != expected {
            std::thread::yield_now();
        }
    }
}
