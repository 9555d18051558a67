//! One change to the key space, as the cores ask for it and the store carries it out.

/// Puts or deletes one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to the value, whether or not it stood there before.
    Put {
        /// Built by a function of `key`.
        key: Vec<u8>,
        /// Built by a value's `encode`.
        value: Vec<u8>,
    },
    /// Removes the key; no error if it is not there.
    Delete {
        /// Built by a function of `key`.
        key: Vec<u8>,
    },
}

impl Write {
    /// The key that changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Bytes of key and value together, for the limits of a batch.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}
