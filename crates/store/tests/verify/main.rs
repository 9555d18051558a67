//! `verify` on running stores, stopped ones and backups: it finds what was spoilt and nothing else, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod references;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use records::{Millis, Write};
use store::{
    BackupOptions, Batch, DataDir, Durability, EmbeddedStore, FolderTarget, Holder, OpenOptions,
    Store, Verification, VerifyError, VerifyEvent, verify_backup, verify_data_dir,
};

use rows::{MESSAGES, fill};

fn holder() -> Holder {
    Holder::this_process(Millis::ZERO)
}

fn open(path: &Path) -> EmbeddedStore {
    let data_dir = DataDir::open(path, holder()).unwrap();
    let options = OpenOptions {
        // Thousands of commits, and no power cut.
        durability: Durability::Interval(Duration::from_secs(1)),
        ..OpenOptions::default()
    };
    EmbeddedStore::open(&data_dir, options).unwrap()
}

fn commit(store: &EmbeddedStore, writes: Vec<Write>) {
    let preconditions = Vec::new();
    store
        .commit(Batch {
            preconditions,
            writes,
            ..Batch::default()
        })
        .unwrap();
}

/// What is found, in words, and the outcome.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn hear(&mut self, event: VerifyEvent) {
        match event {
            VerifyEvent::Finding(finding) => self.0.push(finding.what),
            VerifyEvent::Progress(progress) => {
                assert!(progress.total.is_some_and(|total| progress.done <= total));
            }
        }
    }
}

fn running(store: &EmbeddedStore) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let outcome = store.verifier().unwrap().run(&mut |event| told.hear(event));
    (told.0, outcome)
}

fn stopped(data: &Path) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let outcome = verify_data_dir(data, holder(), &mut |event| told.hear(event)).unwrap();
    (told.0, outcome)
}

fn backup(target: &Path) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let (_, outcome) = verify_backup(target, None, &mut |event| told.hear(event)).unwrap();
    (told.0, outcome)
}

fn back_up(store: &EmbeddedStore, target: &Path) {
    let options = BackupOptions {
        at: Millis::new(1),
        rate: None,
        keep: None,
    };
    let folder = FolderTarget::open(target).unwrap();
    let mut image = store.image().unwrap();
    folder.write(&mut image, &options, &mut |_| ()).unwrap();
}

/// Name and contents of every file below a folder, but for the lock.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.ends_with("lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_whole_store_is_found_whole_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    // Those of messages, the first commit's, the event behind the first message and the store's own.
    let rows = 2 * MESSAGES + 24 + 1 + 1;
    // In memtables alone, and then in tables and memtables.
    for _ in 0..2 {
        let (found, outcome) = running(&store);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!((outcome.findings, outcome.leftovers), (0, 0));
        assert_eq!(outcome.rows, rows);
        assert_eq!(outcome.commit, MESSAGES + 2);
        store.flush().unwrap();
    }
    assert!(running(&store).1.tables >= 3);
    let target = folder.path().join("backup");
    back_up(&store, &target);
    drop(store);
    let before = contents(folder.path());
    for (found, outcome) in [stopped(&data), backup(&target)] {
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(outcome.rows, rows);
        assert_eq!(outcome.commit, MESSAGES + 2);
    }
    assert!(contents(folder.path()) == before, "verify changed a file");
}

#[test]
fn whatever_is_cut_off_unacknowledged_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    drop(store);
    let journals = contents(&data.join("store"));
    let newest = journals
        .keys()
        .rfind(|path| path.extension().is_some_and(|end| end == "jnl"));
    let newest = newest.unwrap();
    let mut torn = fs::read(newest).unwrap();
    torn.extend_from_slice(b"MGPC and what else a write leaves that was cut off");
    fs::write(newest, &torn).unwrap();
    assert_eq!(stopped(&data).0, Vec::<String>::new());
    assert_eq!(fs::read(newest).unwrap(), torn);
    // What was acknowledged is missed.
    fs::write(newest, &torn[..torn.len() / 2]).unwrap();
    let (found, _) = stopped(&data);
    assert!(
        found.iter().any(|what| what.contains("was acknowledged")),
        "{found:?}"
    );
}

#[test]
fn every_flipped_byte_of_a_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    store.flush().unwrap();
    let target = folder.path().join("backup");
    back_up(&store, &target);
    drop(store);
    let tables: Vec<PathBuf> = contents(&data.join("store"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "tab"))
        .collect();
    assert!(tables.len() >= 3);
    for table in tables {
        let whole = fs::read(&table).unwrap();
        for at in (0..whole.len())
            .step_by(whole.len() / 25 + 1)
            .chain([whole.len() - 1])
        {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x40;
            fs::write(&table, &spoilt).unwrap();
            let (found, outcome) = stopped(&data);
            assert!(outcome.findings > 0, "{} byte {at}", table.display());
            let name = table.file_name().unwrap().to_string_lossy();
            assert!(found[0].contains(&*name), "{found:?}");
        }
        fs::write(&table, &whole).unwrap();
    }
    assert_eq!(stopped(&data).1.findings, 0);
    let tables = contents(&target.join("tables"));
    let (table, bytes) = tables.first_key_value().unwrap();
    let mut spoilt = bytes.clone();
    spoilt[100] ^= 1;
    fs::write(table, spoilt).unwrap();
    let (found, _) = backup(&target);
    assert!(found[0].contains("is not what was written"), "{found:?}");
    // Which rows it costs follows.
    assert!(
        found[1].contains("rows from the first row up to"),
        "{found:?}"
    );
}

#[test]
fn what_is_no_store_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = verify_data_dir(folder.path(), holder(), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, VerifyError::Nothing(_)), "{refused}");
    let data = folder.path().join("data");
    let _store = open(&data);
    let refused = verify_data_dir(&data, holder(), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, VerifyError::DataDir(_)), "{refused}");
}
