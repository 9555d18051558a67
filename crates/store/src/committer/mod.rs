//! The one thread that writes: gathers what has been appended, commits it once, then tells every submitter.
//! Must not acknowledge what a commit has not returned for, nor write after one that failed.

mod counters;
mod queue;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use records::{KeyRange, Write};
use tracing::{debug, error, warn};

use crate::contract::{
    Batch, CommitError, Precondition, ReadError, Store, check_sizes, delete_slice,
};
use counters::Counters;
pub use counters::{COMMIT_TIME_BUCKETS, CommitCounters};
use queue::{Item, Queue, Work};
pub use queue::{QUEUE_APPENDS_MAX, QUEUE_BYTES_MAX, TRIMS_MAX};

/// One commit gathers at most so many appends; the rest waits for the next.
pub const BATCH_APPENDS_MAX: usize = 8_192;

/// An append of more bytes is refused.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One commit gathers appends up to so many bytes, at least and at most: as many as the disk takes in `COMMIT_TIME`. A single
/// larger append is a commit of its own.
const GATHERED_BYTES: std::ops::RangeInclusive<usize> = 128 * 1024..=4 * 1024 * 1024;

const GATHERED_BYTES_AT_FIRST: usize = 1024 * 1024;

/// A commit that takes longer makes the next ones smaller.
const COMMIT_TIME: Duration = Duration::from_millis(6);

/// The submitter's own number for an append; the committer only gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Writes that must be durable together, and under which number their submitter wants to hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Given back in `Sink::appended`.
    pub ticket: Ticket,
    /// All must hold, in view of everything submitted before, or none of the writes happens.
    pub preconditions: Vec<Precondition>,
    /// Carried out in order.
    pub writes: Vec<Write>,
}

impl Append {
    fn bytes(&self) -> usize {
        self.writes.iter().map(Write::bytes).sum()
    }
}

/// What became of appends.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// On disk. The only one that may be acknowledged.
    Committed,
    /// Left out of the commit; nothing of it was written, and others are not affected.
    Refused(Refusal),
    /// The store failed and is poisoned: nothing more will be committed, and whether this is on disk is unknown.
    Failed(CommitError),
}

/// Why an append was left out.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A precondition did not hold at this key.
    Precondition {
        /// The first such key.
        key: Vec<u8>,
    },
    /// It exceeds `BATCH_BYTES_MAX`, or a key or value exceeds what the store takes.
    Size,
    /// A precondition could not be looked up.
    Read(ReadError),
}

/// Where a submitter hears what became of its appends. Called on the committer's thread, so it must only pass on.
pub trait Sink: Send + Sync {
    /// These appends, in the order of their submission, came out like this. Every append is told of exactly once.
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome);

    /// The queue has room again after `try_submit` was refused.
    fn room(&self) {}
}

/// An append that was not taken, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full; `Sink::room` will say when it no longer is.
    Full(Append),
    /// The committer has stopped.
    Closed(Append),
}

/// Starts and stops the thread.
#[derive(Debug)]
pub struct Committer {
    handle: CommitterHandle,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread that writes to the store. Nobody else may write to it from here on, or preconditions lie.
    pub fn start(store: Arc<dyn Store>) -> io::Result<Self> {
        let handle = CommitterHandle {
            queue: Arc::new(Queue::new()),
            counters: Arc::new(Counters::new()),
            sinks: Arc::new(AtomicU64::new(0)),
        };
        let worker = Worker {
            store,
            queue: handle.queue.clone(),
            counters: handle.counters.clone(),
            failure: None,
            tickets: Vec::new(),
            gathered_bytes: GATHERED_BYTES_AT_FIRST,
        };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// A handle to give away.
    pub fn handle(&self) -> CommitterHandle {
        self.handle.clone()
    }

    /// Takes no more appends, commits those in the queue, and returns when the thread has ended.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.handle.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("committer panicked");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.join();
    }
}

/// How everybody reaches the committer.
#[derive(Clone, Debug)]
pub struct CommitterHandle {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    sinks: Arc<AtomicU64>,
}

impl CommitterHandle {
    /// A submitter whose appends are told of at `sink`.
    pub fn submitter(&self, sink: Arc<dyn Sink>) -> Submitter {
        let id = self.sinks.fetch_add(1, Ordering::Relaxed);
        Submitter {
            queue: self.queue.clone(),
            sink: queue::SinkRef { id, sink },
        }
    }

    /// Deletes what stands in the range: with the next commit, or with several if the store takes no ranges at the moment.
    /// `false` if `TRIMS_MAX` trims are under way or the committer has stopped: ask again later.
    pub fn trim(&self, range: KeyRange) -> bool {
        self.queue.push_trim(range)
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> CommitCounters {
        let (queued_appends, queued_bytes) = self.queue.load();
        self.counters.snapshot(queued_appends, queued_bytes)
    }
}

/// Appends for one sink. Its appends are committed in the order in which it submits them.
#[derive(Clone, Debug)]
pub struct Submitter {
    queue: Arc<Queue>,
    sink: queue::SinkRef,
}

impl Submitter {
    /// Hands over an append, or gives it back at once if the queue is full. For threads that must not wait.
    pub fn try_submit(&self, append: Append) -> Result<(), SubmitError> {
        self.queue.try_push(append, &self.sink)
    }

    /// Hands over an append, waiting for room. Gives it back if the committer has stopped.
    pub fn submit(&self, append: Append) -> Result<(), Append> {
        self.queue.push(append, &self.sink)
    }
}

/// What the thread holds.
struct Worker {
    store: Arc<dyn Store>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    /// Set by the first failed commit, for good.
    failure: Option<CommitError>,
    tickets: Vec<Ticket>,
    /// How many bytes a commit gathers at the moment.
    gathered_bytes: usize,
}

impl Worker {
    fn run(mut self) {
        // Should a sink panic, nobody may wait for this thread any longer.
        let _closed = CloseOnDrop(self.queue.clone());
        while let Some(work) = self.queue.take(BATCH_APPENDS_MAX, self.gathered_bytes) {
            self.counters.begun();
            self.turn(work);
            self.counters.ended();
        }
        debug!("committer stopped");
    }

    fn turn(&mut self, work: Work) {
        for sink in work.refused {
            sink.sink.room();
        }
        let mut items = work.items;
        let mut batch = Batch::default();
        if self.failure.is_none() {
            self.admit(&mut items, &mut batch.writes);
            self.trim(work.trims, &mut batch);
        }
        let outcome = self.commit(batch, items.len());
        self.tell(&mut items, &outcome);
    }

    /// Moves the writes of the appends that may happen to `writes`; tells of the others and takes them out.
    fn admit(&self, items: &mut Vec<Item>, writes: &mut Vec<Write>) {
        // Only worth its hashing when somebody asks about the writes in front of it.
        let asked = items
            .iter()
            .any(|item| !item.append.preconditions.is_empty());
        let mut ahead = asked.then(HashMap::new);
        items.retain_mut(|item| {
            if let Some(refusal) = self.refusal(&item.append, ahead.as_ref()) {
                self.counters.refused();
                item.sink
                    .sink
                    .appended(&[item.append.ticket], &Outcome::Refused(refusal));
                return false;
            }
            if let Some(ahead) = &mut ahead {
                for write in &item.append.writes {
                    let value = match write {
                        Write::Put { value, .. } => Some(value.clone()),
                        Write::Delete { .. } => None,
                    };
                    ahead.insert(write.key().to_vec(), value);
                }
            }
            writes.append(&mut item.append.writes);
            true
        });
    }

    fn refusal(
        &self,
        append: &Append,
        ahead: Option<&HashMap<Vec<u8>, Option<Vec<u8>>>>,
    ) -> Option<Refusal> {
        if append.bytes() > BATCH_BYTES_MAX || check_sizes(&append.writes).is_err() {
            return Some(Refusal::Size);
        }
        for precondition in &append.preconditions {
            let holds = match ahead.and_then(|ahead| ahead.get(&precondition.key)) {
                Some(value) => precondition.expected.holds(value.as_deref()),
                None => match self.store.get(&precondition.key) {
                    Ok(value) => precondition.expected.holds(value.as_deref()),
                    Err(error) => return Some(Refusal::Read(error)),
                },
            };
            if !holds {
                return Some(Refusal::Precondition {
                    key: precondition.key.clone(),
                });
            }
        }
        None
    }

    /// Adds the ranges, or where the store takes none a slice of the first one's keys. What is left is queued again.
    fn trim(&self, trims: Vec<KeyRange>, batch: &mut Batch) {
        let mut keys_are_read = false;
        for range in trims {
            if keys_are_read {
                self.queue.continue_trim(range);
                continue;
            }
            match delete_slice(&*self.store, range) {
                Ok(slice) => {
                    keys_are_read = slice.batch.deleted_ranges.is_empty();
                    batch.deleted_ranges.extend(slice.batch.deleted_ranges);
                    // Like a range, before what the appends write.
                    batch.writes.splice(0..0, slice.batch.writes);
                    if let Some(rest) = slice.rest {
                        self.queue.continue_trim(rest);
                    }
                }
                // What is not deleted takes space; everything else goes on.
                Err(error) => warn!(%error, "trim given up"),
            }
        }
    }

    /// Makes commits as large as the disk takes them in time: at its limit many small ones are waited for for less long.
    fn adapt(&mut self, bytes: usize, took: Duration) {
        let gathered = self.gathered_bytes;
        if took > COMMIT_TIME && bytes > gathered / 2 {
            self.gathered_bytes = gathered / 2;
        } else if took < COMMIT_TIME / 2 && bytes > gathered / 2 {
            self.gathered_bytes = gathered + gathered / 8;
        }
        let (least, most) = (*GATHERED_BYTES.start(), *GATHERED_BYTES.end());
        self.gathered_bytes = self.gathered_bytes.clamp(least, most);
    }

    fn commit(&mut self, batch: Batch, appends: usize) -> Outcome {
        if let Some(failure) = &self.failure {
            return Outcome::Failed(failure.clone());
        }
        if batch.is_empty() {
            return Outcome::Committed;
        }
        let (count, bytes) = (
            batch.writes.len(),
            batch.writes.iter().map(Write::bytes).sum(),
        );
        let begin = Instant::now();
        match self.store.commit(batch) {
            Ok(()) => {
                let took = begin.elapsed();
                self.counters.committed(appends, count, bytes, took);
                self.adapt(bytes, took);
                Outcome::Committed
            }
            // Sizes and preconditions were checked above, so whatever this is, it must not happen: stop as well.
            Err(failure) => {
                error!(error = %failure, "commit failed, nothing is written any more");
                self.counters.failed();
                self.failure = Some(failure.clone());
                Outcome::Failed(failure)
            }
        }
    }

    /// One call per sink, its tickets in their order.
    fn tell(&mut self, items: &mut [Item], outcome: &Outcome) {
        items.sort_by_key(|item| item.sink.id);
        for same in items.chunk_by(|a, b| a.sink.id == b.sink.id) {
            self.tickets.clear();
            self.tickets
                .extend(same.iter().map(|item| item.append.ticket));
            same[0].sink.sink.appended(&self.tickets, outcome);
        }
    }
}

struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
