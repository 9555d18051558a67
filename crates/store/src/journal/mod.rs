//! The journal: every commit, in order, in files of bounded size. What is in it and not yet in tables is read again at the start.
//! Must not know tables or families.
//!
//! A file is a header and then commits one behind the other; `frame` says what a commit looks like. A file is synced as a whole
//! before the next one is begun.

mod check;
mod frame;
mod inspect;
mod scan;
mod writer;

use std::path::{Path, PathBuf};

pub(crate) use check::{check, check_file};
pub(crate) use frame::{Commit, FILE_HEADER_BYTES as JOURNAL_HEADER_BYTES, NUMBERS_END};
pub(crate) use inspect::{Inspection, inspect};
pub(crate) use scan::read;
pub(crate) use writer::{JOURNAL_FILE_BYTES, JournalWriter};

/// A journal file's number; they count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JournalId(pub(crate) u64);

impl JournalId {
    const EXTENSION: &str = ".jnl";

    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:016x}{}", self.0, Self::EXTENSION))
    }

    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(Self::EXTENSION)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (digits.len() == 16).then_some(Self(number))
    }
}
