//! The sessions without a connection, in the order in which they lost it, so that the one that has been offline longest can be
//! ended when there are too many. It owns the order only; who comes and goes is told to it.

use slab::Slab;

use crate::sessions::session::{NO_SESSION, OfflineLinks, Session};

/// The order.
#[derive(Debug)]
pub(crate) struct OfflineSessions {
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Default for OfflineSessions {
    fn default() -> Self {
        Self {
            oldest: NO_SESSION,
            newest: NO_SESSION,
            len: 0,
        }
    }
}

impl OfflineSessions {
    /// Sessions that are offline.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Those that are offline, the longest first.
    pub(crate) fn iter<'s>(&self, sessions: &'s Slab<Session>) -> impl Iterator<Item = u32> + 's {
        let after = |slot: &u32| Some(sessions[*slot as usize].offline.after);
        let is_session = |slot: u32| (slot != NO_SESSION).then_some(slot);
        std::iter::successors(is_session(self.oldest), move |slot| {
            after(slot).and_then(is_session)
        })
    }

    /// A session has gone.
    pub(crate) fn push(&mut self, sessions: &mut Slab<Session>, slot: u32) {
        if self.holds(sessions, slot) {
            return;
        }
        sessions[slot as usize].offline = OfflineLinks {
            before: self.newest,
            after: NO_SESSION,
        };
        match self.newest {
            NO_SESSION => self.oldest = slot,
            newest => sessions[newest as usize].offline.after = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// A session is back, or over.
    pub(crate) fn remove(&mut self, sessions: &mut Slab<Session>, slot: u32) {
        if !self.holds(sessions, slot) {
            return;
        }
        let OfflineLinks { before, after } = std::mem::take(&mut sessions[slot as usize].offline);
        match before {
            NO_SESSION => self.oldest = after,
            before => sessions[before as usize].offline.after = after,
        }
        match after {
            NO_SESSION => self.newest = before,
            after => sessions[after as usize].offline.before = before,
        }
        self.len -= 1;
    }

    fn holds(&self, sessions: &Slab<Session>, slot: u32) -> bool {
        self.oldest == slot || sessions[slot as usize].offline.before != NO_SESSION
    }
}
