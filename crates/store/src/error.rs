//! Why a store is not opened, each with what the operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use records::FORMAT_VERSION;
use thiserror::Error;

use crate::data_dir::advice;

/// Why the store of a data directory was not opened. Nothing that can be read was removed from it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or directory cannot be read or written.
    #[error("{}: {source}{}", path.display(), advice(source))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A journal has lost commits that were acknowledged.
    #[error(
        "{} is damaged from byte {offset} on ({detail}): acknowledged messages would be missing; restore a \
         backup of the data directory, or start once with --accept-data-loss to go on without what stands there",
        file.display()
    )]
    DamagedJournal {
        /// The journal.
        file: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What shows that it is damage and no write that was cut off.
        detail: String,
    },
    /// A file that must be there is not.
    #[error(
        "{} is missing: acknowledged messages would be missing; restore a backup of the data directory, or start \
         once with --accept-data-loss to go on without it",
        file.display()
    )]
    MissingFile {
        /// The file or directory.
        file: PathBuf,
    },
    /// A file is not there without which nothing else in the store can be found.
    #[error(
        "{} is missing, and without it nothing in the store can be found; restore a backup of the data directory",
        file.display()
    )]
    Unusable {
        /// The file.
        file: PathBuf,
    },
    /// The store ends before a commit that had been acknowledged.
    #[error(
        "{} ends at commit {found}, but commit {expected} had been acknowledged; restore a backup of the data \
         directory, or start once with --accept-data-loss to go on without the rest",
        path.display()
    )]
    MissingCommits {
        /// The store's directory.
        path: PathBuf,
        /// The last commit in it.
        found: u64,
        /// The last commit that is known to have been acknowledged.
        expected: u64,
    },
    /// The file that says which commit was acknowledged last is missing or damaged.
    #[error(
        "{} is missing or damaged, so that nothing tells whether the store is complete; restore a backup of the \
         data directory, or start once with --accept-data-loss to go on with what is there",
        file.display()
    )]
    Watermark {
        /// The file.
        file: PathBuf,
    },
    /// A newer release wrote the directory.
    #[error(
        "{} was written by a newer magpie (format {found}, this release reads up to {FORMAT_VERSION}); start that \
         release, or restore a backup that this one made",
        path.display()
    )]
    NewerFormat {
        /// The store's directory.
        path: PathBuf,
        /// The format that was found.
        found: u32,
    },
    /// A program from before the first release wrote the directory. Releases bring over what releases wrote.
    #[error(
        "{} holds data of format {found}, written by a magpie from before the first release; this release reads \
         format {FORMAT_VERSION} only and cannot convert it; start with a new data directory (--data), or run the \
         program that wrote this one",
        path.display()
    )]
    OlderFormat {
        /// The store's directory.
        path: PathBuf,
        /// The format that was found.
        found: u32,
    },
    /// The directory has data but no format that this program ever wrote.
    #[error("{} is not a magpie data directory; choose another one with --data", path.display())]
    Foreign {
        /// The store's directory.
        path: PathBuf,
    },
    /// A table cannot be read, or is not what was written.
    #[error(
        "{detail}; restore a backup of the data directory, or start once with --accept-data-loss to go on without \
         these rows"
    )]
    DamagedTable {
        /// The file, the place and the rows.
        detail: String,
    },
    /// The list of the store's files is damaged.
    #[error(
        "{} is damaged, and without it nothing in the store can be found; restore a backup of the data directory",
        file.display()
    )]
    DamagedManifest {
        /// The file.
        file: PathBuf,
    },
}

impl StoreError {
    /// What the operating system refused, with the file or folder it was about.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
