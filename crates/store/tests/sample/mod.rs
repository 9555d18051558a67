//! A small store whose journal is known byte by byte, for tests that spoil it.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, OpenOptions as FileOptions};
use std::path::{Path, PathBuf};

use records::key;
use records::{AccountId, ConversationId, Millis, Pos, Seq, Stamp, Write};
use store::{Batch, DataDir, Durability, EmbeddedStore, Holder, OpenOptions, Store, StoreError};

pub(crate) const COMMITS: u64 = 4;

/// A data directory with `COMMITS` commits, and what it looked like in between.
pub(crate) struct Sample {
    folder: tempfile::TempDir,
    pub(crate) durability: Durability,
    /// Length of the journal before the first of the commits and after each.
    pub(crate) lengths: Vec<u64>,
    /// The watermark before the first of the commits and after each.
    watermarks: Vec<Vec<u8>>,
}

impl Sample {
    pub(crate) fn new(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), options(durability)).unwrap();
        let mut sample = Self {
            folder,
            durability,
            lengths: Vec::new(),
            watermarks: Vec::new(),
        };
        sample.note();
        for number in 1..=COMMITS {
            store
                .commit(Batch {
                    writes: writes(number),
                    ..Batch::default()
                })
                .unwrap();
            sample.note();
        }
        drop(store);
        // In interval mode the watermark follows at the latest when the store is dropped.
        *sample.watermarks.last_mut().unwrap() =
            fs::read(sample.folder.path().join("committed")).unwrap();
        sample
    }

    fn note(&mut self) {
        self.lengths
            .push(fs::metadata(journal(self.folder.path())).unwrap().len());
        self.watermarks
            .push(fs::read(self.folder.path().join("committed")).unwrap());
    }

    /// A copy to spoil, with the watermark of after `commit`.
    pub(crate) fn copy(&self, commit: u64) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        fs::write(
            copy.path().join("committed"),
            &self.watermarks[commit as usize],
        )
        .unwrap();
        copy
    }

    pub(crate) fn open(&self, folder: &Path) -> Result<EmbeddedStore, StoreError> {
        open(folder, options(self.durability))
    }

    pub(crate) fn begin_of(&self, commit: u64) -> u64 {
        self.lengths[commit as usize - 1]
    }

    pub(crate) fn end(&self) -> u64 {
        self.lengths[COMMITS as usize]
    }
}

pub(crate) fn options(durability: Durability) -> OpenOptions {
    OpenOptions {
        durability,
        ..OpenOptions::default()
    }
}

pub(crate) fn accepting(durability: Durability) -> OpenOptions {
    OpenOptions {
        accept_loss: true,
        ..options(durability)
    }
}

pub(crate) fn open(folder: &Path, options: OpenOptions) -> Result<EmbeddedStore, StoreError> {
    let dir = DataDir::open(folder, Holder::this_process(Millis::ZERO)).unwrap();
    EmbeddedStore::open(&dir, options)
}

/// Puts into every family, and moves a counter, so that a missing and a half commit both show.
pub(crate) fn writes(number: u64) -> Vec<Write> {
    let value = format!("value {number}").into_bytes();
    let conversation = ConversationId::new(1);
    [
        key::queue(Stamp::new(number)),
        key::entry(conversation, Seq::new(number), Pos::new(number)),
        key::dedup(1, conversation, AccountId::new(1), &number.to_string()),
        key::meta("latest"),
    ]
    .map(|key| Write::Put {
        key,
        value: value.clone(),
    })
    .to_vec()
}

/// The number of commits in the store, having checked that it is exactly those.
pub(crate) fn commits(store: &EmbeddedStore) -> u64 {
    let found: Vec<bool> = (1..=COMMITS)
        .flat_map(|number| writes(number).into_iter().take(3))
        .map(|write| store.get(write.key()).unwrap().is_some())
        .collect();
    let count = found.iter().take_while(|found| **found).count();
    assert!(
        found[count..].iter().all(|found| !found),
        "holes: {found:?}"
    );
    assert_eq!(count % 3, 0, "half a commit: {found:?}");
    let number = count as u64 / 3;
    let latest = store.get(&key::meta("latest")).unwrap();
    let expected = (number > 0).then(|| format!("value {number}").into_bytes());
    assert_eq!(latest.map(Vec::from), expected);
    number
}

pub(crate) fn journal(folder: &Path) -> PathBuf {
    let mut journals = files(&folder.join("store"), "jnl");
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

pub(crate) fn cuts(folder: &Path) -> Vec<PathBuf> {
    files(folder, "jnl")
}

pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn truncate(path: &Path, length: u64) {
    FileOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

pub(crate) fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}
