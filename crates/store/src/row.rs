//! A row as it moves between memtables, tables and readers: a key with its value, or with the word that it is deleted.

use bytes::Bytes;

/// A key, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Bytes,
    /// `None` if it was deleted.
    pub(crate) value: Option<Bytes>,
}

impl Row {
    /// Of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A stretch of the key space and a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The first key that belongs to it.
    pub(crate) from: Vec<u8>,
    /// The first key that no longer does.
    pub(crate) to: Vec<u8>,
    /// From the end to the beginning.
    pub(crate) reverse: bool,
}

impl Bounds {
    /// Every key, ascending.
    pub(crate) fn all() -> Self {
        Self {
            from: Vec::new(),
            // Longer than any key, so that none is greater.
            to: vec![u8::MAX; crate::contract::KEY_BYTES_MAX + 1],
            reverse: false,
        }
    }

    /// No key.
    pub(crate) fn none() -> Self {
        let end = Self::all().to;
        Self {
            from: end.clone(),
            to: end,
            reverse: false,
        }
    }

    /// What is left of it when everything up to `key` has been visited.
    pub(crate) fn beyond(&mut self, key: &[u8]) {
        if self.reverse {
            key.clone_into(&mut self.to);
        } else {
            self.from = crate::contract::behind(key);
        }
    }
}
