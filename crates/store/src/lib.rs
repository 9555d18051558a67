//! The ordered key-value store and the one thread that writes to it.
//! Keeps bytes: it knows which table a key belongs to, and no rule of the messenger or of MQTT.

mod contract;

mod memory;

mod embedded;

mod data_dir;
pub mod disk;
mod error;
mod private;

mod committer;

mod backup;
mod hex;
mod image;
mod progress;

mod journal;
mod memtable;
mod merge;
mod range_deletions;
mod row;
mod table;
mod watermark;

pub use backup::{
    ArchiveTarget, BackupError, BackupOptions, BackupSource, Description, FileRecord, FolderTarget,
    Summary, TakePiece, VerifyError, generations, restore_archive, restore_folder, verify_backup,
    verify_data_dir,
};
pub use committer::{
    Append, BATCH_APPENDS_MAX, BATCH_BYTES_MAX, COMMIT_TIME_BUCKETS, CommitCounters, Committer,
    CommitterHandle, Outcome, QUEUE_APPENDS_MAX, QUEUE_BYTES_MAX, Refusal, Sink, SubmitError,
    Submitter, TRIMS_MAX, Ticket,
};
pub use contract::{
    Batch, CommitError, DELETE_SLICE_KEYS, Expected, KEY_BYTES_MAX, Precondition, Range, ReadError,
    Store, VALUE_BYTES_MAX,
};
pub use data_dir::{DataDir, DataDirError, Holder, utc};
pub use embedded::{
    Background, CACHE_BYTES_DEFAULT, Durability, EmbeddedStore, FamilyStatistics, Finding,
    JOURNAL_BYTES_MAX, OpenOptions, Scale, StoreStatistics, TableStatistics, Verification,
    Verifier, VerifyEvent,
};
pub use error::StoreError;
pub use hex::Hex;
pub use image::{Identity, Image, ImageFile, ImageHeader, PIECE_BYTES};
pub use memory::MemoryStore;
pub use progress::Progress;
