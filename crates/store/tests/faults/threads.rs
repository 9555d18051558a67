//! A writer, readers, and the store's own threads at once, on the files of this machine: readers see every commit wholly or not, and
//! none that goes back.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use records::key;
use records::{AccountId, ConversationId, KeyRange, Pos, Seq, Stamp, Write};
use store::disk::OsDisk;
use store::{Batch, Durability, EmbeddedStore, OpenOptions, Range, Scale, Store};

const COMMITS: u64 = 6_000;

/// A conversation ends with every so manieth commit.
const ENDS_EVERY: u64 = 61;

/// So many messages are in the queue.
const QUEUED: u64 = 100;

#[test]
fn readers_see_whole_commits_while_everything_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        durability: Durability::Interval(Duration::from_millis(50)),
        scale: Scale::one_in(NonZeroU32::new(256).unwrap()),
        cache_bytes: 256 * 1024,
        ..OpenOptions::default()
    };
    let store = open(folder.path(), options);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| read_until(&store, &done));
        }
        for number in 1..=COMMITS {
            store.commit(commit(number)).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    let merged = store.statistics();
    assert!(
        merged.table_written_bytes > 0 && merged.work_failures == 0,
        "{merged:?}"
    );
    check(&store, COMMITS);
    drop(store);
    let store = open(folder.path(), options);
    assert_eq!(check(&store, COMMITS), COMMITS);
}

fn open(folder: &Path, options: OpenOptions) -> EmbeddedStore {
    EmbeddedStore::open_on(Arc::new(OsDisk), folder, options).unwrap()
}

/// In every family a row, and in the queue one that goes.
fn commit(number: u64) -> Batch {
    let value = number.to_be_bytes().repeat(1 + number as usize % 40);
    let put = |key| Write::Put {
        key,
        value: value.clone(),
    };
    let mut writes = vec![
        put(counter()),
        put(entry(number)),
        put(mid(number)),
        put(key::queue(Stamp::new(number))),
    ];
    let mut batch = Batch::default();
    if let Some(gone) = number.checked_sub(QUEUED) {
        let key = key::queue(Stamp::new(gone));
        if gone.is_multiple_of(2) {
            writes.push(Write::Delete { key });
        } else {
            let (from, to) = (key, key::queue(Stamp::new(gone + 1)));
            batch.deleted_ranges.push(KeyRange { from, to });
        }
    }
    // Conversations take turns: one of them ends and begins anew with this message.
    if let Some(ends) = ended_by(number) {
        batch.deleted_ranges.push(key::entries(ends));
    }
    batch.writes = writes;
    batch
}

/// The conversation that ends with a commit.
fn ended_by(number: u64) -> Option<ConversationId> {
    number
        .is_multiple_of(ENDS_EVERY)
        .then(|| conversation(number))
}

fn conversation(number: u64) -> ConversationId {
    ConversationId::new(1 + number % 5)
}

/// The messages of the conversation that a commit has written to, as of that commit.
fn messages(number: u64) -> Vec<u64> {
    let back = (1..=number).rev().step_by(5);
    let mut kept = Vec::new();
    for pos in back {
        kept.push(pos);
        if ended_by(pos).is_some() {
            break;
        }
    }
    kept
}

fn entry(number: u64) -> Vec<u8> {
    key::entry(conversation(number), Seq::new(number), Pos::new(number))
}

fn mid(number: u64) -> Vec<u8> {
    let account = AccountId::new(number % 7);
    key::dedup(1, conversation(number), account, &number.to_string())
}

fn counter() -> Vec<u8> {
    key::retained("counter")
}

fn read_until(store: &EmbeddedStore, done: &AtomicBool) {
    let mut seen = 0;
    while !done.load(Ordering::Acquire) {
        seen = check(store, seen);
    }
}

/// What is there is as of one commit, and not before `seen`. Returns that commit.
fn check(store: &EmbeddedStore, seen: u64) -> u64 {
    // Queue and retained stand side by side and are of two families: one range is of one moment.
    let everything = Range::forward(
        key::KeyRange {
            from: vec![records::Table::Queue as u8],
            to: vec![records::Table::Claim as u8],
        },
        usize::MAX,
    );
    let mut rows = store.range(&everything).unwrap();
    let Some((key, value)) = rows.pop() else {
        return seen;
    };
    assert_eq!(key, counter());
    let now = number(&value);
    assert!(now >= seen, "{now} after {seen}");
    let stamps: Vec<u64> = rows
        .iter()
        .map(|(key, _)| key::parse_queue(key).unwrap().value())
        .collect();
    let first = (now + 1).saturating_sub(QUEUED).max(1);
    assert!(stamps.iter().copied().eq(first..=now), "{now}: {stamps:?}");
    // What was seen once stays.
    let range = Range::backward(key::entries(conversation(now)), usize::MAX);
    let found = store.range(&range).unwrap();
    let found: Vec<u64> = found.iter().map(|(_, value)| number(value)).collect();
    // As of a moment that may be later.
    let last = found.first().copied().unwrap_or_default();
    assert!(last >= now, "{last} after {now}");
    assert_eq!(found, messages(last));
    let found = store.get(&entry(last)).unwrap().map(|value| number(&value));
    assert!(found == Some(last) || found.is_none(), "{found:?}");
    assert!(store.get(&mid(now)).unwrap().is_some());
    now
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}
