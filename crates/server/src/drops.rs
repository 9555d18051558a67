//! What the log tells of dropped messages: at most one line a minute for each reason and all shards together, with how many they
//! were and who lost most.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use broker::{ClientName, DropReason, Dropped};

use crate::printed;
use crate::repeats::PAUSE;

/// Clients remembered for each reason between two lines.
const CLIENTS_MAX: usize = 1024;
/// Clients named in a line.
const NAMED_MAX: usize = 5;

/// What no line has told yet, by reason.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    reasons: Mutex<BTreeMap<DropReason, Untold>>,
}

#[derive(Debug, Default)]
struct Untold {
    told: Option<Instant>,
    messages: u64,
    clients: BTreeMap<ClientName, u64>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    reason: DropReason,
    messages: u64,
    /// `account/client id (how many)`, the worst first.
    clients: String,
}

impl Drops {
    /// Takes what a shard has dropped, and tells what is due; to be called about once a second.
    pub(crate) fn tell(&self, dropped: Vec<Dropped>, now: Instant) {
        for line in self.lines(dropped, now) {
            let (messages, clients) = (line.messages, line.clients);
            tracing::warn!(
                reason = told(line.reason),
                messages,
                clients,
                "messages dropped"
            );
        }
    }

    fn lines(&self, dropped: Vec<Dropped>, now: Instant) -> Vec<Line> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        for dropped in dropped {
            let untold = reasons.entry(dropped.reason).or_default();
            untold.messages += dropped.messages;
            for (client, messages) in dropped.worst {
                let full = untold.clients.len() >= CLIENTS_MAX;
                match untold.clients.get_mut(&client) {
                    Some(lost) => *lost += messages,
                    None if full => {}
                    None => {
                        untold.clients.insert(client, messages);
                    }
                }
            }
        }
        let due = |told: Instant| now.duration_since(told) >= PAUSE;
        let due = reasons
            .iter_mut()
            .filter(|(_, untold)| untold.messages > 0 && untold.told.is_none_or(due));
        due.map(|(reason, untold)| untold.line(*reason, now))
            .collect()
    }
}

impl Untold {
    fn line(&mut self, reason: DropReason, now: Instant) -> Line {
        self.told = Some(now);
        let mut clients: Vec<_> = std::mem::take(&mut self.clients).into_iter().collect();
        clients.sort_by_key(|(_, messages)| Reverse(*messages));
        let named = clients.iter().take(NAMED_MAX);
        let named: Vec<String> = named
            .map(|(client, messages)| format!("{} ({messages})", printed::client(client)))
            .collect();
        Line {
            reason,
            messages: std::mem::take(&mut self.messages),
            clients: named.join(", "),
        }
    }
}

fn told(reason: DropReason) -> &'static str {
    match reason {
        DropReason::SlowClient => "QoS 0, and the client did not read",
        DropReason::QueueFull => "as much waited for the client as may",
        DropReason::ServerFull => "too much waited in the whole server",
        DropReason::TooLarge => "larger than the client takes",
        DropReason::NotAllowed => "no longer allowed by the access list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(reason: DropReason, losses: &[(&str, u64)]) -> Dropped {
        let worst: Vec<_> = losses
            .iter()
            .map(|(id, lost)| {
                let client = ClientName {
                    account: Some("bob".into()),
                    client_id: (*id).into(),
                };
                (client, *lost)
            })
            .collect();
        Dropped {
            reason,
            messages: worst.iter().map(|(_, lost)| lost).sum(),
            worst,
        }
    }

    #[test]
    fn a_reason_gets_a_line_a_minute_with_the_worst_of_all_shards() {
        let begin = Instant::now();
        let drops = Drops::default();
        let slow = |losses: &[(&str, u64)]| vec![dropped(DropReason::SlowClient, losses)];
        let line = |messages, clients: &str| Line {
            reason: DropReason::SlowClient,
            messages,
            clients: clients.to_owned(),
        };
        let first = drops.lines(slow(&[("a", 3)]), begin);
        assert_eq!(first, [line(3, "bob/a (3)")]);
        let losses = [("a", 1), ("b", 5), ("c", 1), ("d", 1), ("e\n", 2), ("f", 1)];
        assert_eq!(drops.lines(slow(&losses), begin), []);
        assert_eq!(drops.lines(slow(&[("a", 6)]), begin), []);
        // Another reason does not wait for this one.
        let other = vec![dropped(DropReason::TooLarge, &[("a", 1)])];
        assert_eq!(drops.lines(other, begin).len(), 1);
        // Though nothing more is dropped, all that was is told.
        let expected = "bob/a (7), bob/b (5), bob/e\u{FFFD} (2), bob/c (1), bob/d (1)";
        let later = drops.lines(Vec::new(), begin + PAUSE);
        assert_eq!(later, [line(17, expected)]);
        assert_eq!(drops.lines(Vec::new(), begin + 2 * PAUSE), []);
    }

    #[test]
    fn clients_are_bounded_in_number() {
        let begin = Instant::now();
        let drops = Drops::default();
        drops.lines(vec![dropped(DropReason::QueueFull, &[("a", 1)])], begin);
        for number in 0..2 * CLIENTS_MAX {
            let id = number.to_string();
            drops.lines(vec![dropped(DropReason::QueueFull, &[(&id, 1)])], begin);
        }
        let mut reasons = drops.reasons.lock().unwrap();
        let untold = reasons.get_mut(&DropReason::QueueFull).unwrap();
        assert_eq!(untold.clients.len(), CLIENTS_MAX);
        assert_eq!(untold.messages, 2 * CLIENTS_MAX as u64);
    }
}
