//! A store that is a map, and notices when something that stands for good is written over.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use chat::{Damaged, End, Source, Unreadable};
use records::{KeyRange, Millis, Table, Write, key};

/// See the file's header.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Damaged rows that were told.
    pub(super) told: Cell<usize>,
}

impl Disk {
    pub(super) fn apply(&mut self, writes: Vec<Write>) {
        assert!(!writes.is_empty(), "an append without writes");
        for write in &writes {
            if let Write::Put { key, .. } = write {
                self.check_new(key);
            }
        }
        for write in writes {
            match write {
                Write::Put { key, value } => drop(self.keys.insert(key, value)),
                Write::Delete { key } => drop(self.keys.remove(&key)),
            }
        }
    }

    /// Entries are written once, and a conversation that begins takes nobody's place.
    fn check_new(&self, at: &[u8]) {
        let known = self.keys.contains_key(at);
        match Table::of(at) {
            Ok(Table::Entry) => assert!(!known, "{at:02x?} is written over"),
            Ok(Table::Conversation) if !known => {
                let id = key::parse_conversation(at).expect("a key of the messenger's");
                for range in [key::entries(id), key::members(id)] {
                    assert_eq!(self.range(&range).count(), 0, "{id} was another one's");
                }
            }
            _ => {}
        }
    }

    pub(super) fn trim(&mut self, range: &KeyRange) {
        self.keys
            .retain(|key, _| *key < range.from || *key >= range.to);
    }

    pub(super) fn range(
        &self,
        range: &KeyRange,
    ) -> impl DoubleEndedIterator<Item = (&[u8], Bytes)> {
        let found =
            (range.from < range.to).then(|| self.keys.range(range.from.clone()..range.to.clone()));
        found
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_slice(), Bytes::copy_from_slice(value)))
    }
}

impl Source for Disk {
    fn rows(
        &self,
        range: &KeyRange,
        end: End,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        let found = self.range(range);
        let found: Box<dyn Iterator<Item = (&[u8], Bytes)>> = match end {
            End::First => Box::new(found),
            End::Last => Box::new(found.rev()),
        };
        let mut bytes = 0;
        let mut rows = Vec::new();
        for (key, value) in found.take(limit) {
            bytes += value.len();
            rows.push((Bytes::copy_from_slice(key), value));
            if bytes > bytes_max {
                break;
            }
        }
        Ok(rows)
    }

    fn keys(&self, range: &KeyRange, end: End, limit: usize) -> Result<Vec<Bytes>, Unreadable> {
        let found = self.range(range);
        let key = |(key, _): (&[u8], Bytes)| Bytes::copy_from_slice(key);
        Ok(match end {
            End::First => found.take(limit).map(key).collect(),
            End::Last => found.rev().take(limit).map(key).collect(),
        })
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        let value = self.keys.get(key);
        Ok(value.map(|value| Bytes::copy_from_slice(value)))
    }

    /// Nothing that is said here expires.
    fn now(&self) -> Millis {
        Millis::ZERO
    }

    fn damaged(&self, row: &Damaged) {
        assert!(!row.to_string().is_empty());
        self.told.set(self.told.get() + 1);
    }

    fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync)) {
        (0..parts).for_each(|part| work(self, part));
    }
}
