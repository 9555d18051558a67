//! Appends commits to the newest journal file and begins the next one when it is full.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use records::{KeyRange, Write};

use super::JournalId;
use super::frame::{self, FILE_HEADER_BYTES, FileHeader};
use crate::disk::{Disk, DiskFile};

/// A file is ended by the commit that brings it to so many bytes, unless a test wants it smaller.
pub(crate) const JOURNAL_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Kept for the next commit; a larger one's buffer is given back.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// The end of the journal.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    id: JournalId,
    file: Arc<dyn DiskFile>,
    /// Of the file.
    salt: u64,
    /// Where the next commit goes.
    offset: u64,
    /// The number of the last commit that was appended, here or before.
    last_commit: u64,
    /// Files that are ended and still there, oldest first, and the last commit and length of each.
    ended: VecDeque<(JournalId, u64, u64)>,
    /// A file is ended by the commit that brings it to so many bytes.
    file_bytes: u64,
    buffer: Vec<u8>,
}

impl JournalWriter {
    /// Goes on in a file behind its last whole commit, which has this number and ends at this byte.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        id: JournalId,
        (last_commit, offset): (u64, u64),
        ended: VecDeque<(JournalId, u64, u64)>,
        file_bytes: u64,
    ) -> io::Result<Self> {
        let file = disk.open(&id.path(&folder))?;
        let mut header = [0; FILE_HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let header = FileHeader::decode(&header, id)
            .ok_or_else(|| io::Error::other("the header of the journal has changed"))?;
        Ok(Self {
            file,
            salt: header.salt,
            disk,
            folder,
            id,
            offset,
            last_commit,
            ended,
            file_bytes,
            buffer: Vec::new(),
        })
    }

    /// Begins a file whose first commit will be `first_commit`. `ended` are those before it.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        id: JournalId,
        first_commit: u64,
        ended: VecDeque<(JournalId, u64, u64)>,
        file_bytes: u64,
    ) -> io::Result<Self> {
        let (file, salt) = create(&*disk, &folder, id, first_commit)?;
        Ok(Self {
            disk,
            folder,
            id,
            file,
            salt,
            offset: FILE_HEADER_BYTES as u64,
            last_commit: first_commit.saturating_sub(1),
            ended,
            file_bytes,
            buffer: Vec::new(),
        })
    }

    /// Writes a commit behind the others; durable with `sync`. Returns its length.
    pub(crate) fn append(
        &mut self,
        number: u64,
        deleted_ranges: &[KeyRange],
        writes: &[Write],
    ) -> io::Result<u64> {
        if self.offset >= self.file_bytes {
            self.next_file(number)?;
        }
        self.buffer.clear();
        frame::encode(self.salt, number, deleted_ranges, writes, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.offset)?;
        let length = self.buffer.len() as u64;
        self.offset += length;
        self.last_commit = number;
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(length)
    }

    /// The number of the last commit that was appended wholly.
    pub(crate) fn last_commit(&self) -> u64 {
        self.last_commit
    }

    /// The file whose sync makes durable what was appended, all files before being so.
    pub(crate) fn file(&self) -> Arc<dyn DiskFile> {
        self.file.clone()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let ended: u64 = self.ended.iter().map(|(_, _, bytes)| bytes).sum();
        ended + self.offset
    }

    /// The oldest file that holds a commit beyond this one, or the newest.
    pub(crate) fn first_needed(&self, flushed: u64) -> JournalId {
        let mut ended = self.ended.iter();
        let needed = ended.find(|(_, last_commit, _)| *last_commit > flushed);
        needed.map_or(self.id, |(id, _, _)| *id)
    }

    /// Forgets the files before this one and returns them, to be removed.
    pub(crate) fn release_before(&mut self, id: JournalId) -> Vec<PathBuf> {
        let mut released = Vec::new();
        while let Some((oldest, _, _)) = self.ended.front()
            && *oldest < id
        {
            released.push(oldest.path(&self.folder));
            self.ended.pop_front();
        }
        released
    }

    /// The files that are there, oldest first, with the length that is written.
    pub(crate) fn files(&self) -> Vec<(JournalId, u64)> {
        let ended = self.ended.iter().map(|(id, _, bytes)| (*id, *bytes));
        ended.chain([(self.id, self.offset)]).collect()
    }

    fn next_file(&mut self, first_commit: u64) -> io::Result<()> {
        // With an fsync for each commit this is one too many, in thousands.
        self.file.sync()?;
        let id = JournalId(self.id.0 + 1);
        let (file, salt) = create(&*self.disk, &self.folder, id, first_commit)?;
        self.ended
            .push_back((self.id, first_commit - 1, self.offset));
        self.id = id;
        self.file = file;
        self.salt = salt;
        self.offset = FILE_HEADER_BYTES as u64;
        Ok(())
    }
}

fn create(
    disk: &dyn Disk,
    folder: &std::path::Path,
    id: JournalId,
    first_commit: u64,
) -> io::Result<(Arc<dyn DiskFile>, u64)> {
    let salt = disk.random()?;
    let file = disk.create(&id.path(folder))?;
    let header = FileHeader { first_commit, salt };
    file.write_all_at(&header.encode(id), 0)?;
    file.sync()?;
    disk.sync_folder(folder)?;
    Ok((file, salt))
}
