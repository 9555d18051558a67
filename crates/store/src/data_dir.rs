//! The data directory: who holds it, so that two servers never write to one.
//! Must not look at what is in it; that is the store's.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use records::Millis;
use thiserror::Error;

use crate::private::{Exposed, close_to_others};

const LOCK_FILE: &str = "lock";

/// More than this in the lock file is not ours and is not read.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Who holds a data directory, as it says of itself in the lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Since when.
    pub since: Millis,
    /// Where it listens, for instance `mqtt://127.0.0.1:1883`; empty while it starts.
    pub addresses: Vec<String>,
}

impl Holder {
    /// This process.
    pub fn this_process(now: Millis) -> Self {
        Self {
            pid: std::process::id(),
            since: now,
            addresses: Vec::new(),
        }
    }

    fn encode(&self) -> String {
        let mut text = format!("pid {}\nsince {}\n", self.pid, self.since);
        for address in &self.addresses {
            text.push_str("address ");
            // One line each, whatever somebody calls an address.
            text.extend(address.chars().filter(|c| !c.is_control()));
            text.push('\n');
        }
        text
    }

    fn decode(text: &str) -> Option<Self> {
        let mut pid = None;
        let mut since = None;
        let mut addresses = Vec::new();
        for line in text.lines() {
            match line.split_once(' ')? {
                ("pid", value) => pid = Some(value.parse().ok()?),
                ("since", value) => since = Some(Millis::new(value.parse().ok()?)),
                ("address", value) => addresses.push(value.to_owned()),
                // A later release may say more.
                _ => {}
            }
        }
        Some(Self {
            pid: pid?,
            since: since?,
            addresses,
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if !self.addresses.is_empty() {
            write!(f, " listening on {}", self.addresses.join(", "))?;
        }
        write!(f, " since {}", utc(self.since))
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "{} is in use by {}; stop it first, or choose another directory with --data",
        path.display(),
        holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string)
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// Who; `None` if it has not yet said so.
        holder: Option<Holder>,
    },
    /// Others get into it, and it is another user's.
    #[error(
        "{} can be read by other users (mode {mode:04o}) and belongs to user {owner}, while this runs as user {user}: have its owner run \
         `chmod 700` on it or give it to user {user}, or choose another directory, which may be a new one inside it, with --data",
        path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The user it belongs to.
        owner: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// It cannot be made, read or written.
    #[error("{}: {source}{}", path.display(), advice(source))]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What can be done about it.
pub(crate) fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotADirectory => "; choose a directory with --data",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; the user that runs this has to be able to write there: give it the directory, or choose another one with --data"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some room on that disk and start again: nothing that was acknowledged is lost"
        }
        _ => "",
    }
}

/// A data directory that this process holds until the last store in it is dropped too.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<File>,
    holder: Holder,
}

impl DataDir {
    /// Makes the directory if it is not there, takes it, and takes it from everybody but its owner.
    pub fn open(path: &Path, holder: Holder) -> Result<Self, DataDirError> {
        let io_error = |path: &Path, source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        make_private(path).map_err(|source| io_error(path, source))?;
        let closed = close_to_others(path).map_err(|source| io_error(path, source))?;
        closed.map_err(|Exposed { mode, owner, user }| DataDirError::Exposed {
            path: path.to_owned(),
            mode,
            owner,
            user,
        })?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| io_error(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Held {
                    path: path.to_owned(),
                    holder: read_holder(lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(&lock_path, source)),
        }
        let data_dir = Self {
            path: path.to_owned(),
            lock: Arc::new(lock),
            holder,
        };
        data_dir
            .write_holder()
            .map_err(|source| io_error(&lock_path, source))?;
        Ok(data_dir)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says in the lock file where this process listens, once it does.
    pub fn announce(&mut self, addresses: Vec<String>) -> Result<(), DataDirError> {
        self.holder.addresses = addresses;
        self.write_holder().map_err(|source| DataDirError::Io {
            path: self.path.join(LOCK_FILE),
            source,
        })
    }

    /// The lock, to hold on to.
    pub(crate) fn lock(&self) -> Arc<File> {
        self.lock.clone()
    }

    fn write_holder(&self) -> io::Result<()> {
        let mut file: &File = &self.lock;
        file.rewind()?;
        self.lock.set_len(0)?;
        file.write_all(self.holder.encode().as_bytes())
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
        // Making it says what is wrong.
        Err(_) => {}
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn read_holder(file: File) -> Option<Holder> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    Holder::decode(&text)
}

/// `2026-01-02 03:04:05 UTC`. Days to date after Howard Hinnant's `civil_from_days`.
pub fn utc(at: Millis) -> String {
    let seconds = at.value() / 1000;
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let since = Millis::new(1_700_000_000_000);
        let mut first = DataDir::open(&path, Holder::this_process(since)).unwrap();
        first
            .announce(vec![
                "mqtt://127.0.0.1:1883".to_owned(),
                "http://127.0.0.1:8080".to_owned(),
            ])
            .unwrap();
        let refused = DataDir::open(&path, Holder::this_process(Millis::ZERO)).unwrap_err();
        let pid = std::process::id();
        assert_eq!(
            refused.to_string(),
            format!(
                "{} is in use by process {pid} listening on mqtt://127.0.0.1:1883, http://127.0.0.1:8080 \
                 since 2023-11-14 22:13:20 UTC; stop it first, or choose another directory with --data",
                path.display()
            )
        );
        drop(first);
        DataDir::open(&path, Holder::this_process(since)).unwrap();
    }

    #[test]
    fn what_is_no_directory_or_cannot_be_written_is_told_with_advice() {
        let told = |kind: io::ErrorKind| {
            let path = PathBuf::from("data");
            let source = io::Error::from(kind);
            DataDirError::Io { path, source }.to_string()
        };
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            assert!(told(kind).contains("--data"), "{}", told(kind));
        }
        assert_eq!(told(io::ErrorKind::TimedOut), "data: timed out");

        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataDir::open(file.path(), Holder::this_process(Millis::ZERO)).unwrap_err();
        let expected = format!(
            "{}: not a directory; choose a directory with --data",
            file.path().display()
        );
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_lock_file_with_anything_in_it_can_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK_FILE), [0xff; 9000]).unwrap();
        let held = DataDir::open(folder.path(), Holder::this_process(Millis::new(5))).unwrap();
        let text = fs::read_to_string(folder.path().join(LOCK_FILE)).unwrap();
        assert_eq!(Holder::decode(&text), Some(held.holder));
    }

    #[test]
    fn the_directory_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b");
        let _held = DataDir::open(&path, Holder::this_process(Millis::ZERO)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(Millis::new(seconds * 1000)), date);
        }
    }
}
