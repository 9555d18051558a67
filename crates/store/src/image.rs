//! An image of a store: which files make up one commit, and where their bytes come from while the store goes on.
//! Must not know where the image is taken to.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk, DiskFile};
use crate::hex::Hex;
use crate::table::Table;

/// Read at once: an image is copied in pieces of at most so many bytes.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// Says in the data directory which server it belongs to.
pub(crate) const IDENTITY_FILE: &str = "identity";

/// Whose store it is. A table's number says what is in it only within one lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The same for a data directory and all that are restored from its backups.
    pub server: Hex,
    /// Another one with every restore: from there on the two write different tables under the same numbers.
    pub lineage: Hex,
}

impl Identity {
    /// What the data directory says, or, if it says nothing yet, a new one that it says from here on.
    pub(crate) fn of(disk: &dyn Disk, data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(IDENTITY_FILE);
        match disk.open(&path).and_then(|file| file.read_to_end()) {
            Ok(bytes) => {
                if let Some(identity) = Self::decode(&bytes) {
                    return Ok(identity);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let identity = Self {
            server: random(),
            lineage: random(),
        };
        identity.write(disk, data_dir)?;
        Ok(identity)
    }

    /// That of a data directory which is restored from a backup of this one.
    pub(crate) fn branch(self) -> Self {
        Self {
            lineage: random(),
            ..self
        }
    }

    /// Makes it the data directory's, durably.
    pub(crate) fn write(self, disk: &dyn Disk, data_dir: &Path) -> io::Result<()> {
        let text = format!("server {}\nlineage {}\n", self.server, self.lineage);
        disk::replace(disk, &data_dir.join(IDENTITY_FILE), text.as_bytes())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.trim().parse().ok();
        Some(Self {
            server: field("server ")?,
            lineage: field("lineage ")?,
        })
    }
}

/// The standard library's hash keys come from the operating system's random numbers.
fn random() -> Hex {
    Hex(RandomState::new().build_hasher().finish())
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Its place in the data directory: `store/0000000000000001.tab`.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Of a table, a sum over what is at its end: its properties and where everything stands. A file with the same name, length
    /// and fingerprint in the same lineage is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hex>,
}

/// What an image consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHeader {
    /// Whose it is.
    pub identity: Identity,
    /// The last commit that is in it, wholly, with all before it and none behind it.
    pub commit: u64,
    /// The version of the key space.
    pub format: u32,
    /// In the order in which they are given.
    pub files: Vec<ImageFile>,
}

impl ImageHeader {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Where a file's bytes come from.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The table, so that its file stays, and the open file.
    Table(Arc<Table>),
    /// A file that is open: it can be read after its name is gone.
    File(Arc<dyn DiskFile>),
    /// A small file that is made for the image.
    Bytes(Vec<u8>),
}

/// The files of one commit, which stay readable until this is dropped, whatever the store does.
#[derive(Debug)]
pub struct Image {
    header: ImageHeader,
    pieces: Vec<Piece>,
    disk: Arc<dyn Disk>,
}

impl Image {
    pub(crate) fn new(header: ImageHeader, pieces: Vec<Piece>, disk: Arc<dyn Disk>) -> Self {
        assert_eq!(header.files.len(), pieces.len(), "a piece for each file");
        Self {
            header,
            pieces,
            disk,
        }
    }

    /// What it consists of.
    pub fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Gives one file's bytes to `take`, in order and in pieces, until it fails.
    pub fn read<E: From<io::Error>>(
        &self,
        file: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.header.files[file].bytes;
        let open = match &self.pieces[file] {
            Piece::Bytes(bytes) => return take(bytes),
            Piece::File(file) => file.clone(),
            Piece::Table(table) => self.disk.open(table.path())?,
        };
        if length == 0 {
            return take(&[]);
        }
        let mut buffer = vec![
            0;
            usize::try_from(length)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES)
        ];
        let mut offset = 0;
        while offset < length {
            let left = usize::try_from(length - offset).unwrap_or(PIECE_BYTES);
            let piece = &mut buffer[..left.min(PIECE_BYTES)];
            open.read_exact_at(piece, offset)?;
            take(piece)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}
