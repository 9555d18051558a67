//! An account that wants more of the server than its share loses a session of its own, or is refused; nobody else does.

use records::{AccountId, Millis};

use crate::shard::Shard;

impl Shard {
    /// Makes room for one more lasting session of an account: for one too many, the session of its own goes that has no messages, or
    /// has been offline longest. False if none of them here is offline.
    pub(crate) fn make_room_for_session(&mut self, account: AccountId, now: Millis) -> bool {
        let most = self.settings.limits.sessions_per_account_max;
        if self.sessions.lasting_sessions(account) < most {
            return true;
        }
        let Some(least) = self.sessions.least_needed_of(account) else {
            return false;
        };
        self.metrics.counters.sessions_displaced += 1;
        self.end_session(least, now);
        true
    }

    /// Whether all sessions without a connection there may be hold messages that others were promised to deliver: then nobody can
    /// have another lasting session.
    pub(crate) fn is_full_of_offline_sessions(&self) -> bool {
        self.sessions.offline() > self.settings.limits.offline_sessions_max
    }

    /// Ends the session that has been offline longest and holds no message while there are too many of them: two at most, so that
    /// after the limit was lowered each that goes makes room for itself and one more.
    pub(crate) fn end_oldest_offline(&mut self, now: Millis) {
        const ENDS_MAX: usize = 2;
        for _ in 0..ENDS_MAX {
            if !self.is_full_of_offline_sessions() || self.sessions.keeps_all_offline() {
                return;
            }
            // A session with messages ends by its own account's excess or when its time is over.
            let Some(oldest) = self.sessions.oldest_offline_without_messages() else {
                return;
            };
            self.metrics.counters.sessions_dropped += 1;
            self.end_session(oldest, now);
        }
    }
}
