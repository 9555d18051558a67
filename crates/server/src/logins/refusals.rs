//! What the log tells of refused logins: at most one line a minute for each address, with how many were left out. Names come
//! from unauthenticated clients and are shortened and cleaned.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::admission::network;
use crate::printed::clean;
use crate::repeats::PAUSE;

/// Addresses remembered; while there are more within a minute, nothing is told of the others.
const ADDRESSES_MAX: usize = 10_000;

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no such account, or the password, proof or token is not its own.
    Wrong,
    /// Too many were wrong before it.
    Throttled,
    /// Its address comes too often.
    Rate,
    /// Too many wait for their check.
    Waiting,
}

/// The addresses.
pub(super) struct Refusals {
    state: Mutex<State>,
}

struct State {
    addresses: HashMap<IpAddr, OfAddress>,
    /// Refused logins of addresses that are not remembered.
    others: u64,
    looked: Instant,
}

struct OfAddress {
    told: Instant,
    left_out: u64,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// This one, and so many that were left out since the last line of its address.
    Refused { left_out: u64 },
    /// It is left out.
    None,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            addresses: HashMap::new(),
            others: 0,
            looked: now,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// A login is refused.
    pub(super) fn note(&self, name: &str, address: IpAddr, why: Why, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = state.note(network(address), now);
        drop(state);
        if let Line::Refused { left_out } = line {
            let (name, why) = (clean(name), why.told());
            tracing::info!(%name, %address, why, left_out, "login refused");
        }
    }

    /// Tells what was left out of addresses that have been quiet since; to be called about once a second.
    pub(super) fn look(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = state.forget_quiet(now);
        drop(state);
        for (address, left_out) in quiet {
            match address {
                Some(address) => tracing::info!(%address, left_out, "more logins refused"),
                None => tracing::info!(left_out, "more logins refused, of many addresses"),
            }
        }
    }
}

impl State {
    fn note(&mut self, network: IpAddr, now: Instant) -> Line {
        if let Some(known) = self.addresses.get_mut(&network) {
            if now.duration_since(known.told) < PAUSE {
                known.left_out += 1;
                return Line::None;
            }
            known.told = now;
            let left_out = std::mem::take(&mut known.left_out);
            return Line::Refused { left_out };
        }
        if self.addresses.len() >= ADDRESSES_MAX {
            self.others += 1;
            return Line::None;
        }
        let known = OfAddress {
            told: now,
            left_out: 0,
        };
        self.addresses.insert(network, known);
        Line::Refused { left_out: 0 }
    }

    /// Forgets addresses that have not been told of for a minute; what was left out of them.
    fn forget_quiet(&mut self, now: Instant) -> Vec<(Option<IpAddr>, u64)> {
        if now.duration_since(self.looked) < PAUSE {
            return Vec::new();
        }
        self.looked = now;
        let quiet = |known: &OfAddress| now.duration_since(known.told) >= PAUSE;
        let gone = self.addresses.extract_if(|_, known| quiet(known));
        let mut left_out: Vec<(Option<IpAddr>, u64)> = gone
            .filter(|(_, known)| known.left_out > 0)
            .map(|(address, known)| (Some(address), known.left_out))
            .collect();
        left_out.sort_unstable();
        if self.others > 0 {
            left_out.push((None, std::mem::take(&mut self.others)));
        }
        left_out
    }
}

impl Why {
    fn told(self) -> &'static str {
        match self {
            Self::Wrong => "wrong name or password",
            Self::Throttled => "too many wrong passwords",
            Self::Rate => "too many checks in a second",
            Self::Waiting => "too many checks wait",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn an_address_gets_a_line_a_minute_with_what_was_left_out() {
        let begin = Instant::now();
        let refusals = Refusals::new(begin);
        let mut state = refusals.state.lock().unwrap();
        let refused = |left_out| Line::Refused { left_out };
        assert_eq!(state.note(address(1), begin), refused(0));
        for _ in 0..900 {
            assert_eq!(state.note(address(1), begin), Line::None);
        }
        assert_eq!(state.note(address(2), begin), refused(0));
        assert_eq!(state.note(address(1), begin + PAUSE), refused(900));
        assert_eq!(state.note(address(1), begin + PAUSE), Line::None);
        // Whoever has stopped is told of all the same.
        let later = begin + 2 * PAUSE;
        assert_eq!(state.forget_quiet(later), [(Some(address(1)), 1)]);
        assert!(state.addresses.is_empty());
    }

    #[test]
    fn addresses_are_bounded_in_number() {
        let begin = Instant::now();
        let refusals = Refusals::new(begin);
        let mut state = refusals.state.lock().unwrap();
        let all = ADDRESSES_MAX as u32 + 5;
        let told = (0..all).filter(|number| state.note(address(*number), begin) != Line::None);
        assert_eq!(told.count(), ADDRESSES_MAX);
        assert_eq!(state.forget_quiet(begin + PAUSE), [(None, 5)]);
    }
}
