//! What each account takes of the server: lasting sessions, and bytes of filters. All shards count together. An account that wants
//! more than its share loses a session of its own, or is refused; nobody else does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use records::{AccountId, Millis};

use crate::session::{NO_CONNECTION, Session};
use crate::shard::Shard;

/// What a filter takes beside its text, roughly: its places in the session, in the index and in their tables.
const FILTER_OVERHEAD_BYTES: usize = 64;
/// So much of each session is not counted: most sessions have few filters, and shall not cost a look at all accounts.
const FREE_FILTER_BYTES: usize = 4 * 1024;
/// Sessions without a connection that are looked at for one that holds no message, the longest away first.
const LOOKED_AT_MAX: usize = 64;

/// The usage of all accounts, the same for all shards.
#[derive(Debug, Default)]
pub struct AccountUsage(Mutex<BTreeMap<AccountId, Usage>>);

#[derive(Debug, Default)]
struct Usage {
    filter_bytes: usize,
    /// Shard and slot of each lasting session.
    sessions: Vec<(u16, u32)>,
}

impl AccountUsage {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lasting_sessions(&self, account: AccountId) -> usize {
        let usage = self.lock();
        usage.get(&account).map_or(0, |usage| usage.sessions.len())
    }

    fn slots_on(&self, account: AccountId, shard: u16) -> Vec<u32> {
        let usage = self.lock();
        let sessions = usage.get(&account).map(|usage| usage.sessions.as_slice());
        let here = sessions.unwrap_or_default().iter();
        here.filter(|(of, _)| *of == shard)
            .map(|(_, slot)| *slot)
            .collect()
    }

    fn filter_bytes(&self, account: AccountId) -> usize {
        let usage = self.lock();
        usage.get(&account).map_or(0, |usage| usage.filter_bytes)
    }

    fn change(&self, account: AccountId, change: impl FnOnce(&mut Usage)) {
        let mut all = self.lock();
        let usage = all.entry(account).or_default();
        change(usage);
        if usage.sessions.is_empty() && usage.filter_bytes == 0 {
            all.remove(&account);
        }
    }
}

impl Session {
    /// What of its filters counts for its account.
    fn counted_filter_bytes(&self) -> usize {
        (self.filter_bytes as usize).saturating_sub(FREE_FILTER_BYTES)
    }

    /// Whether it would miss something that was acknowledged to a publisher.
    fn holds_messages(&self) -> bool {
        let waits = |waiting: &crate::session::Waiting| !waiting.is_empty();
        self.waiting.as_deref().is_some_and(waits)
            || self.outbound.as_ref().is_some_and(|flow| !flow.is_empty())
    }
}

impl Shard {
    /// Makes room for one more lasting session of an account: for one too many, the session of its own goes that holds nothing, or has
    /// been away longest. False if none of them here is away.
    pub(crate) fn make_room_for_session(&mut self, account: AccountId, now: Millis) -> bool {
        let most = self.settings.limits.sessions_per_account_max;
        if self.usage.lasting_sessions(account) < most {
            return true;
        }
        let slots = self.usage.slots_on(account, self.shard).into_iter();
        let away = slots.filter(|slot| self.sessions[*slot as usize].connection == NO_CONNECTION);
        let least = away.min_by_key(|slot| {
            let session = &self.sessions[*slot as usize];
            (session.holds_messages(), session.disconnected_at)
        });
        let Some(least) = least else {
            return false;
        };
        self.counters.sessions_displaced += 1;
        self.end_session(least, now);
        true
    }

    /// Whether all sessions without a connection there may be hold messages that others were promised to deliver: then nobody can
    /// have another lasting session.
    pub(crate) fn is_full_of_absent(&self) -> bool {
        self.away.len() > self.settings.limits.offline_sessions_max
    }

    /// Of the sessions that have been away longest the first that holds no message.
    pub(crate) fn longest_away_without_messages(&self) -> Option<u32> {
        let oldest = self.away.iter(&self.sessions).take(LOOKED_AT_MAX);
        oldest.into_iter().find(|slot| {
            let session = &self.sessions[*slot as usize];
            !session.holds_messages()
        })
    }

    /// A session outlives its connection from here on.
    pub(crate) fn count_lasting_session(&mut self, slot: u32) {
        let session = &self.sessions[slot as usize];
        if let Some(account) = session.account {
            let place = (self.shard, slot);
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
        let place = (self.shard, slot);
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
