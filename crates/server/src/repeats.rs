//! Warnings whose cause may come back many times a second, or be met by many listeners and threads: each cause is told once, and
//! while it goes on once a minute with how often it was met meanwhile. It must not decide what is a warning.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one cause.
pub(crate) const PAUSE: Duration = Duration::from_secs(60);
/// Causes told apart at once; all further ones are one.
const CAUSES_MAX: usize = 256;

/// Whatever keeps this server from accepting connections, whoever tries.
static ACCEPT: Repeats = Repeats::new();

/// One warning of the program, by its cause.
#[derive(Debug)]
pub struct Repeats {
    causes: Mutex<BTreeMap<String, Cause>>,
}

#[derive(Debug)]
struct Cause {
    told: Instant,
    left_out: u64,
}

impl Repeats {
    /// Nothing is told yet.
    pub const fn new() -> Self {
        Self {
            causes: Mutex::new(BTreeMap::new()),
        }
    }

    /// It is met once more. `None`: it is left out of the log; otherwise how often it was left out since its last line.
    pub fn meet(&self, cause: &str, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        if causes.len() >= CAUSES_MAX && !causes.contains_key(cause) {
            causes.retain(|_, known| now.duration_since(known.told) < PAUSE);
        }
        let full = causes.len() >= CAUSES_MAX && !causes.contains_key(cause);
        let cause = if full { "" } else { cause };
        let Some(known) = causes.get_mut(cause) else {
            let first = Cause {
                told: now,
                left_out: 0,
            };
            causes.insert(cause.to_owned(), first);
            return Some(0);
        };
        if now.duration_since(known.told) < PAUSE {
            known.left_out += 1;
            return None;
        }
        known.told = now;
        Some(std::mem::take(&mut known.left_out))
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self::new()
    }
}

/// The operating system gives no connection, to MQTT, HTTP or the control socket. Says so, and counts it.
pub fn accept_failed(error: &io::Error) {
    metrics::counter!("magpie_accept_failures_total").increment(1);
    if let Some(left_out) = ACCEPT.meet(&error.to_string(), Instant::now()) {
        tracing::warn!(%error, left_out, "cannot accept connections; raise the limit of open files (ulimit -n) if it is reached");
    }
}

/// Says on `/metrics` what [`accept_failed`] counts.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "magpie_accept_failures_total",
        "Times that the operating system could not give a connection that waited; mostly because the limit of open files is reached."
    );
    // It is there from the start, or the first failure would be no growth.
    metrics::counter!("magpie_accept_failures_total").increment(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_then_once_a_minute_with_how_often_it_was_met() {
        let begin = Instant::now();
        let repeats = Repeats::new();
        assert_eq!(repeats.meet("no descriptors", begin), Some(0));
        for _ in 0..20 {
            assert_eq!(repeats.meet("no descriptors", begin), None);
        }
        assert_eq!(repeats.meet("another cause", begin), Some(0));
        assert_eq!(repeats.meet("no descriptors", begin + PAUSE), Some(20));
        assert_eq!(repeats.meet("no descriptors", begin + PAUSE), None);
    }

    #[test]
    fn causes_are_bounded_in_number_and_forgotten_after_their_minute() {
        let begin = Instant::now();
        let repeats = Repeats::new();
        let told = (0..CAUSES_MAX + 50).filter(|cause| {
            let told = repeats.meet(&cause.to_string(), begin);
            told.is_some()
        });
        assert_eq!(told.count(), CAUSES_MAX + 1, "the others are one cause");
        assert_eq!(repeats.causes.lock().unwrap().len(), CAUSES_MAX + 1);
        assert_eq!(repeats.meet("a new one", begin + PAUSE), Some(0));
        assert_eq!(repeats.causes.lock().unwrap().len(), 1);
    }
}
