//! What each account takes of the server, lasting sessions and bytes of filters, which all shards count together. What follows from it
//! is `account_limits`' business.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use records::AccountId;

/// The usage of all accounts, the same for all shards.
#[derive(Debug, Default)]
pub struct AccountUsage(Mutex<BTreeMap<AccountId, Usage>>);

/// Of one account.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) filter_bytes: usize,
    /// Shard and slot of each lasting session.
    pub(crate) sessions: Vec<(u16, u32)>,
}

impl AccountUsage {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lasting_sessions(&self, account: AccountId) -> usize {
        let usage = self.lock();
        usage.get(&account).map_or(0, |usage| usage.sessions.len())
    }

    pub(crate) fn slots_on(&self, account: AccountId, shard: u16) -> Vec<u32> {
        let usage = self.lock();
        let sessions = usage.get(&account).map(|usage| usage.sessions.as_slice());
        let here = sessions.unwrap_or_default().iter();
        here.filter(|(of, _)| *of == shard)
            .map(|(_, slot)| *slot)
            .collect()
    }

    pub(crate) fn filter_bytes(&self, account: AccountId) -> usize {
        let usage = self.lock();
        usage.get(&account).map_or(0, |usage| usage.filter_bytes)
    }

    pub(crate) fn change(&self, account: AccountId, change: impl FnOnce(&mut Usage)) {
        let mut all = self.lock();
        let usage = all.entry(account).or_default();
        change(usage);
        if usage.sessions.is_empty() && usage.filter_bytes == 0 {
            all.remove(&account);
        }
    }
}
