//! The end of a table's file: what the table is, and where its index of partitions stands.

use std::ops::RangeInclusive;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::TableId;
use super::suffixes::Suffixes;

/// Grows with the format.
const VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"MGPTABLE";

/// Two places of 16 bytes, the version with 4 spare bytes, magic and checksum.
pub(super) const FOOTER_BYTES: usize = 56;

/// A stretch of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Stretch {
    pub(super) const BYTES: usize = 16;

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, length) = bytes.get(..Self::BYTES)?.split_at(8);
        Some(Self {
            offset: u64::from_le_bytes(offset.try_into().ok()?),
            length: u64::from_le_bytes(length.try_into().ok()?),
        })
    }
}

/// What is known of a table without reading its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) id: TableId,
    /// Which family it belongs to.
    pub(crate) family: u8,
    /// Commits that its rows were made by are among these.
    pub(crate) commits: RangeInclusive<u64>,
    /// Rows, deletions among them.
    pub(crate) rows: u64,
    pub(crate) deletions: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// The first key and the last.
    pub(crate) keys: RangeInclusive<Bytes>,
    /// Tables with smaller numbers were looked at when deletions were left out; there may be others now.
    pub(crate) settled_before: TableId,
    /// Range deletions of flushes up to this one are carried out in its rows.
    pub(crate) flush: u64,
    /// What follows the prefixes of its keys.
    pub(crate) suffixes: Suffixes,
}

impl Properties {
    const NUMBERS: usize = 8;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [
            self.id.0,
            *self.commits.start(),
            *self.commits.end(),
            self.rows,
            self.deletions,
            self.bytes,
            self.settled_before.0,
            self.flush,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(self.family);
        for key in [self.keys.start(), self.keys.end()] {
            out.extend_from_slice(&(key.len() as u32).to_le_bytes());
            out.extend_from_slice(key);
        }
        self.suffixes.encode(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.split_at_checked(Self::NUMBERS * 8)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|eight| u64::from_le_bytes(eight.try_into().expect("eight bytes")));
        let mut next = || numbers.next().expect("as many as were taken");
        let (id, first, last) = (TableId(next()), next(), next());
        let (rows, deletions, bytes) = (next(), next(), next());
        let (settled_before, flush) = (TableId(next()), next());
        let (family, rest) = rest.split_first()?;
        let (smallest, rest) = split_key(rest)?;
        let (largest, rest) = split_key(rest)?;
        let suffixes = Suffixes::decode(rest)?;
        (smallest <= largest).then(|| Self {
            id,
            family: *family,
            commits: first..=last,
            rows,
            deletions,
            bytes,
            keys: Bytes::copy_from_slice(smallest)..=Bytes::copy_from_slice(largest),
            settled_before,
            flush,
            suffixes,
        })
    }
}

fn split_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Where to find the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) partitions: Stretch,
    pub(super) properties: Stretch,
}

impl Footer {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        self.partitions.encode(&mut out);
        self.properties.encode(&mut out);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(MAGIC);
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES]) -> Option<Self> {
        let (checked, checksum) = bytes.split_at(FOOTER_BYTES - 8);
        let whole = xxh3_64(checked).to_le_bytes() == *checksum;
        let ours = checked[40..] == *MAGIC && checked[32..36] == VERSION.to_le_bytes();
        (whole && ours).then_some(())?;
        Some(Self {
            partitions: Stretch::decode(checked)?,
            properties: Stretch::decode(&checked[Stretch::BYTES..])?,
        })
    }
}
