//! Deleted ranges: they give disk back without being read, survive restarts, and are bounded themselves.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use records::{ConversationId, KeyRange, Millis, Pos, Seq, Stamp, Table, Write, key};
use store::disk::simulated::SimulatedDisk;
use store::{
    Background, Batch, DataDir, EmbeddedStore, Holder, OpenOptions, Range, Scale, Store,
    verify_data_dir,
};

const MESSAGES: u64 = 4_000;
const CONVERSATIONS: u64 = 40;

fn folder() -> &'static Path {
    Path::new("data")
}

fn open(disk: &SimulatedDisk) -> EmbeddedStore {
    let options = OpenOptions {
        background: Background::Caller,
        scale: Scale::one_in(NonZeroU32::new(64).unwrap()),
        ..OpenOptions::default()
    };
    EmbeddedStore::open_on(Arc::new(disk.clone()), folder(), options).unwrap()
}

fn entry(conversation: ConversationId, number: u64) -> Vec<u8> {
    key::entry(conversation, Seq::new(number), Pos::new(number))
}

fn conversation(number: u64) -> ConversationId {
    ConversationId::new(1 + number % CONVERSATIONS)
}

/// Messages of all conversations in turn, in tables.
fn fill(store: &dyn Store, upto: u64) {
    for number in 0..upto {
        let (conversation, pos) = (conversation(number), 1 + number);
        let entry = Write::Put {
            key: entry(conversation, pos),
            value: pos.to_be_bytes().repeat(25),
        };
        commit(store, Vec::new(), vec![entry]);
    }
}

fn commit(store: &dyn Store, deleted_ranges: Vec<KeyRange>, writes: Vec<Write>) {
    let batch = Batch {
        deleted_ranges,
        writes,
        ..Batch::default()
    };
    store.commit(batch).unwrap();
}

fn end(store: &dyn Store, conversation: ConversationId) {
    commit(store, vec![key::entries(conversation)], Vec::new());
}

/// How many messages each conversation has.
fn lengths(store: &dyn Store) -> Vec<usize> {
    let length = |number| {
        let range = Range::forward(key::entries(conversation(number)), usize::MAX);
        store.keys(&range).unwrap().len()
    };
    (0..CONVERSATIONS).map(length).collect()
}

fn maintain(store: &EmbeddedStore) {
    store.flush().unwrap();
    while store.maintain().unwrap() {}
}

fn range_deletions(store: &EmbeddedStore) -> u64 {
    let families = store.statistics().families;
    families.iter().map(|family| family.range_deletions).sum()
}

fn table_bytes(store: &EmbeddedStore) -> u64 {
    let families = store.statistics().families;
    families.iter().map(|family| family.bytes()).sum()
}

#[test]
fn what_no_table_has_left_is_gone_without_being_read() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    fill(&store, MESSAGES);
    maintain(&store);
    let before = store.statistics();
    assert!(table_bytes(&store) > 200_000);
    commit(&store, vec![Table::Entry.range()], Vec::new());
    assert_eq!(lengths(&store), [0; CONVERSATIONS as usize]);
    maintain(&store);
    let after = store.statistics();
    assert_eq!(after.table_written_bytes, before.table_written_bytes);
    assert!(table_bytes(&store) < 10_000, "{}", table_bytes(&store));
    assert_eq!(range_deletions(&store), 0, "nothing is left to hide");
}

#[test]
fn a_fifth_that_is_deleted_is_merged_away_and_the_rest_stays() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    fill(&store, MESSAGES);
    maintain(&store);
    let before = table_bytes(&store);
    let each = (MESSAGES / CONVERSATIONS) as usize;
    let mut expected = vec![each; CONVERSATIONS as usize];
    for number in (0..CONVERSATIONS).step_by(3) {
        end(&store, conversation(number));
        expected[number as usize] = 0;
        assert_eq!(lengths(&store), expected);
    }
    maintain(&store);
    assert_eq!(lengths(&store), expected);
    let after = table_bytes(&store);
    assert!(after * 10 < before * 8, "{before} bytes became {after}");
    assert_eq!(range_deletions(&store), 0);
}

#[test]
fn they_survive_a_restart_before_and_behind_a_flush() {
    let disk = SimulatedDisk::new();
    let mut store = open(&disk);
    fill(&store, MESSAGES);
    store.flush().unwrap();
    let each = (MESSAGES / CONVERSATIONS) as usize;
    let mut expected = vec![each; CONVERSATIONS as usize];
    for (number, flushed) in [(3, false), (4, true), (9, false)] {
        end(&store, conversation(number));
        // What comes back begins anew.
        let again = entry(conversation(number), MESSAGES + 1 + number);
        let write = Write::Put {
            key: again,
            value: Vec::new(),
        };
        commit(&store, Vec::new(), vec![write]);
        expected[number as usize] = 1;
        if flushed {
            store.flush().unwrap();
            assert!(range_deletions(&store) > 0);
        }
        drop(store);
        disk.kill();
        store = open(&disk);
        assert_eq!(lengths(&store), expected);
    }
}

#[test]
fn a_verification_keeps_to_them() {
    let home = tempfile::tempdir().unwrap();
    let holder = || Holder::this_process(Millis::ZERO);
    let options = OpenOptions {
        background: Background::Caller,
        ..OpenOptions::default()
    };
    let data_dir = DataDir::open(home.path(), holder()).unwrap();
    let store = EmbeddedStore::open(&data_dir, options).unwrap();
    let stamps = |from: u64, to: u64| KeyRange {
        from: key::queue(Stamp::new(from)),
        to: key::queue(Stamp::new(to)),
    };
    let garbage = (0..100).map(|stamp| Write::Put {
        key: key::queue(Stamp::new(stamp)),
        value: b"no queued message".to_vec(),
    });
    commit(&store, Vec::new(), garbage.collect());
    store.flush().unwrap();
    commit(&store, vec![stamps(0, 60)], Vec::new());
    store.flush().unwrap();
    commit(&store, vec![stamps(60, 100)], Vec::new());
    assert_eq!(range_deletions(&store), 2);
    let findings = |event: store::VerifyEvent| {
        if let store::VerifyEvent::Finding(finding) = event {
            panic!("{}", finding.what);
        }
    };
    // The garbage would be found.
    store.verifier().unwrap().run(&mut |event| findings(event));
    drop(store);
    drop(data_dir);
    verify_data_dir(home.path(), holder(), &mut |event| findings(event)).unwrap();
}

#[test]
fn beyond_so_many_keys_are_deleted_in_their_place() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    fill(&store, 200);
    store.flush().unwrap();
    let entries = Table::Entry.range();
    assert!(store.takes_range(&entries));
    let pos = |number| entry(ConversationId::new(1), number);
    let scattered = (0..70_000).map(|number| KeyRange {
        from: pos(1_000_000 + 2 * number),
        to: pos(1_000_001 + 2 * number),
    });
    // A table that has something of the conversation before all of them and behind.
    let around = [900_000, 2_000_000].map(|number| Write::Put {
        key: pos(number),
        value: Vec::new(),
    });
    commit(&store, Vec::new(), around.to_vec());
    store.flush().unwrap();
    commit(&store, scattered.collect(), Vec::new());
    assert!(!store.takes_range(&entries));
    assert!(
        store.takes_range(&Table::Queue.range()),
        "of another family"
    );
    let memory = store.statistics().memtable_bytes;
    assert!(memory < 20_000_000, "{memory}");
    store.delete_range(&key::entries(conversation(7))).unwrap();
    let mut expected = vec![5; CONVERSATIONS as usize];
    expected[0] += 2;
    expected[7] = 0;
    assert_eq!(lengths(&store), expected);
    store.flush().unwrap();
    assert!(!store.takes_range(&entries), "they are kept for the table");
    assert_eq!(lengths(&store), expected);
    maintain(&store);
    assert!(store.takes_range(&entries), "the table is written anew");
    assert_eq!(lengths(&store), expected);
    drop(store);
    assert_eq!(lengths(&open(&disk)), expected);
}
