//! The committer through its public functions: what is submitted, what the store then has, and what each sink is told.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use records::key::{self, KeyRange};
use records::{Millis, Stamp, Table, Write};
use store::{
    Append, BATCH_BYTES_MAX, Batch, CommitError, Committer, DELETE_SLICE_KEYS, DataDir,
    EmbeddedStore, Expected, Holder, MemoryStore, OpenOptions, Outcome, Precondition,
    QUEUE_APPENDS_MAX, Range, ReadError, Refusal, Sink, Store, SubmitError, Submitter, Ticket,
};

/// A store whose commits can be held up, counted and made to fail.
struct Tampered {
    inner: Arc<dyn Store>,
    /// Commits wait while this is set.
    held: Mutex<bool>,
    released: Condvar,
    waiting: AtomicUsize,
    fails: AtomicBool,
    batches: Mutex<Vec<Vec<Write>>>,
    takes_no_ranges: AtomicBool,
}

impl Tampered {
    fn new(inner: impl Store + 'static) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(inner),
            held: Mutex::new(false),
            released: Condvar::new(),
            waiting: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            batches: Mutex::default(),
            takes_no_ranges: AtomicBool::new(false),
        })
    }

    fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }

    fn wait_until_a_commit_is_held(&self) {
        while self.waiting.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
    }
}

impl Store for Tampered {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.inner.get(key)
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.inner.range(range)
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        self.inner.keys(range)
    }

    fn takes_range(&self, _: &KeyRange) -> bool {
        !self.takes_no_ranges.load(Ordering::Relaxed)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let mut held = self.held.lock().unwrap();
        self.waiting.fetch_add(1, Ordering::Release);
        while *held {
            held = self.released.wait(held).unwrap();
        }
        self.waiting.fetch_sub(1, Ordering::Release);
        if self.fails.load(Ordering::Acquire) {
            return Err(CommitError::Write(Arc::new(std::io::Error::other(
                "disk on fire",
            ))));
        }
        self.batches.lock().unwrap().push(batch.writes.clone());
        self.inner.commit(batch)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Committed(u64),
    Refused(u64, String),
    Failed(u64),
    Room,
}

struct Ears(Mutex<Sender<Told>>);

impl Ears {
    fn new() -> (Arc<Self>, Receiver<Told>) {
        let (sender, receiver) = channel();
        (Arc::new(Self(Mutex::new(sender))), receiver)
    }

    fn tell(&self, told: Told) {
        self.0.lock().unwrap().send(told).unwrap();
    }
}

impl Sink for Ears {
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome) {
        for Ticket(ticket) in tickets.iter().copied() {
            self.tell(match outcome {
                Outcome::Committed => Told::Committed(ticket),
                Outcome::Refused(Refusal::Precondition { key }) => {
                    Told::Refused(ticket, String::from_utf8_lossy(&key[1..]).into_owned())
                }
                Outcome::Refused(Refusal::Size) => Told::Refused(ticket, "size".to_owned()),
                Outcome::Refused(Refusal::Read(error)) => Told::Refused(ticket, error.to_string()),
                Outcome::Failed(_) => Told::Failed(ticket),
            });
        }
    }

    fn room(&self) {
        self.tell(Told::Room);
    }
}

fn append(ticket: u64, writes: Vec<Write>) -> Append {
    Append {
        ticket: Ticket(ticket),
        preconditions: Vec::new(),
        writes,
    }
}

fn put(name: &str, value: &str) -> Write {
    Write::Put {
        key: key::meta(name),
        value: value.as_bytes().to_vec(),
    }
}

fn delete(name: &str) -> Write {
    Write::Delete {
        key: key::meta(name),
    }
}

fn start(store: &Arc<Tampered>) -> (Committer, Submitter, Receiver<Told>) {
    let committer = Committer::start(store.clone()).unwrap();
    let (ears, told) = Ears::new();
    let submitter = committer.handle().submitter(ears);
    (committer, submitter, told)
}

/// Submits while a commit is held, so that all of it is gathered into the next one.
fn submit_together(
    store: &Tampered,
    submitter: &Submitter,
    told: &Receiver<Told>,
    appends: Vec<Append>,
) {
    store.hold();
    submitter
        .submit(append(0, vec![put("first", "x")]))
        .unwrap();
    store.wait_until_a_commit_is_held();
    for append in appends {
        submitter.submit(append).unwrap();
    }
    store.release();
    assert_eq!(told.recv().unwrap(), Told::Committed(0));
}

#[test]
fn what_has_arrived_is_committed_at_once_and_in_order() {
    let store = Tampered::new(MemoryStore::new());
    let (committer, submitter, told) = start(&store);
    let appends = vec![
        append(1, vec![put("a", "1"), put("b", "1")]),
        append(2, vec![delete("a")]),
        append(3, vec![put("b", "2")]),
    ];
    submit_together(&store, &submitter, &told, appends);
    for ticket in 1..=3 {
        assert_eq!(told.recv().unwrap(), Told::Committed(ticket));
    }
    let expected = vec![put("a", "1"), put("b", "1"), delete("a"), put("b", "2")];
    assert_eq!(store.batches.lock().unwrap()[1..], [expected]);
    let counters = committer.handle().counters();
    assert_eq!(
        (counters.commits, counters.appends, counters.writes),
        (2, 4, 5)
    );
    assert_eq!(counters.bytes, (6 + 1) + 3 * (2 + 1) + 2);
    assert_eq!(counters.commit_time_counts.iter().sum::<u64>(), 2);
    assert_eq!((counters.queued_appends, counters.queued_bytes), (0, 0));
}

#[test]
fn a_precondition_sees_what_was_submitted_before_it() {
    let store = Tampered::new(MemoryStore::new());
    let (_committer, submitter, told) = start(&store);
    let when = |ticket, name: &str, expected, writes| Append {
        preconditions: vec![Precondition {
            key: key::meta(name),
            expected,
        }],
        ..append(ticket, writes)
    };
    let equals = |value: &str| Expected::Equals(value.as_bytes().to_vec());
    let appends = vec![
        when(1, "a", Expected::Absent, vec![put("a", "1")]),
        when(2, "a", Expected::Absent, vec![put("a", "2"), put("b", "2")]),
        // What a refused append would have written is not there.
        when(3, "b", Expected::Present, vec![put("a", "3")]),
        when(4, "a", equals("1"), vec![delete("a")]),
        when(5, "a", Expected::Absent, vec![put("a", "5")]),
        when(6, "first", equals("x"), vec![put("c", "6")]),
    ];
    submit_together(&store, &submitter, &told, appends);
    let mut heard: Vec<Told> = (0..6).map(|_| told.recv().unwrap()).collect();
    heard.sort_by_key(|told| match told {
        Told::Committed(ticket) | Told::Refused(ticket, _) | Told::Failed(ticket) => *ticket,
        Told::Room => u64::MAX,
    });
    let expected = [
        Told::Committed(1),
        Told::Refused(2, "a".to_owned()),
        Told::Refused(3, "b".to_owned()),
        Told::Committed(4),
        Told::Committed(5),
        Told::Committed(6),
    ];
    assert_eq!(heard, expected);
    assert_eq!(store.batches.lock().unwrap().len(), 2);
    assert_eq!(
        store.get(&key::meta("a")).unwrap().as_deref(),
        Some(&b"5"[..])
    );
    assert_eq!(store.get(&key::meta("b")).unwrap(), None);
}

#[test]
fn after_a_failure_everybody_is_told_and_nothing_is_acknowledged() {
    let store = Tampered::new(MemoryStore::new());
    let (committer, submitter, told) = start(&store);
    submitter.submit(append(1, vec![put("a", "1")])).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Committed(1));
    store.fails.store(true, Ordering::Release);
    submitter.submit(append(2, vec![put("a", "2")])).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Failed(2));
    // Even if the disk recovers: what was in doubt stays in doubt.
    store.fails.store(false, Ordering::Release);
    let (ears, others_told) = Ears::new();
    let other = committer.handle().submitter(ears);
    submitter.submit(append(3, vec![put("a", "3")])).unwrap();
    other.submit(append(4, Vec::new())).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Failed(3));
    assert_eq!(others_told.recv().unwrap(), Told::Failed(4));
    assert_eq!(
        store.get(&key::meta("a")).unwrap().as_deref(),
        Some(&b"1"[..])
    );
    assert_eq!(committer.handle().counters().failed, 1);
    assert_eq!(committer.handle().counters().commits, 1);
}

#[test]
fn sizes_out_of_bounds_are_refused_alone() {
    let store = Tampered::new(MemoryStore::new());
    let (_committer, submitter, told) = start(&store);
    let huge = Write::Put {
        key: key::meta("huge"),
        value: vec![0; BATCH_BYTES_MAX],
    };
    submitter.submit(append(1, vec![huge])).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Refused(1, "size".to_owned()));
    submitter
        .submit(append(2, vec![Write::Delete { key: Vec::new() }]))
        .unwrap();
    assert_eq!(told.recv().unwrap(), Told::Refused(2, "size".to_owned()));
    let large = Write::Put {
        key: key::meta("large"),
        value: vec![0; BATCH_BYTES_MAX - 6],
    };
    submitter.submit(append(3, vec![large])).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Committed(3));
}

#[test]
fn a_full_queue_pushes_back_and_says_when_there_is_room() {
    let store = Tampered::new(MemoryStore::new());
    let (committer, submitter, told) = start(&store);
    store.hold();
    submitter
        .submit(append(0, vec![put("first", "x")]))
        .unwrap();
    store.wait_until_a_commit_is_held();
    for ticket in 1..=QUEUE_APPENDS_MAX as u64 {
        submitter.try_submit(append(ticket, Vec::new())).unwrap();
    }
    let refused = append(99_999, vec![put("late", "x")]);
    assert_eq!(
        submitter.try_submit(refused.clone()),
        Err(SubmitError::Full(refused.clone()))
    );
    assert_eq!(
        submitter.try_submit(refused.clone()),
        Err(SubmitError::Full(refused.clone()))
    );
    assert_eq!(
        committer.handle().counters().queued_appends,
        QUEUE_APPENDS_MAX as u64
    );
    // One that waits instead is let in as soon as the rest is taken.
    let waiting = submitter.clone();
    let patient =
        std::thread::spawn(move || waiting.submit(append(100_000, vec![put("patient", "x")])));
    store.release();
    patient.join().unwrap().unwrap();
    let mut heard = Vec::new();
    while heard.last() != Some(&Told::Committed(100_000)) {
        heard.push(told.recv().unwrap());
    }
    assert_eq!(heard.iter().filter(|told| **told == Told::Room).count(), 1);
    assert_eq!(heard.len(), QUEUE_APPENDS_MAX + 3);
    submitter.try_submit(refused).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Committed(99_999));
}

#[test]
fn a_full_queue_of_bytes_pushes_back_too() {
    let store = Tampered::new(MemoryStore::new());
    let (_committer, submitter, _told) = start(&store);
    store.hold();
    submitter
        .submit(append(0, vec![put("first", "x")]))
        .unwrap();
    store.wait_until_a_commit_is_held();
    let megabyte = || {
        append(
            1,
            vec![Write::Put {
                key: key::meta("m"),
                value: vec![0; 1024 * 1024],
            }],
        )
    };
    let taken = (0..100)
        .take_while(|_| submitter.try_submit(megabyte()).is_ok())
        .count();
    store.release();
    assert_eq!(taken, 32);
}

#[test]
fn stopping_commits_what_was_taken_and_takes_no_more() {
    let store = Tampered::new(MemoryStore::new());
    let (committer, submitter, told) = start(&store);
    store.hold();
    for ticket in 0..100 {
        submitter
            .submit(append(ticket, vec![put(&ticket.to_string(), "x")]))
            .unwrap();
    }
    store.release();
    committer.stop();
    assert_eq!(
        told.try_iter().collect::<Vec<_>>(),
        (0..100).map(Told::Committed).collect::<Vec<_>>()
    );
    let late = append(100, Vec::new());
    assert_eq!(submitter.submit(late.clone()), Err(late.clone()));
    assert_eq!(
        submitter.try_submit(late.clone()),
        Err(SubmitError::Closed(late))
    );
}

#[test]
fn trims_are_ranges_of_the_next_commit_and_keep_what_it_writes() {
    let store = Tampered::new(MemoryStore::new());
    let (committer, submitter, told) = start(&store);
    let old = [put("a", "1"), put("b", "1"), put("c", "1")];
    submitter.submit(append(1, old.to_vec())).unwrap();
    assert_eq!(told.recv().unwrap(), Told::Committed(1));
    store.hold();
    submitter.submit(append(2, vec![put("d", "1")])).unwrap();
    store.wait_until_a_commit_is_held();
    // These come together.
    let range = |from: &str, to: &str| KeyRange {
        from: key::meta(from),
        to: key::meta(to),
    };
    assert!(committer.handle().trim(range("a", "b")));
    assert!(committer.handle().trim(range("c", "e")));
    submitter.submit(append(3, vec![put("c", "2")])).unwrap();
    store.release();
    assert_eq!(told.recv().unwrap(), Told::Committed(2));
    assert_eq!(told.recv().unwrap(), Told::Committed(3));
    committer.stop();
    let found = store.range(&Range::forward(range("a", "z"), 10)).unwrap();
    let kept = [("b", "1"), ("c", "2")].map(|(name, value)| (key::meta(name).into(), value.into()));
    assert_eq!(found, kept);
    assert_eq!(store.batches.lock().unwrap().len(), 3);
}

#[test]
fn a_trim_goes_slice_by_slice_where_ranges_are_not_taken() {
    let store = Tampered::new(MemoryStore::new());
    store.takes_no_ranges.store(true, Ordering::Relaxed);
    let count = 2 * DELETE_SLICE_KEYS as u64 + 500;
    let queued = |stamp| key::queue(Stamp::new(stamp));
    let writes = (0..count + 3)
        .map(|stamp| Write::Put {
            key: queued(stamp),
            value: Vec::new(),
        })
        .collect();
    store
        .inner
        .commit(Batch {
            writes,
            ..Batch::default()
        })
        .unwrap();
    let (committer, submitter, told) = start(&store);
    store.hold();
    assert!(committer.handle().trim(KeyRange {
        from: queued(0),
        to: queued(count)
    }));
    store.wait_until_a_commit_is_held();
    submitter.submit(append(1, vec![put("a", "1")])).unwrap();
    store.release();
    assert_eq!(told.recv().unwrap(), Told::Committed(1));
    let left = || {
        store
            .keys(&Range::forward(Table::Queue.range(), 10_000))
            .unwrap()
    };
    while left().len() > 3 {
        std::thread::yield_now();
    }
    assert_eq!(left(), (count..count + 3).map(queued).collect::<Vec<_>>());
    committer.stop();
    let sizes: Vec<usize> = store.batches.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [DELETE_SLICE_KEYS, DELETE_SLICE_KEYS + 1, 500]);
}

#[test]
fn many_submitters_keep_their_own_order_and_hear_of_each_append_once() {
    const SUBMITTERS: u64 = 8;
    const APPENDS: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path(), Holder::this_process(Millis::ZERO)).unwrap();
    let store = Tampered::new(EmbeddedStore::open(&dir, OpenOptions::default()).unwrap());
    let committer = Committer::start(store.clone()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..SUBMITTERS {
            let (ears, told) = Ears::new();
            let submitter = committer.handle().submitter(ears);
            scope.spawn(move || {
                for ticket in 0..APPENDS {
                    let stamp = Stamp::new(ticket * SUBMITTERS + number);
                    let write = Write::Put {
                        key: key::queue(stamp),
                        value: vec![number as u8],
                    };
                    submitter.submit(append(ticket, vec![write])).unwrap();
                }
                for ticket in 0..APPENDS {
                    assert_eq!(told.recv().unwrap(), Told::Committed(ticket));
                }
            });
        }
    });
    let counters = committer.handle().counters();
    assert_eq!(counters.appends, SUBMITTERS * APPENDS);
    assert!(counters.commits <= counters.appends);
    committer.stop();
    // In the order of submission, for each submitter.
    let mut next: HashMap<u64, u64> = HashMap::new();
    for write in store.batches.lock().unwrap().iter().flatten() {
        let stamp = key::parse_queue(write.key()).unwrap().value();
        let expected = next.entry(stamp % SUBMITTERS).or_default();
        assert_eq!(stamp / SUBMITTERS, *expected);
        *expected += 1;
    }
    drop(store);
    let store = EmbeddedStore::open(&dir, OpenOptions::default()).unwrap();
    let found = store
        .range(&Range::forward(Table::Queue.range(), usize::MAX))
        .unwrap();
    assert_eq!(found.len() as u64, SUBMITTERS * APPENDS);
}
