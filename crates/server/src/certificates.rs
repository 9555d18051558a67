//! Looks after certificates while the server runs: they are read again when their files change and when the operator says
//! so. What a broken file does is said; the old certificates stay in use then.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use net::{Credentials, CredentialsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Every certificate in use.
#[derive(Clone)]
pub(crate) struct Certificates {
    all: Arc<[Arc<Credentials>]>,
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
        metrics::describe_counter!(
            "magpie_certificate_reloads_total",
            "Certificates that were read again, by outcome; after an error the old ones stay in use."
        );
        let counter = |outcome: &'static str| metrics::counter!("magpie_certificate_reloads_total", "outcome" => outcome);
        Self {
            all: all.into(),
            reloaded: counter("ok"),
            failed: counter("error"),
        }
    }

    /// Reads all of them again.
    pub(crate) fn reload(&self) {
        for credentials in &*self.all {
            self.tell(credentials, credentials.reload());
        }
    }

    /// Reads those again whose files have changed.
    fn refresh(&self) {
        for credentials in &*self.all {
            if let Some(outcome) = credentials.refresh() {
                self.tell(credentials, outcome);
            }
        }
    }

    fn tell(&self, credentials: &Credentials, outcome: Result<(), CredentialsError>) {
        match outcome {
            Ok(()) => {
                self.reloaded.increment(1);
                let certificate = credentials.files().certificate.display();
                tracing::info!(%certificate, "certificate read again");
            }
            Err(error) => {
                self.failed.increment(1);
                tracing::warn!(%error, "certificate not read again; the one before stays in use");
            }
        }
    }

    /// Starts to look, if there is anything to be looked at.
    pub(crate) fn watch(&self) -> io::Result<Watch> {
        let (alive, ended) = channel();
        let watched = self.clone();
        let look = move || {
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
