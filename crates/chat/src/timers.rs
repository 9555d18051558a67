//! When something is due, in one order. Must not know what happens then.

use std::collections::BTreeSet;

use records::{AccountId, ConversationId, Millis, SessionRef};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The grace of an account without a device ends.
    Gone(AccountId),
    /// An account's presence may be told again.
    Presence(AccountId),
    /// Gathered markers are written and told.
    Receipts,
    /// A conversation may be described again.
    About(ConversationId),
    /// A session that asked again may catch up.
    CatchUp(SessionRef),
}

/// See the file's header.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Millis, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Millis, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Millis, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next timer that is due by now; it is then over.
    pub(crate) fn due(&mut self, now: Millis) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(&(at, timer));
        Some(timer)
    }
}
