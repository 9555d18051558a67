//! The thread that syncs in the background: the journal when commits do not, and the watermark always.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::error;

use super::shared::Shared;

/// How often the watermark is made durable when every commit is synced by itself.
pub(super) const WATERMARK_SYNC: Duration = Duration::from_secs(1);

/// Stops its thread when dropped.
pub(super) struct Syncer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(shared: &Arc<Shared>, every: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        // Weak, so that a store that is dropped on this very thread cannot wait for itself.
        let shared: Weak<Shared> = Arc::downgrade(shared);
        let thread = std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || {
                let mut synced = 0;
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    let committed = shared.committed.load(Ordering::Acquire);
                    if committed == synced || shared.is_poisoned() {
                        continue;
                    }
                    match shared.sync() {
                        Ok(()) => synced = committed,
                        Err(error) => {
                            error!(%error, "sync failed, the store stops writing");
                        }
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Dropping the sender ends the wait.
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("sync thread panicked");
        }
    }
}
