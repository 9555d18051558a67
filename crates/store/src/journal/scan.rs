//! What stands in the journal's files: which commits are whole, and what comes behind the last whole one.

use std::io;
use std::path::{Path, PathBuf};

use super::JournalId;
use super::frame::{self, Commit, FILE_HEADER_BYTES, FileHeader};
use crate::disk::Disk;
use crate::error::StoreError;

/// A journal file as it was found.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) id: JournalId,
    pub(super) path: PathBuf,
    /// The number of its first commit, as its header says; `None` if the header is not whole.
    pub(super) first_commit: Option<u64>,
    /// Whether anything but zeros stands where commits do.
    pub(super) follows_header: bool,
    /// The last whole commit in it.
    pub(super) last_commit: Option<u64>,
    /// Where its last whole commit ends.
    pub(super) end: u64,
    /// What is behind the last whole commit.
    pub(super) tail: Tail,
}

/// What is behind a journal's last whole commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// Something that is no whole commit, and no whole commit behind it: what a write that was cut off leaves.
    Torn {
        /// Where it begins.
        offset: u64,
    },
    /// Something that is no whole commit, with a whole commit behind it.
    Hole {
        /// Where it begins.
        offset: u64,
        /// Where a whole commit begins again.
        resumes: u64,
        /// The number of that commit.
        commit: u64,
    },
}

/// Looks at all journal files of a folder, oldest first. One is in memory at a time.
pub(super) fn journals(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<Journal>> {
    let names = disk.list(folder)?;
    let mut ids: Vec<JournalId> = names
        .iter()
        .filter_map(|name| JournalId::of_file_name(name))
        .collect();
    ids.sort();
    let look = |id: JournalId| {
        let path = id.path(folder);
        let bytes = disk.open(&path)?.read_to_end()?;
        Ok(look(id, path, &bytes))
    };
    ids.into_iter().map(look).collect()
}

pub(super) fn look(id: JournalId, path: PathBuf, bytes: &[u8]) -> Journal {
    let header = FileHeader::decode(bytes, id);
    let mut end = 0;
    let mut last_commit = None;
    if let Some(header) = header {
        end = FILE_HEADER_BYTES;
        let mut next = header.first_commit;
        while let Some(commit) = frame::decode(&bytes[end..], header.salt)
            && commit.number == next
        {
            last_commit = Some(commit.number);
            next += 1;
            end += commit.bytes;
        }
    }
    Journal {
        id,
        path,
        first_commit: header.map(|header| header.first_commit),
        follows_header: bytes.iter().skip(FILE_HEADER_BYTES).any(|byte| *byte != 0),
        last_commit,
        end: end as u64,
        tail: tail(&bytes[end..], header, end as u64, last_commit.unwrap_or(0)),
    }
}

/// What stands behind the last whole commit. Without a header nothing of the file can be told from anything else.
fn tail(rest: &[u8], header: Option<FileHeader>, offset: u64, last_commit: u64) -> Tail {
    if rest.iter().all(|byte| *byte == 0) {
        return Tail::Clean;
    }
    let commit_at = |at: usize| frame::decode(&rest[at..], header?.salt);
    let begins = |at: &usize| rest[*at..].starts_with(frame::MAGIC);
    let later = (0..rest.len())
        .filter(begins)
        .filter_map(|at| Some((at, commit_at(at)?.number)))
        .find(|(_, number)| *number > last_commit);
    match later {
        Some((at, commit)) => Tail::Hole {
            offset,
            resumes: offset + at as u64,
            commit,
        },
        None => Tail::Torn { offset },
    }
}

/// Makes what was read of the newest file durable, of which that is known only up to a commit: who wrote it may have been killed
/// between the write and the sync. It is written once more, because after a sync that failed the operating system takes
/// for written what is not (https://wiki.postgresql.org/wiki/Fsync_Errors).
pub(super) fn make_durable(disk: &dyn Disk, journal: &Journal, known: u64) -> io::Result<()> {
    if journal.first_commit.is_none() || journal.last_commit.is_some_and(|last| last <= known) {
        return Ok(());
    }
    let file = disk.open(&journal.path)?;
    let bytes = file.read_to_end()?;
    let mut begin = 0;
    let mut at = FILE_HEADER_BYTES;
    let salt = FileHeader::decode(&bytes, journal.id).map(|header| header.salt);
    while let Some(commit) = bytes.get(at..).and_then(|rest| frame::decode(rest, salt?))
        && commit.number <= known
    {
        at += commit.bytes;
        begin = at;
    }
    let end = journal.end as usize;
    let unsynced = bytes.get(begin..end).unwrap_or_default();
    file.write_all_at(unsynced, begin as u64)?;
    file.sync()
}

/// Gives every whole commit of a file to `take`, in order, until it fails.
pub(crate) fn read(
    disk: &dyn Disk,
    folder: &Path,
    id: JournalId,
    mut take: impl FnMut(Commit<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let path = id.path(folder);
    let bytes = disk
        .open(&path)
        .and_then(|file| file.read_to_end())
        .map_err(|source| StoreError::io(&path, source))?;
    let mut at = FILE_HEADER_BYTES;
    let salt = FileHeader::decode(&bytes, id).map(|header| header.salt);
    while let Some(commit) = bytes.get(at..).and_then(|rest| frame::decode(rest, salt?)) {
        at += commit.bytes;
        take(commit)?;
    }
    Ok(())
}
