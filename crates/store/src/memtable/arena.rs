//! Rows one behind the other in chunks of memory that are given back whole.

use bytes::Bytes;

use crate::row::Row;

/// Large enough that the allocator gets it from the operating system and gives it back there.
const CHUNK_BYTES: usize = 256 * 1024;

/// Version, length of the key, length of the value.
const HEADER_BYTES: usize = 10;

/// In the place of a value's length.
const DELETED: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    bytes: usize,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef {
    chunk: u32,
    offset: u32,
}

/// A row as it stands in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) version: u32,
    pub(super) key: &'a [u8],
    /// `None` if the row was deleted.
    pub(super) value: Option<&'a [u8]>,
}

impl Entry<'_> {
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    pub(super) fn row(&self) -> Row {
        Row {
            key: Bytes::copy_from_slice(self.key),
            value: self.value.map(Bytes::copy_from_slice),
        }
    }
}

impl Arena {
    pub(super) fn push(&mut self, version: u32, key: &[u8], value: Option<&[u8]>) -> EntryRef {
        let needed = HEADER_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        let fits = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.len() + needed <= chunk.capacity());
        if !fits {
            self.chunks
                .push(Vec::with_capacity(needed.max(CHUNK_BYTES)));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let offset = chunk.len();
        // Sizes were checked when the commit was taken: keys below 2^16, values below 2^32.
        let key_bytes = key.len() as u16;
        let value_bytes = value.map_or(DELETED, |value| value.len() as u32);
        chunk.extend_from_slice(&version.to_le_bytes());
        chunk.extend_from_slice(&key_bytes.to_le_bytes());
        chunk.extend_from_slice(&value_bytes.to_le_bytes());
        chunk.extend_from_slice(key);
        chunk.extend_from_slice(value.unwrap_or_default());
        self.bytes += needed;
        EntryRef {
            chunk: number as u32,
            offset: offset as u32,
        }
    }

    pub(super) fn entry(&self, at: EntryRef) -> Entry<'_> {
        let bytes = &self.chunks[at.chunk as usize][at.offset as usize..];
        let (header, rest) = bytes.split_at(HEADER_BYTES);
        let version = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let key_bytes = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let value_bytes = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
        let (key, rest) = rest.split_at(key_bytes);
        let value = (value_bytes != DELETED).then(|| &rest[..value_bytes as usize]);
        Entry {
            version,
            key,
            value,
        }
    }

    /// Bytes of the entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
