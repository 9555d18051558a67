//! Wrong passwords, counted per address, per account, and per both, in windows of a minute. A password counts as wrong from the moment
//! its check begins until it has proved right, so that no burst is checked beyond a limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use records::AccountName;

use crate::admission::network;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses, names or pairs of them counted at once; beyond it old windows are forgotten, then all.
const COUNTED_MAX: usize = 100_000;

/// The counts.
#[derive(Debug)]
pub(super) struct Failures {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    addresses: Windows<IpAddr>,
    names: Windows<AccountName>,
    pairs: Windows<(IpAddr, AccountName)>,
}

/// Wrong passwords in a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailureLimits {
    pub(super) per_address: u32,
    pub(super) per_account: u32,
    /// Of one address for one account.
    pub(super) per_pair: u32,
}

/// Whether somebody has logged in to the account from the address before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// It waits for its own failures at this account, not for anybody else's.
    Known,
    Unknown,
}

#[derive(Debug)]
struct Windows<K> {
    limit: u32,
    begun: HashMap<K, (Instant, u32)>,
}

/// A failure that was counted before its check.
#[derive(Debug)]
pub(super) struct Reserved {
    key: Key,
    at: Instant,
}

/// Whom a failure counts for. What is no name belongs to nobody, and is not worth remembering.
#[derive(Debug)]
struct Key {
    network: IpAddr,
    name: Option<AccountName>,
}

impl Failures {
    pub(super) fn new(limits: FailureLimits) -> Self {
        let counts = Counts {
            addresses: Windows::new(limits.per_address),
            names: Windows::new(limits.per_account),
            pairs: Windows::new(limits.per_pair),
        };
        Self {
            counts: Mutex::new(counts),
        }
    }

    pub(super) fn limit(&self, limits: FailureLimits) {
        let mut counts = self.lock();
        counts.addresses.limit = limits.per_address;
        counts.names.limit = limits.per_account;
        counts.pairs.limit = limits.per_pair;
    }

    /// How long this name has to wait at this address; `None` if it need not. It makes no difference whether there is an account
    /// of this name.
    pub(super) fn wait(
        &self,
        name: &str,
        network: IpAddr,
        address: Address,
        now: Instant,
    ) -> Option<Duration> {
        self.lock().wait(&Key::new(name, network), address, now)
    }

    /// Counts a failure before its check, unless there are as many as may be: then how long to wait.
    pub(super) fn reserve(
        &self,
        name: &str,
        network: IpAddr,
        address: Address,
        now: Instant,
    ) -> Result<Reserved, Duration> {
        let key = Key::new(name, network);
        let mut counts = self.lock();
        if let Some(wait) = counts.wait(&key, address, now) {
            return Err(wait);
        }
        counts.addresses.count(key.network, now);
        if let Some(name) = &key.name {
            counts.names.count(name.clone(), now);
            counts.pairs.count((key.network, name.clone()), now);
        }
        Ok(Reserved { key, at: now })
    }

    /// The check came to no wrong password.
    pub(super) fn give_back(&self, reserved: &Reserved) {
        let mut counts = self.lock();
        let Reserved { key, at } = reserved;
        counts.addresses.give_back(&key.network, *at);
        if let Some(name) = &key.name {
            counts.names.give_back(name, *at);
            counts.pairs.give_back(&(key.network, name.clone()), *at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(name: &str, address: IpAddr) -> Self {
        Self {
            network: network(address),
            name: AccountName::parse(name).ok(),
        }
    }
}

impl Counts {
    fn wait(&self, key: &Key, address: Address, now: Instant) -> Option<Duration> {
        let name = key.name.as_ref();
        let of_pair = name.and_then(|name| self.pairs.wait(&(key.network, name.clone()), now));
        let wait = match address {
            Address::Known => of_pair,
            Address::Unknown => {
                let of_name = name.and_then(|name| self.names.wait(name, now));
                let of_address = self.addresses.wait(&key.network, now);
                of_pair.max(of_name).max(of_address)
            }
        };
        wait.map(super::at_least_a_second)
    }
}

impl<K: Eq + Hash> Windows<K> {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            begun: HashMap::new(),
        }
    }

    fn count(&mut self, key: K, now: Instant) {
        if self.begun.len() >= COUNTED_MAX {
            self.begun
                .retain(|_, (begun, _)| now.duration_since(*begun) < WINDOW);
            if self.begun.len() >= COUNTED_MAX {
                // Whoever has to wait goes on waiting; the others begin anew.
                let limit = self.limit;
                self.begun.retain(|_, (_, count)| *count >= limit);
            }
            if self.begun.len() >= COUNTED_MAX {
                self.begun.clear();
            }
        }
        let (begun, count) = self.begun.entry(key).or_insert((now, 0));
        if now.duration_since(*begun) >= WINDOW {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }

    fn give_back(&mut self, key: &K, at: Instant) {
        // A window that has begun since, or was forgotten, does not hold it.
        if let Some((begun, count)) = self.begun.get_mut(key)
            && *begun <= at
        {
            *count = count.saturating_sub(1);
        }
    }

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let (begun, count) = self.begun.get(key)?;
        let left = WINDOW
            .checked_sub(now.duration_since(*begun))
            .filter(|left| !left.is_zero())?;
        (*count >= self.limit).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(per_address: u32, per_account: u32, per_pair: u32) -> Failures {
        Failures::new(FailureLimits {
            per_address,
            per_account,
            per_pair,
        })
    }

    fn addresses() -> (IpAddr, IpAddr) {
        ([127, 0, 0, 1].into(), [127, 0, 0, 2].into())
    }

    #[test]
    fn a_guesser_waits_until_the_minute_is_over_and_others_do_not() {
        let failures = failures(5, 3, 1000);
        let (here, there) = addresses();
        let begin = Instant::now();
        for _ in 0..3 {
            assert!(
                failures
                    .reserve("bob", here, Address::Unknown, begin)
                    .is_ok()
            );
        }
        let later = begin + Duration::from_secs(20);
        assert_eq!(
            failures.wait("bob", there, Address::Unknown, later),
            Some(Duration::from_secs(40)),
            "the account is closed"
        );
        assert_eq!(failures.wait("eve", here, Address::Unknown, later), None);
        assert!(
            failures
                .reserve("eve", here, Address::Unknown, later)
                .is_ok()
        );
        assert!(
            failures
                .reserve("eve", here, Address::Unknown, later)
                .is_ok()
        );
        assert_eq!(
            failures.reserve("mia", here, Address::Unknown, later).err(),
            Some(Duration::from_secs(40)),
            "the address is closed"
        );
        assert_eq!(
            failures.wait("bob", here, Address::Unknown, begin + WINDOW),
            None
        );
    }

    #[test]
    fn a_burst_is_checked_up_to_the_limit_and_right_passwords_do_not_count() {
        let failures = failures(60, 1000, 1000);
        let (here, _) = addresses();
        let begin = Instant::now();
        for _ in 0..900 {
            let right = failures.reserve("alice", here, Address::Unknown, begin);
            failures.give_back(&right.expect("none was wrong"));
        }
        let names: Vec<String> = (0..900).map(|number| format!("name{number}")).collect();
        let begun = names
            .iter()
            .filter_map(|name| failures.reserve(name, here, Address::Unknown, begin).ok());
        let begun: Vec<Reserved> = begun.collect();
        assert_eq!(begun.len(), 60, "checks that are under way count");
        failures.give_back(&begun[0]);
        let again = (0..10).filter(|_| {
            failures
                .reserve("eve", here, Address::Unknown, begin)
                .is_ok()
        });
        assert_eq!(again.count(), 1);
        // What is given back in a later minute is not that minute's.
        let later = begin + WINDOW;
        let counted = (0..100).filter(|_| {
            failures
                .reserve("eve", here, Address::Unknown, later)
                .is_ok()
        });
        assert_eq!(counted.count(), 60);
        failures.give_back(&begun[1]);
        assert!(
            failures
                .reserve("eve", here, Address::Unknown, later)
                .is_err()
        );
    }

    #[test]
    fn who_guesses_one_account_waits_long_before_the_account_does_and_closes_it_to_nobody_known() {
        let failures = failures(1000, 10, 3);
        let (here, there) = addresses();
        let now = Instant::now();
        let guess = |from| {
            failures
                .reserve("alice", from, Address::Unknown, now)
                .is_ok()
        };
        let begun = (0..100).filter(|_| guess(here)).count();
        assert_eq!(begun, 3);
        assert!(failures.wait("bob", here, Address::Unknown, now).is_none());
        assert!(
            failures
                .wait("alice", there, Address::Unknown, now)
                .is_none()
        );
        // Many addresses together close it to addresses that have not logged in before.
        let others = (3..100).map(|number| IpAddr::from([127, 0, 0, number]));
        assert_eq!(others.filter(|from| guess(*from)).count(), 7);
        assert!(
            failures
                .wait("alice", there, Address::Unknown, now)
                .is_some()
        );
        let known = failures.reserve("alice", there, Address::Known, now);
        failures.give_back(&known.expect("it has not failed itself"));
        // A known address may guess as often as another one.
        let begun = (0..100).filter(|_| {
            failures
                .reserve("alice", there, Address::Known, now)
                .is_ok()
        });
        assert_eq!(begun.count(), 3);
    }
}
