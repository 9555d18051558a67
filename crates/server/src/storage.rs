//! What an operator does with the store: backup, restore, verify, statistics; through the server that runs on the data directory,
//! or without one. Must not start a server.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use store::{
    ArchiveTarget, Background, BackupError, BackupOptions, BackupSource, DataDir, DataDirError,
    EmbeddedStore, FolderTarget, Holder, OpenOptions, StoreError, VerifyError,
};
pub use store::{Description, Finding, Progress, Summary, Verification, VerifyEvent};

use crate::clock::Clock;
use crate::handle::control;
pub use crate::handle::control::{AuditEntry, FamilyReport, GroupEntry, StoreReport};

/// How long a server that holds the data directory may take to open its control socket or to leave.
const HELD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const HELD_INTERVAL: Duration = Duration::from_millis(50);

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no data directory.
    #[error("there is no data of a server in {}; name the server's directory with --data or --config", .0.display())]
    NoDataDir(PathBuf),
    /// The backup would be part of what is backed up.
    #[error(
        "{} lies in the data directory {}: it would be lost with it; choose another folder, best on another disk",
        target.display(), data.display()
    )]
    InsideDataDir {
        /// Where to.
        target: PathBuf,
        /// What of.
        data: PathBuf,
    },
    /// A row cannot be read.
    #[error("the audit cannot be read: {0}")]
    Unreadable(String),
    /// A row cannot be read.
    #[error("the groups cannot be read: {0}")]
    UnreadableGroups(String),
    /// The running server does not do it.
    #[error("the server that runs on the data directory refuses: {0}")]
    Refused(String),
    /// The server's socket or directory is not this user's.
    #[error("{} belongs to another user; run this as the user that the server runs as, or as root", .0.display())]
    OtherUser(PathBuf),
    /// The running server cannot be asked.
    #[error("the server that runs on {} was asked and did not answer: {source}", data.display())]
    Unanswered {
        /// Its data directory.
        data: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The backup or the restore failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// It cannot be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The data directory cannot be taken.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a backup goes.
pub enum Target<'a> {
    /// A folder with generations.
    Folder(&'a Path),
    /// One stream.
    Stream(&'a mut dyn Write),
}

/// Where a backup comes from.
pub enum Source<'a> {
    /// A folder, and the generation if it is not the newest.
    Folder(&'a Path, Option<u64>),
    /// One stream.
    Stream(&'a mut dyn Read),
}

/// How a backup is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupTerms {
    /// Bytes in a second at most.
    pub rate: Option<u64>,
    /// So many generations are kept.
    pub keep: Option<usize>,
}

/// Makes a backup of a data directory, whether its server runs or not.
pub fn back_up(
    data: &Path,
    target: Target<'_>,
    terms: BackupTerms,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, StorageError> {
    check_there(data)?;
    // Before the server is asked: it keeps its files for as long as it takes.
    let target = match target {
        Target::Folder(folder) => {
            check_outside(folder, data)?;
            Opened::Folder(FolderTarget::open(folder)?)
        }
        Target::Stream(out) => Opened::Archive(ArchiveTarget::new(out)),
    };
    let options = BackupOptions {
        at: Clock::new().now(),
        rate: terms.rate,
        keep: terms.keep,
    };
    match access(data, control::back_up)? {
        Access::Running(mut image) => {
            let summary = target.write(&mut image, &options, progress)?;
            image.done();
            Ok(summary)
        }
        Access::Stopped(data_dir) => {
            let store = open(&data_dir)?;
            Ok(target.write(&mut store.image()?, &options, progress)?)
        }
    }
}

enum Opened<W> {
    Folder(FolderTarget),
    Archive(ArchiveTarget<W>),
}

impl<W: Write> Opened<W> {
    fn write(
        self,
        source: &mut dyn BackupSource,
        options: &BackupOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, BackupError> {
        match self {
            Self::Folder(folder) => folder.write(source, options, progress),
            Self::Archive(archive) => archive.write(source, options, progress),
        }
    }
}

/// Makes a data directory out of a backup.
pub fn restore(
    source: Source<'_>,
    data: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, StorageError> {
    let holder = Holder::this_process(Clock::new().now());
    let restored = match source {
        Source::Folder(folder, generation) => {
            store::restore_folder(folder, generation, data, holder, progress)
        }
        Source::Stream(stream) => store::restore_archive(stream, data, holder, progress),
    };
    Ok(restored?)
}

/// Verifies the store of a data directory, whether its server runs or not.
pub fn verify(
    data: &Path,
    told: &mut dyn FnMut(VerifyEvent),
) -> Result<Verification, StorageError> {
    check_there(data)?;
    match access(data, |data| control::verify(data, told))? {
        Access::Running(verification) => Ok(verification),
        Access::Stopped(data_dir) => {
            let holder = Holder::this_process(Clock::new().now());
            let path = data_dir.path().to_owned();
            // It takes the directory itself.
            drop(data_dir);
            Ok(store::verify_data_dir(&path, holder, told)?)
        }
    }
}

/// Verifies a generation of a backup, the newest if none is named.
pub fn verify_backup(
    folder: &Path,
    generation: Option<u64>,
    told: &mut dyn FnMut(VerifyEvent),
) -> Result<(Description, Verification), StorageError> {
    Ok(store::verify_backup(folder, generation, told)?)
}

/// The complete generations of a backup's folder, oldest first.
pub fn generations(folder: &Path) -> Result<Vec<Description>, StorageError> {
    Ok(store::generations(folder)?)
}

/// A moment in words, of milliseconds since 1970.
pub fn utc(at: u64) -> String {
    store::utc(records::Millis::new(at))
}

/// What lies where in the store of a data directory, whether its server runs or not.
pub fn report(data: &Path) -> Result<StoreReport, StorageError> {
    check_there(data)?;
    match access(data, control::report)? {
        Access::Running(report) => Ok(report),
        Access::Stopped(data_dir) => Ok(StoreReport::of(&open(&data_dir)?)),
    }
}

/// The latest changes of accounts and limits, the oldest of them first, whether the server runs or not.
pub fn audit(data: &Path, limit: u32) -> Result<Vec<AuditEntry>, StorageError> {
    check_there(data)?;
    match access(data, |data| control::audit(data, limit))? {
        Access::Running(entries) => Ok(entries),
        Access::Stopped(data_dir) => {
            AuditEntry::latest(&open(&data_dir)?, limit).map_err(StorageError::Unreadable)
        }
    }
}

/// The groups, in the order in which they were made, whether the server runs or not.
pub fn groups(data: &Path) -> Result<Vec<GroupEntry>, StorageError> {
    check_there(data)?;
    match access(data, control::groups)? {
        Access::Running(groups) => Ok(groups),
        Access::Stopped(data_dir) => {
            control::all_groups(&open(&data_dir)?).map_err(StorageError::UnreadableGroups)
        }
    }
}

/// The answer of the server that runs on a data directory, or the directory, which is this process's then.
enum Access<T> {
    Running(T),
    Stopped(DataDir),
}

fn access<T>(
    data: &Path,
    mut ask: impl FnMut(&Path) -> io::Result<Option<Result<T, String>>>,
) -> Result<Access<T>, StorageError> {
    let deadline = Instant::now() + HELD_TIMEOUT;
    loop {
        let answer = ask(data).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => StorageError::OtherUser(data.to_owned()),
            _ => StorageError::Unanswered {
                data: data.to_owned(),
                source,
            },
        })?;
        match answer {
            Some(Ok(answer)) => return Ok(Access::Running(answer)),
            Some(Err(detail)) => return Err(StorageError::Refused(detail)),
            None => {}
        }
        match DataDir::open(data, Holder::this_process(Clock::new().now())) {
            Ok(data_dir) => return Ok(Access::Stopped(data_dir)),
            // Held, and yet nobody answered: it starts, it ends, or another command is at work.
            Err(DataDirError::Held { .. }) if Instant::now() < deadline => {
                std::thread::sleep(HELD_INTERVAL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(data_dir: &DataDir) -> Result<EmbeddedStore, StoreError> {
    let options = OpenOptions {
        background: Background::Caller,
        ..OpenOptions::default()
    };
    EmbeddedStore::open(data_dir, options)
}

/// Whether a server has ever kept its data there.
pub fn check_there(data: &Path) -> Result<(), StorageError> {
    match std::fs::metadata(data.join("store")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(StorageError::OtherUser(data.to_owned()))
        }
        Err(_) => Err(StorageError::NoDataDir(data.to_owned())),
    }
}

/// The target need not be there yet: the nearest folder above that is says where it is.
fn check_outside(target: &Path, data: &Path) -> Result<(), StorageError> {
    let absolute = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    let there = absolute
        .ancestors()
        .find_map(|above| above.canonicalize().ok());
    let inside = match (there, data.canonicalize()) {
        (Some(there), Ok(data)) => there.starts_with(data),
        (None, _) | (_, Err(_)) => false,
    };
    if inside {
        return Err(StorageError::InsideDataDir {
            target: target.to_owned(),
            data: data.to_owned(),
        });
    }
    Ok(())
}
