//! How a value becomes bytes: one version byte, then postcard or a fixed header.
//! Every decoder takes any bytes without a panic, and takes all of them or none.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The version byte that a value begins with. Some records have a second layout, with a byte of its own, for values that have
/// more to say than most.
pub const VALUE_VERSION: u8 = 1;

/// The version of the key space as a whole, kept under `key::meta(key::META_FORMAT)` as four bytes, big-endian.
pub const FORMAT_VERSION: u32 = 2;

/// Why bytes from the store are not the value that should stand there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The value ends before it is complete.
    #[error("{record} is cut short at {bytes} bytes")]
    Truncated {
        /// Which value was expected.
        record: &'static str,
        /// How many bytes there were.
        bytes: usize,
    },
    /// Of a layout that this release does not know.
    #[error("{record} has version {found}, which this release does not read")]
    Version {
        /// Which value was expected.
        record: &'static str,
        /// The version byte that stood there.
        found: u8,
    },
    /// Not what this version's layout allows.
    #[error("{record} is malformed: {detail}")]
    Malformed {
        /// Which value was expected.
        record: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
}

/// The version byte and the value in postcard.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_as(VALUE_VERSION, value)
}

/// The same under another version byte.
pub(crate) fn encode_as<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version])
        .expect("a record has only types that postcard can write, and a Vec takes any length")
}

/// The counterpart of `encode`.
pub(crate) fn decode<T: DeserializeOwned>(
    record: &'static str,
    bytes: &[u8],
) -> Result<T, RecordError> {
    decode_as(record, VALUE_VERSION, bytes)
}

/// The counterpart of `encode_as`.
pub(crate) fn decode_as<T: DeserializeOwned>(
    record: &'static str,
    version: u8,
    bytes: &[u8],
) -> Result<T, RecordError> {
    let mut reader = Reader::open_as(record, version, bytes)?;
    let (value, rest) = postcard::take_from_bytes(reader.rest()).map_err(|error| match error {
        postcard::Error::DeserializeUnexpectedEnd => RecordError::Truncated {
            record,
            bytes: bytes.len(),
        },
        // Postcard's errors are a foreign, open-ended enum; all others mean the same to the caller.
        _ => RecordError::Malformed {
            record,
            detail: "postcard cannot read it",
        },
    })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(RecordError::Malformed {
            record,
            detail: "bytes after its end",
        })
    }
}

/// Reads a fixed header from the front of a value.
pub(crate) struct Reader<'a> {
    record: &'static str,
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks the version byte and stands behind it.
    pub(crate) fn open(record: &'static str, whole: &'a [u8]) -> Result<Self, RecordError> {
        Self::open_as(record, VALUE_VERSION, whole)
    }

    /// The same for another version byte.
    pub(crate) fn open_as(
        record: &'static str,
        version: u8,
        whole: &'a [u8],
    ) -> Result<Self, RecordError> {
        let mut reader = Self {
            record,
            whole,
            at: 0,
        };
        match reader.u8()? {
            found if found == version => Ok(reader),
            found => Err(RecordError::Version { record, found }),
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn slice(&mut self, bytes: usize) -> Result<&'a [u8], RecordError> {
        let taken = self.whole[self.at..]
            .get(..bytes)
            .ok_or_else(|| self.truncated())?;
        self.at += bytes;
        Ok(taken)
    }

    /// Everything that has not been read, which is then read.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.whole[self.at..];
        self.at = self.whole.len();
        rest
    }

    pub(crate) fn malformed(&self, detail: &'static str) -> RecordError {
        RecordError::Malformed {
            record: self.record,
            detail,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let taken = self.whole[self.at..]
            .first_chunk::<N>()
            .ok_or_else(|| self.truncated())?;
        self.at += N;
        Ok(*taken)
    }

    fn truncated(&self) -> RecordError {
        RecordError::Truncated {
            record: self.record,
            bytes: self.whole.len(),
        }
    }
}
