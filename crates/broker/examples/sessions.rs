//! Measures one shard without sockets: how many bytes a connected session with one subscription costs, and what a publish
//! and a subscribe cost among a thousand to a million of them. Prints one JSON object.
//!
//!     cargo run --release -p broker --example sessions [sessions [1000,10000,...]]

#![allow(
    clippy::disallowed_methods,
    reason = "it measures time; the core it measures reads none"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use broker::{ConnectionId, Output, Place, Settings, Shard};
use mqtt_codec::publish::PublishHead;
use mqtt_codec::{Connect, QoS, Subscribe, SubscriptionOptions, Unsubscribe, Version, publish};
use records::{Millis, Moment};

const COUNTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const NOW: Millis = Millis::new(1_766_000_000_000);
const VERSION: Version = Version::V311;
/// Operations whose mean is one sample.
const OPERATIONS: usize = 20_000;
const SAMPLES: usize = 5;
/// Prime, so that any count of sessions is walked through without a pattern that a cache would like.
const STRIDE: usize = 7_919;
const PAYLOAD: [u8; 128] = [b'm'; 128];

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "sessions");
    let counts: Vec<usize> = words.next().map_or_else(
        || COUNTS.to_vec(),
        |list| {
            list.split(',')
                .map(|count| count.parse().expect("a list of numbers"))
                .collect()
        },
    );
    let mut world = World::new();
    let empty = Memory::take();
    let publisher = world.connect("publisher");
    let (mut publishes, mut subscribes) = (Vec::new(), Vec::new());
    for &count in &counts {
        while world.sessions.len() < count {
            world.add_session();
        }
        let mut samples = Samples::default();
        for _ in 0..SAMPLES {
            samples.publish.push(world.time_publishes(publisher));
            samples.subscribe.push(world.time_subscribes());
        }
        publishes.push(median(samples.publish));
        subscribes.push(median(samples.subscribe));
    }
    let full = Memory::take();
    let each = |before: usize, after: usize| after.saturating_sub(before) / world.sessions.len();
    let by_count = |costs: &[f64]| {
        let pairs = counts
            .iter()
            .zip(costs)
            .map(|(count, cost)| format!("\"{count}\":{cost:.1}"));
        pairs.collect::<Vec<_>>().join(",")
    };
    let growth = |costs: &[f64]| costs.last().unwrap_or(&0.0) / costs.first().unwrap_or(&1.0);
    println!(
        "{{\"bytes_per_session\":{},\"rss_per_session\":{},\"publish_ns\":{{{}}},\"subscribe_ns\":{{{}}},\"publish_growth\":{:.3},\"subscribe_growth\":{:.3}}}",
        each(empty.allocated, full.allocated),
        each(empty.resident, full.resident),
        by_count(&publishes),
        by_count(&subscribes),
        growth(&publishes),
        growth(&subscribes),
    );
}

#[derive(Default)]
struct Samples {
    publish: Vec<f64>,
    subscribe: Vec<f64>,
}

struct World {
    shard: Shard,
    sessions: Vec<ConnectionId>,
    /// Where the walk through the sessions is.
    at: usize,
    buffer: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let place = Place {
            shard: 0,
            shards: 1,
            seeds: SEEDS,
            usage: std::sync::Arc::default(),
        };
        let mut settings = Settings {
            allow_anonymous: true,
            ..Settings::default()
        };
        // The publisher comes to the million.
        settings.limits.connections_max = usize::MAX;
        Self {
            shard: Shard::new(&place, Arc::new(settings), NOW),
            sessions: Vec::new(),
            at: 0,
            buffer: Vec::new(),
        }
    }

    fn connect(&mut self, client_id: &str) -> ConnectionId {
        let id = self.shard.accept(NOW);
        self.buffer.clear();
        Connect {
            keep_alive: 300,
            ..Connect::new(VERSION, client_id)
        }
        .encode(&mut self.buffer);
        let answer = self.send(id);
        assert_eq!(answer, 4, "CONNACK");
        id
    }

    fn add_session(&mut self) {
        let number = self.sessions.len();
        let id = self.connect(&format!("device-{number}"));
        self.buffer.clear();
        let filter = (topic(number), SubscriptionOptions::new(QoS::AtLeastOnce));
        Subscribe::encode(VERSION, 1, None, &[(&filter.0, filter.1)], &mut self.buffer);
        assert_eq!(self.send(id), 5, "SUBACK");
        self.sessions.push(id);
    }

    /// Hands the buffer in as if it had come from a socket and takes everything that goes out; how many bytes that was.
    fn send(&mut self, id: ConnectionId) -> usize {
        self.shard.begin_turn(Moment::UNKNOWN);
        self.shard.receive(id, &self.buffer, NOW);
        let mut sent = 0;
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Flush(id) => {
                    let bytes = self.shard.outgoing(id).len();
                    self.shard.wrote(id, bytes, NOW);
                    sent += bytes;
                }
                other => panic!("clean sessions need nothing of the kind: {other:?}"),
            }
        }
        sent
    }

    fn next(&mut self) -> usize {
        self.at = (self.at + STRIDE) % self.sessions.len();
        self.at
    }

    /// Nanoseconds from the bytes of a publish to those of its delivery.
    fn time_publishes(&mut self, publisher: ConnectionId) -> f64 {
        let mut packets = Vec::new();
        for _ in 0..OPERATIONS {
            let topic = topic(self.next());
            let mut packet = Vec::new();
            publish::encode(VERSION, PublishHead::new(&topic), &PAYLOAD, &mut packet);
            packets.push(packet);
        }
        let begun = Instant::now();
        let mut sent = 0;
        for packet in packets {
            self.buffer = packet;
            sent += self.send(publisher);
        }
        let took = begun.elapsed();
        assert!(sent > OPERATIONS * PAYLOAD.len(), "every one is delivered");
        took.as_nanos() as f64 / OPERATIONS as f64
    }

    /// Nanoseconds of one SUBSCRIBE or UNSUBSCRIBE (the mean of both) for a second filter.
    fn time_subscribes(&mut self) -> f64 {
        let mut packets = Vec::new();
        for _ in 0..OPERATIONS / 2 {
            let number = self.next();
            let filter = format!("room/{number}/messages");
            let mut add = Vec::new();
            let options = SubscriptionOptions::new(QoS::AtLeastOnce);
            Subscribe::encode(VERSION, 2, None, &[(&filter, options)], &mut add);
            let mut remove = Vec::new();
            Unsubscribe::encode(VERSION, 3, &[&filter], &mut remove);
            packets.push((self.sessions[number], add, remove));
        }
        let begun = Instant::now();
        for (id, add, remove) in packets {
            self.buffer = add;
            assert_eq!(self.send(id), 5, "SUBACK");
            self.buffer = remove;
            assert_eq!(self.send(id), 4, "UNSUBACK");
        }
        begun.elapsed().as_nanos() as f64 / OPERATIONS as f64
    }
}

fn topic(number: usize) -> String {
    format!("user/{number}/inbox")
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// What this process holds.
struct Memory {
    allocated: usize,
    resident: usize,
}

impl Memory {
    fn take() -> Self {
        const PAGE: usize = 4096;
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: usize = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .unwrap_or(0);
        Self {
            allocated: ALLOCATED.load(Ordering::Relaxed),
            resident: pages * PAGE,
        }
    }
}

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// Counts what is allocated, in the sizes asked for.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator as it came; only the sizes are noted.
#[allow(unsafe_code, reason = "an allocator is an unsafe trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size, Ordering::Relaxed);
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
