//! The server's figures under `$SYS/broker/`, with mosquitto's names: adds up what the shards have counted, and tells them
//! what has changed. It knows nobody who reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Counters, Input, Message, Population};
use bytes::Bytes;
use mqtt_codec::QoS;
use records::{Millis, Moment};

use crate::post::{Post, ShardEvent};
use crate::process;
use crate::tally::{Tallies, Tally};

/// How often the number of clients is looked at for its maximum.
const LOOK: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Averages are over so many minutes, by name.
const AVERAGES: [(&str, f64); 3] = [("1min", 1.0), ("5min", 5.0), ("15min", 15.0)];
const ROOT: &str = "$SYS/broker";

pub(super) struct System {
    tallies: Tallies,
    began: Instant,
    next_look: Instant,
    next_told: Instant,
    told_at: Instant,
    clients_maximum: u64,
    /// Totals when the averages were last brought forward.
    before: Vec<u64>,
    loads: BTreeMap<String, f64>,
    /// What was told last.
    told: BTreeMap<String, String>,
}

impl System {
    pub(super) fn new(tallies: Tallies) -> Self {
        let now = Instant::now();
        Self {
            tallies,
            began: now,
            next_look: now,
            next_told: now,
            told_at: now,
            clients_maximum: 0,
            before: Vec::new(),
            loads: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Tells the shards what has changed, every `interval`; zero is never.
    pub(super) fn look(&mut self, interval: Duration, post: &Post, at: Millis) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        let total = self.tallies.total();
        let clients = connected(&total.population);
        self.clients_maximum = self.clients_maximum.max(clients);
        if interval.is_zero() {
            if !self.told.is_empty() {
                let gone = std::mem::take(&mut self.told);
                tell(
                    gone.into_keys().map(|topic| (topic, String::new())),
                    post,
                    at,
                );
            }
            return;
        }
        if now < self.next_told {
            return;
        }
        self.next_told = now + interval;
        self.bring_forward(&total.counters, now);
        let figures = self.figures(&total, now);
        let told = &self.told;
        let changed = figures
            .iter()
            .filter(|(topic, value)| told.get(*topic) != Some(value))
            .map(|(topic, value)| (topic.clone(), value.clone()));
        tell(changed, post, at);
        self.told = figures;
    }

    /// Moving averages of what happens in a minute.
    fn bring_forward(&mut self, counters: &Counters, now: Instant) {
        let totals: Vec<u64> = loads(counters).iter().map(|(_, total)| *total).collect();
        let passed = now.duration_since(self.told_at).as_secs_f64() / MINUTE.as_secs_f64();
        self.told_at = now;
        if self.before.is_empty() || passed <= 0.0 {
            self.before = totals;
            return;
        }
        for ((name, total), before) in loads(counters).into_iter().zip(&self.before) {
            let rate = total.saturating_sub(*before) as f64 / passed;
            for (span, minutes) in AVERAGES {
                let load = self.loads.entry(format!("load/{name}/{span}")).or_default();
                *load = rate + (*load - rate) * (-passed / minutes).exp();
            }
        }
        self.before = totals;
    }

    fn figures(&self, total: &Tally, now: Instant) -> BTreeMap<String, String> {
        let (counters, population) = (&total.counters, &total.population);
        let clients = connected(population);
        let kept = population.retained as u64 + population.waiting_messages;
        let kept_bytes = population.retained_bytes as u64 + population.waiting_bytes;
        let mut numbers: Vec<(&str, u64)> = vec![
            ("clients/total", population.sessions as u64),
            ("clients/connected", clients),
            ("clients/active", clients),
            ("clients/disconnected", population.offline as u64),
            ("clients/inactive", population.offline as u64),
            ("clients/maximum", self.clients_maximum),
            (
                "clients/expired",
                counters.sessions_expired + counters.sessions_dropped,
            ),
            ("messages/received", counters.packets_received),
            ("messages/sent", counters.packets_sent),
            ("messages/stored", kept),
            ("store/messages/count", kept),
            ("store/messages/bytes", kept_bytes),
            ("subscriptions/count", population.subscriptions as u64),
            (
                "shared_subscriptions/count",
                population.shared_subscriptions as u64,
            ),
            ("retained messages/count", population.retained as u64),
            ("publish/messages/received", counters.publishes_received),
            ("publish/messages/sent", counters.publishes_sent),
            ("publish/messages/dropped", dropped(counters)),
            ("publish/bytes/received", counters.payload_bytes_received),
            ("publish/bytes/sent", counters.payload_bytes_sent),
            ("bytes/received", counters.bytes_received),
            ("bytes/sent", counters.bytes_sent),
        ];
        if let Some((current, maximum)) = process::resident_bytes() {
            numbers.extend([("heap/current", current), ("heap/maximum", maximum)]);
        }
        let numbers = numbers
            .into_iter()
            .map(|(name, value)| (format!("{ROOT}/{name}"), value.to_string()));
        let loads = self
            .loads
            .iter()
            .map(|(name, load)| (format!("{ROOT}/{name}"), format!("{load:.2}")));
        let uptime = now.duration_since(self.began).as_secs();
        let texts = [
            (
                format!("{ROOT}/version"),
                format!("magpie version {}", env!("CARGO_PKG_VERSION")),
            ),
            (format!("{ROOT}/uptime"), format!("{uptime} seconds")),
        ];
        numbers.chain(loads).chain(texts).collect()
    }
}

fn tell(figures: impl Iterator<Item = (String, String)>, post: &Post, at: Millis) {
    let figures: Arc<[Arc<Message>]> = figures
        .map(|(topic, value)| {
            Arc::new(Message {
                topic: topic.into(),
                payload: Bytes::from(value),
                properties: Bytes::new(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                at,
                read_at: Moment::UNKNOWN,
            })
        })
        .collect();
    if !figures.is_empty() {
        post.tell_shards(|| ShardEvent::Input(Input::System(figures.clone())));
    }
}

/// What averages are made of, under mosquitto's names.
fn loads(counters: &Counters) -> [(&'static str, u64); 9] {
    [
        ("messages/received", counters.packets_received),
        ("messages/sent", counters.packets_sent),
        ("publish/received", counters.publishes_received),
        ("publish/sent", counters.publishes_sent),
        ("publish/dropped", dropped(counters)),
        ("bytes/received", counters.bytes_received),
        ("bytes/sent", counters.bytes_sent),
        ("sockets", counters.connections_accepted),
        ("connections", counters.connects_accepted),
    ]
}

fn dropped(counters: &Counters) -> u64 {
    counters.dropped_qos0 + counters.dropped_queued
}

fn connected(population: &Population) -> u64 {
    population.sessions.saturating_sub(population.offline) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_comes_to_what_happens_all_the_time() {
        let mut system = System::new(Tallies::new(1));
        let mut now = system.told_at;
        let mut counters = Counters::default();
        system.bring_forward(&counters, now);
        for _ in 0..600 {
            now += Duration::from_secs(10);
            counters.publishes_received += 50;
            system.bring_forward(&counters, now);
        }
        for (span, _) in AVERAGES {
            let load = system.loads[&format!("load/publish/received/{span}")];
            assert!((load - 300.0).abs() < 1.0, "{span}: {load}");
        }
        // The shortest one forgets first.
        now += Duration::from_secs(60);
        system.bring_forward(&counters, now);
        let load = |span: &str| system.loads[&format!("load/publish/received/{span}")];
        assert!(load("1min") < 120.0 && load("5min") > 200.0 && load("15min") > 270.0);
    }

    #[test]
    fn every_figure_has_a_name_of_its_own_and_a_value() {
        let system = System::new(Tallies::new(2));
        let figures = system.figures(&Tally::default(), Instant::now());
        for name in [
            "version",
            "uptime",
            "clients/connected",
            "retained messages/count",
        ] {
            assert!(figures.contains_key(&format!("{ROOT}/{name}")), "{name}");
        }
        assert!(figures.values().all(|value| !value.is_empty()));
        assert!(figures.len() >= 24, "{}", figures.len());
    }
}
