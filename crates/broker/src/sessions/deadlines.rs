//! When to check which session that has no connection: rare deadlines (session expiry, delayed wills), in order, one for each.

use std::collections::BTreeSet;

use records::Millis;

/// When sessions without a connection are checked. A check that is no longer needed is recognised by the
/// session when it comes, or given up with it: sessions that come and go leave nothing behind.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    checks: BTreeSet<(Millis, u32, u32)>,
}

impl Deadlines {
    pub(crate) fn schedule(&mut self, at: Millis, slot: u32, serial: u32) {
        self.checks.insert((at, slot, serial));
    }

    pub(crate) fn give_up(&mut self, at: Millis, slot: u32, serial: u32) {
        self.checks.remove(&(at, slot, serial));
    }

    pub(crate) fn take_due(&mut self, now: Millis) -> Option<(u32, u32)> {
        let (at, ..) = self.checks.first()?;
        if *at > now {
            return None;
        }
        self.checks
            .pop_first()
            .map(|(_, slot, serial)| (slot, serial))
    }

    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.checks.first().map(|(at, ..)| *at)
    }
}
