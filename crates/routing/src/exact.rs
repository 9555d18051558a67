//! Filters without wildcards, and what is kept for each: one hash lookup per topic. It knows no wildcard.

use crate::id_table::IdTable;
use crate::keys::Keys;
use crate::pages::Pages;
use crate::text_pool::{Text, TextPool};

/// Values by exact filter.
#[derive(Debug)]
pub(crate) struct ExactMap<V> {
    keys: Keys,
    table: IdTable,
    entries: Pages<Entry<V>>,
    texts: TextPool,
}

#[derive(Debug, Default)]
struct Entry<V> {
    value: V,
    text: Text,
}

impl<V: Default> ExactMap<V> {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            table: IdTable::default(),
            entries: Pages::default(),
            texts: TextPool::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn find(&self, filter: &str) -> Option<u32> {
        self.find_keyed(self.keys.text(filter), filter)
    }

    /// The filter's id; it gets a default value when it is new.
    pub(crate) fn find_or_insert(&mut self, filter: &str) -> u32 {
        let fingerprint = self.keys.text(filter);
        if let Some(id) = self.find_keyed(fingerprint, filter) {
            return id;
        }
        let text = self.texts.insert(filter);
        let id = self.entries.insert(Entry {
            value: V::default(),
            text,
        });
        self.table.insert(fingerprint, id);
        id
    }

    /// Takes out a filter that is there.
    pub(crate) fn remove(&mut self, id: u32) -> V {
        let Entry { value, text } = self.entries.remove(id);
        let fingerprint = self.keys.text(self.texts.str(text));
        assert!(
            self.table.remove(fingerprint, id),
            "an entry in use is in the table"
        );
        self.texts.remove(text);
        value
    }

    pub(crate) fn value(&self, id: u32) -> Option<&V> {
        self.entries.get(id).map(|entry| &entry.value)
    }

    pub(crate) fn value_mut(&mut self, id: u32) -> &mut V {
        &mut self.entries[id].value
    }

    /// Appends the filter to `text`.
    pub(crate) fn write_filter(&self, id: u32, text: &mut String) {
        text.push_str(self.texts.str(self.entries[id].text));
    }

    fn find_keyed(&self, fingerprint: u32, filter: &str) -> Option<u32> {
        self.table.find(fingerprint, |id| {
            self.texts.bytes(self.entries[id].text) == filter.as_bytes()
        })
    }
}
