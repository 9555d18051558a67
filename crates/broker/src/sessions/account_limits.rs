//! An account that wants more of the server than its share loses a session of its own, or is refused; nobody else does.

use records::{AccountId, Millis};

use crate::sessions::session::{NO_CONNECTION, Session, Waiting};
use crate::shard::Shard;

/// What a filter takes beside its text, roughly: its places in the session, in the index and in their tables.
const FILTER_OVERHEAD_BYTES: usize = 64;
/// So much of each session is not counted: most sessions have few filters, and shall not cost a look at all accounts.
const FREE_FILTER_BYTES: usize = 4 * 1024;
/// Sessions without a connection that are looked at for one that holds no message, the longest offline first.
const LOOKED_AT_MAX: usize = 64;

impl Session {
    /// What of its filters counts for its account.
    fn counted_filter_bytes(&self) -> usize {
        (self.filter_bytes as usize).saturating_sub(FREE_FILTER_BYTES)
    }

    /// Whether it would miss something that was acknowledged to a publisher.
    fn has_messages(&self) -> bool {
        let waits = |waiting: &Waiting| !waiting.is_empty();
        self.waiting.as_deref().is_some_and(waits)
            || self.outbound.as_ref().is_some_and(|flow| !flow.is_empty())
    }
}

impl Shard {
    /// Makes room for one more lasting session of an account: for one too many, the session of its own goes that holds nothing, or has
    /// been offline longest. False if none of them here is offline.
    pub(crate) fn make_room_for_session(&mut self, account: AccountId, now: Millis) -> bool {
        let most = self.settings.limits.sessions_per_account_max;
        if self.usage.lasting_sessions(account) < most {
            return true;
        }
        let slots = self.usage.slots_on(account, self.peers.own()).into_iter();
        let offline =
            slots.filter(|slot| self.sessions[*slot as usize].connection == NO_CONNECTION);
        let least = offline.min_by_key(|slot| {
            let session = &self.sessions[*slot as usize];
            (session.has_messages(), session.disconnected_at)
        });
        let Some(least) = least else {
            return false;
        };
        self.metrics.counters.sessions_displaced += 1;
        self.end_session(least, now);
        true
    }

    /// Whether all sessions without a connection there may be hold messages that others were promised to deliver: then nobody can
    /// have another lasting session.
    pub(crate) fn is_full_of_offline_sessions(&self) -> bool {
        self.offline.len() > self.settings.limits.offline_sessions_max
    }

    /// Of the sessions that have been offline longest the first that holds no message.
    pub(crate) fn oldest_offline_without_messages(&self) -> Option<u32> {
        let oldest = self.offline.iter(&self.sessions).take(LOOKED_AT_MAX);
        oldest.into_iter().find(|slot| {
            let session = &self.sessions[*slot as usize];
            !session.has_messages()
        })
    }

    /// A session outlives its connection from here on.
    pub(crate) fn count_lasting_session(&mut self, slot: u32) {
        let session = &self.sessions[slot as usize];
        if let Some(account) = session.account {
            let place = (self.peers.own(), slot);
            self.usage
                .change(account, |usage| usage.sessions.push(place));
        }
    }

    /// A session is over, and with it all it holds.
    pub(crate) fn uncount_session(&mut self, slot: u32) {
        let session = &mut self.sessions[slot as usize];
        let (lasting, bytes) = (session.is_stored(), session.counted_filter_bytes());
        session.filter_bytes = 0;
        let Some(account) = session.account else {
            return;
        };
        if !lasting && bytes == 0 {
            return;
        }
        let place = (self.peers.own(), slot);
        self.usage.change(account, |usage| {
            usage.sessions.retain(|known| *known != place);
            usage.filter_bytes -= bytes;
        });
    }

    /// Whether the account of a session may have another filter.
    pub(crate) fn has_room_for_filter(&self, slot: u32, filter: &str) -> bool {
        let session = &self.sessions[slot as usize];
        let Some(account) = session.account else {
            return true;
        };
        let more = filter.len() + FILTER_OVERHEAD_BYTES;
        let is_free = session.filter_bytes as usize + more <= FREE_FILTER_BYTES;
        is_free
            || self.usage.filter_bytes(account) + more
                <= self.settings.limits.filter_bytes_per_account_max
    }

    /// A session has another filter.
    pub(crate) fn count_filter(&mut self, slot: u32, filter: &str) {
        let more = (filter.len() + FILTER_OVERHEAD_BYTES) as u32;
        self.change_filter_bytes(slot, |bytes| bytes + more);
    }

    /// A session has given one up.
    pub(crate) fn uncount_filter(&mut self, slot: u32, filter: &str) {
        let less = (filter.len() + FILTER_OVERHEAD_BYTES) as u32;
        self.change_filter_bytes(slot, |bytes| bytes.saturating_sub(less));
    }

    fn change_filter_bytes(&mut self, slot: u32, change: impl FnOnce(u32) -> u32) {
        let session = &mut self.sessions[slot as usize];
        let before = session.counted_filter_bytes();
        session.filter_bytes = change(session.filter_bytes);
        let after = session.counted_filter_bytes();
        if let Some(account) = session.account
            && before != after
        {
            self.usage.change(account, |usage| {
                usage.filter_bytes = usage.filter_bytes + after - before;
            });
        }
    }
}
