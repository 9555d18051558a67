//! A store that is a map, and the messenger that it gives back after a crash.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat::{Chat, Damaged, End, RecoveryError, Settings, Source, Unreadable};

use records::{KeyRange, Millis, Pos, Write, key};

/// The store: every key that was written, and whether it can be read.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) broken: bool,
    pub(crate) now: Millis,
    /// Bytes of entries that were read.
    pub(crate) read: Cell<usize>,
    /// What was told to be damaged.
    pub(crate) damaged: RefCell<Vec<String>>,
    /// Positions of entries that were ever written, trimmed or not.
    pub(crate) ever: BTreeSet<Pos>,
}

impl Disk {
    pub(crate) fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            if let Ok((_, _, pos)) = key::parse_entry(write.key()) {
                self.ever.insert(pos);
            }
            match write {
                Write::Put { key, value } => drop(self.keys.insert(key, value)),
                Write::Delete { key } => drop(self.keys.remove(&key)),
            }
        }
    }

    pub(crate) fn in_range(
        &self,
        range: KeyRange,
    ) -> impl DoubleEndedIterator<Item = (&[u8], Bytes)> {
        self.keys
            .range(range.from..range.to)
            .map(|(key, value)| (key.as_slice(), Bytes::copy_from_slice(value)))
    }

    /// A messenger that knows what is stored.
    pub(crate) fn recover(&self, settings: Settings, now: Millis) -> Chat {
        self.try_recover(settings, now).unwrap()
    }

    /// The same, if what is stored allows it.
    pub(crate) fn try_recover(
        &self,
        settings: Settings,
        now: Millis,
    ) -> Result<Chat, RecoveryError> {
        let mut chat = Chat::new(settings, [1, 2, 3, 4]);
        chat::recover(self, &mut chat, |_| {}, now)?;
        Ok(chat)
    }

    fn found(&self, range: &KeyRange, end: End) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        let found = self.in_range(range.clone());
        let mut rows: Vec<_> = found
            .map(|(key, value)| (Bytes::copy_from_slice(key), value))
            .collect();
        if end == End::Last {
            rows.reverse();
        }
        Ok(rows)
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
        let mut rows = self.found(range, end)?;
        rows.truncate(limit);
        let mut bytes = 0;
        let read = rows.iter().take_while(|(_, value)| {
            let goes_on = bytes <= bytes_max;
            bytes += if goes_on { value.len() } else { 0 };
            goes_on
        });
        let count = read.count();
        rows.truncate(count);
        self.read.set(self.read.get() + bytes);
        Ok(rows)
    }

    fn keys(&self, range: &KeyRange, end: End, limit: usize) -> Result<Vec<Bytes>, Unreadable> {
        let rows = self.found(range, end)?;
        Ok(rows.into_iter().take(limit).map(|(key, _)| key).collect())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        Ok(self
            .keys
            .get(key)
            .map(|value| Bytes::copy_from_slice(value)))
    }

    fn now(&self) -> Millis {
        self.now
    }

    fn damaged(&self, row: &Damaged) {
        self.damaged.borrow_mut().push(row.to_string());
    }

    fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync)) {
        (0..parts).for_each(|part| work(self, part));
    }
}
