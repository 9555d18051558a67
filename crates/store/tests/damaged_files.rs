//! Files of a store lost, or damaged: nothing is made anew in their place without a word.

#![allow(clippy::unwrap_used, reason = "a test")]

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use records::key;
use records::{AccountId, FORMAT_VERSION, Table, Write};
use store::{Batch, Durability, EmbeddedStore, OpenOptions, Range, Store, StoreError};

use sample::{COMMITS, Sample, accepting, commits, files, journal, open, spoil, truncate};

#[test]
fn an_empty_or_missing_journal_is_refused() {
    let sample = Sample::new(Durability::Always);
    let copy = sample.copy(COMMITS);
    truncate(&journal(copy.path()), 0);
    assert_missing_commits(&sample, copy.path());
    let copy = sample.copy(COMMITS);
    fs::remove_file(journal(copy.path())).unwrap();
    assert_missing_commits(&sample, copy.path());
}

fn assert_missing_commits(sample: &Sample, folder: &Path) {
    for _ in 0..2 {
        let refused = sample.open(folder).expect_err("all commits are missing");
        assert!(
            matches!(refused, StoreError::MissingCommits { found: 0, .. }),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("--accept-data-loss"),
            "{refused}"
        );
    }
    assert_eq!(
        commits(&open(folder, accepting(Durability::Always)).unwrap()),
        0
    );
    assert_eq!(commits(&sample.open(folder).unwrap()), 0);
}

#[test]
fn a_missing_or_damaged_watermark_is_refused() {
    let sample = Sample::new(Durability::Always);
    for spoilt in [
        None,
        Some(vec![]),
        Some(vec![0; 8192]),
        Some(vec![0x41; 8192]),
    ] {
        let copy = sample.copy(COMMITS);
        let file = copy.path().join("committed");
        match &spoilt {
            None => fs::remove_file(&file).unwrap(),
            Some(bytes) => fs::write(&file, bytes).unwrap(),
        }
        let refused = sample
            .open(copy.path())
            .expect_err("nothing tells what is complete");
        assert!(matches!(refused, StoreError::Watermark { .. }), "{refused}");
        assert!(
            refused.to_string().contains("--accept-data-loss"),
            "{refused}"
        );
        assert_eq!(
            commits(&open(copy.path(), accepting(Durability::Always)).unwrap()),
            COMMITS
        );
        assert_eq!(commits(&sample.open(copy.path()).unwrap()), COMMITS);
    }
}

#[test]
fn half_a_watermark_is_enough() {
    let sample = Sample::new(Durability::Always);
    for slot in [0, 4096] {
        let copy = sample.copy(COMMITS);
        spoil(&copy.path().join("committed"), |bytes| {
            bytes[slot..slot + 32].fill(0xff)
        });
        assert_eq!(commits(&sample.open(copy.path()).unwrap()), COMMITS);
    }
}

#[test]
fn a_missing_or_damaged_manifest_is_refused() {
    let sample = Sample::new(Durability::Always);
    let manifest = |folder: &Path| folder.join("store").join("manifest");
    let copy = sample.copy(COMMITS);
    fs::remove_file(manifest(copy.path())).unwrap();
    let refused = sample.open(copy.path()).expect_err("no manifest");
    assert!(matches!(refused, StoreError::Unusable { .. }), "{refused}");
    assert!(
        refused.to_string().contains("restore a backup"),
        "{refused}"
    );
    let length = fs::read(manifest(sample.copy(COMMITS).path()))
        .unwrap()
        .len();
    for at in (0..length).step_by(7) {
        let copy = sample.copy(COMMITS);
        spoil(&manifest(copy.path()), |bytes| bytes[at] ^= 1);
        let refused = sample.open(copy.path()).expect_err("a damaged manifest");
        assert!(
            matches!(refused, StoreError::DamagedManifest { .. }),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("restore a backup"),
            "{refused}"
        );
    }
    let copy = sample.copy(COMMITS);
    fs::remove_dir_all(copy.path().join("store")).unwrap();
    assert_missing_commits(&sample, copy.path());
}

#[test]
fn a_first_start_that_was_cut_off_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("0000000000000001.jnl"), [0; 20]).unwrap();
    fs::write(store.join("manifest.new"), b"MGPST").unwrap();
    assert_eq!(
        commits(&open(folder.path(), OpenOptions::default()).unwrap()),
        0
    );
    assert_eq!(
        commits(&open(folder.path(), OpenOptions::default()).unwrap()),
        0
    );
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let refused = refused_for_format(FORMAT_VERSION + 1);
    assert!(
        matches!(refused, StoreError::NewerFormat { found: 3, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start that release"),
        "{refused}"
    );
    let refused = refused_for_format(1);
    assert!(
        matches!(refused, StoreError::OlderFormat { found: 1, .. }),
        "{refused}"
    );
    for told in ["store holds", "format 1", "format 2", "--data"] {
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

fn refused_for_format(format: u32) -> StoreError {
    let sample = Sample::new(Durability::Always);
    let copy = sample.copy(COMMITS);
    let store = sample.open(copy.path()).unwrap();
    let write = Write::Put {
        key: key::meta(key::META_FORMAT),
        value: format.to_be_bytes().to_vec(),
    };
    store
        .commit(Batch {
            writes: vec![write],
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    sample.open(copy.path()).expect_err("another format")
}

const ACCOUNTS: u64 = 40;

fn account(number: u64) -> Vec<u8> {
    key::account(AccountId::new(number))
}

fn record(number: u64) -> Vec<u8> {
    // Not all alike, so that a table of them is long.
    let bytes = (0..60_000_u64).map(|at| (at.wrapping_mul(at ^ number) >> 7) as u8);
    bytes.collect()
}

/// A data directory whose rows are in a table, and the table.
fn with_a_table() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), OpenOptions::default()).unwrap();
    let put = |number| Write::Put {
        key: account(number),
        value: record(number),
    };
    store
        .commit(Batch {
            writes: (0..ACCOUNTS).map(put).collect(),
            ..Batch::default()
        })
        .unwrap();
    store.flush().unwrap();
    drop(store);
    let tables = files(&folder.path().join("store"), "tab");
    let longest = tables
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    (folder, longest.unwrap())
}

#[test]
fn a_damaged_table_never_gives_wrong_or_missing_values() {
    let (folder, table) = with_a_table();
    let whole = fs::read(&table).unwrap();
    let read_all = || -> Result<(), String> {
        let store =
            open(folder.path(), OpenOptions::default()).map_err(|error| error.to_string())?;
        for number in 0..ACCOUNTS {
            match store.get(&account(number)) {
                Ok(found) => {
                    assert_eq!(
                        found.as_deref(),
                        Some(record(number).as_slice()),
                        "{number}"
                    )
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    };
    read_all().unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 50) {
        spoil(&table, |bytes| bytes[at] ^= 4);
        let refused = read_all().expect_err("a damaged table went unnoticed");
        assert!(
            refused.contains(&table.display().to_string()),
            "byte {at}: {refused}"
        );
        fs::write(&table, &whole).unwrap();
    }
    fs::remove_file(&table).unwrap();
    assert!(read_all().is_err(), "a missing table went unnoticed");
}

#[test]
fn a_damaged_block_costs_its_own_rows_if_that_is_accepted() {
    let (folder, table) = with_a_table();
    let middle = fs::metadata(&table).unwrap().len() as usize / 2;
    spoil(&table, |bytes| bytes[middle] ^= 4);
    let whole = |store: &EmbeddedStore| {
        let found = (0..ACCOUNTS).filter(|number| {
            store.get(&account(*number)).is_ok_and(|found| {
                found
                    .inspect(|found| assert_eq!(*found, record(*number)))
                    .is_some()
            })
        });
        found.count() as u64
    };
    let store = open(folder.path(), OpenOptions::default()).unwrap();
    let range = store.range(&Range::forward(Table::Account.range(), usize::MAX));
    let refused = range.expect_err("rows are missing").to_string();
    assert!(refused.contains("account"), "no row is named: {refused}");
    assert_eq!(whole(&store), ACCOUNTS - 1, "a block holds one row");
    assert_eq!(store.statistics().damages, 1);
    drop(store);
    let store = open(folder.path(), accepting(Durability::Always)).unwrap();
    let range = store.range(&Range::forward(Table::Account.range(), usize::MAX));
    assert_eq!(range.unwrap().len() as u64, ACCOUNTS - 1);
    assert_eq!(whole(&store), ACCOUNTS - 1);
}
