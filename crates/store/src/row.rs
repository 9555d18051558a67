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
    /// The keys between two, the second excluded, ascending.
    pub(crate) fn ascending(from: &[u8], to: &[u8]) -> Self {
        Self {
            from: from.to_vec(),
            to: to.to_vec(),
            reverse: false,
        }
    }

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

    /// The first `bytes` bytes of every key in it, if they are the same.
    pub(crate) fn prefix(&self, bytes: usize) -> Option<&[u8]> {
        let prefix = self.from.get(..bytes)?;
        let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
        let is_same = self.to.starts_with(prefix) || {
            // The first key behind all that begin so.
            let (begin, end) = self.to.split_at_checked(last)?;
            let counted_up = end.first() == Some(&(prefix[last] + 1)) && end.len() == 1;
            begin == &prefix[..last] && counted_up
        };
        is_same.then_some(prefix)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_that_of_every_key() {
        let prefix = |from: &[u8], to: &[u8]| {
            let bounds = Bounds {
                from: from.to_vec(),
                to: to.to_vec(),
                reverse: false,
            };
            bounds.prefix(2).map(<[u8]>::to_vec)
        };
        assert_eq!(prefix(&[1, 2], &[1, 3]), Some(vec![1, 2]));
        assert_eq!(prefix(&[1, 2, 9], &[1, 2, 10]), Some(vec![1, 2]));
        assert_eq!(prefix(&[1, 255, 9], &[2]), Some(vec![1, 255]));
        assert_eq!(prefix(&[1, 2], &[1, 3, 0]), None);
        assert_eq!(prefix(&[1, 2], &[1, 4]), None);
        assert_eq!(prefix(&[1, 255], &[2, 0]), None);
        assert_eq!(prefix(&[1], &[2]), None);
        assert_eq!(prefix(&[], &[2]), None);
        assert_eq!(prefix(&[255, 255], &[255, 255, 255]), None);
        assert_eq!(Bounds::all().prefix(2), None);
    }
}
