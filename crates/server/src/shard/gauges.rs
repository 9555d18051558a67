//! What a shard has counted, told to the metrics once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Counters, Shard};
use metrics::{Counter, Gauge};

use crate::drops::Drops;
use crate::tally::{Tallies, Tally};

const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Gauges {
    next: Instant,
    counters: Vec<Counter>,
    connections: Gauge,
    sessions: Gauge,
    subscriptions: Gauge,
    retained: Gauge,
    retained_bytes: Gauge,
    appends_pending: Gauge,
    offline: Gauge,
    waiting_messages: Gauge,
    waiting_bytes: Gauge,
    mailbox: Gauge,
    number: u16,
    tallies: Tallies,
    drops: Arc<Drops>,
}

impl Gauges {
    pub(super) fn new(number: u16, tallies: Tallies, drops: Arc<Drops>) -> Self {
        let shard = number.to_string();
        let counter = |(name, help): &(&'static str, &'static str)| {
            let name = format!("magpie_{name}_total");
            metrics::describe_counter!(name.clone(), help.trim());
            metrics::counter!(name, "shard" => shard.clone())
        };
        let gauge = |name: &'static str, help: &'static str| {
            metrics::describe_gauge!(name, help);
            metrics::gauge!(name, "shard" => shard.clone())
        };
        Self {
            next: Instant::now(),
            counters: Counters::NAMES.iter().map(counter).collect(),
            connections: gauge("magpie_connections", "Connections."),
            sessions: gauge("magpie_sessions", "Sessions, connected or not."),
            subscriptions: gauge("magpie_subscriptions", "Subscriptions to ordinary topics."),
            retained: gauge("magpie_retained_messages", "Retained messages."),
            retained_bytes: gauge("magpie_retained_bytes", "Bytes of retained messages."),
            appends_pending: gauge("magpie_appends_pending", "Appends that wait for the disk."),
            offline: gauge("magpie_offline_sessions", "Sessions without a connection."),
            waiting_messages: gauge(
                "magpie_waiting_messages",
                "Deliveries that wait for sessions or are under way; counted every ten seconds.",
            ),
            waiting_bytes: gauge(
                "magpie_waiting_bytes",
                "Bytes of messages that wait for sessions or are under way; counted every ten seconds.",
            ),
            mailbox: gauge("magpie_shard_mailbox", "Letters that wait for the shard."),
            number,
            tallies,
            drops,
        }
    }

    pub(super) fn tell(&mut self, core: &mut Shard, letters: usize, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let (counters, population) = (core.counters(), core.population());
        self.tallies.leave(
            self.number,
            Tally {
                counters,
                population,
                latencies: *core.latencies(),
                slowest: core.slowest().to_vec(),
            },
            core.take_queue_marks(),
        );
        self.drops.tell(core.take_dropped(), now);
        for (counter, value) in self.counters.iter().zip(counters.values()) {
            counter.absolute(value);
        }
        for (gauge, value) in [
            (&self.connections, population.connections),
            (&self.sessions, population.sessions),
            (&self.subscriptions, population.subscriptions),
            (&self.retained, population.retained),
            (&self.retained_bytes, population.retained_bytes),
            (&self.appends_pending, population.appends_pending),
            (&self.offline, population.offline),
            (&self.waiting_messages, population.waiting_messages as usize),
            (&self.waiting_bytes, population.waiting_bytes as usize),
            (&self.mailbox, letters),
        ] {
            gauge.set(value as f64);
        }
    }
}
