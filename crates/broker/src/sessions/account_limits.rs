//! What one account may have of the server in sessions and filters: it counts what the sessions of this shard take, together with
//! the other shards. Whoever is refused or ended for it is `admission`'s business.

use std::sync::Arc;

use records::AccountId;

use crate::sessions::account_usage::AccountUsage;
use crate::sessions::session::Session;

/// What a filter takes beside its text, roughly: its places in the session, in the index and in their tables.
const FILTER_OVERHEAD_BYTES: usize = 64;
/// So much of each session is not counted: most sessions have few filters, and shall not cost a look at all accounts.
const FREE_FILTER_BYTES: usize = 4 * 1024;

/// The counting of one shard.
#[derive(Debug)]
pub(crate) struct AccountLimits {
    usage: Arc<AccountUsage>,
    shard: u16,
}

impl AccountLimits {
    pub(crate) fn new(usage: Arc<AccountUsage>, shard: u16) -> Self {
        Self { usage, shard }
    }

    /// Lasting sessions of an account, on all shards.
    pub(crate) fn lasting_sessions(&self, account: AccountId) -> usize {
        self.usage.lasting_sessions(account)
    }

    /// Slots of those that are on this shard.
    pub(crate) fn lasting_here(&self, account: AccountId) -> Vec<u32> {
        self.usage.slots_on(account, self.shard)
    }

    /// A session outlives its connection from here on.
    pub(crate) fn count_lasting(&self, session: &Session, slot: u32) {
        if let Some(account) = session.account {
            let place = (self.shard, slot);
            self.usage
                .change(account, |usage| usage.sessions.push(place));
        }
    }

    /// A session is over, and with it all it has.
    pub(crate) fn uncount(&self, session: &mut Session, slot: u32) {
        let (lasting, bytes) = (session.is_stored(), counted_filter_bytes(session));
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

    /// Whether the account of a session may have another filter, with so many bytes of filters at most.
    pub(crate) fn has_room_for_filter(&self, session: &Session, filter: &str, most: usize) -> bool {
        let Some(account) = session.account else {
            return true;
        };
        let more = filter.len() + FILTER_OVERHEAD_BYTES;
        let is_free = session.filter_bytes as usize + more <= FREE_FILTER_BYTES;
        is_free || self.usage.filter_bytes(account) + more <= most
    }

    /// A session has another filter.
    pub(crate) fn count_filter(&self, session: &mut Session, filter: &str) {
        let more = (filter.len() + FILTER_OVERHEAD_BYTES) as u32;
        self.change_filter_bytes(session, |bytes| bytes + more);
    }

    /// A session has given one up.
    pub(crate) fn uncount_filter(&self, session: &mut Session, filter: &str) {
        let less = (filter.len() + FILTER_OVERHEAD_BYTES) as u32;
        self.change_filter_bytes(session, |bytes| bytes.saturating_sub(less));
    }

    fn change_filter_bytes(&self, session: &mut Session, change: impl FnOnce(u32) -> u32) {
        let before = counted_filter_bytes(session);
        session.filter_bytes = change(session.filter_bytes);
        let after = counted_filter_bytes(session);
        if let Some(account) = session.account
            && before != after
        {
            self.usage.change(account, |usage| {
                usage.filter_bytes = usage.filter_bytes + after - before;
            });
        }
    }
}

/// What of a session's filters counts for its account.
fn counted_filter_bytes(session: &Session) -> usize {
    (session.filter_bytes as usize).saturating_sub(FREE_FILTER_BYTES)
}
