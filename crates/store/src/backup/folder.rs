//! The folder that holds backups: which generations it has, and where their files are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::description::{DESCRIPTION_BYTES_MAX, DESCRIPTION_FILE};
use super::{BackupError, Description};
use crate::image::Identity;
use crate::table::TableId;

const TABLES_FOLDER: &str = "tables";
const GENERATION_PREFIX: &str = "generation-";
pub(super) const LOCK_FILE: &str = "lock";

/// The complete backups of a folder, oldest first.
pub fn generations(target: &Path) -> Result<Vec<Description>, BackupError> {
    let found = Generations::look(target)?;
    Ok(found.complete.into_values().collect())
}

/// What is in a backup's folder.
#[derive(Debug)]
pub(crate) struct Generations {
    target: PathBuf,
    /// By number.
    pub(super) complete: BTreeMap<u64, Description>,
    /// Numbers of those that were cut off.
    pub(super) incomplete: Vec<u64>,
    /// Numbers of those whose description cannot be read: which tables they need, nobody knows.
    pub(super) damaged: Vec<u64>,
}

impl Generations {
    /// Looks; a folder that is not there is empty.
    pub(super) fn look(target: &Path) -> Result<Self, BackupError> {
        let mut found = Self {
            target: target.to_owned(),
            complete: BTreeMap::new(),
            incomplete: Vec::new(),
            damaged: Vec::new(),
        };
        let (mut ours, mut foreign) = (false, false);
        let entries = match fs::read_dir(target) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(BackupError::io(target, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| BackupError::io(target, error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Some(number) = number_of(&name) else {
                ours |= name == TABLES_FOLDER;
                // A disk of its own has a `lost+found`.
                foreign |= ![TABLES_FOLDER, LOCK_FILE, "lost+found"].contains(&&*name);
                continue;
            };
            ours = true;
            match read_description(&entry.path().join(DESCRIPTION_FILE))? {
                Described::Whole(description) => {
                    found.complete.insert(number, *description);
                }
                Described::Missing => found.incomplete.push(number),
                Described::Damaged => found.damaged.push(number),
            }
        }
        if foreign && !ours {
            return Err(BackupError::NotABackup {
                path: target.to_owned(),
            });
        }
        Ok(found)
    }

    /// The newest, or the one with this number.
    pub(crate) fn choose(&self, at: Option<u64>) -> Result<&Description, BackupError> {
        let path = self.target.clone();
        let newest = self.complete.values().next_back();
        let Some(newest) = newest else {
            return Err(BackupError::Nothing { path });
        };
        let Some(wanted) = at else { return Ok(newest) };
        self.complete
            .get(&wanted)
            .ok_or_else(|| BackupError::NoGeneration {
                path,
                wanted,
                there: self.complete.keys().copied().collect(),
            })
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        let numbers = self.complete.keys().chain(&self.incomplete);
        let newest = numbers.chain(&self.damaged).max();
        newest.map_or(1, |number| number + 1)
    }

    /// Where a file of a generation is.
    pub(crate) fn place(&self, of: &Description, name: &str) -> PathBuf {
        place(&self.target, of.identity, of.generation, name)
    }

    /// The folder of a generation: journal, manifest and watermark.
    pub(crate) fn folder_of(&self, generation: u64) -> PathBuf {
        generation_folder(&self.target, generation)
    }

    /// The folder of the tables that a store wrote.
    pub(crate) fn tables_of(&self, identity: Identity) -> PathBuf {
        tables_folder(&self.target, identity)
    }
}

/// Where a file of a data directory is in the folder.
pub(super) fn place(target: &Path, identity: Identity, generation: u64, name: &str) -> PathBuf {
    let file = name.rsplit('/').next().unwrap_or(name);
    match TableId::of_file_name(file) {
        Some(_) => tables_folder(target, identity).join(file),
        None => generation_folder(target, generation).join(file),
    }
}

pub(super) fn all_tables_folder(target: &Path) -> PathBuf {
    target.join(TABLES_FOLDER)
}

fn tables_folder(target: &Path, identity: Identity) -> PathBuf {
    all_tables_folder(target).join(identity.lineage.to_string())
}

pub(super) fn generation_folder(target: &Path, generation: u64) -> PathBuf {
    target.join(format!("{GENERATION_PREFIX}{generation:06}"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(GENERATION_PREFIX)?.parse().ok()
}

/// What a generation's folder says of itself.
enum Described {
    Whole(Box<Description>),
    /// It was cut off.
    Missing,
    Damaged,
}

fn read_description(path: &Path) -> Result<Described, BackupError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Described::Missing),
        Err(error) => return Err(BackupError::io(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(DESCRIPTION_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| BackupError::io(path, error))?;
    match Description::decode(&bytes) {
        Ok(description) => Ok(Described::Whole(Box::new(description))),
        Err(other @ (BackupError::Newer { .. } | BackupError::Older { .. })) => Err(other),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "backup left out");
            Ok(Described::Damaged)
        }
    }
}
