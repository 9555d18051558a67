//! The store in memory, for tests and the simulator. Nothing survives it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use records::Write;

use crate::contract::{Batch, CommitError, Range, ReadError, Store, check_batch};

/// A store that is a map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    map: RwLock<BTreeMap<Bytes, Bytes>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn select<T>(&self, range: &Range, pick: impl Fn(&Bytes, &Bytes) -> T) -> Vec<T> {
        if range.from >= range.to {
            return Vec::new();
        }
        // A reader that panicked cannot have left the map half changed.
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let bounds = (
            Bound::Included(range.from.as_slice()),
            Bound::Excluded(range.to.as_slice()),
        );
        let found = map.range::<[u8], _>(bounds);
        if range.reverse {
            take(found.rev(), range, pick)
        } else {
            take(found, range, pick)
        }
    }
}

/// As many from the front as the range allows.
fn take<'a, T>(
    found: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
    range: &Range,
    pick: impl Fn(&Bytes, &Bytes) -> T,
) -> Vec<T> {
    let mut bytes = 0;
    found
        .take(range.limit)
        .take_while(|(_, value)| {
            let wanted = bytes <= range.bytes_max;
            bytes += value.len();
            wanted
        })
        .map(|(key, value)| pick(key, value))
        .collect()
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self
            .map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        Ok(self.select(range, |key, value| (key.clone(), value.clone())))
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        let unbounded = range.clone().up_to_bytes(usize::MAX);
        Ok(self.select(&unbounded, |key, _| key.clone()))
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        check_batch(&batch)?;
        // A writer that panicked may have left half a batch behind.
        let mut map = self.map.write().map_err(|_| CommitError::Poisoned)?;
        for precondition in batch.preconditions {
            if !precondition
                .expected
                .holds(map.get(precondition.key.as_slice()).map(Bytes::as_ref))
            {
                return Err(CommitError::PreconditionFailed {
                    key: precondition.key,
                });
            }
        }
        for range in batch.deleted_ranges {
            map.retain(|key, _| !(range.from.as_slice() <= key && key < range.to.as_slice()));
        }
        for write in batch.writes {
            match write {
                Write::Put { key, value } => {
                    map.insert(key.into(), value.into());
                }
                Write::Delete { key } => {
                    map.remove(key.as_slice());
                }
            }
        }
        Ok(())
    }
}
