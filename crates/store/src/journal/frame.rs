//! How a commit stands in the journal, and a file's header.
//!
//! The header stands there twice: magic (8 bytes), the file's number (u64), the number of its first commit (u64), its salt (u64),
//! XXH3 of these (u64). The salt is random and seeds the checksums of the file, so that nobody can send a message that looks
//! like a commit to whoever searches for one.
//!
//! A commit: magic (4 bytes), length of its writes (u32), its number (u64), half of the XXH3 of these (u32), XXH3 of all this and
//! the writes (u64); then the writes: at first 2 for each deleted range (u8), lengths of its first key and of the first one behind
//! it (u16 each), these; then 0 or 1 for a deletion or a value (u8), length of the key (u16), for a value its length (u32), key,
//! value. Numbers are little-endian.

use records::{KeyRange, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use super::JournalId;

const FILE_MAGIC: &[u8; 8] = b"MGPJRNL2";

/// In front of the first commit of a file.
pub(crate) const FILE_HEADER_BYTES: usize = 2 * HEADER_COPY_BYTES;

const HEADER_COPY_BYTES: usize = 40;

pub(super) const MAGIC: &[u8; 4] = b"MGPC";

/// In front of a commit's writes.
pub(super) const HEADER_BYTES: usize = 28;

/// Of it, what its own checksum covers, so that a length is not followed before it is known to be one.
const HEADER_CHECKED_BYTES: usize = 16;

/// No commit has such a number: counting on cannot overflow.
pub(crate) const NUMBERS_END: u64 = 1 << 56;

const DELETE: u8 = 0;
const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;

/// What stands in a file's header, besides its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// The number of the file's first commit.
    pub(super) first_commit: u64,
    pub(super) salt: u64,
}

impl FileHeader {
    pub(super) fn encode(self, id: JournalId) -> [u8; FILE_HEADER_BYTES] {
        let mut copy = [0; HEADER_COPY_BYTES];
        copy[..8].copy_from_slice(FILE_MAGIC);
        copy[8..16].copy_from_slice(&id.0.to_le_bytes());
        copy[16..24].copy_from_slice(&self.first_commit.to_le_bytes());
        copy[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = xxh3_64(&copy[..32]);
        copy[32..].copy_from_slice(&checksum.to_le_bytes());
        let mut header = [0; FILE_HEADER_BYTES];
        for place in header.chunks_exact_mut(HEADER_COPY_BYTES) {
            place.copy_from_slice(&copy);
        }
        header
    }

    /// Out of a file's beginning; one whole copy is enough.
    pub(super) fn decode(bytes: &[u8], id: JournalId) -> Option<Self> {
        let header = bytes.get(..FILE_HEADER_BYTES)?;
        let mut copies = header.chunks_exact(HEADER_COPY_BYTES);
        copies.find_map(|copy| {
            let number = |at: usize| copy[at..at + 8].try_into().map(u64::from_le_bytes).ok();
            let whole = xxh3_64(&copy[..32]) == number(32)?;
            (whole && copy[..8] == *FILE_MAGIC && number(8)? == id.0).then_some(())?;
            let first_commit = number(16)?;
            (1..NUMBERS_END).contains(&first_commit).then_some(Self {
                first_commit,
                salt: number(24)?,
            })
        })
    }
}

/// A whole commit as it was found in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) number: u64,
    ranges: &'a [u8],
    writes: &'a [u8],
    /// Its length, header included.
    pub(super) bytes: usize,
}

/// Appends a commit.
pub(super) fn encode(
    salt: u64,
    number: u64,
    deleted_ranges: &[KeyRange],
    writes: &[Write],
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    for KeyRange { from, to } in deleted_ranges {
        out.push(DELETE_RANGE);
        out.extend_from_slice(&(from.len() as u16).to_le_bytes());
        out.extend_from_slice(&(to.len() as u16).to_le_bytes());
        out.extend_from_slice(from);
        out.extend_from_slice(to);
    }
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
    let header_checksum = header_checksum(frame, salt);
    frame[16..20].copy_from_slice(&header_checksum.to_le_bytes());
    let checksum = checksum(frame, salt);
    frame[20..28].copy_from_slice(&checksum.to_le_bytes());
}

/// The whole commit that begins at the front of the bytes, if one does.
pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Commit<'_>> {
    let header = bytes.get(..HEADER_BYTES)?;
    if header[..4] != *MAGIC || header[16..20] != header_checksum(header, salt).to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let number = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let expected = u64::from_le_bytes(header[20..28].try_into().ok()?);
    let frame = bytes.get(..HEADER_BYTES.checked_add(length)?)?;
    if checksum(frame, salt) != expected || !(1..NUMBERS_END).contains(&number) {
        return None;
    }
    // What this program did not write is not believed for its checksum alone.
    let (ranges, writes) = split_ranges(&frame[HEADER_BYTES..])?;
    is_well_formed(writes).then_some(Commit {
        number,
        ranges,
        writes,
        bytes: frame.len(),
    })
}

/// Of a frame's header.
fn header_checksum(frame: &[u8], salt: u64) -> u32 {
    xxh3_64_with_seed(&frame[..HEADER_CHECKED_BYTES], salt) as u32
}

/// Of a frame, its own field left out.
fn checksum(frame: &[u8], salt: u64) -> u64 {
    let mut hash = Xxh3::with_seed(salt);
    hash.update(&frame[..20]);
    hash.update(&frame[HEADER_BYTES..]);
    hash.digest()
}

/// A key and its value; `None` if it is deleted.
type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// The first key of a range, and the first one behind it.
type Ends<'a> = (&'a [u8], &'a [u8]);

impl<'a> Commit<'a> {
    /// Keys and values in their order; `None` for a deletion.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change<'a>> + Clone + use<'a> {
        parts(self.writes, split_change)
    }

    /// The ranges that are deleted before the rest is done.
    pub(crate) fn deleted_ranges(&self) -> impl Iterator<Item = Ends<'a>> + Clone + use<'a> {
        parts(self.ranges, split_range)
    }
}

/// Takes a part from the front of bytes, and says what is left.
type Split<'a, T> = fn(&'a [u8]) -> Option<(T, &'a [u8])>;

/// What `split` takes, again and again.
fn parts<'a, T>(bytes: &'a [u8], split: Split<'a, T>) -> impl Iterator<Item = T> + Clone {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (part, behind) = split(rest)?;
        rest = behind;
        Some(part)
    })
}

fn is_well_formed(writes: &[u8]) -> bool {
    let mut rest = writes;
    while !rest.is_empty() {
        match split_change(rest) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

/// The deleted ranges and what follows them.
fn split_ranges(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    while rest.first() == Some(&DELETE_RANGE) {
        rest = split_range(rest)?.1;
    }
    bytes.split_at_checked(bytes.len() - rest.len())
}

fn split_range(bytes: &[u8]) -> Option<(Ends<'_>, &[u8])> {
    let rest = bytes.strip_prefix(&[DELETE_RANGE])?;
    let (from_bytes, rest) = rest.split_first_chunk()?;
    let (to_bytes, rest) = rest.split_first_chunk()?;
    let (from, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*from_bytes)))?;
    let (to, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*to_bytes)))?;
    Some(((from, to), rest))
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
    const SALT: u64 = 0x5a17;

    fn ranges() -> Vec<KeyRange> {
        let range = |from: &[u8], to: &[u8]| KeyRange {
            from: from.to_vec(),
            to: to.to_vec(),
        };
        vec![range(b"a", b"b"), range(b"", &[9; 300])]
    }

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
        encode(SALT, 12, &ranges(), &sample(), &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"and more");
        let commit = decode(&bytes, SALT).unwrap();
        assert_eq!((commit.number, commit.bytes), (12, length));
        let written = sample();
        let expected = written.iter().map(|write| match write {
            Write::Put { key, value } => (key.as_slice(), Some(value.as_slice())),
            Write::Delete { key } => (key.as_slice(), None),
        });
        assert!(commit.changes().eq(expected));
        let ranges = ranges();
        let expected = ranges
            .iter()
            .map(|range| (range.from.as_slice(), range.to.as_slice()));
        assert!(commit.deleted_ranges().eq(expected));
        assert!(decode(&bytes, SALT + 1).is_none(), "of another file");
        assert!(decode(&bytes[..length - 1], SALT).is_none(), "cut short");
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = vec![];
        encode(SALT, 12, &ranges(), &sample()[..2], &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, SALT).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn one_of_a_headers_copies_is_enough() {
        let header = FileHeader {
            first_commit: 12,
            salt: SALT,
        };
        let whole = header.encode(FILE);
        assert_eq!(FileHeader::decode(&whole, FILE), Some(header));
        assert_eq!(FileHeader::decode(&whole, JournalId(4)), None);
        assert_eq!(
            FileHeader::decode(&whole[..FILE_HEADER_BYTES - 1], FILE),
            None
        );
        for bit in 0..whole.len() * 8 {
            let mut spoiled = whole;
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                FileHeader::decode(&spoiled, FILE),
                Some(header),
                "bit {bit}"
            );
            let other = (bit / 8 + HEADER_COPY_BYTES) % FILE_HEADER_BYTES;
            spoiled[other] ^= 1 << (bit % 8);
            assert_eq!(
                FileHeader::decode(&spoiled, FILE),
                None,
                "bit {bit} of both"
            );
        }
    }
}
