//! What the committer and the messenger have counted, told to the metrics once a second.

use std::time::{Duration, Instant};

use chat::Chat;
use metrics::{Counter, Gauge};
use store::CommitterHandle;

use crate::metric::{counter, gauge};
use crate::tally::Tallies;

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
    loaded: Gauge,
    chat: Vec<Counter>,
    tallies: Tallies,
    revoked: Revoked,
}

/// What the access list no longer allowed and was ended: subscriptions, wills, and sessions of anonymous clients.
#[derive(Debug, Default)]
struct Revoked {
    /// As the log has told it.
    told: [u64; 3],
    /// As it was at the last look.
    seen: [u64; 3],
}

impl Revoked {
    /// What there is to tell: once, when all shards have come to an end with it.
    fn look(&mut self, all: [u64; 3]) -> Option<[u64; 3]> {
        let rests = std::mem::replace(&mut self.seen, all) == all;
        if !rests || all == self.told {
            return None;
        }
        let told = std::mem::replace(&mut self.told, all);
        Some([0, 1, 2].map(|of| all[of] - told[of]))
    }
}

impl Gauges {
    pub(super) fn new(tallies: Tallies) -> Self {
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
            loaded: gauge(
                "magpie_chat_loaded_bytes",
                "Bytes of conversations, without their messages, that are in memory.",
            ),
            letters: gauge(
                "magpie_service_mailbox",
                "Letters that wait for the messenger.",
            ),
            chat: chat::Counters::NAMES.iter().map(chat).collect(),
            tallies,
            revoked: Revoked::default(),
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
        self.loaded.set(chat.loaded_bytes() as f64);
        self.letters.set(letters as f64);
        for (counter, value) in self.chat.iter().zip(chat.counters().values()) {
            counter.absolute(value);
        }
        self.tell_revoked();
    }

    /// Whom an access list that allows less than before concerns is not told by MQTT: the log does.
    fn tell_revoked(&mut self) {
        let counters = self.tallies.total().counters;
        let all = [
            counters.subscriptions_revoked,
            counters.wills_revoked,
            counters.sessions_revoked,
        ];
        if let Some([subscriptions, wills, anonymous_sessions]) = self.revoked.look(all) {
            tracing::warn!(
                subscriptions,
                wills,
                anonymous_sessions,
                "ended what the access list no longer allows"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revoked_is_told_once_for_all_shards() {
        let mut revoked = Revoked::default();
        let looks = [
            [0, 0, 0],
            [5, 0, 1],
            [9, 1, 1],
            [9, 1, 1],
            [9, 1, 1],
            [10, 1, 1],
            [10, 1, 1],
        ];
        let told = looks.map(|all| revoked.look(all));
        let expected = [
            None,
            None,
            None,
            Some([9, 1, 1]),
            None,
            None,
            Some([1, 0, 0]),
        ];
        assert_eq!(told, expected);
    }
}
