//! How much of its publish rate each account has used up, which all shards of a server count together. It charges; who
//! waits for it, and how, is `rates`' business.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use records::{AccountId, Millis};

/// Seconds of the rate that may be used up at once.
const BURST_SECS: u64 = 2;
const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// Accounts remembered before those that no shard remembers are looked for.
const REMEMBERED_MIN: usize = 1024;

/// One publisher's messages at an even pace: when the next one would be due, in nanoseconds since the Unix epoch (the
/// generic cell rate algorithm, ITU-T I.371). One number, so that shards need no lock to charge.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Charges one message; until when to wait before the next one.
    pub(crate) fn charge(&self, per_second: u32, now: Millis) -> Option<Millis> {
        let step = SECOND / u64::from(per_second);
        let now = nanos(now);
        let next = |due: u64| due.max(now).saturating_add(step);
        let charged = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| Some(next(due)));
        let due = next(charged.unwrap_or_else(|due| due));
        // The next message has to be there as a whole.
        let free_at = due.saturating_add(step).saturating_sub(BURST_SECS * SECOND);
        (free_at > now).then(|| Millis::new(free_at.div_ceil(MILLISECOND)))
    }

    /// Whether it has nothing to remember.
    pub(crate) fn is_rested(&self, now: Millis) -> bool {
        self.0.load(Ordering::Relaxed) <= nanos(now)
    }
}

fn nanos(now: Millis) -> u64 {
    now.value().saturating_mul(MILLISECOND)
}

/// The paces of accounts, the same for all shards. A shard asks once for each account that publishes through it.
#[derive(Debug, Default)]
pub struct Allowances(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    paces: BTreeMap<AccountId, Arc<Pace>>,
    /// How many there may be before the next search.
    search_at: usize,
}

impl Allowances {
    pub(crate) fn of(&self, account: AccountId, now: Millis) -> Arc<Pace> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.paces.len() >= known.search_at {
            known
                .paces
                .retain(|_, pace| Arc::strong_count(pace) > 1 || !pace.is_rested(now));
            known.search_at = REMEMBERED_MIN.max(known.paces.len() * 2);
        }
        known.paces.entry(account).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 1_766_000_000_000;

    #[test]
    fn two_seconds_may_be_used_up_at_once_and_then_so_many_a_second() {
        for per_second in [1, 7, 1000, 300_000, 1_000_000] {
            let pace = Pace::default();
            let mut now = Millis::new(BEGIN);
            let mut charged = 0_u64;
            for _ in 0..10 {
                while pace.charge(per_second, now).is_none() {
                    charged += 1;
                }
                charged += 1;
                now = now.saturating_add(1000);
            }
            let expected = 11 * u64::from(per_second);
            let off = charged.abs_diff(expected);
            assert!(off <= expected / 1000 + 10, "{charged} of {expected}");
        }
    }

    #[test]
    fn an_account_that_nobody_remembers_and_that_has_rested_is_forgotten() {
        let allowances = Allowances::default();
        let kept = allowances.of(AccountId::new(1), Millis::new(BEGIN));
        allowances
            .of(AccountId::new(2), Millis::new(BEGIN))
            .charge(1, Millis::new(BEGIN));
        for account in 3..5000 {
            allowances.of(AccountId::new(account), Millis::new(BEGIN));
        }
        kept.charge(1, Millis::new(BEGIN));
        let known = allowances.0.lock().unwrap();
        assert!(
            known.paces.len() <= REMEMBERED_MIN + 2,
            "{}",
            known.paces.len()
        );
        assert!(known.paces.contains_key(&AccountId::new(1)));
        assert!(known.paces.contains_key(&AccountId::new(2)));
    }
}
