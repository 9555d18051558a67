//! Makes a data directory out of a backup. What is cut off leaves a directory that no server starts on, and that the next restore
//! begins anew; what does not fit its checksum leaves none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive;
use super::folder::Generations;
use super::target::{PartFile, make_folder, sync_folder};
use super::{BackupError, Description, FileRecord, Summary};
use crate::data_dir::{DataDir, Holder};
use crate::disk::OsDisk;
use crate::embedded::{STORE_FOLDER, WATERMARK_FILE};
use crate::hex::Hex;
use crate::image::{IDENTITY_FILE, PIECE_BYTES};
use crate::progress::Progress;

/// Where the store's files are until all of them are there.
const RESTORING_FOLDER: &str = "restoring";

/// Restores the newest generation of a folder, or the one that is named.
pub fn restore_folder(
    source: &Path,
    generation: Option<u64>,
    data_dir: &Path,
    holder: Holder,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, BackupError> {
    let found = Generations::look(source)?;
    let description = found.choose(generation)?;
    let total = Some(description.bytes());
    let mut restore = Restore::begin(data_dir, holder)?;
    let mut done = 0;
    restore.attempt(|restore| {
        for record in &description.files {
            let path = found.place(description, &record.name);
            let mut file = File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => BackupError::Damaged {
                    file: record.name.clone(),
                    detail: format!("{} is missing", path.display()),
                },
                _ => BackupError::io(&path, error),
            })?;
            restore.add(&record.name, &mut file, &path, &mut |bytes| {
                done += bytes;
                progress(Progress { done, total });
            })?;
        }
        restore.finish(description)
    })
}

/// Restores out of a stream.
pub fn restore_archive(
    source: impl Read,
    data_dir: &Path,
    holder: Holder,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, BackupError> {
    let mut restore = Restore::begin(data_dir, holder)?;
    let mut done = 0;
    restore.attempt(|restore| {
        let description = archive::read(source, |name, contents| {
            restore.add(name, contents, Path::new("the archive"), &mut |bytes| {
                done += bytes;
                progress(Progress { done, total: None });
            })
        })?;
        restore.finish(&description)
    })
}

/// A data directory that is being made.
struct Restore {
    data_dir: DataDir,
    restoring: PathBuf,
    written: Vec<FileRecord>,
}

impl Restore {
    /// Takes the directory, which must be empty, or what a restore that was cut off has left.
    fn begin(data_dir: &Path, holder: Holder) -> Result<Self, BackupError> {
        let names = file_names(data_dir)?;
        let is_left = names.iter().any(|name| name == RESTORING_FOLDER);
        let allowed = |name: &String| {
            let left = [RESTORING_FOLDER, WATERMARK_FILE, IDENTITY_FILE];
            name == "lock" || (is_left && left.contains(&name.as_str()))
        };
        let not_empty = || BackupError::NotEmpty {
            path: data_dir.to_owned(),
        };
        // Whoever holds it is named rather than what is in it.
        let is_empty = names.iter().all(allowed);
        if !is_empty && !names.iter().any(|name| name == "lock") {
            return Err(not_empty());
        }
        let taken = DataDir::open(data_dir, holder)?;
        if !is_empty {
            return Err(not_empty());
        }
        let restore = Self {
            restoring: data_dir.join(RESTORING_FOLDER),
            data_dir: taken,
            written: Vec::new(),
        };
        restore.clear()?;
        make_folder(&restore.restoring)?;
        Ok(restore)
    }

    /// What it has written goes if `work` fails.
    fn attempt(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Summary, BackupError>,
    ) -> Result<Summary, BackupError> {
        let outcome = work(self);
        if outcome.is_err()
            && let Err(error) = self.clear()
        {
            tracing::warn!(%error, "what was restored stays");
        }
        outcome
    }

    fn clear(&self) -> Result<(), BackupError> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let watermark = self.data_dir.path().join(WATERMARK_FILE);
        gone(fs::remove_dir_all(&self.restoring))
            .map_err(|error| BackupError::io(&self.restoring, error))?;
        gone(fs::remove_file(&watermark)).map_err(|error| BackupError::io(&watermark, error))
    }

    fn add(
        &mut self,
        name: &str,
        contents: &mut dyn Read,
        from: &Path,
        took: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let path = match name
            .strip_prefix(STORE_FOLDER)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(file) => self.restoring.join(file),
            None => self.data_dir.path().join(name),
        };
        let mut file = PartFile::create(path)?;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BackupError::io(from, error)),
            };
            file.write(&buffer[..count])?;
            took(count as u64);
        }
        let bytes = file.written;
        self.written.push(FileRecord {
            name: name.to_owned(),
            bytes,
            xxh3: file.finish()?,
            fingerprint: None,
        });
        Ok(())
    }

    /// Everything is there: checks it, and makes it the store.
    fn finish(&mut self, description: &Description) -> Result<Summary, BackupError> {
        for record in &description.files {
            let written = self.written.iter().find(|file| file.name == record.name);
            check(record, written)?;
        }
        if let Some(more) = self
            .written
            .iter()
            .find(|file| description.file(&file.name).is_none())
        {
            return Err(BackupError::NotAnArchive {
                detail: format!("{} is not in its description", more.name),
            });
        }
        let data_dir = self.data_dir.path();
        let branch = description.identity.branch();
        branch
            .write(&OsDisk, data_dir)
            .map_err(|error| BackupError::io(data_dir, error))?;
        sync_folder(&self.restoring)?;
        let store = data_dir.join(STORE_FOLDER);
        fs::rename(&self.restoring, &store).map_err(|error| BackupError::io(&store, error))?;
        sync_folder(data_dir)?;
        Ok(Summary {
            generation: description.generation,
            commit: description.commit,
            at: description.at,
            files: description.files.len(),
            bytes: description.bytes(),
            copied_files: self.written.len(),
            copied_bytes: self.written.iter().map(|file| file.bytes).sum(),
            removed_generations: Vec::new(),
        })
    }
}

fn check(record: &FileRecord, written: Option<&FileRecord>) -> Result<(), BackupError> {
    let damaged = |detail: String| {
        Err(BackupError::Damaged {
            file: record.name.clone(),
            detail,
        })
    };
    let Some(written) = written else {
        return damaged("it is missing".to_owned());
    };
    if written.bytes != record.bytes {
        return damaged(format!(
            "{} bytes, {} were written",
            written.bytes, record.bytes
        ));
    }
    let (Hex(found), Hex(expected)) = (written.xxh3, record.xxh3);
    if found != expected {
        return damaged(format!(
            "its checksum is {found:016x}, {expected:016x} was written"
        ));
    }
    Ok(())
}

fn file_names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let io_error = |error| BackupError::io(folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(error)),
    };
    let names = entries.map(|entry| {
        let name = entry.map_err(io_error)?.file_name();
        Ok(name.to_string_lossy().into_owned())
    });
    names.collect()
}
