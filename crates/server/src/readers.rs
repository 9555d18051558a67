//! Threads that read the store for those who must not wait for a disk: stored messages for sessions, pages of history for
//! the messenger.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use broker::{Input, Message};
use bytes::Bytes;
use chat::{Answer, Damaged, End, Query, Read, Source, Unreadable};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use records::{KeyRange, Millis, QueuedMessage, SessionRef, Stamp, key};
use store::{Range, ReadError, Store};

use crate::clock::Clock;
use crate::post::{Post, ServiceEvent, ShardEvent};
use crate::repeats::Repeats;
use crate::translate;

/// Threads that read.
const THREADS: usize = 2;
/// Threads that read for one long answer. More than two, because a new one may have to share a core at first.
const PARTS_AT_ONCE: usize = 4;
/// Readings that may wait. A shard that asks for one more waits (readers wait for nobody); the messenger's is refused.
const WAITING_MAX: usize = 4096;

const DAMAGED: &str = "magpie_messenger_rows_damaged_total";
/// Bytes of messages read for a session at once; it goes on when it has sent them.
const FETCH_BYTES_MAX: usize = 1024 * 1024;

enum Job {
    Fetch {
        session: SessionRef,
        stamps: Vec<Stamp>,
    },
    Query(Box<Query>),
}

/// The way to the threads. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub(crate) struct Readers {
    jobs: Sender<Job>,
}

impl Readers {
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        post: &Post,
    ) -> io::Result<(Self, Vec<thread::JoinHandle<()>>)> {
        let (jobs, queue) = bounded(WAITING_MAX);
        let mut threads = Vec::new();
        for number in 0..THREADS {
            let reader = Reader {
                source: StoreSource(store.clone()),
                post: post.clone(),
                queue: queue.clone(),
            };
            let builder = thread::Builder::new().name(format!("reader-{number}"));
            threads.push(builder.spawn(move || reader.run())?);
        }
        Ok((Self { jobs }, threads))
    }

    /// Reads stored messages for a session.
    pub(crate) fn fetch(&self, session: SessionRef, stamps: Vec<Stamp>) {
        // Readers never wait for a shard, so waiting for them ends; without them the server ends.
        drop(self.jobs.send(Job::Fetch { session, stamps }));
    }

    /// Reads a page for the messenger, or says that there is no room for it now: everybody's messages go through the
    /// thread that asks, so it must not wait.
    pub(crate) fn query(&self, query: Query, post: &Post) {
        match self.jobs.try_send(Job::Query(Box::new(query))) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => match job {
                Job::Query(query) => finish(query.refuse(), post),
                Job::Fetch { .. } => {}
            },
        }
    }
}

struct Reader {
    source: StoreSource,
    post: Post,
    queue: Receiver<Job>,
}

impl Reader {
    fn run(self) {
        for job in &self.queue {
            match job {
                Job::Fetch { session, stamps } => self.fetch(session, stamps),
                Job::Query(query) => finish(query.run(&self.source), &self.post),
            }
        }
    }

    fn fetch(&self, session: SessionRef, stamps: Vec<Stamp>) {
        let mut messages = Vec::with_capacity(stamps.len());
        let mut bytes = 0;
        for stamp in stamps {
            // What is not answered is asked for again when there is room for it.
            if bytes >= FETCH_BYTES_MAX {
                break;
            }
            match self.source.queued(stamp) {
                Ok(message) => {
                    bytes += message
                        .as_ref()
                        .map_or(0, |message| message.payload.len() + message.topic.len());
                    messages.push((stamp, message));
                }
                // To go on would be to lose an acknowledged message.
                Err(Unreadable) => {
                    let reason = format!("the stored message {stamp} cannot be read");
                    return self.post.service.send(ServiceEvent::Failed(reason));
                }
            }
        }
        let input = Input::Fetched { session, messages };
        self.post
            .shard(session.shard)
            .send(ShardEvent::Input(input));
    }
}

/// Sends the answer of a query, then tells the messenger what it has found: what it says next is newer.
fn finish(read: Read, post: &Post) {
    if let Some(answer) = read.answer {
        send(answer, post);
    }
    let found = chat::Input::Found(read.found);
    post.service.send(ServiceEvent::Chat(found));
}

fn send(answer: Answer, post: &Post) {
    match answer {
        Answer::Deliver(deliveries) => {
            for delivery in deliveries {
                translate::deliver(delivery, post);
            }
        }
        Answer::CaughtUp {
            session,
            entries,
            upto,
            more,
        } => {
            let entries = entries
                .into_iter()
                .map(|entry| Arc::new(translate::delivery(entry)))
                .collect();
            let input = Input::CaughtUp {
                session,
                entries,
                upto,
                more,
            };
            post.shard(session.shard).send(ShardEvent::Input(input));
        }
    }
}

/// What cannot be read, which is met again with each reading.
static UNREADABLE: Repeats = Repeats::new();

/// The store as the messenger and the shards read it.
#[derive(Clone)]
pub(crate) struct StoreSource(pub(crate) Arc<dyn Store>);

impl StoreSource {
    /// A stored message; `None` if it is gone because it expired or was trimmed.
    fn queued(&self, stamp: Stamp) -> Result<Option<Arc<Message>>, Unreadable> {
        let Some(value) = self.value(&key::queue(stamp))? else {
            return Ok(None);
        };
        let record = QueuedMessage::decode(&value).map_err(|error| {
            if let Some(left_out) = UNREADABLE.meet(&error.to_string(), Instant::now()) {
                tracing::error!(%error, %stamp, left_out, "a stored message cannot be read");
            }
            Unreadable
        })?;
        Ok(Some(Arc::new(Message::from_record(record))))
    }
}

impl Source for StoreSource {
    fn rows(
        &self,
        range: &KeyRange,
        end: End,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
        let range = match end {
            End::First => Range::forward(range.clone(), limit),
            End::Last => Range::backward(range.clone(), limit),
        };
        self.0
            .range(&range.up_to_bytes(bytes_max))
            .map_err(|error| unreadable(&error))
    }

    fn keys(&self, range: &KeyRange, end: End, limit: usize) -> Result<Vec<Bytes>, Unreadable> {
        let range = match end {
            End::First => Range::forward(range.clone(), limit),
            End::Last => Range::backward(range.clone(), limit),
        };
        self.0.keys(&range).map_err(|error| unreadable(&error))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Unreadable> {
        self.0.get(key).map_err(|error| unreadable(&error))
    }

    fn now(&self) -> Millis {
        Clock::new().now()
    }

    fn damaged(&self, row: &Damaged) {
        metrics::counter!(DAMAGED).increment(1);
        let row = row.to_string();
        if let Some(left_out) = UNREADABLE.meet(&row, Instant::now()) {
            tracing::error!(row, left_out, "a damaged row of the messenger is left out");
        }
    }

    fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let run = || {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                work(self, part);
            }
        };
        thread::scope(|scope| {
            for _ in 1..PARTS_AT_ONCE.min(parts) {
                let builder = thread::Builder::new().name("reader-part".to_owned());
                // Where there is no thread to be had, this one does it all.
                drop(builder.spawn_scoped(scope, run));
            }
            run();
        });
    }
}

/// Says what counts damaged rows.
pub(crate) fn describe() {
    metrics::describe_counter!(
        DAMAGED,
        "Damaged rows of the messenger that were left out, each time it was read."
    );
}

fn unreadable(error: &ReadError) -> Unreadable {
    if let Some(left_out) = UNREADABLE.meet(&error.to_string(), Instant::now()) {
        tracing::error!(%error, left_out, "the store cannot be read");
    }
    Unreadable
}
