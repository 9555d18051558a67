//! Sessions that were away get what they have missed. One that asks again from the same place did not get its answer, because the
//! store cannot be read or is too busy; it then waits, so that it does not ask in a circle.

use records::{AccountId, Cursor, Millis, SessionRef};

use crate::format::device::DeviceId;
use crate::sessions::queries::Reading;
use crate::sessions::queries::feed::Feed;
use crate::sessions::{Context, Sessions, Timer};
use crate::table::{Table, Tables};

/// How long such a session waits.
const AGAIN_MILLIS: u64 = 5_000;
/// Beginnings that are remembered before the old ones among them are forgotten.
const REMEMBERED_MIN: usize = 1_024;

/// Which sessions have lately begun to catch up from where.
#[derive(Debug)]
pub(super) struct CatchUps {
    begun: Table<SessionRef, (Cursor, Millis)>,
    /// With so many the old ones are forgotten.
    full: usize,
}

impl CatchUps {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            begun: tables.table(),
            full: REMEMBERED_MIN,
        }
    }

    /// Until when a session waits that wants what it has just asked for.
    fn repeats(&self, session: SessionRef, since: &Cursor, now: Millis) -> Option<Millis> {
        let (_, at) = self
            .begun
            .get(&session)
            .filter(|(before, _)| before == since)?;
        let until = at.saturating_add(AGAIN_MILLIS);
        (until > now).then_some(until)
    }

    /// A session is going to get something.
    fn begun(&mut self, session: SessionRef, since: Cursor, now: Millis) {
        if self.begun.len() >= self.full {
            self.begun
                .retain(|_, (_, at)| now.since(*at) < AGAIN_MILLIS);
            // Twice as many before the next look keeps the looking cheap.
            self.full = (2 * self.begun.len()).max(REMEMBERED_MIN);
        }
        self.begun.insert(session, (since, now));
    }

    /// All may ask from where they have just asked.
    pub(super) fn forget_all(&mut self) {
        self.begun.clear();
    }

    /// It has got it, or has gone.
    pub(super) fn forget(&mut self, session: SessionRef) {
        self.begun.remove(&session);
    }
}

impl Sessions {
    /// A session wants what is stored and its cursor does not cover. It gets everything that was told before, and nothing of what is told after.
    pub(crate) fn catch_up(
        &mut self,
        session: SessionRef,
        account: AccountId,
        since: Cursor,
        context: Context<'_>,
    ) {
        if let Some(until) = self.catch_ups.repeats(session, &since, context.now) {
            self.counters.catch_ups_delayed += 1;
            if let Some(pending) = self.devices.pending(session)
                && pending.again.replace(since).is_none()
            {
                self.timers.set(until, Timer::CatchUp(session));
            }
            return;
        }
        self.catch_ups.begun(session, since.clone(), context.now);
        let feed = Feed {
            account,
            since,
            upto: self.stored.clone(),
            names: self.names_for(account, context),
        };
        let device = self
            .devices
            .find(session)
            .map_or(DeviceId::NONE, |known| known.id);
        self.read(Reading::CatchUp {
            session,
            device,
            feed,
        });
    }

    /// A session has caught up, or was told to ask again.
    pub(super) fn caught_up(&mut self, session: SessionRef, answered: bool) {
        if answered {
            self.catch_ups.forget(session);
        }
    }

    /// A session that asked again has waited long enough.
    pub(super) fn catch_up_due(&mut self, session: SessionRef, context: Context<'_>) {
        if !self.devices.has_pending(session) {
            return;
        }
        let pending = self.devices.pending(session);
        let again = pending.and_then(|pending| pending.again.take());
        if let (Some(since), Some(account)) = (again, self.devices.account_of(session)) {
            self.devices.tidy(session);
            self.catch_up(session, account, since, context);
        }
    }
}
