//! What a shard has counted, told to the metrics once a second.

use std::time::{Duration, Instant};

use broker::{Counters, Shard};
use metrics::{Counter, Gauge};

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
    mailbox: Gauge,
}

impl Gauges {
    pub(super) fn new(shard: u16) -> Self {
        let shard = shard.to_string();
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
            mailbox: gauge("magpie_shard_mailbox", "Letters that wait for the shard."),
        }
    }

    pub(super) fn tell(&mut self, core: &Shard, letters: usize) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        for (counter, value) in self.counters.iter().zip(core.counters().values()) {
            counter.absolute(value);
        }
        let population = core.population();
        for (gauge, value) in [
            (&self.connections, population.connections),
            (&self.sessions, population.sessions),
            (&self.subscriptions, population.subscriptions),
            (&self.retained, population.retained),
            (&self.retained_bytes, population.retained_bytes),
            (&self.appends_pending, population.appends_pending),
            (&self.mailbox, letters),
        ] {
            gauge.set(value as f64);
        }
    }
}
