//! When something is due, in one order. Must not know what happens then.

use std::collections::BTreeSet;

use records::Millis;

/// See the file's header; `T` says what is due.
#[derive(Debug)]
pub(crate) struct Timers<T>(BTreeSet<(Millis, T)>);

impl<T: Ord + Copy> Timers<T> {
    pub(crate) fn set(&mut self, at: Millis, timer: T) {
        self.0.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Millis, timer: T) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next timer that is due by now; it is then over.
    pub(crate) fn due(&mut self, now: Millis) -> Option<T> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(&(at, timer));
        Some(timer)
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}
