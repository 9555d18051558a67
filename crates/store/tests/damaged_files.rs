//! Files of a store lost, or damaged: nothing is made anew in their place without a word.

#![allow(clippy::unwrap_used, reason = "a test")]

mod sample;

use std::fs;
use std::path::Path;

use records::key;
use records::{AccountId, Write};
use store::{Batch, Durability, OpenOptions, Store, StoreError};

use sample::{COMMITS, Sample, accepting, commits, journal, open, spoil, truncate};

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
fn missing_files_of_fjall_are_refused() {
    let sample = Sample::new(Durability::Always);
    for missing in [
        "store/version",
        "store/keyspaces/0",
        "store/keyspaces/0/current",
        "store/keyspaces",
    ] {
        let copy = sample.copy(COMMITS);
        remove(&copy.path().join(missing));
        let refused = sample.open(copy.path()).expect_err(missing);
        assert!(
            matches!(refused, StoreError::Unusable { .. }),
            "{missing}: {refused}"
        );
        assert!(
            refused.to_string().contains("restore a backup"),
            "{refused}"
        );
    }
    for keyspace in 1..=4 {
        let copy = sample.copy(COMMITS);
        remove(&copy.path().join(format!("store/keyspaces/{keyspace}")));
        let refused = sample.open(copy.path()).expect_err("a keyspace is missing");
        assert!(
            matches!(refused, StoreError::MissingFile { .. }),
            "{keyspace}: {refused}"
        );
    }
    let copy = sample.copy(COMMITS);
    remove(&copy.path().join("store"));
    assert_missing_commits(&sample, copy.path());
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_first_start_that_was_cut_off_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("store").join("keyspaces")).unwrap();
    fs::write(folder.path().join("store").join("0.jnl"), [0; 4096]).unwrap();
    fs::write(folder.path().join("store").join("lock"), []).unwrap();
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
fn a_directory_of_a_newer_format_is_refused() {
    let sample = Sample::new(Durability::Always);
    let copy = sample.copy(COMMITS);
    let store = sample.open(copy.path()).unwrap();
    let newer = Write::Put {
        key: key::meta(key::META_FORMAT),
        value: 2_u32.to_be_bytes().to_vec(),
    };
    store
        .commit(Batch {
            preconditions: Vec::new(),
            writes: vec![newer],
        })
        .unwrap();
    drop(store);
    let refused = sample.open(copy.path()).expect_err("a newer format");
    assert!(
        matches!(refused, StoreError::NewerFormat { found: 2, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start that release"),
        "{refused}"
    );
}

#[test]
fn a_damaged_table_never_gives_wrong_or_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), OpenOptions::default()).unwrap();
    // More than twice the write buffer of the state, so that tables are written, but too few to be merged: a merge while the
    // store opens would take the damaged one away.
    let account = |number| key::account(AccountId::new(number));
    let value = |number: u64| vec![number as u8; 60_000];
    let count = 40;
    for number in 0..count {
        let write = Write::Put {
            key: account(number),
            value: value(number),
        };
        store
            .commit(Batch {
                preconditions: Vec::new(),
                writes: vec![write],
            })
            .unwrap();
    }
    let tables = || {
        let tables = folder
            .path()
            .join("store")
            .join("keyspaces")
            .join("1")
            .join("tables");
        fs::read_dir(tables).map_or_else(
            |_| Vec::new(),
            |all| all.map(|e| e.unwrap().path()).collect(),
        )
    };
    while tables().is_empty() {
        std::thread::yield_now();
    }
    // Waits for the flushes that are under way.
    drop(store);
    let table = tables()
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let whole = fs::read(&table).unwrap();
    let read_all = || -> Result<(), String> {
        let store =
            open(folder.path(), OpenOptions::default()).map_err(|error| error.to_string())?;
        for number in 0..count {
            match store.get(&account(number)) {
                Ok(found) => {
                    assert_eq!(found.as_deref(), Some(value(number).as_slice()), "{number}")
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    };
    read_all().unwrap();
    for at in [100, whole.len() / 3, whole.len() / 2] {
        spoil(&table, |bytes| bytes[at] ^= 4);
        assert!(read_all().is_err(), "byte {at} of a table went unnoticed");
        fs::write(&table, &whole).unwrap();
    }
    fs::remove_file(&table).unwrap();
    assert!(read_all().is_err(), "a missing table went unnoticed");
}
