//! Wrong passwords, counted per address and per account in windows of a minute. Beyond the limit nobody's password is
//! checked until the window is over.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use records::AccountName;

use crate::admission::network;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses or names counted at once; beyond it old windows are forgotten, then all.
const COUNTED_MAX: usize = 100_000;

/// The counts.
#[derive(Debug)]
pub(super) struct Failures {
    addresses: Mutex<Windows<IpAddr>>,
    names: Mutex<Windows<AccountName>>,
}

#[derive(Debug)]
struct Windows<K> {
    limit: u32,
    begun: HashMap<K, (Instant, u32)>,
}

impl Failures {
    pub(super) fn new(per_address: u32, per_account: u32) -> Self {
        Self {
            addresses: Mutex::new(Windows {
                limit: per_address,
                begun: HashMap::new(),
            }),
            names: Mutex::new(Windows {
                limit: per_account,
                begun: HashMap::new(),
            }),
        }
    }

    pub(super) fn limit(&self, per_address: u32, per_account: u32) {
        lock(&self.addresses).limit = per_address;
        lock(&self.names).limit = per_account;
    }

    /// Counts a wrong password.
    pub(super) fn note(&self, name: &str, address: IpAddr, now: Instant) {
        lock(&self.addresses).note(network(address), now);
        if let Ok(name) = AccountName::parse(name) {
            lock(&self.names).note(name, now);
        }
    }

    /// How long this account has to wait, from wherever it is tried.
    pub(super) fn wait_of_account(&self, name: &str, now: Instant) -> Option<Duration> {
        let name = AccountName::parse(name).ok()?;
        let wait = lock(&self.names).wait(&name, now);
        wait.map(super::at_least_a_second)
    }

    /// How long this address or account has to wait; `None` if it need not.
    pub(super) fn wait(&self, name: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let address = lock(&self.addresses).wait(&network(address), now);
        // What is no name belongs to nobody, and is not worth remembering.
        let name = AccountName::parse(name).ok();
        let name = name.and_then(|name| lock(&self.names).wait(&name, now));
        address.max(name).map(super::at_least_a_second)
    }
}

impl<K: Eq + Hash> Windows<K> {
    fn note(&mut self, key: K, now: Instant) {
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

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let (begun, count) = self.begun.get(key)?;
        let left = WINDOW
            .checked_sub(now.duration_since(*begun))
            .filter(|left| !left.is_zero())?;
        (*count >= self.limit).then_some(left)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_waits_until_the_minute_is_over_and_others_do_not() {
        let failures = Failures::new(5, 3);
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let begin = Instant::now();
        for _ in 0..3 {
            assert_eq!(failures.wait("bob", here, begin), None);
            failures.note("bob", here, begin);
        }
        let later = begin + Duration::from_secs(20);
        assert_eq!(
            failures.wait("bob", there, later),
            Some(Duration::from_secs(40)),
            "the account is closed"
        );
        assert_eq!(failures.wait("eve", here, later), None);
        failures.note("eve", here, later);
        failures.note("eve", here, later);
        assert_eq!(
            failures.wait("mia", here, later),
            Some(Duration::from_secs(40)),
            "the address is closed"
        );
        assert_eq!(failures.wait("bob", here, begin + WINDOW), None);
    }
}
