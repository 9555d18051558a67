//! Measures how the core scales without sockets: the same rooms on one shard and on two, a thread each, which exchange what
//! crosses as the server's threads do. Prints one JSON object; give it as many free cores as shards.
//!
//!     cargo run --release -p broker --example shards [seconds [1,2,...]]

#![allow(
    clippy::disallowed_methods,
    reason = "it measures time; the core it measures reads none"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker::{ConnectionId, Input, Output, PendingConnect, Place, Settings, Shard};
use mqtt_codec::publish::PublishHead;
use mqtt_codec::{Connect, QoS, Subscribe, SubscriptionOptions, Version, publish};
use records::{Millis, Moment};

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const NOW: Millis = Millis::new(1_766_000_000_000);
const VERSION: Version = Version::V311;
/// The rooms of the generator's scenario `rooms`.
const USERS: usize = 2_000;
const ROOMS: usize = 200;
const MEMBERS: usize = 50;
const PAYLOAD: [u8; 128] = [b'm'; 128];
/// Messages published in a turn, as many as the generator keeps under way.
const PUBLISHES_PER_TURN: usize = 64;
/// Letters that may wait for a shard before the others publish no more.
const INBOX_MAX: usize = PUBLISHES_PER_TURN;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "shards");
    let secs: f64 = words
        .next()
        .map_or(3.0, |word| word.parse().expect("a number of seconds"));
    let counts: Vec<u16> = words.next().map_or_else(
        || vec![1, 2],
        |list| {
            let numbers = list.split(',');
            numbers.map(|word| word.parse().expect("numbers")).collect()
        },
    );
    let results: Vec<Work> = counts
        .iter()
        .map(|&shards| measure(shards, Duration::from_secs_f64(secs)))
        .collect();
    let by_count = |value: &dyn Fn(&Work) -> f64| {
        let pairs = counts
            .iter()
            .zip(&results)
            .map(|(count, result)| format!("\"{count}\":{:.0}", value(result)));
        pairs.collect::<Vec<_>>().join(",")
    };
    let (first, last) = (&results[0], &results[results.len() - 1]);
    println!(
        "{{\"delivered_per_s\":{{{}}},\"delivered_per_cpu_s\":{{{}}},\"throughput_growth\":{:.3},\"cpu_growth\":{:.3}}}",
        by_count(&|result| result.delivered / result.took),
        by_count(&|result| result.delivered / result.cpu),
        (last.delivered / last.took) / (first.delivered / first.took),
        (last.delivered / last.cpu) / (first.delivered / first.cpu),
    );
}

struct Work {
    delivered: f64,
    /// Seconds on the clock.
    took: f64,
    /// Seconds of all threads on their cores.
    cpu: f64,
}

/// What the threads share.
struct Shared {
    inboxes: Vec<Inbox>,
    start: Barrier,
}

#[derive(Default)]
struct Inbox {
    letters: Mutex<VecDeque<Input>>,
    len: AtomicUsize,
}

impl Inbox {
    fn put(&self, letters: &mut Vec<Input>) {
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(letters.drain(..));
        self.len.store(queue.len(), Ordering::Release);
    }

    fn take(&self, into: &mut VecDeque<Input>) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut queue = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, into);
        self.len.store(0, Ordering::Release);
    }
}

fn measure(shards: u16, time: Duration) -> Work {
    let shared = Arc::new(Shared {
        inboxes: (0..shards).map(|_| Inbox::default()).collect(),
        start: Barrier::new(usize::from(shards)),
    });
    let mut threads: Vec<Thread> = (0..shards)
        .map(|number| Thread::new(number, shards, shared.clone()))
        .collect();
    for user in 0..USERS {
        add_user(&mut threads, user);
    }
    // Everybody hears of everybody's interest before anything is published.
    for thread in &mut threads {
        thread.turn(0);
        thread.delivered = 0;
    }
    let running: Vec<_> = threads
        .into_iter()
        .map(|thread| std::thread::spawn(move || thread.run(time)))
        .collect();
    let mut sum = Work {
        delivered: 0.0,
        took: 0.0,
        cpu: 0.0,
    };
    for thread in running {
        let result = thread.join().expect("the thread ends");
        sum.delivered += result.delivered;
        sum.took = sum.took.max(result.took);
        sum.cpu += result.cpu;
    }
    sum
}

/// Connects a member of some rooms, on the shard where the core wants it.
fn add_user(threads: &mut [Thread], user: usize) {
    let mut bytes = Vec::new();
    Connect {
        keep_alive: 300,
        ..Connect::new(VERSION, &format!("user-{user}"))
    }
    .encode(&mut bytes);
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let mut packets = Vec::new();
    for step in 0..ROOMS * MEMBERS / USERS {
        let topic = topic((user * 7 + step * 41) % ROOMS);
        Subscribe::encode(VERSION, 1, None, &[(&topic, options)], &mut bytes);
        let mut packet = Vec::new();
        publish::encode(VERSION, PublishHead::new(&topic), &PAYLOAD, &mut packet);
        packets.push(packet);
    }
    let first = &mut threads[0];
    let mut id = first.shard.accept(NOW);
    first.shard.begin_turn(Moment::UNKNOWN);
    first.shard.receive(id, &bytes, NOW);
    first.carry_out();
    let mut home = 0;
    if let Some((shard, pending)) = first.leaves.take() {
        home = usize::from(shard);
        id = threads[home].shard.adopt(pending, NOW);
    }
    let thread = &mut threads[home];
    thread.carry_out();
    thread
        .publishers
        .extend(packets.into_iter().map(|packet| (id, packet)));
}

struct Thread {
    number: u16,
    shard: Shard,
    shared: Arc<Shared>,
    letters: VecDeque<Input>,
    outgoing: Vec<Vec<Input>>,
    /// Who belongs on another shard.
    leaves: Option<(u16, Box<PendingConnect>)>,
    /// The members, with a packet for each room they are in.
    publishers: Vec<(ConnectionId, Vec<u8>)>,
    at: usize,
    /// Bytes.
    delivered: usize,
}

impl Thread {
    fn new(number: u16, shards: u16, shared: Arc<Shared>) -> Self {
        let place = Place {
            shard: number,
            shards,
            seeds: SEEDS,
            usage: Arc::default(),
        };
        let settings = Settings {
            allow_anonymous: true,
            ..Settings::default()
        };
        Self {
            number,
            shard: Shard::new(&place, Arc::new(settings), NOW),
            shared,
            letters: VecDeque::new(),
            outgoing: (0..shards).map(|_| Vec::new()).collect(),
            leaves: None,
            publishers: Vec::new(),
            at: 0,
            delivered: 0,
        }
    }

    fn run(mut self, time: Duration) -> Work {
        self.shared.start.wait();
        let begun = Instant::now();
        let cpu = thread_cpu();
        while begun.elapsed() < time {
            self.turn(PUBLISHES_PER_TURN);
        }
        Work {
            delivered: self.delivered as f64 / self.mean_delivery(),
            took: begun.elapsed().as_secs_f64(),
            cpu: thread_cpu() - cpu,
        }
    }

    /// Bytes of a delivery: at QoS 0 the publish as it came.
    fn mean_delivery(&self) -> f64 {
        let bytes: usize = self.publishers.iter().map(|(_, packet)| packet.len()).sum();
        bytes as f64 / self.publishers.len() as f64
    }

    /// What a shard's thread does between two looks at its sockets.
    fn turn(&mut self, publishes: usize) {
        self.shard.begin_turn(Moment::UNKNOWN);
        let mut letters = std::mem::take(&mut self.letters);
        self.shared.inboxes[usize::from(self.number)].take(&mut letters);
        for letter in letters.drain(..) {
            self.shard.handle(letter, NOW);
        }
        self.letters = letters;
        if self.shard.has_deferred() {
            self.shard.resume_deferred(NOW);
        }
        let full = |inbox: &Inbox| inbox.len.load(Ordering::Acquire) >= INBOX_MAX;
        if self.shared.inboxes.iter().any(full) {
            std::thread::yield_now();
        } else {
            for _ in 0..publishes {
                self.at = (self.at + 1) % self.publishers.len();
                let (id, packet) = &self.publishers[self.at];
                self.shard.receive(*id, packet, NOW);
            }
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Flush(id) => {
                    let bytes = self.shard.outgoing(id).len();
                    self.shard.wrote(id, bytes, NOW);
                    self.delivered += bytes;
                }
                Output::Forward { shards, forwarded } => {
                    for (shard, letters) in self.outgoing.iter_mut().enumerate() {
                        if shards & (1 << shard) != 0 {
                            letters.push(Input::Forwarded(forwarded.clone()));
                        }
                    }
                }
                Output::Announce(announcement) => {
                    for (shard, letters) in self.outgoing.iter_mut().enumerate() {
                        if shard != usize::from(self.number) {
                            letters.push(Input::Announced(announcement.clone()));
                        }
                    }
                }
                Output::HandOver { shard, pending, .. } => self.leaves = Some((shard, pending)),
                // Of a connection that moves; its bytes have all come.
                Output::Resume(_) => {}
                other => panic!("clean sessions need nothing of the kind: {other:?}"),
            }
        }
        for (inbox, letters) in self.shared.inboxes.iter().zip(&mut self.outgoing) {
            if !letters.is_empty() {
                inbox.put(letters);
            }
        }
    }
}

fn topic(room: usize) -> String {
    format!("room/{room}/messages")
}

/// Seconds this thread has had a core.
fn thread_cpu() -> f64 {
    // Nanoseconds on a core, nanoseconds waiting for one, turns.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split(' ')
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    nanos.unwrap_or(f64::NAN) / 1e9
}
