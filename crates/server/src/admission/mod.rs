//! How many connections there may be: of the whole server, from one address, and from it in a second. What is too much is
//! closed at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::buckets::{Bucket, Rate};
use crate::config::{ListenerConfig, MqttConfig};
use crate::entrance::Origin;

/// Seconds of the rate that an address may use up at once.
const BURST_SECS: u32 = 5;
/// Addresses remembered though they have no connection, for how often they came.
const ABSENT_MAX: usize = 100_000;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionLimits {
    pub(crate) connections_max: usize,
    pub(crate) per_address_max: usize,
    /// From one address in a second; 0 is without limit.
    pub(crate) per_second_per_address: u32,
}

impl AdmissionLimits {
    pub(crate) fn of(config: &MqttConfig) -> Self {
        Self {
            connections_max: config.connections_max,
            per_address_max: config.connections_per_address_max,
            per_second_per_address: config.connections_per_second_per_address,
        }
    }

    fn rate(&self) -> Rate {
        Rate {
            per_second: self.per_second_per_address,
            burst_secs: BURST_SECS,
        }
    }
}

/// The connections there are, counted by all shards together.
pub(crate) struct Admission {
    state: Mutex<State>,
    /// By entrance, for those with limits of their own.
    entrances: Vec<Option<Mutex<State>>>,
    refused_by_entrance: metrics::Counter,
    refused_by_server: metrics::Counter,
    refused_by_address: metrics::Counter,
    refused_by_rate: metrics::Counter,
}

struct State {
    limits: AdmissionLimits,
    connections: usize,
    /// Addresses without a connection.
    absent: usize,
    addresses: HashMap<IpAddr, Address>,
}

struct Address {
    connections: u32,
    bucket: Bucket,
}

/// Which limit is in the way.
enum Full {
    Server,
    Address,
    Rate,
}

impl Admission {
    pub(crate) fn new(config: &MqttConfig) -> Self {
        let limits = AdmissionLimits::of(config);
        metrics::describe_counter!(
            "magpie_connections_refused_total",
            "Connections beyond the limit of the server, of one address, or of its connections in a second; closed at once."
        );
        let refused = |limit: &'static str| metrics::counter!("magpie_connections_refused_total", "limit" => limit);
        Self {
            state: Mutex::new(State::new(limits)),
            entrances: config.listeners.iter().map(own_state).collect(),
            refused_by_entrance: refused("listener"),
            refused_by_server: refused("server"),
            refused_by_address: refused("address"),
            refused_by_rate: refused("rate"),
        }
    }

    pub(crate) fn limit(&self, limits: AdmissionLimits) {
        self.lock().limits = limits;
    }

    /// Counts a connection in, unless it is one too many, which is counted as refused.
    pub(crate) fn admit(&self, origin: Origin) -> bool {
        let address = network(origin.address);
        let now = Instant::now();
        if let Some(mut own) = self.own(origin)
            && own.enter(address, now).is_err()
        {
            self.refused_by_entrance.increment(1);
            return false;
        }
        let outcome = self.lock().enter(address, now);
        if outcome.is_err()
            && let Some(mut own) = self.own(origin)
        {
            own.leave(address, now);
        }
        match outcome {
            Ok(()) => return true,
            Err(Full::Server) => self.refused_by_server.increment(1),
            Err(Full::Address) => self.refused_by_address.increment(1),
            Err(Full::Rate) => self.refused_by_rate.increment(1),
        }
        false
    }

    /// Counts a connection out.
    pub(crate) fn release(&self, origin: Origin) {
        let address = network(origin.address);
        let now = Instant::now();
        if let Some(mut own) = self.own(origin) {
            own.leave(address, now);
        }
        self.lock().leave(address, now);
    }

    fn own(&self, origin: Origin) -> Option<MutexGuard<'_, State>> {
        let index = usize::from(origin.entrance.0).checked_sub(1)?;
        let state = self.entrances.get(index)?.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The count of a listener with limits of its own.
fn own_state(listener: &ListenerConfig) -> Option<Mutex<State>> {
    let limits = &listener.limits;
    let any = limits.connections_max.is_some() || limits.connections_per_address_max.is_some();
    any.then(|| {
        Mutex::new(State::new(AdmissionLimits {
            connections_max: limits.connections_max.unwrap_or(usize::MAX),
            per_address_max: limits.connections_per_address_max.unwrap_or(usize::MAX),
            per_second_per_address: 0,
        }))
    })
}

impl State {
    fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            connections: 0,
            absent: 0,
            addresses: HashMap::new(),
        }
    }

    fn enter(&mut self, address: IpAddr, now: Instant) -> Result<(), Full> {
        if self.connections >= self.limits.connections_max {
            return Err(Full::Server);
        }
        if address.is_unspecified() {
            // A Unix socket's peer, or one whose proxy has not said yet who it is.
            self.connections += 1;
            return Ok(());
        }
        let rate = self.limits.rate();
        let absent = &mut self.absent;
        let known = self.addresses.entry(address).or_insert_with(|| {
            *absent += 1;
            Address {
                connections: 0,
                bucket: Bucket::full(rate, now),
            }
        });
        if known.connections as usize >= self.limits.per_address_max {
            return Err(Full::Address);
        }
        if !known.bucket.take(rate, now) {
            return Err(Full::Rate);
        }
        if known.connections == 0 {
            self.absent -= 1;
        }
        known.connections += 1;
        self.connections += 1;
        Ok(())
    }

    fn leave(&mut self, address: IpAddr, now: Instant) {
        self.connections = self.connections.saturating_sub(1);
        let rate = self.limits.rate();
        let Some(known) = self.addresses.get_mut(&address) else {
            return;
        };
        known.connections = known.connections.saturating_sub(1);
        if known.connections > 0 {
            return;
        }
        if rate.per_second == 0 || known.bucket.is_full(rate, now) {
            self.addresses.remove(&address);
            return;
        }
        self.absent += 1;
        if self.absent >= ABSENT_MAX {
            self.forget_absent(rate, now);
        }
    }

    /// Forgets who has no connection: those with nothing against them, or all, if that is not enough.
    fn forget_absent(&mut self, rate: Rate, now: Instant) {
        self.addresses
            .retain(|_, known| known.connections > 0 || !known.bucket.is_full(rate, now));
        self.absent = self
            .addresses
            .values()
            .filter(|known| known.connections == 0)
            .count();
        // Not worth a search for each connection that goes.
        if self.absent > ABSENT_MAX / 2 {
            self.addresses.retain(|_, known| known.connections > 0);
            self.absent = 0;
        }
    }
}

/// Who counts as one peer: an IPv4 address, or the /64 that one IPv6 customer has at least.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrance::EntranceNumber;

    fn from(address: [u8; 4], entrance: u8) -> Origin {
        Origin {
            address: address.into(),
            entrance: EntranceNumber(entrance),
        }
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let admission = Admission::new(&MqttConfig {
            connections_max: 3,
            connections_per_address_max: 2,
            connections_per_second_per_address: 0,
            ..MqttConfig::default()
        });
        let [greedy, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|address| from(address, 0));
        assert!(admission.admit(greedy) && admission.admit(greedy));
        assert!(!admission.admit(greedy));
        assert!(admission.admit(other));
        assert!(!admission.admit(other), "the server as a whole is full");
        admission.release(greedy);
        assert!(admission.admit(other));
    }

    #[test]
    fn a_listener_has_limits_of_its_own() {
        let mut small = ListenerConfig::default();
        small.limits.connections_max = Some(3);
        small.limits.connections_per_address_max = Some(2);
        let admission = Admission::new(&MqttConfig {
            connections_max: 4,
            connections_per_second_per_address: 0,
            listeners: vec![ListenerConfig::default(), small],
            ..MqttConfig::default()
        });
        let [greedy, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|address| from(address, 2));
        assert!(admission.admit(greedy) && admission.admit(greedy));
        assert!(!admission.admit(greedy));
        assert!(
            admission.admit(from([127, 0, 0, 1], 1)),
            "another listener has room"
        );
        assert!(admission.admit(other));
        admission.release(other);
        assert!(admission.admit(from([127, 0, 0, 3], 1)));
        assert!(!admission.admit(other), "the server as a whole is full");
        admission.release(greedy);
        assert!(
            admission.admit(other),
            "what the server refused does not count for the listener"
        );
    }

    #[test]
    fn one_address_cannot_come_and_go_without_end() {
        let mut state = State::new(AdmissionLimits {
            connections_max: 100,
            per_address_max: 100,
            per_second_per_address: 2,
        });
        let [greedy, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let begin = Instant::now();
        let mut come_and_go = |address, now| {
            let came = state.enter(address, now).is_ok();
            if came {
                state.leave(address, now);
            }
            came
        };
        let came = (0..100).filter(|_| come_and_go(greedy, begin)).count();
        assert_eq!(came, 2 * BURST_SECS as usize);
        assert!(come_and_go(other, begin));
        let later = begin + std::time::Duration::from_secs(1);
        let came = (0..100).filter(|_| come_and_go(greedy, later)).count();
        assert_eq!(came, 2);
        assert_eq!((state.connections, state.absent), (0, 2));
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let [one, other, far] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:1::1"]
            .map(|text| network(text.parse().expect("an address")));
        assert_eq!(one, other);
        assert_ne!(one, far);
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().expect("an address");
        assert_eq!(network(mapped), IpAddr::from([127, 0, 0, 1]));
    }
}
