//! Which sessions have lately begun to catch up from where. One that asks again from the same place did not get its answer, because
//! the store cannot be read or is too busy; it then waits, so that it does not ask in a circle.

use records::{Millis, Pos, SessionRef};

use crate::table::{Table, Tables};

/// How long such a session waits.
const AGAIN_MILLIS: u64 = 5_000;
/// Beginnings that are remembered before the old ones among them are forgotten.
const REMEMBERED_MIN: usize = 1_024;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct CatchUps {
    begun: Table<SessionRef, (Pos, Millis)>,
    /// With so many the old ones are forgotten.
    full: usize,
}

impl CatchUps {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            begun: tables.table(),
            full: REMEMBERED_MIN,
        }
    }

    /// Until when a session waits that wants what it has just asked for.
    pub(crate) fn repeats(&self, session: SessionRef, since: Pos, now: Millis) -> Option<Millis> {
        let (_, at) = self
            .begun
            .get(&session)
            .filter(|(before, _)| *before == since)?;
        let until = at.saturating_add(AGAIN_MILLIS);
        (until > now).then_some(until)
    }

    /// A session is going to get something.
    pub(crate) fn begun(&mut self, session: SessionRef, since: Pos, now: Millis) {
        if self.begun.len() >= self.full {
            self.begun
                .retain(|_, (_, at)| now.since(*at) < AGAIN_MILLIS);
            // Twice as many before the next look keeps the looking cheap.
            self.full = (2 * self.begun.len()).max(REMEMBERED_MIN);
        }
        self.begun.insert(session, (since, now));
    }

    /// There was nothing to get, or the session has gone.
    pub(crate) fn forget(&mut self, session: SessionRef) {
        self.begun.remove(&session);
    }
}
