//! One batch of a fjall 3 journal: a start marker, items, an end marker with the items' checksum.
//! Follows fjall 3.1's `journal/entry.rs` and `journal/writer.rs`.

use xxhash_rust::xxh3::xxh3_64;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// A batch that is complete and whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchEnd {
    /// Fjall's number for it. Not under the checksum.
    pub(crate) seqno: u64,
    /// Our own number for it, from the item that every commit of ours has.
    pub(crate) commit: Option<u64>,
    /// Where the next batch begins.
    pub(crate) end: usize,
}

/// Reads the batch that begins at `begin`. `None` if it is cut short, malformed or fails its checksum.
pub(crate) fn read_batch(journal: &[u8], begin: usize, commit_key: &[u8]) -> Option<BatchEnd> {
    let mut at = Cursor {
        bytes: journal,
        at: begin,
    };
    if at.u8()? != TAG_START {
        return None;
    }
    let items = at.u32()?;
    let seqno = at.u64()?;
    let body = at.at;
    let mut commit = None;
    for _ in 0..items {
        match at.u8()? {
            TAG_ITEM => {
                let (key, value) = item(&mut at)?;
                if key == commit_key {
                    commit = Some(u64::from_be_bytes(value.try_into().ok()?));
                }
            }
            // A keyspace that is emptied; this store never does that, but fjall may know why.
            TAG_CLEAR => {
                at.u64()?;
            }
            _ => return None,
        }
    }
    let checked = &journal[body..at.at];
    if at.u8()? != TAG_END {
        return None;
    }
    let checksum = at.u64()?;
    if at.slice(TRAILER.len())? != TRAILER || checksum != xxh3_64(checked) {
        return None;
    }
    Some(BatchEnd {
        seqno,
        commit,
        end: at.at,
    })
}

fn item<'a>(at: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    const VALUE_TYPES: usize = 1;
    const COMPRESSION: usize = 1;
    const KEYSPACE: usize = 8;
    at.slice(VALUE_TYPES + COMPRESSION + KEYSPACE)?;
    let key_bytes = usize::from(at.u16()?);
    let _decompressed_bytes = at.u32()?;
    let value_bytes = at.u32()? as usize;
    Some((at.slice(key_bytes)?, at.slice(value_bytes)?))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn slice(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(bytes)?)?;
        self.at += bytes;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read_batch(&bytes, 0, b"k"), None);
            bytes.splice(0..0, [TAG_START, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, TAG_ITEM]);
            prop_assert_eq!(read_batch(&bytes, 0, b"k"), None);
        }
    }
}
