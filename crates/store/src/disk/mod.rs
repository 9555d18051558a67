//! What the store asks of a file system, as a trait, so that tests can put one under it that fails, tears and forgets.
//! Must not know what the files hold.

mod os;
pub mod simulated;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use os::{OsDisk, ReadOnlyDisk};

/// A file system. Everything may fail, at any call.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes an empty file for reading and writing, in the place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name in the same file system, in the place of one that has it. Durable with `sync_folder`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away. Durable with `sync_folder`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names of the files in a folder, in order; none if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder and those above it.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder's names durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// A number that nobody can guess who sees neither the files nor the memory.
    fn random(&self) -> io::Result<u64>;
}

/// An open file. Positions are the caller's; several threads may read and write it at once.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads at most as much as fits; 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes from the front of `bytes`, and says how much: it may be less than there is.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Says that these bytes will be read soon, so that they are fetched meanwhile. Does nothing where that is not known.
    fn will_read(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Says that these bytes, which were written, had better be on their way to the disk: whoever syncs waits for less then, and so do
    /// others whose syncs would wait for it. Does nothing where that is not known.
    fn write_back(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Makes what was written durable, with the length that is needed to read it (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    bytes = &mut bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, in as many pieces as it takes.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The whole file.
    fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Writes a small file so that after a crash it is there wholly or as it was before.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let file = disk.create(&beside)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&beside, path)?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
}
