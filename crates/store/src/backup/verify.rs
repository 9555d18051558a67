//! Checks a backup, or a data directory on which no server runs, without changing it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::folder::Generations;
use super::{BackupError, Description};
use crate::data_dir::{DataDir, DataDirError, Holder};
use crate::embedded::{
    Finding, STORE_FOLDER, StoreFiles, Verification, Verifier, VerifyEvent, WATERMARK_FILE,
};
use crate::error::StoreError;
use crate::hex::Hex;
use crate::image::PIECE_BYTES;

/// Why nothing could be checked.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The data directory cannot be taken.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store.
    #[error("{} is neither a data directory nor a backup", .0.display())]
    Nothing(std::path::PathBuf),
}

/// Checks a data directory, which is this process's own meanwhile.
pub fn verify_data_dir(
    data_dir: &Path,
    holder: Holder,
    told: &mut dyn FnMut(VerifyEvent),
) -> Result<Verification, VerifyError> {
    let store = data_dir.join(STORE_FOLDER);
    if !store.is_dir() {
        return Err(VerifyError::Nothing(data_dir.to_owned()));
    }
    let _taken = DataDir::open(data_dir, holder)?;
    let verifier = Verifier::of_files(StoreFiles {
        tables: store.clone(),
        folder: store,
        watermark: data_dir.join(WATERMARK_FILE),
    })?;
    Ok(verifier.run(told))
}

/// Checks a generation of a backup: each file against the backup's description, and then the store that they make up.
pub fn verify_backup(
    target: &Path,
    generation: Option<u64>,
    told: &mut dyn FnMut(VerifyEvent),
) -> Result<(Description, Verification), VerifyError> {
    let found = Generations::look(target)?;
    let description = found.choose(generation)?;
    let mut damaged = 0;
    for record in &description.files {
        let path = found.place(description, &record.name);
        let what = match sum(&path) {
            Ok(sum) if sum == (record.bytes, record.xxh3) => continue,
            Ok((bytes, _)) if bytes != record.bytes => {
                format!(
                    "{} has {bytes} bytes, {} were written",
                    path.display(),
                    record.bytes
                )
            }
            Ok(_) => format!("{} is not what was written", path.display()),
            Err(error) => format!("{}: {error}", path.display()),
        };
        damaged += 1;
        told(VerifyEvent::Finding(Finding { what }));
    }
    let folder = found.folder_of(description.generation);
    let verifier = Verifier::of_files(StoreFiles {
        tables: found.tables_of(description.identity),
        watermark: folder.join(WATERMARK_FILE),
        folder,
    })?;
    let mut verification = verifier.run(told);
    verification.findings += damaged;
    Ok((description.clone(), verification))
}

fn sum(path: &Path) -> std::io::Result<(u64, Hex)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut sum, mut bytes) = (Xxh3::new(), 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, Hex(sum.digest()))),
            count => {
                sum.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}
