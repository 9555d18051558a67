//! Fjall with the options that the server ran it with, and any number of workers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
};
use records::{KeyRange, Write};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::CACHE_BYTES;
use crate::family::{self, Family};

pub(crate) struct Fjall {
    database: Database,
    keyspaces: [Keyspace; 4],
    writer: Mutex<()>,
}

impl Fjall {
    pub(crate) fn open(folder: &Path, workers: usize) -> Result<Self> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .worker_threads(workers)
            .max_journaling_size(64 * 1024 * 1024)
            .journal_compression(CompressionType::None)
            .open()?;
        let [state, entry, dedup, queue] =
            Family::ALL.map(|family| database.keyspace(family.name(), || options(family)));
        Ok(Self {
            keyspaces: [state?, entry?, dedup?, queue?],
            database,
            writer: Mutex::new(()),
        })
    }

    fn keyspace(&self, family: Family) -> &Keyspace {
        &self.keyspaces[family as usize]
    }

    fn select<T>(
        &self,
        range: &Range,
        take: impl Fn(fjall::Guard) -> fjall::Result<(T, usize)>,
    ) -> Result<Vec<T>, ReadError> {
        let snapshot = self.database.snapshot();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for segment in family::segments(range) {
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

impl Store for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let found = self.keyspace(Family::of(key)).get(key);
        Ok(found.map_err(read_error)?.map(Bytes::from))
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

    fn takes_range(&self, _: &KeyRange) -> bool {
        false
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        family::check(self, &batch)?;
        let mut writes = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for write in batch.writes {
            let keyspace = self.keyspace(Family::of(write.key()));
            match write {
                Write::Put { key, value } => writes.insert(keyspace, key, value),
                Write::Delete { key } => writes.remove(keyspace, key),
            }
        }
        writes
            .commit()
            .map_err(|error| CommitError::Write(Arc::new(error)))
    }
}

fn options(family: Family) -> KeyspaceCreateOptions {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    let options = KeyspaceCreateOptions::default();
    match family {
        Family::State => options.max_memtable_size(MIB),
        Family::Entry => options.max_memtable_size(8 * MIB),
        Family::Dedup => options
            .max_memtable_size(4 * MIB)
            .expect_point_read_hits(false)
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
                BloomConstructionPolicy::FalsePositiveRate(0.001),
            ))),
        Family::Queue => options
            .max_memtable_size(896 * KIB)
            .filter_policy(FilterPolicy::disabled()),
    }
}

fn read_error(error: fjall::Error) -> ReadError {
    ReadError(Arc::new(error))
}
