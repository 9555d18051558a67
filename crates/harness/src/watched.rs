//! A value that one thread changes and another waits for: what tests use in place of sleeping.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::PATIENCE;

/// A value under a lock, with a bell.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Begins with `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    /// Looks at it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // A thread that panicked has already failed the test; its half-written value only serves its message.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it and wakes whoever waits.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `found` finds something in it; `None` if that takes longer than `PATIENCE`.
    pub fn wait<R>(&self, found: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        self.wait_until(Instant::now() + PATIENCE, found)
    }

    /// Waits until `found` finds something in it; `None` at the deadline.
    pub fn wait_until<R>(
        &self,
        deadline: Instant,
        mut found: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let mut value = self.lock();
        loop {
            if let Some(result) = found(&mut value) {
                return Some(result);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = match self.changed.wait_timeout(value, left) {
                Ok((value, _)) => value,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}
