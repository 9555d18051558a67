//! What a disk can do to a store: cut it short, flip its bits, lose its files. Whatever happens, the store opens with
//! everything that was acknowledged, or it does not open and says what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, OpenOptions as FileOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use records::key;
use records::{AccountId, ConversationId, Millis, Pos, Stamp, Write};
use store::{Batch, DataDir, Durability, EmbeddedStore, Holder, OpenOptions, Store, StoreError};

const COMMITS: u64 = 4;

/// A data directory with `COMMITS` commits in a journal that is not preallocated, and what it looked like in between.
struct Sample {
    folder: tempfile::TempDir,
    durability: Durability,
    /// Length of the journal before the first of the commits and after each.
    lengths: Vec<u64>,
    /// The watermark before the first of the commits and after each.
    watermarks: Vec<Vec<u8>>,
}

impl Sample {
    fn new(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Made and opened again: fjall cuts the zeros off its journal when it recovers it.
        drop(open(folder.path(), options(durability)).unwrap());
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
                    preconditions: Vec::new(),
                    writes: writes(number),
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
    fn copy(&self, commit: u64) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        fs::write(
            copy.path().join("committed"),
            &self.watermarks[commit as usize],
        )
        .unwrap();
        copy
    }

    fn open(&self, folder: &Path) -> Result<EmbeddedStore, StoreError> {
        open(folder, options(self.durability))
    }

    fn begin_of(&self, commit: u64) -> u64 {
        self.lengths[commit as usize - 1]
    }

    fn end(&self) -> u64 {
        self.lengths[COMMITS as usize]
    }
}

fn options(durability: Durability) -> OpenOptions {
    OpenOptions {
        durability,
        ..OpenOptions::default()
    }
}

fn accepting(durability: Durability) -> OpenOptions {
    OpenOptions {
        accept_loss: true,
        ..options(durability)
    }
}

fn open(folder: &Path, options: OpenOptions) -> Result<EmbeddedStore, StoreError> {
    let dir = DataDir::open(folder, Holder::this_process(Millis::ZERO)).unwrap();
    EmbeddedStore::open(&dir, options)
}

/// Puts into every keyspace, and moves a counter, so that a missing and a half commit both show.
fn writes(number: u64) -> Vec<Write> {
    let value = format!("value {number}").into_bytes();
    [
        key::queue(Stamp::new(number)),
        key::entry(ConversationId::new(1), Pos::new(number)),
        key::dedup(1, AccountId::new(1), &number.to_string()),
        key::meta("latest"),
    ]
    .map(|key| Write::Put {
        key,
        value: value.clone(),
    })
    .to_vec()
}

/// The number of commits in the store, having checked that it is exactly those.
fn commits(store: &EmbeddedStore) -> u64 {
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

/// The store goes on: takes a commit, and has it after another start.
fn check_goes_on(sample: &Sample, folder: &Path, store: EmbeddedStore) {
    let before = commits(&store);
    let after = key::meta("after");
    let write = Write::Put {
        key: after.clone(),
        value: b"1".to_vec(),
    };
    store
        .commit(Batch {
            preconditions: Vec::new(),
            writes: vec![write],
        })
        .unwrap();
    drop(store);
    let store = sample.open(folder).unwrap();
    assert_eq!(commits(&store), before);
    assert_eq!(store.get(&after).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(cuts(folder), Vec::<PathBuf>::new());
}

/// The store is refused with advice, is left as it was, and opens without what is lost if that is accepted.
fn check_refused(sample: &Sample, folder: &Path, at_most: u64) {
    let before = fs::read(journal(folder)).unwrap();
    let refused = sample
        .open(folder)
        .expect_err("acknowledged commits are missing");
    assert!(
        matches!(refused, StoreError::DamagedJournal { .. }),
        "{refused}"
    );
    let message = refused.to_string();
    assert!(message.contains("restore a backup"), "{message}");
    assert!(message.contains("--accept-data-loss"), "{message}");
    assert!(
        message.contains(&journal(folder).display().to_string()),
        "{message}"
    );
    assert_eq!(
        fs::read(journal(folder)).unwrap(),
        before,
        "the evidence was changed"
    );
    assert!(
        sample.open(folder).is_err(),
        "refused once, opened the second time"
    );

    let store = open(folder, accepting(sample.durability)).unwrap();
    assert!(commits(&store) <= at_most);
    drop(store);
    let store = sample.open(folder).unwrap();
    assert!(commits(&store) <= at_most);
}

fn journal(folder: &Path) -> PathBuf {
    let mut journals = files(&folder.join("store"), "jnl");
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

fn cuts(folder: &Path) -> Vec<PathBuf> {
    files(folder, "jnl")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

fn copy_folder(from: &Path, to: &Path) {
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

fn truncate(path: &Path, length: u64) {
    FileOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_undamaged_store_opens_again_and_again() {
    let sample = Sample::new(Durability::Always);
    let copy = sample.copy(COMMITS);
    for _ in 0..3 {
        assert_eq!(commits(&sample.open(copy.path()).unwrap()), COMMITS);
    }
    check_goes_on(&sample, copy.path(), sample.open(copy.path()).unwrap());
}

#[test]
fn a_last_commit_cut_short_before_its_fsync_returned_is_dropped_whole() {
    for durability in [
        Durability::Always,
        Durability::Interval(Duration::from_secs(3600)),
    ] {
        let sample = Sample::new(durability);
        for length in sample.begin_of(COMMITS)..sample.end() {
            let copy = sample.copy(COMMITS - 1);
            truncate(&journal(copy.path()), length);
            let store = sample.open(copy.path()).unwrap();
            assert_eq!(commits(&store), COMMITS - 1, "cut at {length}");
            if length % 16 == 0 {
                check_goes_on(&sample, copy.path(), store);
            }
        }
    }
}

#[test]
fn a_last_commit_cut_short_after_its_fsync_returned_is_refused() {
    let sample = Sample::new(Durability::Always);
    for length in sample.begin_of(COMMITS)..sample.end() {
        let copy = sample.copy(COMMITS);
        truncate(&journal(copy.path()), length);
        check_refused(&sample, copy.path(), COMMITS - 1);
    }
}

#[test]
fn a_torn_last_commit_whose_pages_arrived_out_of_order_is_dropped_whole() {
    let sample = Sample::new(Durability::Always);
    let (begin, end) = (sample.begin_of(COMMITS) as usize, sample.end() as usize);
    for hole in (begin..end).step_by(7) {
        let copy = sample.copy(COMMITS - 1);
        spoil(&journal(copy.path()), |bytes| {
            bytes[hole..end.min(hole + 5)].fill(0)
        });
        let store = sample.open(copy.path()).unwrap();
        // Zeros over zeros change nothing.
        assert!(commits(&store) >= COMMITS - 1, "hole at {hole}");
        check_goes_on(&sample, copy.path(), store);
    }
}

#[test]
fn a_flipped_bit_in_an_acknowledged_commit_is_refused_or_harmless() {
    for (durability, known) in [
        (Durability::Always, COMMITS),
        // The watermark lags after a power cut: that a commit follows shows that the one before was acknowledged.
        (Durability::Always, COMMITS - 1),
        (Durability::Interval(Duration::from_secs(3600)), COMMITS),
    ] {
        let sample = Sample::new(durability);
        let mut refused = 0;
        for at in 0..sample.begin_of(known.min(COMMITS - 1) + 1) as usize {
            let copy = sample.copy(known);
            spoil(&journal(copy.path()), |bytes| bytes[at] ^= 1 << (at % 8));
            match sample.open(copy.path()) {
                Ok(store) => {
                    assert_eq!(commits(&store), COMMITS, "bit of byte {at} went unnoticed")
                }
                Err(StoreError::DamagedJournal { offset, .. }) => {
                    // A number of fjall's that grew shows at the commit behind.
                    let behind = sample.lengths.iter().find(|end| **end > at as u64).unwrap();
                    assert!(offset <= *behind, "byte {at} was reported as {offset}");
                    refused += 1;
                }
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        // All but fjall's own numbers, which no checksum covers and a small change of which does no harm.
        assert!(
            refused as u64 > sample.begin_of(COMMITS) - 8 * (COMMITS + 2),
            "{refused}"
        );
    }
}

#[test]
fn a_flipped_bit_in_the_last_commit_is_refused_once_it_was_acknowledged() {
    let sample = Sample::new(Durability::Always);
    for at in sample.begin_of(COMMITS) as usize..sample.end() as usize {
        let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
        let copy = sample.copy(COMMITS);
        spoil(&journal(copy.path()), flip);
        match sample.open(copy.path()) {
            Ok(store) => assert_eq!(commits(&store), COMMITS, "bit of byte {at} went unnoticed"),
            Err(refused) => assert!(
                matches!(refused, StoreError::DamagedJournal { .. }),
                "{refused}"
            ),
        }
        let copy = sample.copy(COMMITS - 1);
        spoil(&journal(copy.path()), flip);
        match sample.open(copy.path()) {
            Ok(store) => assert!(commits(&store) >= COMMITS - 1),
            // Whole but for fjall's number: no write that was cut off leaves that behind.
            Err(refused) => assert!(
                refused
                    .to_string()
                    .contains(&format!("commit {} follows", COMMITS + 1))
            ),
        }
    }
}

#[test]
fn what_is_cut_off_with_consent_is_kept_beside_the_store() {
    let sample = Sample::new(Durability::Always);
    let copy = sample.copy(COMMITS);
    let whole = fs::read(journal(copy.path())).unwrap();
    let begin = sample.begin_of(2) as usize;
    spoil(&journal(copy.path()), |bytes| bytes[begin] ^= 0xff);
    let spoiled = fs::read(journal(copy.path())).unwrap();
    let store = open(copy.path(), accepting(Durability::Always)).unwrap();
    assert_eq!(commits(&store), 1);
    let kept = cuts(copy.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read(&kept[0]).unwrap(), spoiled[begin..whole.len()]);
    drop(store);
    // From here on it is an ordinary store again.
    assert_eq!(commits(&sample.open(copy.path()).unwrap()), 1);
}

#[test]
fn garbage_and_zeros_behind_the_last_commit_do_no_harm() {
    let sample = Sample::new(Durability::Always);
    for tail in [
        vec![0; 5000],
        vec![1],
        vec![0xff; 300],
        b"\0\0\0something".to_vec(),
        vec![1; 2000],
    ] {
        let copy = sample.copy(COMMITS);
        spoil(&journal(copy.path()), |bytes| {
            bytes.extend_from_slice(&tail)
        });
        let store = sample.open(copy.path()).unwrap();
        assert_eq!(commits(&store), COMMITS);
        check_goes_on(&sample, copy.path(), store);
    }
}

#[test]
fn commits_that_were_not_yet_synced_may_be_lost_in_any_order() {
    let sample = Sample::new(Durability::Interval(Duration::from_secs(3600)));
    // A page in the middle of what was not synced never arrived; nothing of it was promised.
    let copy = sample.copy(0);
    let begin = sample.begin_of(2) as usize;
    spoil(&journal(copy.path()), |bytes| {
        bytes[begin + 3..begin + 30].fill(0)
    });
    let store = sample.open(copy.path()).unwrap();
    assert_eq!(commits(&store), 1);
    check_goes_on(&sample, copy.path(), store);
}

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
    // More than the write buffer of the state, so that tables are written.
    let account = |number| key::account(AccountId::new(number));
    let value = |number: u64| vec![number as u8; 60_000];
    let count = 200;
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
