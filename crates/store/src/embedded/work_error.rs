//! Why work on the tables did not happen.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::table::TableError;

/// Why a flush or a merge did not happen. It is tried again.
#[derive(Debug, Error)]
pub(super) enum WorkError {
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
}

impl WorkError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
