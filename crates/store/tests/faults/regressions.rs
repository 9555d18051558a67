//! One test for each fault that was found in the store.

use std::time::Duration;

use records::key::{self, META_FORMAT};
use records::{AccountId, ConversationId, Pos, Stamp, Write};
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
            preconditions: Vec::new(),
            writes,
        })
        .unwrap();
}

fn entry(pos: u64) -> Vec<u8> {
    key::entry(ConversationId::new(1), Pos::new(pos))
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
            assert!(store.get(&account(number)).unwrap().is_some(), "account {number}");
            assert!(store.get(&entry(number)).unwrap().is_some(), "entry {number}");
        }
    }
}
