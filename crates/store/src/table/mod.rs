//! A table: a file of rows in key order that never changes. Written once, checked whenever it is read.
//!
//! The file: partitions one behind the other, each of data blocks, the filter of their keys and the index of the blocks;
//! then the index of the partitions, the properties, and a footer that says where these two stand.

mod block;
mod check;
mod cursor;
mod extent;
mod filter;
mod footer;
mod reader;
mod scan;
mod suffixes;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

pub(crate) use check::{Fault, check};
pub(crate) use cursor::TableCursor;
pub(crate) use filter::FilterKind;
pub(crate) use reader::{Blocks, Table};
pub(crate) use scan::TableScan;
pub(crate) use writer::TableWriter;

/// A table's number, which is its file's name too. Never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableId(pub(crate) u64);

impl TableId {
    const EXTENSION: &str = ".tab";

    pub(crate) fn file_name(self) -> String {
        format!("{:016x}{}", self.0, Self::EXTENSION)
    }

    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(Self::EXTENSION)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (digits.len() == 16).then_some(Self(number))
    }
}

/// How the tables of a family are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableSpec {
    /// Which family.
    pub(crate) family: u8,
    /// A block ends with the row that brings it to so many bytes.
    pub(crate) block_bytes: usize,
    pub(crate) filter: FilterKind,
}

/// A block that is not what was written there, and the keys that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// The block's first byte in the file.
    pub(crate) offset: u64,
    /// Keys behind this one (from the first on, if it is empty) …
    pub(crate) after: Bytes,
    /// … up to this one.
    pub(crate) upto: Bytes,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = match self.after.first() {
            Some(_) => format!("behind {}", records::describe(&self.after)),
            None => "from the first row".to_owned(),
        };
        write!(
            f,
            "{} is damaged at byte {}: rows {after} up to {}",
            self.file.display(),
            self.offset,
            records::describe(&self.upto),
        )
    }
}

/// Why a table cannot be read.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    /// The operating system refuses.
    #[error("{}: {source}", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// A block does not fit its checksum.
    #[error("{0}")]
    Damaged(Damage),
}

impl TableError {
    /// The table's file.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Self::Io { file, .. } => file,
            Self::Damaged(damage) => &damage.file,
        }
    }
}

/// What distinguishes a block's place from every other one's, for its checksum.
fn seed(id: TableId, offset: u64) -> u64 {
    id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset
}

#[cfg(test)]
mod tests;
