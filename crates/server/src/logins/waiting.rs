//! Password checks that wait for a thread. Addresses take turns, and of one address the names that it gives, so that nobody
//! waits for the sum of what somebody else has sent. It runs nothing and asks no clock.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use super::Known;
use crate::handle::{RequestError, Secret};

/// Who waits for a check.
pub(crate) trait Caller: Send {
    /// Whether nobody is there any more to hear the outcome.
    fn is_gone(&self) -> bool;
    /// Is told the outcome; not if it is gone.
    fn answer(self: Box<Self>, outcome: Result<Known, RequestError>);
}

/// A password to be checked, and everybody who waits for that.
pub(super) struct Check {
    /// As it was given.
    pub(super) name: Box<str>,
    pub(super) network: IpAddr,
    pub(super) known: Known,
    pub(super) password: Secret,
    /// A keyed digest of the password.
    pub(super) digest: [u8; 32],
    pub(super) callers: Vec<Box<dyn Caller>>,
}

/// How many callers may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingLimits {
    pub(super) all: usize,
    pub(super) per_address: usize,
}

/// The checks.
pub(super) struct WaitingChecks {
    limits: WaitingLimits,
    callers: usize,
    addresses: HashMap<IpAddr, OfAddress>,
    /// Addresses in the order of their turns.
    turns: VecDeque<IpAddr>,
    /// How many callers wait of each, to find who has most.
    sizes: BTreeSet<(usize, IpAddr)>,
    /// Callers that were gone before their check began.
    abandoned: u64,
}

#[derive(Default)]
struct OfAddress {
    callers: usize,
    names: HashMap<Box<str>, VecDeque<Check>>,
    /// Names in the order of their turns.
    turns: VecDeque<Box<str>>,
}

/// Which limit is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMany {
    OfAddress,
    OfServer,
}

/// What became of a check that was to wait.
pub(super) enum Pushed {
    Waits,
    /// It waits, and this caller of the address with most of them gives way.
    InPlaceOf(Box<dyn Caller>),
    Refused(Box<dyn Caller>, TooMany),
}

impl WaitingChecks {
    pub(super) fn new(limits: WaitingLimits) -> Self {
        Self {
            limits,
            callers: 0,
            addresses: HashMap::new(),
            turns: VecDeque::new(),
            sizes: BTreeSet::new(),
            abandoned: 0,
        }
    }

    pub(super) fn limit(&mut self, limits: WaitingLimits) {
        self.limits = limits;
    }

    /// Callers that were gone before their check began, since this was last asked.
    pub(super) fn take_abandoned(&mut self) -> u64 {
        std::mem::take(&mut self.abandoned)
    }

    /// Has a check with one caller wait. The same password of the same name from the same address is checked once, however
    /// many connections bring it: a phone and a laptop after a restart, or a fleet of devices.
    pub(super) fn push(&mut self, mut check: Check) -> Pushed {
        let network = check.network;
        if self.len_of(network) >= self.limits.per_address {
            self.forget_gone(network);
        }
        let own = self.len_of(network);
        let refused = if own >= self.limits.per_address {
            Some(TooMany::OfAddress)
        } else {
            let longest = self.sizes.last().map_or(0, |(callers, _)| *callers);
            (self.callers >= self.limits.all && longest <= own + 1).then_some(TooMany::OfServer)
        };
        if let Some(too_many) = refused {
            let caller = check.callers.pop().expect("a new check has a caller");
            return Pushed::Refused(caller, too_many);
        }
        let displaced = if self.callers >= self.limits.all {
            self.displace()
        } else {
            None
        };
        let of = self.addresses.entry(network).or_default();
        if of.callers == 0 {
            self.turns.push_back(network);
        }
        of.push(check);
        self.resize(network, own);
        displaced.map_or(Pushed::Waits, Pushed::InPlaceOf)
    }

    /// The next check whose turn it is; those for which nobody waits any more are passed over.
    pub(super) fn pop(&mut self) -> Option<Check> {
        while let Some(network) = self.turns.pop_front() {
            let before = self.len_of(network);
            let Some(of) = self.addresses.get_mut(&network) else {
                continue;
            };
            let check = of.pop(&mut self.abandoned);
            if of.callers > 0 {
                self.turns.push_back(network);
            }
            self.resize(network, before);
            if check.is_some() {
                return check;
            }
        }
        None
    }

    fn len_of(&self, network: IpAddr) -> usize {
        self.addresses.get(&network).map_or(0, |of| of.callers)
    }

    /// Drops what an address has waiting for nobody.
    fn forget_gone(&mut self, network: IpAddr) {
        let before = self.len_of(network);
        if let Some(of) = self.addresses.get_mut(&network) {
            of.forget_gone();
            self.abandoned += (before - of.callers) as u64;
            if of.callers == 0 {
                self.turns.retain(|known| *known != network);
            }
            self.resize(network, before);
        }
    }

    /// Takes the newest caller from the address that has most of them.
    fn displace(&mut self) -> Option<Box<dyn Caller>> {
        let (before, network) = self.sizes.last().copied()?;
        let displaced = self.addresses.get_mut(&network)?.pop_newest();
        self.resize(network, before);
        displaced
    }

    /// The number of an address's callers has changed.
    fn resize(&mut self, network: IpAddr, before: usize) {
        let after = self.len_of(network);
        self.callers = self.callers + after - before;
        self.sizes.remove(&(before, network));
        if after > 0 {
            self.sizes.insert((after, network));
        } else {
            self.addresses.remove(&network);
        }
    }
}

impl OfAddress {
    fn push(&mut self, mut check: Check) {
        self.callers += 1;
        let Some(waiting) = self.names.get_mut(&check.name) else {
            self.turns.push_back(check.name.clone());
            self.names.insert(check.name.clone(), [check].into());
            return;
        };
        let same = waiting
            .iter_mut()
            .find(|other| other.digest == check.digest);
        match same {
            Some(same) => same.callers.append(&mut check.callers),
            None => waiting.push_back(check),
        }
    }

    /// The next check that somebody waits for, and what is passed over for want of that.
    fn pop(&mut self, abandoned: &mut u64) -> Option<Check> {
        while let Some(name) = self.turns.pop_front() {
            let waiting = self.names.get_mut(&name)?;
            let check = waiting.pop_front()?;
            if waiting.is_empty() {
                self.names.remove(&name);
            } else {
                self.turns.push_back(name);
            }
            self.callers -= check.callers.len();
            if check.callers.iter().any(|caller| !caller.is_gone()) {
                return Some(check);
            }
            *abandoned += check.callers.len() as u64;
        }
        None
    }

    fn pop_newest(&mut self) -> Option<Box<dyn Caller>> {
        let name = self.turns.back()?;
        let waiting = self.names.get_mut(name)?;
        let check = waiting.back_mut()?;
        let caller = check.callers.pop();
        if check.callers.is_empty() {
            waiting.pop_back();
        }
        if waiting.is_empty() {
            self.names.remove(name);
            self.turns.pop_back();
        }
        self.callers -= usize::from(caller.is_some());
        caller
    }

    fn forget_gone(&mut self) {
        for waiting in self.names.values_mut() {
            for check in waiting.iter_mut() {
                check.callers.retain(|caller| !caller.is_gone());
            }
            waiting.retain(|check| !check.callers.is_empty());
        }
        self.names.retain(|_, waiting| !waiting.is_empty());
        self.turns.retain(|name| self.names.contains_key(name));
        let all = self.names.values().flatten();
        self.callers = all.map(|check| check.callers.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counting(Arc<AtomicUsize>);

    impl Caller for Counting {
        fn is_gone(&self) -> bool {
            self.0.load(Ordering::Relaxed) == usize::MAX
        }

        fn answer(self: Box<Self>, _: Result<Known, RequestError>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn address(number: u8) -> IpAddr {
        [127, 0, 0, number].into()
    }

    fn check(from: u8, name: &str, digest: u8, answers: &Arc<AtomicUsize>) -> Check {
        Check {
            name: name.into(),
            network: address(from),
            known: Known::nobody(),
            password: Secret::new("a password"),
            digest: [digest; 32],
            callers: vec![Box::new(Counting(answers.clone()))],
        }
    }

    fn waiting(all: usize, per_address: usize) -> WaitingChecks {
        WaitingChecks::new(WaitingLimits { all, per_address })
    }

    fn waits(pushed: &Pushed) -> bool {
        matches!(pushed, Pushed::Waits)
    }

    #[test]
    fn everybody_with_the_same_password_hears_of_one_check() {
        let (mut waiting, answers) = (waiting(100, 100), Arc::default());
        for (from, name, digest) in [
            (1, "alice", 1),
            (1, "alice", 1),
            (1, "alice", 2),
            (1, "nobody", 1),
            (2, "alice", 1),
        ] {
            assert!(waits(&waiting.push(check(from, name, digest, &answers))));
        }
        let checks: Vec<Check> = std::iter::from_fn(|| waiting.pop()).collect();
        let callers: Vec<usize> = checks.iter().map(|check| check.callers.len()).collect();
        assert_eq!(
            callers,
            [2, 1, 1, 1],
            "another password, name or address is another check"
        );
        for caller in checks.into_iter().flat_map(|check| check.callers) {
            caller.answer(Err(RequestError::BadCredentials));
        }
        assert_eq!((answers.load(Ordering::Relaxed), waiting.callers), (5, 0));
    }

    #[test]
    fn addresses_take_turns_and_names_within_them() {
        let (mut waiting, answers) = (waiting(1000, 1000), Arc::default());
        for digest in 0..100 {
            waiting.push(check(1, "alice", digest, &answers));
        }
        waiting.push(check(1, "bob", 0, &answers));
        waiting.push(check(2, "carol", 0, &answers));
        let order: Vec<(IpAddr, Box<str>)> = std::iter::from_fn(|| waiting.pop())
            .map(|check| (check.network, check.name))
            .collect();
        let at = |name: &str| order.iter().position(|(_, known)| &**known == name);
        assert_eq!((at("carol"), at("bob")), (Some(1), Some(2)));
        assert_eq!(order.len(), 102);
    }

    #[test]
    fn one_address_waits_with_so_many_only_and_gives_way_when_all_places_are_taken() {
        let (mut waiting, answers) = (waiting(10, 8), Arc::default());
        for digest in 0..8 {
            assert!(waits(&waiting.push(check(1, "alice", digest, &answers))));
        }
        let ninth = waiting.push(check(1, "alice", 9, &answers));
        assert!(matches!(ninth, Pushed::Refused(_, TooMany::OfAddress)));
        // Somebody else finds a place, of the one who has most, until none has more.
        let mut displaced = 0;
        for from in 2..12 {
            match waiting.push(check(from, "bob", 0, &answers)) {
                Pushed::Waits => {}
                Pushed::InPlaceOf(_) => displaced += 1,
                Pushed::Refused(_, too_many) => {
                    assert_eq!((from, too_many), (11, TooMany::OfServer));
                }
            }
            assert!(waiting.callers <= 10);
        }
        assert_eq!(displaced, 7);
        assert_eq!(std::iter::from_fn(|| waiting.pop()).count(), 10);
    }

    #[test]
    fn what_nobody_waits_for_is_not_checked_and_takes_no_place() {
        let (mut waiting, answers) = (waiting(100, 8), Arc::default());
        let gone = Arc::new(AtomicUsize::new(usize::MAX));
        for digest in 0..8 {
            waiting.push(check(1, "alice", digest, &gone));
        }
        // Of two who wait for the same, one is still there.
        waiting.push(check(2, "bob", 1, &gone));
        waiting.push(check(2, "bob", 1, &answers));
        waiting.push(check(2, "carol", 1, &gone));
        assert!(waits(&waiting.push(check(1, "alice", 9, &answers))));
        let checks: Vec<Check> = std::iter::from_fn(|| waiting.pop()).collect();
        let names: Vec<&str> = checks.iter().map(|check| &*check.name).collect();
        assert_eq!(names, ["bob", "alice"]);
        assert_eq!((waiting.take_abandoned(), waiting.callers), (9, 0));
    }
}
