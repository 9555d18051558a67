//! How many passwords one address may have checked in a second. What is remembered is not checked and not counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::admission::network;
use crate::buckets::{Bucket, Rate};

/// Seconds of the rate that an address may use up at once.
const BURST_SECS: u32 = 10;
/// Addresses remembered; beyond it those that have nothing against them are forgotten, then all.
const ADDRESSES_MAX: usize = 100_000;

/// The addresses.
pub(super) struct Checks {
    state: Mutex<State>,
}

struct State {
    rate: Rate,
    addresses: HashMap<IpAddr, Bucket>,
}

impl Checks {
    pub(super) fn new(per_second: u32) -> Self {
        let state = State {
            rate: rate(per_second),
            addresses: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(super) fn limit(&self, per_second: u32) {
        self.lock().rate = rate(per_second);
    }

    /// Counts a check, unless it is one too many.
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let mut state = self.lock();
        let rate = state.rate;
        if state.addresses.len() >= ADDRESSES_MAX {
            state
                .addresses
                .retain(|_, bucket| !bucket.is_full(rate, now));
            // Not worth a search for each login that comes.
            if state.addresses.len() > ADDRESSES_MAX / 2 {
                state.addresses.clear();
            }
        }
        let address = network(address);
        let bucket = state.addresses.entry(address);
        bucket
            .or_insert_with(|| Bucket::full(rate, now))
            .take(rate, now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(per_second: u32) -> Rate {
    Rate {
        per_second,
        burst_secs: BURST_SECS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_keep_the_checkers_busy() {
        let checks = Checks::new(5);
        let (greedy, other): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let begin = Instant::now();
        let admitted = (0..1000).filter(|_| checks.admit(greedy, begin)).count();
        assert_eq!(admitted, 50);
        assert!(checks.admit(other, begin));
        checks.limit(0);
        assert!(checks.admit(greedy, begin));
    }
}
