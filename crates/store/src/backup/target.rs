//! Writes a generation into a backup's folder: tables that are not there yet, the rest, and last of all the description.
//! Must not touch what a complete generation needs.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::description::DESCRIPTION_FILE;
use super::folder::{self, Generations, LOCK_FILE};
use super::source::Pace;
use super::{BackupError, BackupOptions, BackupSource, Description, FileRecord, Summary};
use crate::hex::Hex;
use crate::image::{ImageFile, ImageHeader};
use crate::progress::Progress;

/// Synced whenever so much was written, so that the disk is never far behind: a commit on the same one waits for it.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;

/// What a file is called until it is whole.
const PART_EXTENSION: &str = "part";

/// A folder that this process writes a backup to.
#[derive(Debug)]
pub struct FolderTarget {
    path: PathBuf,
    found: Generations,
    _lock: File,
}

impl FolderTarget {
    /// Makes the folder if it is not there (for its owner only), takes it, and looks what is in it. Removes what backups that
    /// were cut off have left.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        Generations::look(path)?;
        make_folder(path)?;
        let lock = take_lock(path)?;
        // Again: whoever had it may have changed it.
        let found = Generations::look(path)?;
        for number in &found.incomplete {
            remove_generation(&found.folder_of(*number))?;
        }
        let target = Self {
            path: path.to_owned(),
            found,
            _lock: lock,
        };
        Ok(target)
    }

    /// Copies what is missing and makes it a generation. After an error the folder holds what it held, and what was copied of
    /// the tables.
    pub fn write(
        mut self,
        source: &mut dyn BackupSource,
        options: &BackupOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, BackupError> {
        let header = source.header().clone();
        self.check_server(&header)?;
        let generation = self.found.next();
        let known = self.known_tables(&header);
        let (there, wanted): (Vec<usize>, Vec<usize>) =
            (0..header.files.len()).partition(|file| known.contains_key(&header.files[*file].name));
        let mut records: Vec<Option<FileRecord>> = vec![None; header.files.len()];
        for file in there {
            records[file] = known.get(&header.files[file].name).cloned();
        }
        let folder = folder::generation_folder(&self.path, generation);
        make_folder(&folder)?;
        let copied = copy(
            source,
            &wanted,
            |file| folder::place(&self.path, header.identity, generation, &file.name),
            options.rate,
            progress,
            &mut records,
        );
        let written = copied.and_then(|copied_bytes| {
            let files: Vec<FileRecord> = records.into_iter().flatten().collect();
            let description = Description::new(&header, generation, options.at, files);
            sync_folder(&folder)?;
            write_description(&folder, &description)?;
            sync_folder(&self.path)?;
            Ok((description, copied_bytes))
        });
        let (description, copied_bytes) = match written {
            Ok(written) => written,
            Err(error) => {
                // The next backup removes what this cannot.
                let _ = remove_generation(&folder);
                return Err(error);
            }
        };
        let summary = Summary {
            generation,
            commit: description.commit,
            at: description.at,
            files: description.files.len(),
            bytes: description.bytes(),
            copied_files: wanted.len(),
            copied_bytes,
            removed_generations: Vec::new(),
        };
        self.found.complete.insert(generation, description);
        let removed_generations = self.remove_old(options.keep)?;
        Ok(Summary {
            removed_generations,
            ..summary
        })
    }

    fn check_server(&self, header: &ImageHeader) -> Result<(), BackupError> {
        let ours = header.identity.server;
        let mut servers = self
            .found
            .complete
            .values()
            .map(|known| known.identity.server);
        match servers.find(|server| *server != ours) {
            None => Ok(()),
            Some(theirs) => Err(BackupError::OtherServer {
                path: self.path.clone(),
                theirs: theirs.to_string(),
                ours: ours.to_string(),
            }),
        }
    }

    /// Tables of the image that earlier generations have: the same lineage, number, length and fingerprint.
    fn known_tables(&self, header: &ImageHeader) -> HashMap<String, FileRecord> {
        let of_lineage = self
            .found
            .complete
            .values()
            .filter(|known| known.identity == header.identity);
        let records: HashMap<&str, (&Description, &FileRecord)> = of_lineage
            .flat_map(|known| known.files.iter().map(move |file| (known, file)))
            .map(|(known, file)| (file.name.as_str(), (known, file)))
            .collect();
        let mut there = HashMap::new();
        for file in &header.files {
            let Some((known, record)) = records.get(file.name.as_str()) else {
                continue;
            };
            let same = file.fingerprint.is_some()
                && record.fingerprint == file.fingerprint
                && record.bytes == file.bytes;
            let path = self.found.place(known, &file.name);
            let whole = || fs::metadata(&path).is_ok_and(|there| there.len() == file.bytes);
            if same && whole() {
                there.insert(file.name.clone(), (*record).clone());
            }
        }
        there
    }

    /// Removes the oldest generations, and the tables that none needs any more.
    fn remove_old(&mut self, keep: Option<usize>) -> Result<Vec<u64>, BackupError> {
        let mut removed = Vec::new();
        while keep.is_some_and(|keep| self.found.complete.len() > keep.max(1)) {
            let Some((number, _)) = self.found.complete.pop_first() else {
                break;
            };
            remove_generation(&self.found.folder_of(number))?;
            removed.push(number);
        }
        if self.found.damaged.is_empty() {
            self.remove_unneeded_tables()?;
        }
        Ok(removed)
    }

    fn remove_unneeded_tables(&self) -> Result<(), BackupError> {
        let needed: std::collections::HashSet<PathBuf> = self
            .found
            .complete
            .values()
            .flat_map(|known| {
                known
                    .files
                    .iter()
                    .map(|file| self.found.place(known, &file.name))
            })
            .collect();
        for folder in entries(&folder::all_tables_folder(&self.path))? {
            let mut empty = true;
            for table in entries(&folder)? {
                if needed.contains(&table) {
                    empty = false;
                } else {
                    fs::remove_file(&table).map_err(|error| BackupError::io(&table, error))?;
                }
            }
            if empty {
                fs::remove_dir(&folder).map_err(|error| BackupError::io(&folder, error))?;
            }
        }
        Ok(())
    }
}

/// Copies files to where `place` says, each under another name until it is whole and durable. Returns how many bytes.
fn copy(
    source: &mut dyn BackupSource,
    wanted: &[usize],
    place: impl Fn(&ImageFile) -> PathBuf,
    rate: Option<u64>,
    progress: &mut dyn FnMut(Progress),
    records: &mut [Option<FileRecord>],
) -> Result<u64, BackupError> {
    let header = source.header().clone();
    let total = wanted.iter().map(|file| header.files[*file].bytes).sum();
    let mut pace = Pace::new(rate);
    let mut done = 0;
    let mut writing: Option<PartFile> = None;
    progress(Progress {
        done,
        total: Some(total),
    });
    source.copy(wanted, &mut |number, piece| {
        let file = &header.files[number];
        let mut part = match writing.take() {
            Some(part) => part,
            None => PartFile::create(place(file))?,
        };
        part.write(piece)?;
        if part.written < file.bytes {
            writing = Some(part);
        } else {
            let xxh3 = part.finish()?;
            records[number] = Some(FileRecord {
                name: file.name.clone(),
                bytes: file.bytes,
                xxh3,
                fingerprint: file.fingerprint,
            });
        }
        pace.took(piece.len());
        done += piece.len() as u64;
        progress(Progress {
            done,
            total: Some(total),
        });
        Ok(())
    })?;
    let missing = wanted.iter().find(|file| records[**file].is_none());
    match missing {
        None => Ok(done),
        Some(file) => Err(BackupError::Source(format!(
            "{} did not come wholly",
            header.files[*file].name
        ))),
    }
}

/// A file that is being written, gone if it is dropped before it is whole.
pub(super) struct PartFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    sum: Xxh3,
    pub(super) written: u64,
    unsynced: u64,
    finished: bool,
}

impl PartFile {
    pub(super) fn create(path: PathBuf) -> Result<Self, BackupError> {
        let mut name = path.clone().into_os_string();
        name.push(".");
        name.push(PART_EXTENSION);
        let part = PathBuf::from(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .map_err(|error| BackupError::io(&part, error))?;
        Ok(Self {
            path,
            part,
            file,
            sum: Xxh3::new(),
            written: 0,
            unsynced: 0,
            finished: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        let written = self.file.write_all(bytes).and_then(|()| {
            if self.unsynced < SYNC_BYTES {
                return Ok(());
            }
            self.unsynced = 0;
            self.file.sync_data()
        });
        written.map_err(|error| BackupError::io(&self.path, error))
    }

    /// Gives it its name, durably; the checksum of what it holds.
    pub(super) fn finish(mut self) -> Result<Hex, BackupError> {
        let named = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.part, &self.path));
        named.map_err(|error| BackupError::io(&self.path, error))?;
        self.finished = true;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        Ok(Hex(self.sum.digest()))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is removed with the next backup.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn write_description(folder: &Path, description: &Description) -> Result<(), BackupError> {
    let mut file = PartFile::create(folder.join(DESCRIPTION_FILE))?;
    file.write(&description.encode())?;
    file.finish().map(|_| ())
}

/// The description first: what is half removed counts for nothing.
fn remove_generation(folder: &Path) -> Result<(), BackupError> {
    let description = folder.join(DESCRIPTION_FILE);
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(fs::remove_file(&description)).map_err(|error| BackupError::io(&description, error))?;
    gone(fs::remove_dir_all(folder)).map_err(|error| BackupError::io(folder, error))
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| BackupError::io(path, error))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| BackupError::io(path, error))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let io_error = |error| BackupError::io(folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(error)),
    };
    let paths = entries.map(|entry| Ok(entry.map_err(io_error)?.path()));
    paths.collect()
}

fn take_lock(target: &Path) -> Result<File, BackupError> {
    let path = target.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| BackupError::io(&path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BackupError::InUse {
            path: target.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(BackupError::io(&path, error)),
    }
}
