//! From which addresses somebody has logged in to which accounts: whoever guesses elsewhere does not close an account to them.
//! In memory only: after a restart the first login has to come through by itself.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use records::AccountId;

use crate::admission::network;

/// Pairs of address and account remembered; beyond it the one whose login was longest ago is forgotten.
const PAIRS_MAX: usize = 100_000;
/// A login is noted again only so long after the last one of its pair.
const NOTED_AGAIN: Duration = Duration::from_secs(3600);

type Pair = (IpAddr, AccountId);

/// The pairs.
pub(super) struct KnownAddresses {
    state: Mutex<State>,
}

struct State {
    keep: Duration,
    logins: HashMap<Pair, Instant>,
    /// Every login that was noted, oldest first.
    order: VecDeque<(Instant, Pair)>,
}

impl KnownAddresses {
    pub(super) fn new(keep: Duration) -> Self {
        let state = State {
            keep,
            logins: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(super) fn limit(&self, keep: Duration) {
        self.lock().keep = keep;
    }

    /// Somebody has logged in.
    pub(super) fn note(&self, address: IpAddr, account: AccountId, now: Instant) {
        let mut state = self.lock();
        let pair = (network(address), account);
        let last = state.logins.get(&pair);
        if last.is_some_and(|last| now.duration_since(*last) < NOTED_AGAIN) {
            return;
        }
        state.forget_old(now);
        if !state.keep.is_zero() {
            state.logins.insert(pair, now);
            state.order.push_back((now, pair));
        }
    }

    /// Whether somebody has logged in to the account from there.
    pub(super) fn knows(&self, address: IpAddr, account: AccountId, now: Instant) -> bool {
        let state = self.lock();
        let last = state.logins.get(&(network(address), account));
        last.is_some_and(|last| now.duration_since(*last) < state.keep)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for one.
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, pair)) = self.order.front().copied() {
            if self.order.len() < PAIRS_MAX && now.duration_since(at) < self.keep {
                return;
            }
            self.order.pop_front();
            if self.logins.get(&pair) == Some(&at) {
                self.logins.remove(&pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_for_a_while_to_the_accounts_it_has_logged_in_to() {
        let keep = Duration::from_secs(30 * 24 * 3600);
        let known = KnownAddresses::new(keep);
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let [alice, bob] = [1, 2].map(AccountId::new);
        let begin = Instant::now();
        known.note(here, alice, begin);
        assert!(known.knows(here, alice, begin));
        assert!(!known.knows(here, bob, begin) && !known.knows(there, alice, begin));
        let later = begin + keep / 2;
        known.note(here, alice, later);
        assert!(known.knows(here, alice, begin + keep));
        assert!(!known.knows(here, alice, later + keep));
        known.limit(Duration::ZERO);
        assert!(!known.knows(here, alice, later));
    }

    #[test]
    fn pairs_are_bounded_in_number() {
        let known = KnownAddresses::new(Duration::from_secs(3600));
        let (here, begin) = ([127, 0, 0, 1].into(), Instant::now());
        for number in 0..PAIRS_MAX as u64 + 10 {
            known.note(here, AccountId::new(number), begin);
        }
        assert!(!known.knows(here, AccountId::new(0), begin));
        assert!(known.knows(here, AccountId::new(PAIRS_MAX as u64), begin));
        let state = known.lock();
        assert_eq!(
            (state.logins.len(), state.order.len()),
            (PAIRS_MAX, PAIRS_MAX)
        );
    }
}
