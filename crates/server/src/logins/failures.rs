//! Wrong passwords, counted per address and per account in windows of a minute. A password counts as wrong from the moment
//! its check begins until it has proved right, so that no burst is checked beyond a limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use records::AccountName;

use crate::admission::network;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses or names counted at once; beyond it old windows are forgotten, then all.
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
    address: IpAddr,
    name: Option<AccountName>,
}

impl Failures {
    pub(super) fn new(per_address: u32, per_account: u32) -> Self {
        let counts = Counts {
            addresses: Windows::new(per_address),
            names: Windows::new(per_account),
        };
        Self {
            counts: Mutex::new(counts),
        }
    }

    pub(super) fn limit(&self, per_address: u32, per_account: u32) {
        let mut counts = self.lock();
        counts.addresses.limit = per_address;
        counts.names.limit = per_account;
    }

    /// How long this address or account has to wait; `None` if it need not. It makes no difference whether there is an account
    /// of this name.
    pub(super) fn wait(&self, name: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        self.lock().wait(&Key::new(name, address), now)
    }

    /// Counts a failure before its check, unless there are as many as may be: then how long to wait.
    pub(super) fn reserve(
        &self,
        name: &str,
        address: IpAddr,
        now: Instant,
    ) -> Result<Reserved, Duration> {
        let key = Key::new(name, address);
        let mut counts = self.lock();
        if let Some(wait) = counts.wait(&key, now) {
            return Err(wait);
        }
        counts.addresses.count(key.address, now);
        if let Some(name) = &key.name {
            counts.names.count(name.clone(), now);
        }
        Ok(Reserved { key, at: now })
    }

    /// The check came to no wrong password.
    pub(super) fn give_back(&self, reserved: &Reserved) {
        let mut counts = self.lock();
        let Reserved { key, at } = reserved;
        counts.addresses.give_back(&key.address, *at);
        if let Some(name) = &key.name {
            counts.names.give_back(name, *at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(name: &str, address: IpAddr) -> Self {
        Self {
            address: network(address),
            name: AccountName::parse(name).ok(),
        }
    }
}

impl Counts {
    fn wait(&self, key: &Key, now: Instant) -> Option<Duration> {
        let address = self.addresses.wait(&key.address, now);
        let name = key.name.as_ref();
        let name = name.and_then(|name| self.names.wait(name, now));
        address.max(name).map(super::at_least_a_second)
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

    fn addresses() -> (IpAddr, IpAddr) {
        ([127, 0, 0, 1].into(), [127, 0, 0, 2].into())
    }

    #[test]
    fn a_guesser_waits_until_the_minute_is_over_and_others_do_not() {
        let failures = Failures::new(5, 3);
        let (here, there) = addresses();
        let begin = Instant::now();
        for _ in 0..3 {
            assert!(failures.reserve("bob", here, begin).is_ok());
        }
        let later = begin + Duration::from_secs(20);
        assert_eq!(
            failures.wait("bob", there, later),
            Some(Duration::from_secs(40)),
            "the account is closed"
        );
        assert_eq!(failures.wait("eve", here, later), None);
        assert!(failures.reserve("eve", here, later).is_ok());
        assert!(failures.reserve("eve", here, later).is_ok());
        assert_eq!(
            failures.reserve("mia", here, later).err(),
            Some(Duration::from_secs(40)),
            "the address is closed"
        );
        assert_eq!(failures.wait("bob", here, begin + WINDOW), None);
    }

    #[test]
    fn a_burst_is_checked_up_to_the_limit_and_right_passwords_do_not_count() {
        let failures = Failures::new(60, 1000);
        let (here, _) = addresses();
        let begin = Instant::now();
        for _ in 0..900 {
            let right = failures.reserve("alice", here, begin);
            failures.give_back(&right.expect("none was wrong"));
        }
        let names: Vec<String> = (0..900).map(|number| format!("name{number}")).collect();
        let begun = names
            .iter()
            .filter_map(|name| failures.reserve(name, here, begin).ok());
        let begun: Vec<Reserved> = begun.collect();
        assert_eq!(begun.len(), 60, "checks that are under way count");
        failures.give_back(&begun[0]);
        let again = (0..10).filter(|_| failures.reserve("eve", here, begin).is_ok());
        assert_eq!(again.count(), 1);
        // What is given back in a later minute is not that minute's.
        let later = begin + WINDOW;
        let counted = (0..100).filter(|_| failures.reserve("eve", here, later).is_ok());
        assert_eq!(counted.count(), 60);
        failures.give_back(&begun[1]);
        assert!(failures.reserve("eve", here, later).is_err());
    }
}
