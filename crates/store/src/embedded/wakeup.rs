//! Wakes the store's threads up, and those who wait for what they do.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::table::TableId;

/// Wakes threads up, and those who wait for them.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    state: Mutex<Awake>,
    changed: Condvar,
    stopping: AtomicBool,
}

/// What the threads tell each other.
#[derive(Debug, Default)]
pub(super) struct Awake {
    /// Grows with everything that may bring work or room.
    rings: u64,
    /// Tables that somebody merges.
    pub(super) merging: HashSet<TableId>,
}

impl Wakeup {
    /// Something has changed.
    pub(super) fn ring(&self) {
        self.lock().rings += 1;
        self.changed.notify_all();
    }

    /// Waits until something changes, or the time is over.
    pub(super) fn wait_for_progress(&self, time: Duration) {
        let state = self.lock();
        let rings = state.rings;
        drop(
            self.changed
                .wait_timeout_while(state, time, |state| state.rings == rings),
        );
    }

    /// Whether the threads have to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// How often something has changed.
    pub(super) fn rings(&self) -> u64 {
        self.lock().rings
    }

    /// Waits until more has changed than that, or the time is over.
    pub(super) fn wait_beyond(&self, rings: u64, time: Duration) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, time, |state| state.rings == rings),
        );
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Awake> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
