//! Checks every commit of the journal without changing anything.

use std::io;
use std::path::{Path, PathBuf};

use super::JournalId;
use super::inspect::judge;
use super::scan::{self, Journal, Tail};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::watermark::Found;

/// What was found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Files that can be read, oldest first.
    pub(crate) files: Vec<JournalId>,
    /// Whole commits in them.
    pub(crate) commits: u64,
    /// The number of the last one; `None` if there is none.
    pub(crate) last_commit: Option<u64>,
    /// What is missing of what was acknowledged.
    pub(crate) loss: Option<StoreError>,
}

/// Checks the journal of a folder, of which `needed` is the first file that holds what is in no table. What a write that was cut off
/// has left, and nobody was told of, is no damage.
pub(crate) fn check(
    disk: &dyn Disk,
    folder: &Path,
    needed: JournalId,
    found: Found,
) -> io::Result<Checked> {
    let mut journals = scan::journals(disk, folder)?;
    journals.retain(|journal| journal.id >= needed);
    let verdict = judge(folder, &journals, needed, found);
    if let Some(verdict) = &verdict {
        journals.truncate(verdict.journal + 1);
    }
    Ok(Checked {
        commits: journals.iter().map(commits).sum(),
        last_commit: journals
            .iter()
            .rev()
            .find_map(|journal| journal.last_commit),
        files: journals.into_iter().map(|journal| journal.id).collect(),
        loss: verdict.and_then(|verdict| verdict.loss),
    })
}

/// Checks a file all of which is known to be written; the number of its commits, or what is wrong.
pub(crate) fn check_file(id: JournalId, path: PathBuf, bytes: &[u8]) -> Result<u64, StoreError> {
    let journal = scan::look(id, path, bytes);
    let is_whole = journal.first_commit.is_some() && journal.end == bytes.len() as u64;
    if is_whole && journal.tail == Tail::Clean {
        return Ok(commits(&journal));
    }
    Err(StoreError::DamagedJournal {
        file: journal.path,
        offset: journal.end,
        detail: format!("{} bytes were written", bytes.len()),
    })
}

fn commits(journal: &Journal) -> u64 {
    let numbers = journal.first_commit.zip(journal.last_commit);
    numbers.map_or(0, |(first, last)| last - first + 1)
}
