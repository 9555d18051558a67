//! A block: rows in order that are read, checked and cached together. Tables consist of blocks, their indexes too.
//!
//! In memory and uncompressed: the rows (length of the key u16, length of the value u32 or all ones for a deletion, key,
//! value), then where each begins (u32 each), then how many there are (u32). Numbers are little-endian.
//!
//! On disk: a header (stored length u32, uncompressed length u32, XXH3 of the rest seeded with the place u64), then the bytes,
//! compressed with LZ4 if that makes them shorter.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::contract::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::row::Row;

/// In front of a stored block.
pub(super) const HEADER_BYTES: usize = 16;

const ROW_HEADER_BYTES: usize = 6;
const NUMBER_BYTES: usize = 4;
const DELETED: u32 = u32::MAX;

/// No block that this program writes is longer: a block ends with the row that fills it.
pub(super) const RAW_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX + 4 * KEY_BYTES_MAX;

/// A block in memory, checked: every row lies within it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    starts: usize,
    rows: usize,
}

impl Block {
    /// `None` if it is no block.
    fn new(bytes: Bytes) -> Option<Self> {
        let starts_end = bytes.len().checked_sub(NUMBER_BYTES)?;
        let rows = number(&bytes, starts_end)? as usize;
        let starts = starts_end.checked_sub(rows.checked_mul(NUMBER_BYTES)?)?;
        let block = Self {
            bytes,
            starts,
            rows,
        };
        let whole = (0..rows).all(|row| block.is_whole(row));
        whole.then_some(block)
    }

    fn is_whole(&self, row: usize) -> bool {
        let Some(start) = number(&self.bytes, self.starts + row * NUMBER_BYTES) else {
            return false;
        };
        let start = start as usize;
        let Some(header) = self.bytes[..self.starts].get(start..start + ROW_HEADER_BYTES) else {
            return false;
        };
        let (key, value) = lengths(header);
        start + ROW_HEADER_BYTES + key + value.unwrap_or(0) <= self.starts
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn key(&self, row: usize) -> &[u8] {
        let (at, key, _) = self.place(row);
        &self.bytes[at..at + key]
    }

    /// `None` if the row says that the key is deleted.
    pub(super) fn value(&self, row: usize) -> Option<Bytes> {
        let (at, key, value) = self.place(row);
        value.map(|value| self.bytes.slice(at + key..at + key + value))
    }

    pub(super) fn row(&self, row: usize) -> Row {
        let (at, key, value) = self.place(row);
        Row {
            key: self.bytes.slice(at..at + key),
            value: value.map(|value| self.bytes.slice(at + key..at + key + value)),
        }
    }

    /// The first row whose key is not less; `rows` if there is none.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = (low + high) / 2;
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Where a row's key begins, its length, and that of the value.
    fn place(&self, row: usize) -> (usize, usize, Option<usize>) {
        let start = number(&self.bytes, self.starts + row * NUMBER_BYTES)
            .expect("checked when the block was made") as usize;
        let (key, value) = lengths(&self.bytes[start..start + ROW_HEADER_BYTES]);
        (start + ROW_HEADER_BYTES, key, value)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(NUMBER_BYTES)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn lengths(header: &[u8]) -> (usize, Option<usize>) {
    let key = usize::from(u16::from_le_bytes([header[0], header[1]]));
    let value = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    (key, (value != DELETED).then_some(value as usize))
}

/// Puts a block together.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl BlockBuilder {
    /// Adds a row behind those that are there.
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.starts.push(self.bytes.len() as u32);
        let value_bytes = value.map_or(DELETED, |value| value.len() as u32);
        self.bytes
            .extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(&value_bytes.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(super) fn rows(&self) -> usize {
        self.starts.len()
    }

    /// Length of the finished block, uncompressed.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + (self.starts.len() + 1) * NUMBER_BYTES
    }

    /// The block's uncompressed bytes; the builder is empty again.
    fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        for start in &self.starts {
            bytes.extend_from_slice(&start.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.starts.len() as u32).to_le_bytes());
        self.starts.clear();
        bytes
    }

    /// Appends the block as it stands on disk; `seed` says where that is.
    pub(super) fn store(&mut self, seed: u64, out: &mut Vec<u8>) {
        store(&self.finish(), seed, out);
    }
}

/// Appends bytes as a stored block has them.
pub(super) fn store(raw: &[u8], seed: u64, out: &mut Vec<u8>) {
    // Worth it from an eighth on: what is stored as it is need not be uncompressed.
    let compressed = lz4_flex::block::compress(raw);
    let stored = if compressed.len() + raw.len() / 8 < raw.len() {
        compressed.as_slice()
    } else {
        raw
    };
    let begin = out.len();
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(stored);
    let checksum = checksum(&out[begin..], seed);
    out[begin + 8..begin + HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// The bytes that `store` was given, out of what it made; `None` if they are not what was stored there.
pub(super) fn load(stored: &[u8], seed: u64) -> Option<Vec<u8>> {
    let (header, body) = stored.split_at_checked(HEADER_BYTES)?;
    let length = number(header, 0)? as usize;
    let raw_length = number(header, 4)? as usize;
    let expected = u64::from_le_bytes(header[8..].try_into().ok()?);
    if length != body.len() || raw_length > RAW_BYTES_MAX || checksum(stored, seed) != expected {
        return None;
    }
    if length == raw_length {
        return Some(body.to_vec());
    }
    let raw = lz4_flex::block::decompress(body, raw_length).ok()?;
    (raw.len() == raw_length).then_some(raw)
}

/// The block out of its stored form.
pub(super) fn load_block(stored: &[u8], seed: u64) -> Option<Block> {
    Block::new(load(stored, seed)?.into())
}

/// Of a stored block, its own field left out.
fn checksum(stored: &[u8], seed: u64) -> u64 {
    let lengths = u64::from_le_bytes(stored[..8].try_into().expect("a header has eight bytes"));
    xxh3_64_with_seed(&stored[HEADER_BYTES..], seed ^ lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut builder = BlockBuilder::default();
        for number in 0..40_u32 {
            let value = vec![number as u8; number as usize];
            builder.add(&number.to_be_bytes(), (number % 7 != 0).then_some(&value));
        }
        let mut out = Vec::new();
        builder.store(9, &mut out);
        out
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let block = load_block(&sample(), 9).unwrap();
        assert_eq!(block.rows(), 40);
        for number in 0..40_u32 {
            let row = block.lower_bound(&number.to_be_bytes());
            assert_eq!(row, number as usize);
            let value = (number % 7 != 0).then(|| Bytes::from(vec![number as u8; row]));
            assert_eq!(block.value(row), value);
        }
        assert_eq!(block.lower_bound(&[9]), 40);
    }

    #[test]
    fn a_block_of_another_place_or_with_a_flipped_bit_is_none() {
        let stored = sample();
        assert!(load_block(&stored, 8).is_none());
        for bit in 0..stored.len() * 8 {
            let mut spoiled = stored.clone();
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert!(load_block(&spoiled, 9).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn bytes_that_are_no_block_are_none() {
        for raw in [
            &[][..],
            &[0, 0, 0],
            &[1, 0, 0, 0],
            &[9, 0, 0, 0, 1, 0, 0, 0],
            &[0xff; 40],
        ] {
            assert!(Block::new(Bytes::copy_from_slice(raw)).is_none(), "{raw:?}");
        }
    }
}
