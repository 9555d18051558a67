//! SIGTERM, SIGINT and SIGHUP, from the first moment of the process to its last. It must not end what is being served.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// To end.
    Stop,
    /// To read the configuration again.
    Reload,
}

/// Signals that may wait; more of the same would say nothing new.
const WAITING_MAX: usize = 8;

/// Recovering, before anybody listens: a signal to stop ends the process on the spot, which loses nothing.
const STARTING: u8 = 0;
/// A signal to stop ends the server in order.
const SERVING: u8 = 1;
/// The server is ending; another signal to stop means now.
const STOPPING: u8 = 2;

/// The signals of this process.
pub(super) struct Signals {
    phase: Arc<AtomicU8>,
    waiting: mpsc::Receiver<Signal>,
}

impl Signals {
    /// Catches them from here on.
    pub(super) fn catch() -> io::Result<Self> {
        let mut caught = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let phase = Arc::new(AtomicU8::new(STARTING));
        let seen = Arc::clone(&phase);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for number in caught.forever() {
                    take(number, &seen, &sender);
                }
            })?;
        Ok(Self { phase, waiting })
    }

    /// The server serves: from here on it is ended in order.
    pub(super) fn serve(&mut self) {
        self.phase.store(SERVING, Ordering::SeqCst);
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        // The sending thread ends with the process only.
        self.waiting.recv().await.unwrap_or(Signal::Stop)
    }
}

fn take(number: i32, phase: &AtomicU8, waiting: &mpsc::Sender<Signal>) {
    if number == SIGHUP {
        // The configuration is read at the start anyway, and a full queue has one reload in it already.
        if phase.load(Ordering::SeqCst) == SERVING {
            let _ = waiting.try_send(Signal::Reload);
        }
        return;
    }
    match phase.compare_exchange(SERVING, STOPPING, Ordering::SeqCst, Ordering::SeqCst) {
        // Reloads may have filled the queue; the server takes them out of it.
        Ok(_) => drop(waiting.blocking_send(Signal::Stop)),
        Err(STARTING) => {
            tracing::info!("stopped while starting");
            std::process::exit(0);
        }
        Err(_) => {
            tracing::warn!("stopped at once by a second signal");
            std::process::exit(1);
        }
    }
}
