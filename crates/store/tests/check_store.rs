//! One suite for every implementation of `Store`: whoever implements it must pass all of this.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use records::key::{self, KeyRange};
use records::{AccountId, ConversationId, Millis, Pos, Seq, Stamp, Table, Write};
use store::{
    Batch, CommitError, DELETE_SLICE_KEYS, DataDir, Durability, EmbeddedStore, Expected, Holder,
    KEY_BYTES_MAX, MemoryStore, OpenOptions, Precondition, Range, Store, VALUE_BYTES_MAX,
};

#[test]
fn memory_store_keeps_the_contract() {
    check_store(&MemoryStore::new());
}

#[test]
fn embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
    check_store(&EmbeddedStore::open(&dir, OpenOptions::default()).unwrap());
}

#[test]
fn embedded_store_keeps_the_contract_without_an_fsync_per_commit() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
    let durability = Durability::Interval(std::time::Duration::from_millis(5));
    check_store(
        &EmbeddedStore::open(
            &dir,
            OpenOptions {
                durability,
                ..OpenOptions::default()
            },
        )
        .unwrap(),
    );
}

fn check_store(store: &dyn Store) {
    check_reads_and_writes(store);
    check_order_within_a_batch(store);
    check_ranges(store);
    check_ranges_across_tables(store);
    check_ranges_in_bytes(store);
    check_preconditions(store);
    check_limits(store);
    check_range_deletion(store);
    check_one_batch_at_a_time(store);
}

fn put(key: &[u8], value: impl Into<Vec<u8>>) -> Write {
    Write::Put {
        key: key.to_vec(),
        value: value.into(),
    }
}

fn delete(key: &[u8]) -> Write {
    Write::Delete { key: key.to_vec() }
}

fn commit(store: &dyn Store, writes: Vec<Write>) {
    store
        .commit(Batch {
            writes,
            ..Batch::default()
        })
        .unwrap();
}

fn value(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key).unwrap().map(Vec::from)
}

fn check_reads_and_writes(store: &dyn Store) {
    let a = key::meta("a");
    assert_eq!(value(store, &a), None);
    commit(
        store,
        vec![put(&a, "1"), put(&key::account(AccountId::new(1)), "")],
    );
    assert_eq!(value(store, &a), Some(b"1".to_vec()));
    assert_eq!(
        value(store, &key::account(AccountId::new(1))),
        Some(Vec::new())
    );
    commit(
        store,
        vec![put(&a, "2"), delete(&key::account(AccountId::new(1)))],
    );
    assert_eq!(value(store, &a), Some(b"2".to_vec()));
    assert_eq!(value(store, &key::account(AccountId::new(1))), None);
    commit(store, vec![delete(&a), delete(&a)]);
    assert_eq!(value(store, &a), None);
    commit(store, Vec::new());
}

fn check_order_within_a_batch(store: &dyn Store) {
    let [a, b] = ["a", "b"].map(key::meta);
    commit(
        store,
        vec![put(&a, "1"), put(&a, "2"), delete(&b), put(&b, "3")],
    );
    assert_eq!(value(store, &a), Some(b"2".to_vec()));
    assert_eq!(value(store, &b), Some(b"3".to_vec()));
    commit(
        store,
        vec![put(&a, "4"), delete(&a), put(&b, "5"), delete(&b)],
    );
    assert_eq!(value(store, &a), None);
    assert_eq!(value(store, &b), None);
}

fn check_ranges(store: &dyn Store) {
    let conversation = ConversationId::new(7);
    let entry = |pos| key::entry(conversation, Seq::ZERO, Pos::new(pos));
    // The neighbours that must not show.
    commit(
        store,
        vec![put(
            &key::entry(ConversationId::new(6), Seq::MAX, Pos::MAX),
            "before",
        )],
    );
    commit(
        store,
        vec![put(
            &key::entry(ConversationId::new(8), Seq::ZERO, Pos::ZERO),
            "behind",
        )],
    );
    commit(
        store,
        (1..=5)
            .rev()
            .map(|pos| put(&entry(pos), pos.to_string()))
            .collect(),
    );
    commit(store, vec![delete(&entry(2))]);

    let found = |range: &Range| -> Vec<u64> {
        let pairs = store.range(range).unwrap();
        let keys: Vec<Bytes> = pairs.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(store.keys(range).unwrap(), keys);
        let pos = |(key, value): &(Bytes, Bytes)| {
            let (_, _, pos) = key::parse_entry(key).unwrap();
            assert_eq!(value, pos.value().to_string().as_bytes());
            pos.value()
        };
        pairs.iter().map(pos).collect()
    };
    let all = || key::entries(conversation);
    assert_eq!(found(&Range::forward(all(), 100)), [1, 3, 4, 5]);
    assert_eq!(found(&Range::backward(all(), 100)), [5, 4, 3, 1]);
    assert_eq!(found(&Range::forward(all(), 2)), [1, 3]);
    assert_eq!(found(&Range::backward(all(), 2)), [5, 4]);
    assert_eq!(found(&Range::forward(all(), 0)), [0_u64; 0]);
    let between = |from, to| KeyRange {
        from: entry(from),
        to: entry(to),
    };
    assert_eq!(found(&Range::forward(between(3, 5), 100)), [3, 4]);
    assert_eq!(found(&Range::backward(between(2, 4), 100)), [3]);
    assert_eq!(found(&Range::forward(between(3, 3), 100)), [0_u64; 0]);
    assert_eq!(found(&Range::forward(between(5, 3), 100)), [0_u64; 0]);
    assert_eq!(found(&Range::backward(between(5, 3), 100)), [0_u64; 0]);
}

/// A range ends with the value that makes it too long, and has one at least.
fn check_ranges_in_bytes(store: &dyn Store) {
    let at = |pos| key::entry(ConversationId::new(91), Seq::ZERO, Pos::new(pos));
    let writes = (1..=5).map(|pos| put(&at(pos), "four")).collect();
    commit(store, writes);
    let keys = KeyRange {
        from: at(0),
        to: at(9),
    };
    for (bytes_max, expected) in [
        (0, 1),
        (3, 1),
        (4, 2),
        (8, 3),
        (11, 3),
        (19, 5),
        (usize::MAX, 5),
    ] {
        let forward = Range::forward(keys.clone(), 100).up_to_bytes(bytes_max);
        let found = store.range(&forward).unwrap();
        assert_eq!(
            (found.len(), &found[0].0[..]),
            (expected, &at(1)[..]),
            "{bytes_max}"
        );
        let backward = Range::backward(keys.clone(), 100).up_to_bytes(bytes_max);
        let found = store.range(&backward).unwrap();
        assert_eq!(
            (found.len(), &found[0].0[..]),
            (expected, &at(5)[..]),
            "{bytes_max}"
        );
        assert_eq!(store.keys(&forward).unwrap().len(), 5, "{bytes_max}");
    }
    commit(
        store,
        (1..=5).map(|pos| Write::Delete { key: at(pos) }).collect(),
    );
}

fn check_ranges_across_tables(store: &dyn Store) {
    let keys = [
        key::conversation(ConversationId::new(90)),
        key::entry(ConversationId::new(90), Seq::new(1), Pos::new(1)),
        key::dedup(9, ConversationId::new(90), AccountId::new(1), "m"),
        key::session(AccountId::new(1), "phone"),
        key::queue(Stamp::new(3)),
        key::retained("t"),
    ];
    commit(store, keys.iter().map(|key| put(key, "x")).collect());
    let range = |from: &[u8], to: &[u8], reverse, limit| {
        let range = Range {
            from: from.to_vec(),
            to: to.to_vec(),
            reverse,
            limit,
            bytes_max: usize::MAX,
        };
        store
            .keys(&range)
            .unwrap()
            .into_iter()
            .map(Vec::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(range(&keys[1], &[0xff], false, 3), keys[1..4]);
    assert_eq!(range(&keys[3], &[0xff], false, 100), keys[3..]);
    let mut reversed = keys[3..].to_vec();
    reversed.reverse();
    assert_eq!(range(&keys[3], &[0xff], true, 100), reversed);
    assert_eq!(range(&keys[3], &[0xff], true, 1), keys[5..]);
    assert_eq!(range(&keys[3], &keys[5], false, 100), keys[3..5]);
}

fn check_preconditions(store: &dyn Store) {
    let [a, b] = ["pre/a", "pre/b"].map(key::meta);
    let attempt = |key: &[u8], expected, writes| {
        store.commit(Batch {
            preconditions: vec![Precondition {
                key: key.to_vec(),
                expected,
            }],
            writes,
            ..Batch::default()
        })
    };
    let refused_at = |result: Result<(), CommitError>| match result {
        Err(CommitError::PreconditionFailed { key }) => key,
        other => panic!("expected a failed precondition, got {other:?}"),
    };
    assert_eq!(
        refused_at(attempt(&a, Expected::Present, vec![put(&a, "1")])),
        a
    );
    assert_eq!(
        refused_at(attempt(
            &a,
            Expected::Equals(Vec::new()),
            vec![put(&a, "1")]
        )),
        a
    );
    assert_eq!(value(store, &a), None);
    // The state before the batch counts, not the batch's own writes.
    attempt(&a, Expected::Absent, vec![put(&a, "1"), put(&b, "1")]).unwrap();
    assert_eq!(
        refused_at(attempt(&a, Expected::Absent, vec![put(&b, "2")])),
        a
    );
    assert_eq!(
        refused_at(attempt(
            &a,
            Expected::Equals(b"2".to_vec()),
            vec![put(&b, "2")]
        )),
        a
    );
    assert_eq!(value(store, &b), Some(b"1".to_vec()));
    attempt(&a, Expected::Equals(b"1".to_vec()), vec![put(&b, "2")]).unwrap();
    attempt(&a, Expected::Present, vec![delete(&a)]).unwrap();
    assert_eq!(value(store, &b), Some(b"2".to_vec()));
    let both = vec![
        Precondition {
            key: b.clone(),
            expected: Expected::Present,
        },
        Precondition {
            key: a.clone(),
            expected: Expected::Present,
        },
    ];
    let result = store.commit(Batch {
        preconditions: both,
        writes: vec![put(&b, "3")],
        ..Batch::default()
    });
    assert_eq!(refused_at(result), a);
    assert_eq!(value(store, &b), Some(b"2".to_vec()));
}

fn check_limits(store: &dyn Store) {
    let longest = vec![Table::Retained as u8; KEY_BYTES_MAX];
    commit(store, vec![put(&longest, "long")]);
    assert_eq!(value(store, &longest), Some(b"long".to_vec()));
    let mut longer = longest.clone();
    longer.push(0);
    for key in [&[][..], &longer] {
        let writes = vec![put(&key::meta("kept out"), "x"), put(key, "x")];
        let result = store.commit(Batch {
            writes,
            ..Batch::default()
        });
        assert!(
            matches!(result, Err(CommitError::Size { value_bytes: 1, .. })),
            "{result:?}"
        );
    }
    let large = vec![put(&key::meta("kept out"), vec![0; VALUE_BYTES_MAX + 1])];
    let result = store.commit(Batch {
        writes: large,
        ..Batch::default()
    });
    assert!(
        matches!(result, Err(CommitError::Size { .. })),
        "{result:?}"
    );
    assert_eq!(value(store, &key::meta("kept out")), None);
    // A refusal does not poison.
    commit(store, vec![delete(&longest)]);
}

fn check_range_deletion(store: &dyn Store) {
    store.delete_range(&Table::Queue.range()).unwrap();
    let count = 2 * DELETE_SLICE_KEYS as u64 + 1;
    let queued = |stamp| key::queue(Stamp::new(stamp));
    commit(
        store,
        (0..count).map(|stamp| put(&queued(stamp), "m")).collect(),
    );
    commit(store, vec![put(&key::retained("kept"), "r")]);
    store
        .delete_range(&KeyRange {
            from: queued(0),
            to: queued(count - 1),
        })
        .unwrap();
    assert_eq!(
        store
            .keys(&Range::forward(Table::Queue.range(), 10))
            .unwrap(),
        [queued(count - 1)]
    );
    assert_eq!(value(store, &queued(0)), None);
    // What stood there goes, and what the same commit writes there stays.
    let again = Batch {
        deleted_ranges: vec![Table::Queue.range()],
        writes: vec![put(&queued(3), "again")],
        ..Batch::default()
    };
    store.commit(again).unwrap();
    let left = store
        .keys(&Range::forward(Table::Queue.range(), 10))
        .unwrap();
    assert_eq!(left, [queued(3)]);
    store.delete_range(&Table::Queue.range()).unwrap();
    assert_eq!(value(store, &queued(3)), None);
    assert_eq!(value(store, &key::retained("kept")), Some(b"r".to_vec()));
}

/// Counts up under a precondition from several threads: no increment may be lost, so no two commits may overlap.
fn check_one_batch_at_a_time(store: &dyn Store) {
    const THREADS: u64 = 4;
    const INCREMENTS: u64 = 25;
    let counter = key::meta("counter");
    commit(store, vec![put(&counter, 0_u64.to_be_bytes())]);
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut done = 0;
                while done < INCREMENTS {
                    let now = value(store, &counter).unwrap();
                    let next = u64::from_be_bytes(now.clone().try_into().unwrap()) + 1;
                    let expected = Expected::Equals(now);
                    match store.commit(Batch {
                        preconditions: vec![Precondition {
                            key: counter.clone(),
                            expected,
                        }],
                        writes: vec![put(&counter, next.to_be_bytes())],
                        ..Batch::default()
                    }) {
                        Ok(()) => done += 1,
                        Err(CommitError::PreconditionFailed { .. }) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let total = (THREADS * INCREMENTS).to_be_bytes().to_vec();
    assert_eq!(value(store, &counter), Some(total));
}
