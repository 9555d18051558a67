//! One test for each fault that was found in the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use records::key;
use records::{AccountId, ConversationId, Pos, Seq, Stamp, Write};
use store::disk::simulated::{Call, Fault, SimulatedDisk};
use store::{Batch, Durability, EmbeddedStore, Store};

use crate::workload::{folder, open, options};

/// Nobody syncs between flushes.
const LATER: Durability = Durability::Interval(Duration::from_secs(3600));

fn put(store: &EmbeddedStore, key: Vec<u8>, value_bytes: usize) {
    let value = vec![7; value_bytes];
    commit(store, vec![Write::Put { key, value }]);
}

fn commit(store: &EmbeddedStore, writes: Vec<Write>) {
    store
        .commit(Batch {
            writes,
            ..Batch::default()
        })
        .unwrap();
}

fn entry(pos: u64) -> Vec<u8> {
    key::entry(ConversationId::new(1), Seq::new(pos), Pos::new(pos))
}

fn account(number: u64) -> Vec<u8> {
    key::account(AccountId::new(number))
}

fn queue(stamp: u64) -> Vec<u8> {
    key::queue(Stamp::new(stamp))
}

/// The power fails and takes whatever is not durable.
fn cut_power(disk: &SimulatedDisk) {
    disk.crash(|| 1);
}

#[test]
fn a_flush_during_replay_keeps_the_journal_that_is_not_yet_replayed() {
    let disk = SimulatedDisk::new();
    let large = options(Durability::Always, 64);
    let store = open(&disk, large).unwrap();
    // Several journal files, and nothing in tables.
    for number in 1..=400 {
        put(&store, account(number), 2_000);
        put(&store, entry(number), 1);
    }
    drop(store);
    for _ in 0..3 {
        disk.kill();
        let store = open(&disk, large).unwrap();
        for number in 1..=400 {
            assert!(
                store.get(&account(number)).unwrap().is_some(),
                "account {number}"
            );
            assert!(
                store.get(&entry(number)).unwrap().is_some(),
                "entry {number}"
            );
        }
    }
}

#[test]
fn a_merge_does_not_claim_commits_that_were_not_synced() {
    let disk = SimulatedDisk::new();
    let small = options(LATER, 64);
    let store = open(&disk, small).unwrap();
    for number in 0..12 {
        put(&store, account(number), 10);
        store.flush().unwrap();
    }
    put(&store, account(99), 10);
    assert!(store.maintain().unwrap(), "a merge is due");
    cut_power(&disk);
    drop(store);
    for number in 100..103 {
        // Without the account that nobody had synced, and with all that came after the power cut.
        let store = open(&disk, small).unwrap();
        assert_eq!(store.get(&account(99)).unwrap(), None);
        for earlier in 100..number {
            assert!(store.get(&account(earlier)).unwrap().is_some());
        }
        put(&store, account(number), 10);
        drop(store);
        cut_power(&disk);
    }
}

#[test]
fn a_start_makes_durable_what_it_goes_on_from() {
    for durability in [Durability::Always, LATER] {
        let disk = SimulatedDisk::new();
        let store = open(&disk, options(durability, 64)).unwrap();
        put(&store, account(1), 10);
        disk.fail(Call::Sync, 0, Fault::Kill);
        let killed = store.commit(Batch {
            writes: vec![Write::Delete { key: account(1) }],
            ..Batch::default()
        });
        assert_eq!(killed.is_err(), durability == Durability::Always);
        disk.kill();
        disk.heal();
        drop(store);
        let store = open(&disk, options(durability, 64)).unwrap();
        assert_eq!(store.get(&account(1)).unwrap(), None);
        cut_power(&disk);
        drop(store);
        let store = open(&disk, options(durability, 64)).unwrap();
        assert_eq!(
            store.get(&account(1)).unwrap(),
            None,
            "it was seen to be deleted"
        );
    }
}

#[test]
fn a_start_writes_again_what_a_failed_sync_left_unwritten() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    disk.fail(Call::Sync, 0, Fault::Device);
    let failed = store.commit(Batch {
        writes: vec![Write::Put {
            key: account(1),
            value: vec![7; 5_000],
        }],
        ..Batch::default()
    });
    assert!(failed.is_err_and(|error| error.poisons()));
    drop(store);
    disk.kill();
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    assert!(store.get(&account(1)).unwrap().is_some());
    put(&store, account(2), 10);
    drop(store);
    cut_power(&disk);
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    assert!(store.get(&account(1)).unwrap().is_some());
    assert!(store.get(&account(2)).unwrap().is_some());
}

#[test]
fn a_start_makes_the_manifest_durable_before_it_removes_what_it_does_not_name() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 1024)).unwrap();
    for number in 0..12 {
        put(&store, account(number), 10);
        store.flush().unwrap();
    }
    // The merge's manifest has its name, but not durably: of the syncs of a merge that is the last.
    let syncs = disk.calls(Call::Sync);
    let merged = disk.copy();
    let measured = open(&merged, options(Durability::Always, 1024)).unwrap();
    let before = merged.calls(Call::Sync);
    assert!(measured.maintain().unwrap());
    let last = merged.calls(Call::Sync) - before - 1;
    assert!(syncs > 0);
    disk.fail(Call::Sync, last, Fault::Kill);
    assert!(store.maintain().is_err());
    drop(store);
    disk.kill();
    drop(open(&disk, options(Durability::Always, 1024)).unwrap());
    // The names that were removed are gone, and the one that was given is not there.
    let mut names = 0;
    disk.crash(|| {
        names += 1;
        names % 2
    });
    let store = open(&disk, options(Durability::Always, 1024)).unwrap();
    for number in 0..12 {
        assert!(
            store.get(&account(number)).unwrap().is_some(),
            "account {number}"
        );
    }
}

#[test]
fn an_emptied_journal_is_refused_whatever_the_manifest_says() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 1024)).unwrap();
    for number in 0..12 {
        put(&store, account(number), 10);
        store.flush().unwrap();
    }
    put(&store, entry(1), 10);
    assert!(store.maintain().unwrap(), "a merge is due");
    drop(store);
    disk.kill();
    let journal = files(&disk, ".jnl").pop().unwrap();
    disk.spoil(&journal, |bytes| bytes.truncate(32));
    let refused = open(&disk, options(Durability::Always, 1024)).expect_err("a commit is missing");
    assert!(
        refused.to_string().contains("--accept-data-loss"),
        "{refused}"
    );
}

#[test]
fn after_an_accepted_loss_the_next_start_is_an_ordinary_one() {
    let small = options(Durability::Always, 64);
    let accepting = store::OpenOptions {
        accept_loss: true,
        ..small
    };
    type Spoil = fn(&SimulatedDisk, &Path);
    let ways: [(&str, Spoil); 4] = [
        ("the oldest goes", |disk, oldest| {
            use store::disk::Disk;
            disk.remove(oldest).unwrap();
        }),
        ("the oldest loses its header", |disk, oldest| {
            disk.spoil(oldest, |bytes| {
                // Both of its copies.
                bytes[3] ^= 1;
                bytes[43] ^= 1;
            });
        }),
        ("the oldest is emptied", |disk, oldest| {
            disk.spoil(oldest, Vec::clear);
        }),
        ("the oldest loses its middle", |disk, oldest| {
            disk.spoil(oldest, |bytes| bytes[5_000] ^= 1);
        }),
    ];
    for (name, spoil) in ways {
        let disk = SimulatedDisk::new();
        let store = open(&disk, small).unwrap();
        for number in 1..300 {
            // What is queued comes to tables, what is about accounts stays in the journal.
            put(&store, queue(number), 3_000);
            put(&store, account(number), 1);
            while number % 20 == 0 && store.maintain().unwrap() {}
        }
        drop(store);
        disk.kill();
        let journals = files(&disk, ".jnl");
        assert!(journals.len() > 2, "{journals:?}");
        spoil(&disk, &journals[0]);
        open(&disk, small).expect_err(name);
        disk.kill();
        let store = open(&disk, accepting).unwrap();
        put(&store, account(1_000), 10);
        drop(store);
        for number in 1_001..1_004 {
            disk.kill();
            let store = open(&disk, small).unwrap_or_else(|error| panic!("{name}: {error}"));
            for later in 1_000..number {
                assert!(
                    store.get(&account(later)).unwrap().is_some(),
                    "{name}: {later}"
                );
            }
            put(&store, account(number), 10);
        }
    }
}

#[test]
fn a_journal_is_not_removed_because_manifest_and_watermark_are_missing() {
    use store::disk::Disk;
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    put(&store, account(1), 10);
    drop(store);
    disk.kill();
    disk.remove(&folder().join("store/manifest")).unwrap();
    disk.remove(&folder().join("committed")).unwrap();
    let before = disk.files();
    let refused = open(&disk, options(Durability::Always, 64)).expect_err("it holds a commit");
    assert!(
        refused.to_string().contains("restore a backup"),
        "{refused}"
    );
    assert!(disk.files() == before, "something was changed");
}

#[test]
fn a_sync_that_fails_in_a_flush_is_not_tried_again() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(LATER, 64)).unwrap();
    put(&store, account(1), 5_000);
    disk.fail(Call::Sync, 0, Fault::Device);
    assert!(store.flush().is_err());
    // A second sync would succeed and have written nothing.
    let next = store.commit(Batch {
        writes: vec![Write::Delete { key: account(1) }],
        ..Batch::default()
    });
    assert!(next.is_err_and(|error| error.poisons()));
    assert!(
        store.flush().is_err(),
        "a table would hold what the journal lost"
    );
    drop(store);
    cut_power(&disk);
    let store = open(&disk, options(LATER, 64)).unwrap();
    assert_eq!(store.get(&account(1)).unwrap(), None);
}

#[test]
fn a_table_that_cannot_be_ended_leaves_no_file() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    put(&store, account(1), 5_000);
    for (call, fault) in [
        (Call::Write, Fault::Full),
        (Call::Sync, Fault::Device),
        (Call::Read, Fault::Device),
    ] {
        for number in 0..2 {
            disk.fail(call, number, fault);
            if store.flush().is_ok() {
                disk.heal();
                put(&store, account(1), 5_000);
            }
            let listed: usize = store
                .statistics()
                .families
                .iter()
                .map(|family| family.tables.len())
                .sum();
            assert_eq!(files(&disk, ".tab").len(), listed, "{call:?} {number}");
        }
    }
}

#[test]
fn a_long_journal_does_not_seal_a_memtable_with_every_commit() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 64)).unwrap();
    let journal_bytes_max = store::JOURNAL_BYTES_MAX / 64;
    let mut number = 0;
    while store.statistics().journal_bytes < journal_bytes_max + 100_000 {
        number += 1;
        put(&store, account(number), 1_000);
        put(&store, queue(number), 1);
    }
    // Nothing was flushed meanwhile. State fills its memtables; of the queue, which is small, there is one.
    let mut flushes = 0;
    while store.maintain().unwrap() {
        flushes += 1;
    }
    assert!(flushes < 40, "{flushes} flushes and merges");
}

fn files(disk: &SimulatedDisk, extension: &str) -> Vec<PathBuf> {
    let paths = disk.files().into_keys();
    paths
        .filter(|path| path.to_str().is_some_and(|name| name.ends_with(extension)))
        .collect()
}

#[test]
fn a_table_that_cannot_be_read_does_not_stop_the_merges_of_the_others() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, options(Durability::Always, 256)).unwrap();
    put(&store, queue(0), 3_000);
    store.flush().unwrap();
    let damaged = files(&disk, ".tab").pop().unwrap();
    drop(store);
    disk.kill();
    disk.spoil(&damaged, |bytes| bytes[20] ^= 1);
    let store = open(&disk, options(Durability::Always, 256)).unwrap();
    for number in 1..200 {
        put(&store, queue(number), 3_000);
        store.flush().unwrap();
        while store.maintain().unwrap_or(true) {}
    }
    let tables = &store.statistics().families[3].tables;
    assert!(tables.len() < 40, "{} tables", tables.len());
    assert!(store.get(&queue(0)).is_err());
    assert!(store.get(&queue(1)).unwrap().is_some());
}
