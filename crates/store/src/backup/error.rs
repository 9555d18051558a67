//! Why a backup or a restore did not happen, each with what the operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data_dir::DataDirError;
use crate::error::StoreError;

/// Why a backup or a restore did not happen. Backups that were there before are as they were.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system is full.
    #[error(
        "no space left for {}; make room there, or keep fewer generations with --keep (what was there before is as it was)",
        path.display()
    )]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("{} is not empty and holds no backup; choose another folder", path.display())]
    NotABackup {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds the backups of another server.
    #[error(
        "{} holds backups of another server ({theirs}, this one is {ours}); choose another folder",
        path.display()
    )]
    OtherServer {
        /// The folder.
        path: PathBuf,
        /// The server that is backed up there.
        theirs: String,
        /// The server that is to be.
        ours: String,
    },
    /// Somebody else writes to the folder.
    #[error("another backup is being written to {}; wait until it is done", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is no complete backup.
    #[error(
        "{} holds no complete backup; name the folder that `magpie backup` wrote to",
        path.display()
    )]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such generation.
    #[error("{} holds no generation {wanted}; it has {}", path.display(), listed(there))]
    NoGeneration {
        /// The folder.
        path: PathBuf,
        /// The one that was asked for.
        wanted: u64,
        /// Those that are there.
        there: Vec<u64>,
    },
    /// A file of the backup is not what was written.
    #[error(
        "{file} of the backup is damaged: {detail}; restore another generation with --at, or another backup"
    )]
    Damaged {
        /// The file's place in the data directory.
        file: String,
        /// What shows it.
        detail: String,
    },
    /// It is no archive of a backup, or not all of it.
    #[error("this is not a whole backup: {detail}")]
    NotAnArchive {
        /// What shows it.
        detail: String,
    },
    /// Something is in the data directory.
    #[error(
        "{} is not empty; restore into a new directory with --data, or move this one away first",
        path.display()
    )]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// A newer release wrote the backup.
    #[error("the backup was written by a newer magpie ({version}); restore it with that release")]
    Newer {
        /// That release.
        version: String,
    },
    /// A program from before the first release wrote the backup.
    #[error(
        "the backup holds data of format {format}, written by magpie {version} from before the first release; this \
         release cannot read it; restore it with the program that wrote it"
    )]
    Older {
        /// The program's version.
        version: String,
        /// The format.
        format: u32,
    },
    /// The data directory cannot be taken.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source of the files says that it cannot go on.
    #[error("{0}")]
    Source(String),
}

impl BackupError {
    /// What the operating system refused, with the file or folder it was about.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { path, source },
        }
    }
}

/// A source that reads files of its own.
impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Source(format!("the store's files cannot be read: {error}"))
    }
}

fn listed(there: &[u64]) -> String {
    let numbers: Vec<String> = there.iter().map(u64::to_string).collect();
    numbers.join(", ")
}
