//! How many connections there may be: of the whole server, from one address, and from it in a second. What is too much is
//! closed at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::buckets::{Bucket, Rate};
use crate::config::MqttConfig;

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
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        metrics::describe_counter!(
            "magpie_connections_refused_total",
            "Connections beyond the limit of the server, of one address, or of its connections in a second; closed at once."
        );
        let refused = |limit: &'static str| metrics::counter!("magpie_connections_refused_total", "limit" => limit);
        Self {
            state: Mutex::new(State {
                limits,
                connections: 0,
                absent: 0,
                addresses: HashMap::new(),
            }),
            refused_by_server: refused("server"),
            refused_by_address: refused("address"),
            refused_by_rate: refused("rate"),
        }
    }

    pub(crate) fn limit(&self, limits: AdmissionLimits) {
        self.lock().limits = limits;
    }

    /// Counts a connection in, unless it is one too many, which is counted as refused.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        let outcome = self.lock().enter(network(address), Instant::now());
        match outcome {
            Ok(()) => return true,
            Err(Full::Server) => self.refused_by_server.increment(1),
            Err(Full::Address) => self.refused_by_address.increment(1),
            Err(Full::Rate) => self.refused_by_rate.increment(1),
        }
        false
    }

    /// Counts a connection out.
    pub(crate) fn release(&self, address: IpAddr) {
        self.lock().leave(network(address), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, address: IpAddr, now: Instant) -> Result<(), Full> {
        if self.connections >= self.limits.connections_max {
            return Err(Full::Server);
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

    #[test]
    fn one_address_cannot_take_all_places() {
        let admission = Admission::new(AdmissionLimits {
            connections_max: 3,
            per_address_max: 2,
            per_second_per_address: 0,
        });
        let [greedy, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        assert!(admission.admit(greedy) && admission.admit(greedy));
        assert!(!admission.admit(greedy));
        assert!(admission.admit(other));
        assert!(!admission.admit(other), "the server as a whole is full");
        admission.release(greedy);
        assert!(admission.admit(other));
    }

    #[test]
    fn one_address_cannot_come_and_go_without_end() {
        let mut state = State {
            limits: AdmissionLimits {
                connections_max: 100,
                per_address_max: 100,
                per_second_per_address: 2,
            },
            connections: 0,
            absent: 0,
            addresses: HashMap::new(),
        };
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
