//! Looks after certificates while the server runs: they are read again when their files change and when the operator says
//! so. What a broken file does is said; the old certificates stay in use then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::{Credentials, CredentialsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// The metric of when a certificate ends.
const EXPIRY: &str = "magpie_certificate_expiry_timestamp_seconds";
/// A certificate that ends in less is warned of.
const SOON_SECS: i64 = 14 * DAY_SECS;
const DAY_SECS: i64 = 86_400;
/// Between two warnings of one file.
const WARNING_PAUSE: Duration = Duration::from_secs(86_400);

/// Every certificate in use.
#[derive(Clone)]
pub(crate) struct Certificates {
    all: Arc<[Arc<Credentials>]>,
    expiry: Arc<Mutex<Expiry>>,
    reloaded: metrics::Counter,
    failed: metrics::Counter,
}

/// The thread that looks; it ends when this is dropped.
pub(crate) struct Watch {
    _alive: Sender<()>,
    _thread: Option<JoinHandle<()>>,
}

impl Certificates {
    pub(crate) fn new(all: Vec<Arc<Credentials>>) -> Self {
        metrics::describe_gauge!(
            EXPIRY,
            "When the certificate in this file ends, in seconds since the Unix epoch."
        );
        metrics::describe_counter!(
            "magpie_certificate_reloads_total",
            "Certificates that were read again, by outcome; after an error the old ones stay in use."
        );
        let counter = |outcome: &'static str| metrics::counter!("magpie_certificate_reloads_total", "outcome" => outcome);
        Self {
            all: all.into(),
            expiry: Arc::default(),
            reloaded: counter("ok"),
            failed: counter("error"),
        }
    }

    /// Reads all of them again.
    pub(crate) fn reload(&self) {
        let mut told = BTreeSet::new();
        for credentials in &*self.all {
            self.tell(credentials, credentials.reload(), &mut told);
        }
        self.look_at_expiry();
    }

    /// Reads those again whose files have changed.
    fn refresh(&self) {
        let mut told = BTreeSet::new();
        for credentials in &*self.all {
            if let Some(outcome) = credentials.refresh() {
                self.tell(credentials, outcome, &mut told);
            }
        }
        self.look_at_expiry();
    }

    /// Tells when they end, and which do soon.
    pub(crate) fn look_at_expiry(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_secs().cast_signed());
        let all = self.all.iter();
        let ends = all.filter_map(|one| Some((one.files().certificate.clone(), one.expires()?)));
        let mut expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        for (certificate, left) in expiry.look(ends, now, Instant::now()) {
            let certificate = certificate.display();
            if left < 0 {
                tracing::warn!(%certificate, "certificate has expired: clients turn away; put a new one in its place");
            } else {
                let days = left / DAY_SECS;
                tracing::warn!(%certificate, days, "certificate expires soon; put a new one in its place");
            }
        }
    }

    /// Of several listeners with the same files, `told` keeps all but the first from being told of.
    fn tell(
        &self,
        credentials: &Credentials,
        outcome: Result<(), CredentialsError>,
        told: &mut BTreeSet<String>,
    ) {
        match outcome {
            Ok(()) => {
                self.reloaded.increment(1);
                let certificate = credentials.files().certificate.display().to_string();
                if told.insert(certificate.clone()) {
                    tracing::info!(certificate, "certificate read again");
                }
            }
            Err(error) => {
                self.failed.increment(1);
                let error = error.to_string();
                if told.insert(error.clone()) {
                    tracing::warn!(
                        error,
                        "certificate not read again; the one before stays in use"
                    );
                }
            }
        }
    }

    /// Starts to look, if there is anything to be looked at.
    pub(crate) fn watch(&self) -> io::Result<Watch> {
        let (alive, ended) = channel();
        let watched = self.clone();
        let look = move || {
            watched.look_at_expiry();
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                watched.refresh();
            }
        };
        let thread = match self.all.is_empty() {
            true => None,
            false => Some(
                thread::Builder::new()
                    .name("certificates".to_owned())
                    .spawn(look)?,
            ),
        };
        Ok(Watch {
            _alive: alive,
            _thread: thread,
        })
    }
}

/// When certificates end, and of which that was warned.
#[derive(Debug, Default)]
struct Expiry {
    warned: BTreeMap<PathBuf, Instant>,
}

impl Expiry {
    /// Tells the metrics. Returns which files are to be warned of, and how many seconds each has left at `now`.
    fn look(
        &mut self,
        ends: impl Iterator<Item = (PathBuf, i64)>,
        now: i64,
        at: Instant,
    ) -> Vec<(PathBuf, i64)> {
        let mut due = Vec::new();
        for (file, end) in ends.collect::<BTreeMap<_, _>>() {
            metrics::gauge!(EXPIRY, "certificate" => file.display().to_string()).set(end as f64);
            let left = end.saturating_sub(now);
            if left >= SOON_SECS {
                self.warned.remove(&file);
                continue;
            }
            let recent = |warned: &Instant| at.duration_since(*warned) < WARNING_PAUSE;
            if !self.warned.get(&file).is_some_and(recent) {
                self.warned.insert(file.clone(), at);
                due.push((file, left));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_soon_is_warned_of_once_a_day_whoever_uses_it() {
        let begin = Instant::now();
        let now = 1_800_000_000;
        let mut expiry = Expiry::default();
        let mut look = |end, at| {
            let ends = [
                ("a.pem", end),
                ("a.pem", end),
                ("b.pem", now + 2 * SOON_SECS),
            ];
            let ends = ends.into_iter().map(|(file, end)| (file.into(), end));
            expiry.look(ends, now, at)
        };
        let soon = now + SOON_SECS - 1;
        assert_eq!(look(soon, begin), [("a.pem".into(), SOON_SECS - 1)]);
        let almost = begin + WARNING_PAUSE - Duration::from_secs(1);
        assert_eq!(look(soon, almost), []);
        assert_eq!(look(soon, begin + WARNING_PAUSE).len(), 1);
        // A new one has come, and is about to end in its turn.
        assert_eq!(look(now + SOON_SECS, begin + WARNING_PAUSE), []);
        assert_eq!(look(now - 1, begin + WARNING_PAUSE), [("a.pem".into(), -1)]);
    }
}
