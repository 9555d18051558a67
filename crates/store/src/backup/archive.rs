//! A backup as one stream: a tar archive of a data directory's files in the image's order, with the description at the end.

use std::io::{self, Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::description::{DESCRIPTION_BYTES_MAX, DESCRIPTION_FILE, is_place};
use super::source::Pace;
use super::{BackupError, BackupOptions, BackupSource, Description, FileRecord, Summary};
use crate::hex::Hex;
use crate::progress::Progress;

/// A tar header, and what contents are filled up to a multiple of.
const BLOCK_BYTES: usize = 512;

/// A stream that a backup is written to.
#[derive(Debug)]
pub struct ArchiveTarget<W> {
    out: W,
}

impl<W: Write> ArchiveTarget<W> {
    /// Writes to `out`, in large pieces.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes everything.
    pub fn write(
        mut self,
        source: &mut dyn BackupSource,
        options: &BackupOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, BackupError> {
        let header = source.header().clone();
        let all: Vec<usize> = (0..header.files.len()).collect();
        let total = header.bytes();
        let at = options.at.value() / 1000;
        let mut pace = Pace::new(options.rate);
        let mut records: Vec<FileRecord> = Vec::new();
        let (mut done, mut of_file, mut sum) = (0, 0, Xxh3::new());
        source.copy(&all, &mut |number, piece| {
            let file = &header.files[number];
            if of_file == 0 {
                self.put(&entry(&file.name, file.bytes, at)?)?;
            }
            self.put(piece)?;
            sum.update(piece);
            of_file += piece.len() as u64;
            if of_file == file.bytes {
                self.fill_up(file.bytes)?;
                records.push(FileRecord {
                    name: file.name.clone(),
                    bytes: file.bytes,
                    xxh3: Hex(sum.digest()),
                    fingerprint: file.fingerprint,
                });
                (of_file, sum) = (0, Xxh3::new());
            }
            pace.took(piece.len());
            done += piece.len() as u64;
            progress(Progress {
                done,
                total: Some(total),
            });
            Ok(())
        })?;
        if records.len() != all.len() {
            return Err(BackupError::Source("not every file came wholly".to_owned()));
        }
        let description = Description::new(&header, 1, options.at, records);
        let text = description.encode();
        self.put(&entry(DESCRIPTION_FILE, text.len() as u64, at)?)?;
        self.put(&text)?;
        self.fill_up(text.len() as u64)?;
        self.put(&[0; 2 * BLOCK_BYTES])?;
        self.out.flush().map_err(output_error)?;
        Ok(Summary {
            generation: 1,
            commit: description.commit,
            at: description.at,
            files: description.files.len(),
            bytes: description.bytes(),
            copied_files: description.files.len(),
            copied_bytes: done,
            removed_generations: Vec::new(),
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.out.write_all(bytes).map_err(output_error)
    }

    fn fill_up(&mut self, bytes: u64) -> Result<(), BackupError> {
        let beyond = (bytes % BLOCK_BYTES as u64) as usize;
        match beyond {
            0 => Ok(()),
            _ => self.put(&[0; BLOCK_BYTES][beyond..]),
        }
    }
}

/// Reads an archive: gives each file's name, length and contents to `take`, and returns the description that comes last. Nothing of
/// it is checked but that names are those of a data directory's files.
pub(super) fn read(
    archive: impl Read,
    mut take: impl FnMut(&str, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<Description, BackupError> {
    let broken = |error: io::Error| BackupError::NotAnArchive {
        detail: error.to_string(),
    };
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == DESCRIPTION_FILE {
            let mut text = Vec::new();
            entry
                .take(DESCRIPTION_BYTES_MAX)
                .read_to_end(&mut text)
                .map_err(broken)?;
            return Description::decode(&text);
        }
        if !is_place(&name) || !entry.header().entry_type().is_file() {
            return Err(BackupError::NotAnArchive {
                detail: format!("{name:?} is no file of a data directory"),
            });
        }
        take(&name, &mut entry)?;
    }
    Err(BackupError::NotAnArchive {
        detail: format!("it ends before {DESCRIPTION_FILE}"),
    })
}

fn entry(name: &str, bytes: u64, at: u64) -> Result<[u8; BLOCK_BYTES], BackupError> {
    let mut header = tar::Header::new_ustar();
    header.set_path(Path::new(name))?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

fn output_error(error: io::Error) -> BackupError {
    BackupError::io(Path::new("standard output"), error)
}
