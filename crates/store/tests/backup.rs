//! Backups of a store that goes on, and what is restored from them: exactly one commit and everything before it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use records::key;
use records::{AccountId, ConversationId, KeyRange, Millis, Pos, Seq, Stamp, Write};
use store::{
    ArchiveTarget, BackupError, BackupOptions, BackupSource, Batch, DataDir, EmbeddedStore,
    FolderTarget, Holder, ImageHeader, OpenOptions, Store, Summary, TakePiece, generations,
    restore_archive, restore_folder,
};

fn holder() -> Holder {
    Holder::this_process(Millis::ZERO)
}

fn open(path: &Path) -> EmbeddedStore {
    let data_dir = DataDir::open(path, holder()).unwrap();
    EmbeddedStore::open(&data_dir, OpenOptions::default()).unwrap()
}

/// Commit `number`: a row in every family that stays, one that is overwritten, and one that the next but nine deletes.
fn commit(store: &EmbeddedStore, number: u64) {
    let value = format!("{number:08}").repeat(60).into_bytes();
    let put = |key| Write::Put {
        key,
        value: value.clone(),
    };
    let writes = vec![
        put(key::entry(
            ConversationId::new(1),
            Seq::new(number),
            Pos::new(number),
        )),
        put(key::dedup(
            1,
            ConversationId::new(1),
            AccountId::new(1),
            &number.to_string(),
        )),
        put(key::queue(Stamp::new(number))),
        put(key::meta("latest")),
    ];
    let mut batch = Batch {
        writes,
        ..Batch::default()
    };
    if let Some(old) = number.checked_sub(9).filter(|old| *old > 0) {
        let key = key::queue(Stamp::new(old));
        if old.is_multiple_of(2) {
            let (from, to) = (key, key::queue(Stamp::new(old + 1)));
            batch.deleted_ranges.push(KeyRange { from, to });
        } else {
            batch.writes.push(Write::Delete { key });
        }
    }
    store.commit(batch).unwrap();
}

/// The number of the last commit in a store, having checked that it is exactly that one and all before it.
fn last_commit(store: &EmbeddedStore) -> u64 {
    let latest = store.get(&key::meta("latest")).unwrap();
    let last = latest.map_or(0, |value| {
        std::str::from_utf8(&value[..8]).unwrap().parse().unwrap()
    });
    let count = |range| {
        store
            .keys(&store::Range::forward(range, usize::MAX))
            .unwrap()
            .len() as u64
    };
    assert_eq!(count(key::entries(ConversationId::new(1))), last);
    assert_eq!(count(records::Table::Dedup.range()), last);
    let queued = store
        .keys(&store::Range::forward(
            records::Table::Queue.range(),
            usize::MAX,
        ))
        .unwrap();
    let numbers: Vec<u64> = queued
        .iter()
        .map(|key| key::parse_queue(key).unwrap().value())
        .collect();
    let expected: Vec<u64> = (last.saturating_sub(8).max(1)..=last).collect();
    assert_eq!(numbers, expected);
    last
}

fn options() -> BackupOptions {
    BackupOptions {
        at: Millis::new(1_700_000_000_000),
        rate: None,
        keep: None,
    }
}

fn back_up(store: &EmbeddedStore, target: &Path) -> Summary {
    let mut image = store.image().unwrap();
    let folder = FolderTarget::open(target).unwrap();
    folder.write(&mut image, &options(), &mut |_| ()).unwrap()
}

fn restore(target: &Path, at: Option<u64>, data: &Path) -> Result<Summary, BackupError> {
    restore_folder(target, at, data, holder(), &mut |_| ())
}

/// Every file below a folder, with its length.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::metadata(&path).unwrap().len()));
        }
    }
    found.sort();
    found
}

/// The file of a backup that is no table and has this beginning.
fn find(target: &Path, end: &str) -> PathBuf {
    let found = files(target);
    let mut matching = found
        .iter()
        .filter(|(path, _)| path.to_string_lossy().ends_with(end));
    matching
        .next()
        .unwrap_or_else(|| panic!("no {end} in {found:?}"))
        .0
        .clone()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_while_commits_are_made_is_the_store_at_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                commit(&store, number);
                written.store(number, Ordering::Release);
                // Tables come and go while they are copied.
                if number % 400 == 0 {
                    store.flush().unwrap();
                }
            }
        });
        for round in 1..=6 {
            while written.load(Ordering::Acquire) < round * 150 {
                std::thread::yield_now();
            }
            let before = written.load(Ordering::Acquire);
            let summary = back_up(&store, &target);
            taken.push((summary, before));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (summary, before) in taken {
        let data = folder
            .path()
            .join(format!("restored-{}", summary.generation));
        let restored = restore(&target, Some(summary.generation), &data).unwrap();
        assert_eq!(restored.commit, summary.commit);
        let store = open(&data);
        let last = last_commit(&store);
        assert!(last >= before, "{last} of {before}");
        // The first commit of every data directory is its format.
        assert_eq!(summary.commit, last + 1);
        assert_eq!(store.committed(), summary.commit);
        commit(&store, last + 1);
        assert_eq!(last_commit(&store), last + 1);
    }
}

#[test]
fn a_second_backup_copies_new_tables_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    let tables_of = |summary: &Summary| {
        let all = generations(&target).unwrap();
        let of = all
            .iter()
            .find(|known| known.generation == summary.generation)
            .unwrap();
        of.files
            .iter()
            .filter(|file| file.fingerprint.is_some())
            .count()
    };
    (1..=300).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    let first = back_up(&store, &target);
    assert_eq!(first.copied_bytes, first.bytes);
    let tables = tables_of(&first);
    assert!(tables >= 4, "{tables}");
    let second = back_up(&store, &target);
    assert_eq!(second.files - second.copied_files, tables);
    (301..=400).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    let third = back_up(&store, &target);
    assert_eq!(third.files - third.copied_files, tables);
    assert!(third.copied_bytes < third.bytes);
    drop(store);
    let data = folder.path().join("restored");
    restore(&target, None, &data).unwrap();
    assert_eq!(last_commit(&open(&data)), 400);
    let data = folder.path().join("restored-1");
    restore(&target, Some(1), &data).unwrap();
    assert_eq!(last_commit(&open(&data)), 300);
}

#[test]
fn old_generations_go_with_the_tables_that_none_needs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    let mut next = 1;
    for _ in 0..5 {
        (next..next + 50).for_each(|number| commit(&store, number));
        next += 50;
        store.flush().unwrap();
        let mut image = store.image().unwrap();
        let keep_two = BackupOptions {
            keep: Some(2),
            ..options()
        };
        let backup = FolderTarget::open(&target).unwrap();
        backup.write(&mut image, &keep_two, &mut |_| ()).unwrap();
    }
    let kept = generations(&target).unwrap();
    let numbers: Vec<u64> = kept.iter().map(|known| known.generation).collect();
    assert_eq!(numbers, [4, 5]);
    let needed: std::collections::BTreeSet<&str> = kept
        .iter()
        .flat_map(|known| &known.files)
        .filter(|file| file.fingerprint.is_some())
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(files(&target.join("tables")).len(), needed.len());
    let refused = restore(&target, Some(3), &folder.path().join("x")).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("holds no generation 3; it has 4, 5"),
        "{refused}"
    );
    for (generation, commits) in [(4, 200), (5, 250)] {
        let data = folder.path().join(format!("restored-{generation}"));
        restore(&target, Some(generation), &data).unwrap();
        assert_eq!(last_commit(&open(&data)), commits);
    }
}

/// Ends in the middle, as a connection to a server that is killed does.
struct CutOff<'a> {
    source: &'a mut dyn BackupSource,
    files_left: usize,
}

impl BackupSource for CutOff<'_> {
    fn header(&self) -> &ImageHeader {
        self.source.header()
    }

    fn copy(&mut self, wanted: &[usize], take: &mut TakePiece<'_>) -> Result<(), BackupError> {
        let files_left = self.files_left;
        self.source.copy(wanted, &mut |file, piece| {
            if file >= files_left {
                return Err(BackupError::Source("cut off".to_owned()));
            }
            take(file, piece)
        })
    }
}

#[test]
fn a_backup_that_was_cut_off_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    (1..=100).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    back_up(&store, &target);
    (101..=200).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    let files_in_all = store.image().unwrap().header().files.len();
    for files_left in 0..files_in_all {
        let mut image = store.image().unwrap();
        let mut source = CutOff {
            source: &mut image,
            files_left,
        };
        let backup = FolderTarget::open(&target).unwrap();
        let failed = backup.write(&mut source, &options(), &mut |_| ());
        // A table that is there already is not asked for.
        if failed.is_err() {
            let kept = generations(&target).unwrap();
            assert_eq!(kept.len(), 1);
        }
        let data = folder.path().join(format!("restored-{files_left}"));
        restore(&target, Some(1), &data).unwrap();
        assert_eq!(last_commit(&open(&data)), 100);
    }
    // What a power cut leaves: a generation without its description, and half a table.
    fs::create_dir(target.join("generation-000099")).unwrap();
    let tables = fs::read_dir(target.join("tables"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let half = tables.join("00000000000000ff.tab.part");
    fs::write(&half, "half").unwrap();
    back_up(&store, &target);
    assert!(!half.exists());
    assert!(!target.join("generation-000099").exists());
    let data = folder.path().join("restored");
    restore(&target, None, &data).unwrap();
    assert_eq!(last_commit(&open(&data)), 200);
}

#[test]
fn damage_in_a_backup_is_noticed_by_restoring_and_leaves_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    (1..=100).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    (101..=110).for_each(|number| commit(&store, number));
    for (round, end) in [".tab", ".jnl", "manifest", "committed"]
        .into_iter()
        .enumerate()
    {
        let target = folder.path().join(format!("backup-{round}"));
        back_up(&store, &target);
        flip(&find(&target, end));
        let data = folder.path().join(format!("restored-{round}"));
        let refused = restore(&target, None, &data).unwrap_err();
        assert!(
            matches!(refused, BackupError::Damaged { .. }),
            "{end}: {refused}"
        );
        assert!(!data.join("store").exists(), "{end}");
        fs::remove_file(find(&target, end)).unwrap();
        let refused = restore(&target, None, &data).unwrap_err();
        assert!(
            refused.to_string().contains("is missing"),
            "{end}: {refused}"
        );
    }
    let target = folder.path().join("backup");
    back_up(&store, &target);
    flip(&find(&target, "backup.json"));
    let refused = restore(&target, None, &folder.path().join("x")).unwrap_err();
    assert!(matches!(refused, BackupError::Nothing { .. }), "{refused}");
}

#[test]
fn an_archive_is_a_backup_in_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    (1..=100).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    (101..=150).for_each(|number| commit(&store, number));
    let mut archive = Vec::new();
    let mut image = store.image().unwrap();
    let target = ArchiveTarget::new(&mut archive);
    let summary = target.write(&mut image, &options(), &mut |_| ()).unwrap();
    let restore = |bytes: &[u8], name: &str| {
        let data = folder.path().join(name);
        restore_archive(bytes, &data, holder(), &mut |_| ()).map(|restored| (restored, data))
    };
    let (restored, data) = restore(&archive, "whole").unwrap();
    assert_eq!(restored.commit, summary.commit);
    assert_eq!(last_commit(&open(&data)), 150);
    for cut in [0, 100, 512, archive.len() / 2, archive.len() - 1600] {
        let refused = restore(&archive[..cut], "cut").unwrap_err();
        assert!(
            matches!(
                refused,
                BackupError::NotAnArchive { .. }
                    | BackupError::Io { .. }
                    | BackupError::Damaged { .. }
            ),
            "{cut}: {refused}"
        );
        assert!(!folder.path().join("cut/store").exists(), "{cut}");
    }
    for at in (700..archive.len() - 2048).step_by(archive.len() / 40) {
        let mut spoiled = archive.clone();
        spoiled[at] ^= 0x10;
        let outcome = restore(&spoiled, "spoiled");
        // Between files there are bytes that say nothing.
        if let Ok((_, data)) = &outcome {
            assert_eq!(last_commit(&open(data)), 150, "byte {at}");
            fs::remove_dir_all(data).unwrap();
        } else {
            assert!(!folder.path().join("spoiled/store").exists(), "byte {at}");
        }
    }
}

#[test]
fn a_restore_that_is_cut_off_is_no_data_directory_and_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    (1..=50).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    back_up(&store, &target);
    let data = folder.path().join("restored");
    // As a SIGKILL leaves it: the watermark is the first file that is written.
    fs::create_dir_all(data.join("restoring")).unwrap();
    fs::copy(find(&target, "committed"), data.join("committed")).unwrap();
    fs::write(data.join("restoring/0000000000000001.tab.part"), "half").unwrap();
    let data_dir = DataDir::open(&data, holder()).unwrap();
    let refused = EmbeddedStore::open(&data_dir, OpenOptions::default()).unwrap_err();
    assert!(
        refused.to_string().contains("had been acknowledged"),
        "{refused}"
    );
    drop(data_dir);
    restore(&target, None, &data).unwrap();
    assert_eq!(last_commit(&open(&data)), 50);
}

#[test]
fn what_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    commit(&store, 1);
    let target = folder.path().join("backup");
    back_up(&store, &target);
    let refused = restore(&target, None, &data).unwrap_err();
    assert!(matches!(refused, BackupError::DataDir(_)), "{refused}");
    drop(store);
    let refused = restore(&target, None, &data).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    assert_eq!(last_commit(&open(&data)), 1);

    let other = open(&folder.path().join("other"));
    let mut image = other.image().unwrap();
    let refused = FolderTarget::open(&target).unwrap();
    let refused = refused
        .write(&mut image, &options(), &mut |_| ())
        .unwrap_err();
    assert!(
        matches!(refused, BackupError::OtherServer { .. }),
        "{refused}"
    );
    let refused = FolderTarget::open(folder.path()).unwrap_err();
    assert!(
        matches!(refused, BackupError::NotABackup { .. }),
        "{refused}"
    );
    let refused = restore(
        &folder.path().join("nowhere"),
        None,
        &folder.path().join("y"),
    );
    assert!(matches!(refused.unwrap_err(), BackupError::Nothing { .. }));
    let busy = FolderTarget::open(&target).unwrap();
    let refused = FolderTarget::open(&target).unwrap_err();
    assert!(matches!(refused, BackupError::InUse { .. }), "{refused}");
    drop(busy);
}

#[test]
fn a_restored_server_goes_on_in_the_same_folder_with_tables_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let target = folder.path().join("backup");
    (1..=50).for_each(|number| commit(&store, number));
    store.flush().unwrap();
    back_up(&store, &target);
    let data = folder.path().join("restored");
    restore(&target, None, &data).unwrap();
    let restored = open(&data);
    // Both write tables of the same numbers and lengths.
    for (store, from) in [(&store, 51), (&restored, 51)] {
        (from..from + 50).for_each(|number| commit(store, number));
        store.flush().unwrap();
        back_up(store, &target);
    }
    commit(&restored, 101);
    back_up(&restored, &target);
    for (generation, commits) in [(1, 50), (2, 100), (3, 100), (4, 101)] {
        let data = folder.path().join(format!("restored-{generation}"));
        restore(&target, Some(generation), &data).unwrap();
        assert_eq!(last_commit(&open(&data)), commits);
    }
}

#[test]
fn a_rate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    (1..=200).for_each(|number| commit(&store, number));
    let mut image = store.image().unwrap();
    let bytes = image.header().bytes();
    let slow = BackupOptions {
        rate: Some(bytes * 4),
        ..options()
    };
    let begun = std::time::Instant::now();
    let backup = FolderTarget::open(&folder.path().join("backup")).unwrap();
    backup.write(&mut image, &slow, &mut |_| ()).unwrap();
    assert!(begun.elapsed() >= std::time::Duration::from_millis(240));
}
