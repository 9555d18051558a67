//! redb: a copy-on-write B-tree in one file, one table, each commit durable when it returns.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use records::{KeyRange, Write};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::CACHE_BYTES;
use crate::family;

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

pub(crate) struct Redb {
    database: Database,
    writer: Mutex<()>,
}

impl Redb {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES as usize)
            .create(folder.join("rows.redb"))?;
        let begin = database.begin_write()?;
        begin.open_table(ROWS)?;
        begin.commit()?;
        Ok(Self {
            database,
            writer: Mutex::new(()),
        })
    }

    fn select<T>(
        &self,
        range: &Range,
        take: impl Fn(&[u8], &[u8]) -> (T, usize),
    ) -> Result<Vec<T>, redb::Error> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        if range.from >= range.to {
            return Ok(taken);
        }
        let table = self.database.begin_read()?.open_table(ROWS)?;
        let mut found = table.range(range.from.as_slice()..range.to.as_slice())?;
        while taken.len() < range.limit {
            let next = if range.reverse {
                found.next_back()
            } else {
                found.next()
            };
            let Some(row) = next else { break };
            let (key, value) = row?;
            let (one, size) = take(key.value(), value.value());
            taken.push(one);
            bytes += size;
            if bytes > range.bytes_max {
                break;
            }
        }
        Ok(taken)
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), redb::Error> {
        let mut begun = self.database.begin_write()?;
        begun
            .set_durability(Durability::Immediate)
            .expect("no savepoint was made");
        // Otherwise a start after a crash reads the whole file.
        begun.set_quick_repair(true);
        {
            let mut table = begun.open_table(ROWS)?;
            for write in &writes {
                match write {
                    Write::Put { key, value } => {
                        table.insert(key.as_slice(), value.as_slice())?;
                    }
                    Write::Delete { key } => {
                        table.remove(key.as_slice())?;
                    }
                }
            }
        }
        begun.commit()?;
        Ok(())
    }
}

impl Store for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let get = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(ROWS)?;
            let found = table.get(key)?;
            Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
        };
        get().map_err(read_error)
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.select(range, |key, value| {
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            (row, value.len())
        })
        .map_err(read_error)
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        self.select(range, |key, _| (Bytes::copy_from_slice(key), 0))
            .map_err(read_error)
    }

    fn takes_range(&self, _: &KeyRange) -> bool {
        false
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        family::check(self, &batch)?;
        self.write(batch.writes)
            .map_err(|error| CommitError::Write(Arc::new(error)))
    }
}

fn read_error(error: redb::Error) -> ReadError {
    ReadError(Arc::new(error))
}
