//! `backup.json`: what a backup holds, with the checksum of every file and of itself.

use records::{FORMAT_VERSION, Millis};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::BackupError;
use crate::hex::Hex;
use crate::image::{Identity, ImageHeader};

/// The description's name, in a generation's folder and at the end of an archive.
pub(super) const DESCRIPTION_FILE: &str = "backup.json";

/// Grows with the layout of a backup.
const VERSION: u32 = 1;

/// A longer one is not read: this is enough for 100,000 tables.
pub(super) const DESCRIPTION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of a backup's layout.
    pub version: u32,
    /// The release that wrote it.
    pub magpie: String,
    /// Version of the key space in it.
    pub format: u32,
    /// Whose store it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// Counts the backups of a folder; 1 in an archive.
    pub generation: u64,
    /// When it was begun, in milliseconds since 1970.
    pub at: u64,
    /// The last commit that is in it.
    pub commit: u64,
    /// Every file of the data directory.
    pub files: Vec<FileRecord>,
    /// XXH3 of the description with this field zero.
    pub checksum: Hex,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its place in the data directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3 of its contents.
    pub xxh3: Hex,
    /// Of a table: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hex>,
}

impl Description {
    pub(super) fn new(
        header: &ImageHeader,
        generation: u64,
        at: Millis,
        files: Vec<FileRecord>,
    ) -> Self {
        let mut description = Self {
            version: VERSION,
            magpie: env!("CARGO_PKG_VERSION").to_owned(),
            format: header.format,
            identity: header.identity,
            generation,
            at: at.value(),
            commit: header.commit,
            files,
            checksum: Hex(0),
        };
        description.checksum = description.sum();
        description
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The record of a file, by its place in the data directory.
    pub(super) fn file(&self, name: &str) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.name == name)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts are JSON");
        text.push(b'\n');
        text
    }

    /// Out of what stands in the file; names are those of files of a data directory, and no others.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged = |detail: String| BackupError::Damaged {
            file: DESCRIPTION_FILE.to_owned(),
            detail,
        };
        let description: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if description.version > VERSION || description.format > FORMAT_VERSION {
            return Err(BackupError::Newer {
                version: description.magpie,
            });
        }
        if description.sum() != description.checksum {
            return Err(damaged("it does not fit its checksum".to_owned()));
        }
        if description.format < FORMAT_VERSION {
            return Err(BackupError::Older {
                version: description.magpie,
                format: description.format,
            });
        }
        if let Some(file) = description.files.iter().find(|file| !is_place(&file.name)) {
            return Err(damaged(format!("{:?} is no file of a store", file.name)));
        }
        Ok(description)
    }

    fn sum(&self) -> Hex {
        let without = Self {
            checksum: Hex(0),
            ..self.clone()
        };
        let text = serde_json::to_vec(&without).expect("numbers and texts are JSON");
        Hex(xxh3_64(&text))
    }
}

/// Whether a file of a store may have this place in the data directory: nothing that leads elsewhere.
pub(super) fn is_place(name: &str) -> bool {
    let plain = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
    };
    plain(name.strip_prefix("store/").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        let header = ImageHeader {
            identity: Identity {
                server: Hex(1),
                lineage: Hex(u64::MAX),
            },
            commit: 12,
            format: FORMAT_VERSION,
            files: Vec::new(),
        };
        let file = FileRecord {
            name: "store/0000000000000001.tab".to_owned(),
            bytes: 77,
            xxh3: Hex(5),
            fingerprint: Some(Hex(6)),
        };
        Description::new(&header, 3, Millis::new(9), vec![file])
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        assert_eq!(Description::decode(&sample().encode()).unwrap(), sample());
    }

    #[test]
    fn one_of_another_format_is_refused() {
        let of_format = |format| {
            let mut description = Description { format, ..sample() };
            description.checksum = description.sum();
            Description::decode(&description.encode()).unwrap_err()
        };
        let older = of_format(FORMAT_VERSION - 1);
        assert!(matches!(older, BackupError::Older { .. }), "{older}");
        let newer = of_format(FORMAT_VERSION + 1);
        assert!(matches!(newer, BackupError::Newer { .. }), "{newer}");
    }

    #[test]
    fn a_changed_one_is_refused() {
        let text = String::from_utf8(sample().encode()).unwrap();
        for (from, to) in [
            ("77", "78"),
            ("\"commit\": 12", "\"commit\": 13"),
            ("{", ""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let refused = Description::decode(changed.as_bytes()).unwrap_err();
            assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
        }
    }

    #[test]
    fn files_lie_in_the_data_directory_and_nowhere_else() {
        for good in ["committed", "store/manifest", "store/0000000000000001.jnl"] {
            assert!(is_place(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "../x",
            "/etc/passwd",
            "store/",
            "store/..",
            "store/a/b",
            "a/b",
            ".x",
        ] {
            assert!(!is_place(bad), "{bad}");
        }
    }
}
