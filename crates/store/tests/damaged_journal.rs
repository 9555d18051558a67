//! A journal cut short, or with flipped bits: the store opens with everything that was acknowledged, or it does not
//! open and says what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

mod sample;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use records::Write;
use records::key;
use store::{Batch, Durability, EmbeddedStore, Store, StoreError};

use sample::{COMMITS, Sample, accepting, commits, cuts, journal, open, spoil, truncate};

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
            writes: vec![write],
            ..Batch::default()
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
                    assert!(offset <= at as u64, "byte {at} was reported as {offset}");
                    refused += 1;
                }
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        // All but those in one copy of the file's header, of which there are two of 40 bytes.
        assert_eq!(refused + 80, sample.begin_of(known.min(COMMITS - 1) + 1));
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
            Err(refused) => panic!("nobody was told of what is cut off: {refused}"),
        }
    }
}

#[test]
fn a_journal_that_has_lost_its_header_is_refused_and_left_as_it_is() {
    let sample = Sample::new(Durability::Always);
    // However much the watermark knows: the header was on disk before any commit.
    for known in 0..=COMMITS {
        let copy = sample.copy(known);
        spoil(&journal(copy.path()), |bytes| {
            bytes[20] ^= 1;
            bytes[60] ^= 1;
        });
        check_refused(&sample, copy.path(), 0);
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
