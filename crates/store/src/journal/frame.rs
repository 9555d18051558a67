//! How a commit stands in the journal, and a file's header.
//!
//! The header: magic (8 bytes), the file's number (u64), the number of its first commit (u64), XXH3 of these (u64).
//!
//! A commit: magic (4 bytes), length of its writes (u32), its number (u64), XXH3 of these and the writes, seeded with the file's
//! number (u64); then the writes: 0 or 1 for a deletion or a value (u8), length of the key (u16), for a value its length (u32),
//! key, value. Numbers are little-endian.

use records::Write;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::JournalId;

const FILE_MAGIC: &[u8; 8] = b"MGPJRNL1";

/// In front of the first commit of a file.
pub(crate) const FILE_HEADER_BYTES: usize = 32;

pub(super) const MAGIC: &[u8; 4] = b"MGPC";

/// In front of a commit's writes.
pub(super) const HEADER_BYTES: usize = 24;

const DELETE: u8 = 0;
const PUT: u8 = 1;

pub(super) fn encode_file_header(id: JournalId, first_commit: u64) -> [u8; FILE_HEADER_BYTES] {
    let mut header = [0; FILE_HEADER_BYTES];
    header[..8].copy_from_slice(FILE_MAGIC);
    header[8..16].copy_from_slice(&id.0.to_le_bytes());
    header[16..24].copy_from_slice(&first_commit.to_le_bytes());
    let checksum = xxh3_64(&header[..24]);
    header[24..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// The number of the file's first commit.
pub(super) fn decode_file_header(bytes: &[u8], id: JournalId) -> Option<u64> {
    let header = bytes.get(..FILE_HEADER_BYTES)?;
    let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let whole = xxh3_64(&header[..24]) == number(24)?;
    (whole && header[..8] == *FILE_MAGIC && number(8)? == id.0).then_some(())?;
    number(16)
}

/// A whole commit as it was found in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) number: u64,
    writes: &'a [u8],
    /// Its length, header included.
    pub(super) bytes: usize,
}

/// Appends a commit.
pub(super) fn encode(id: JournalId, number: u64, writes: &[Write], out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    for write in writes {
        match write {
            Write::Put { key, value } => {
                out.push(PUT);
                out.extend_from_slice(&(key.len() as u16).to_le_bytes());
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
            Write::Delete { key } => {
                out.push(DELETE);
                out.extend_from_slice(&(key.len() as u16).to_le_bytes());
                out.extend_from_slice(key);
            }
        }
    }
    let length = (out.len() - begin - HEADER_BYTES) as u32;
    let frame = &mut out[begin..];
    frame[..4].copy_from_slice(MAGIC);
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = checksum(frame, id);
    frame[16..24].copy_from_slice(&checksum.to_le_bytes());
}

/// The whole commit that begins at the front of the bytes, if one does.
pub(super) fn decode(bytes: &[u8], id: JournalId) -> Option<Commit<'_>> {
    let header = bytes.get(..HEADER_BYTES)?;
    if header[..4] != *MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let number = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let expected = u64::from_le_bytes(header[16..24].try_into().ok()?);
    let frame = bytes.get(..HEADER_BYTES.checked_add(length)?)?;
    if checksum(frame, id) != expected {
        return None;
    }
    let commit = Commit {
        number,
        writes: &frame[HEADER_BYTES..],
        bytes: frame.len(),
    };
    // What this program did not write is not believed for its checksum alone.
    commit.is_well_formed().then_some(commit)
}

/// Of a frame, its own field left out.
fn checksum(frame: &[u8], id: JournalId) -> u64 {
    let mut hash = Xxh3::with_seed(id.0);
    hash.update(&frame[..16]);
    hash.update(&frame[HEADER_BYTES..]);
    hash.digest()
}

/// A key and its value; `None` if it is deleted.
type Change<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Commit<'a> {
    /// Keys and values in their order; `None` for a deletion.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change<'a>> + Clone + use<'a> {
        let mut rest = self.writes;
        std::iter::from_fn(move || {
            let (change, behind) = split_change(rest)?;
            rest = behind;
            Some(change)
        })
    }

    fn is_well_formed(&self) -> bool {
        let mut rest = self.writes;
        while !rest.is_empty() {
            match split_change(rest) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        true
    }
}

fn split_change(bytes: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (key_bytes, rest) = rest.split_first_chunk()?;
    let key_bytes = usize::from(u16::from_le_bytes(*key_bytes));
    match *kind {
        DELETE => {
            let (key, rest) = rest.split_at_checked(key_bytes)?;
            Some(((key, None), rest))
        }
        PUT => {
            let (value_bytes, rest) = rest.split_first_chunk()?;
            let value_bytes = u32::from_le_bytes(*value_bytes) as usize;
            let (key, rest) = rest.split_at_checked(key_bytes)?;
            let (value, rest) = rest.split_at_checked(value_bytes)?;
            Some(((key, Some(value)), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: JournalId = JournalId(3);

    fn sample() -> Vec<Write> {
        let put = |key: &str, value: Vec<u8>| Write::Put {
            key: key.into(),
            value,
        };
        let delete = Write::Delete { key: vec![7; 300] };
        vec![put("a", vec![]), delete, put("b", vec![9; 70_000])]
    }

    #[test]
    fn a_commit_comes_back_as_it_was() {
        let mut bytes = vec![];
        encode(FILE, 12, &sample(), &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"and more");
        let commit = decode(&bytes, FILE).unwrap();
        assert_eq!((commit.number, commit.bytes), (12, length));
        let written = sample();
        let expected = written.iter().map(|write| match write {
            Write::Put { key, value } => (key.as_slice(), Some(value.as_slice())),
            Write::Delete { key } => (key.as_slice(), None),
        });
        assert!(commit.changes().eq(expected));
        assert!(decode(&bytes, JournalId(4)).is_none(), "of another file");
        assert!(decode(&bytes[..length - 1], FILE).is_none(), "cut short");
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = vec![];
        encode(FILE, 12, &sample()[..2], &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, FILE).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let mut header = encode_file_header(FILE, 12);
        assert_eq!(decode_file_header(&header, FILE), Some(12));
        for bit in 0..header.len() * 8 {
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_file_header(&header, FILE), None, "bit {bit}");
            header[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
