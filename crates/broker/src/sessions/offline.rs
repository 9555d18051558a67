//! The sessions without a connection, in the order in which they went, so that the one that has been away
//! longest can be ended when there are too many. It owns the order only; who comes and goes is told to it.

use slab::Slab;

use crate::sessions::session::{AwayNeighbours, NO_SESSION, Session};

/// The order.
#[derive(Debug)]
pub(crate) struct Away {
    longest: u32,
    newest: u32,
    len: usize,
}

impl Default for Away {
    fn default() -> Self {
        Self {
            longest: NO_SESSION,
            newest: NO_SESSION,
            len: 0,
        }
    }
}

impl Away {
    /// Sessions that are away.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Those that are away, the longest first.
    pub(crate) fn iter<'s>(&self, sessions: &'s Slab<Session>) -> impl Iterator<Item = u32> + 's {
        let after = |slot: &u32| Some(sessions[*slot as usize].away.after);
        let is_session = |slot: u32| (slot != NO_SESSION).then_some(slot);
        std::iter::successors(is_session(self.longest), move |slot| {
            after(slot).and_then(is_session)
        })
    }

    /// A session has gone.
    pub(crate) fn went(&mut self, sessions: &mut Slab<Session>, slot: u32) {
        if self.holds(sessions, slot) {
            return;
        }
        sessions[slot as usize].away = AwayNeighbours {
            before: self.newest,
            after: NO_SESSION,
        };
        match self.newest {
            NO_SESSION => self.longest = slot,
            newest => sessions[newest as usize].away.after = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// A session is back, or over.
    pub(crate) fn came(&mut self, sessions: &mut Slab<Session>, slot: u32) {
        if !self.holds(sessions, slot) {
            return;
        }
        let AwayNeighbours { before, after } = std::mem::take(&mut sessions[slot as usize].away);
        match before {
            NO_SESSION => self.longest = after,
            before => sessions[before as usize].away.after = after,
        }
        match after {
            NO_SESSION => self.newest = before,
            after => sessions[after as usize].away.before = before,
        }
        self.len -= 1;
    }

    fn holds(&self, sessions: &Slab<Session>, slot: u32) -> bool {
        self.longest == slot || sessions[slot as usize].away.before != NO_SESSION
    }
}
