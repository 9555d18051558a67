//! Backups: an image of a store in a folder, where several generations share their tables, or as one stream; and the way back.
//! Must not open a store: it moves files, and knows their names and checksums.
//!
//! A folder holds `tables/<lineage>/<table>`, and for each generation `generation-<number>` with the journal, the manifest,
//! the watermark and, last of all, `backup.json`: a generation without it was cut off and counts for nothing.
//! A stream is a tar archive of a data directory's files, with `backup.json` at its end.

mod description;
mod error;
mod folder;
mod source;

mod archive;
mod target;

mod restore;
mod verify;

pub use archive::ArchiveTarget;
pub use description::{Description, FileRecord};
pub use error::BackupError;
pub use folder::generations;
pub use restore::{restore_archive, restore_folder};
pub use source::{BackupOptions, BackupSource, Summary, TakePiece};
pub use target::FolderTarget;
pub use verify::{VerifyError, verify_backup, verify_data_dir};
