//! What the committer and the messenger have counted, told to the metrics once a second.

use std::time::{Duration, Instant};

use chat::Chat;
use metrics::{Counter, Gauge};
use store::CommitterHandle;

use crate::metric::{counter, gauge};

const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Gauges {
    next: Instant,
    commits: Counter,
    appends: Counter,
    writes: Counter,
    bytes: Counter,
    queued_appends: Gauge,
    queued_bytes: Gauge,
    letters: Gauge,
    chat: Vec<Counter>,
}

impl Gauges {
    pub(super) fn new() -> Self {
        let chat = |(name, help): &(&'static str, &'static str)| {
            let name = format!("magpie_chat_{name}_total");
            metrics::describe_counter!(name.clone(), help.trim());
            metrics::counter!(name)
        };
        Self {
            next: Instant::now(),
            commits: counter(
                "magpie_commits_total",
                "Commits, each one fsync unless durability says otherwise.",
            ),
            appends: counter(
                "magpie_appends_total",
                "Appends to the store, any number of which share a commit.",
            ),
            writes: counter("magpie_store_writes_total", "Keys written or deleted."),
            bytes: counter(
                "magpie_store_bytes_total",
                "Bytes of keys and values written.",
            ),
            queued_appends: gauge(
                "magpie_committer_appends",
                "Appends that wait for the next commit.",
            ),
            queued_bytes: gauge(
                "magpie_committer_bytes",
                "Bytes that wait for the next commit.",
            ),
            letters: gauge(
                "magpie_service_mailbox",
                "Letters that wait for the messenger.",
            ),
            chat: chat::Counters::NAMES.iter().map(chat).collect(),
        }
    }

    pub(super) fn tell(&mut self, committer: &CommitterHandle, chat: &Chat, letters: usize) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let counted = committer.counters();
        for (counter, value) in [
            (&self.commits, counted.commits),
            (&self.appends, counted.appends),
            (&self.writes, counted.writes),
            (&self.bytes, counted.bytes),
        ] {
            counter.absolute(value);
        }
        self.queued_appends.set(counted.queued_appends as f64);
        self.queued_bytes.set(counted.queued_bytes as f64);
        self.letters.set(letters as f64);
        for (counter, value) in self.chat.iter().zip(chat.counters().values()) {
            counter.absolute(value);
        }
    }
}
