//! Where a backup's bytes come from, at which rate they are taken, and how far it is.

use std::time::{Duration, Instant};

use records::Millis;

use super::BackupError;
use crate::image::{Image, ImageHeader};

/// Takes a piece of a file, which it is told by its number.
pub type TakePiece<'a> = dyn FnMut(usize, &[u8]) -> Result<(), BackupError> + 'a;

/// Gives the files of an image: that of a store in this process, or what a running server sends.
pub trait BackupSource {
    /// What there is.
    fn header(&self) -> &ImageHeader;

    /// Gives the wanted files (numbers of the header's, ascending) to `take`, one behind the other, in pieces, until it fails.
    /// A file without bytes is given as one empty piece.
    fn copy(&mut self, wanted: &[usize], take: &mut TakePiece<'_>) -> Result<(), BackupError>;
}

impl BackupSource for Image {
    fn header(&self) -> &ImageHeader {
        Self::header(self)
    }

    fn copy(&mut self, wanted: &[usize], take: &mut TakePiece<'_>) -> Result<(), BackupError> {
        for &file in wanted {
            self.read(file, |piece| take(file, piece))?;
        }
        Ok(())
    }
}

/// How to make a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupOptions {
    /// When it is.
    pub at: Millis,
    /// Bytes in a second at most.
    pub rate: Option<u64>,
    /// Of a folder: so many generations are kept, this one included.
    pub keep: Option<usize>,
}

/// What a backup or a restore came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The generation's number.
    pub generation: u64,
    /// The last commit that is in it.
    pub commit: u64,
    /// When it was taken, in milliseconds since 1970.
    pub at: u64,
    /// Files of it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were copied.
    pub copied_files: usize,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Generations that were removed.
    pub removed_generations: Vec<u64>,
}

/// Keeps to a rate.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<u64>,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// So many more bytes were taken; returns when it is their time.
    pub(super) fn took(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(self.bytes as f64 / rate.max(1) as f64);
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }
}
