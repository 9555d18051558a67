//! The watermark: a small file beside the store that says which commit is known to be on disk.
//! It is written after the fsync it tells of, so it may lag behind and never runs ahead.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{Disk, DiskFile};

const MAGIC: &[u8; 4] = b"MGPW";
const VERSION: u8 = 1;
const SLOT_BYTES: usize = 32;
const CHECKED_BYTES: usize = 24;
/// Slots lie in different pages, so that no torn write hits both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const FILE_BYTES: u64 = 8192;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// This commit and all before it had been fsynced.
    pub(crate) commit: u64,
    /// Whether every commit was fsynced before the next one began.
    pub(crate) each_synced: bool,
}

/// What is found where the file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Mark(Mark),
    Missing,
    /// It is there and neither slot can be read.
    Damaged,
}

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: Arc<dyn DiskFile>,
    next_slot: Mutex<usize>,
}

impl Watermark {
    /// Reads the file without changing it.
    pub(crate) fn look(disk: &dyn Disk, path: &Path) -> io::Result<Found> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let latest = latest(&read_slots(&*file)?);
        Ok(latest.map_or(Found::Damaged, |(_, mark)| Found::Mark(mark)))
    }

    /// Makes the file, or takes over the one that is there, and durably sets it to `mark`.
    pub(crate) fn reset(disk: &dyn Disk, path: &Path, mark: Mark) -> io::Result<Self> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path)?,
            Err(error) => return Err(error),
        };
        file.set_len(FILE_BYTES)?;
        // Both slots: a higher number from before must not come back. The one that counted until now is only written once the
        // other stands, so that whatever happens in between leaves one of them.
        let counts = latest(&read_slots(&*file)?).map_or(1, |(slot, _)| slot);
        for slot in [1 - counts, counts] {
            file.write_all_at(&encode(mark), SLOT_OFFSETS[slot])?;
            file.sync()?;
        }
        Ok(Self {
            file,
            next_slot: Mutex::new(0),
        })
    }

    /// What a file that says this holds.
    pub(crate) fn file_contents(mark: Mark) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES as usize];
        for offset in SLOT_OFFSETS {
            let begin = offset as usize;
            bytes[begin..begin + SLOT_BYTES].copy_from_slice(&encode(mark));
        }
        bytes
    }

    /// Notes that the commit is on disk. Survives the process at once, and a power cut from the next `sync` on.
    pub(crate) fn advance(&self, mark: Mark) -> io::Result<()> {
        let mut slot = self
            .next_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.file.write_all_at(&encode(mark), SLOT_OFFSETS[*slot])?;
        *slot = 1 - *slot;
        Ok(())
    }

    /// Makes what was noted durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// What the slots say; `None` for one that is not there or not whole.
fn read_slots(file: &dyn DiskFile) -> io::Result<[Option<Mark>; 2]> {
    let mut marks = [None; 2];
    for (mark, offset) in marks.iter_mut().zip(SLOT_OFFSETS) {
        let mut slot = [0; SLOT_BYTES];
        match file.read_exact_at(&mut slot, offset) {
            Ok(()) => *mark = decode(&slot),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(marks)
}

/// The mark that counts, and the slot that it stands in.
fn latest(marks: &[Option<Mark>; 2]) -> Option<(usize, Mark)> {
    let whole = marks.iter().enumerate();
    whole
        .filter_map(|(slot, mark)| Some((slot, (*mark)?)))
        .max_by_key(|(_, mark)| mark.commit)
}

fn encode(mark: Mark) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(MAGIC);
    slot[4] = VERSION;
    slot[5] = u8::from(mark.each_synced);
    slot[8..16].copy_from_slice(&mark.commit.to_be_bytes());
    let checksum = xxh3_64(&slot[..CHECKED_BYTES]);
    slot[CHECKED_BYTES..].copy_from_slice(&checksum.to_be_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<Mark> {
    let (checked, checksum) = slot.split_at(CHECKED_BYTES);
    if checked[..4] != *MAGIC
        || checked[4] != VERSION
        || xxh3_64(checked).to_be_bytes() != *checksum
    {
        return None;
    }
    let commit = u64::from_be_bytes(checked[8..16].try_into().ok()?);
    Some(Mark {
        commit,
        each_synced: checked[5] == 1,
    })
}
