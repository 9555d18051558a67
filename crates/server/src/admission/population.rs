//! Connections of one kind, counted as a whole, by address, and by how many of an address come in a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::buckets::{Bucket, Rate};
use crate::origin::Full;

/// Seconds of the rate that an address may use up at once.
const BURST_SECS: u32 = 5;
/// Addresses remembered though they have no connection, for how often they came.
const ABSENT_MAX: usize = 100_000;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct PopulationLimits {
    /// Connections.
    pub connections_max: usize,
    /// Connections of one address; of IPv6, of one /64.
    pub per_address_max: usize,
    /// From one address in a second; 0 is without limit.
    pub per_second_per_address: u32,
}

impl PopulationLimits {
    fn rate(&self) -> Rate {
        Rate {
            per_second: self.per_second_per_address,
            burst_secs: BURST_SECS,
        }
    }
}

/// Who is there.
#[derive(Debug)]
pub struct Population {
    limits: PopulationLimits,
    connections: usize,
    /// Addresses without a connection.
    absent: usize,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Address {
    connections: u32,
    bucket: Bucket,
}

impl Population {
    /// Nobody yet.
    pub fn new(limits: PopulationLimits) -> Self {
        Self {
            limits,
            connections: 0,
            absent: 0,
            addresses: HashMap::new(),
        }
    }

    /// Sets other limits; nobody who is there is sent away.
    pub fn limit(&mut self, limits: PopulationLimits) {
        self.limits = limits;
    }

    /// Counts a connection in, unless it is one too many.
    pub fn enter(&mut self, address: IpAddr, now: Instant) -> Result<(), Full> {
        let address = network(address);
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

    /// Counts a connection out.
    pub fn leave(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
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
    fn one_address_cannot_come_and_go_without_end() {
        let mut population = Population::new(PopulationLimits {
            connections_max: 100,
            per_address_max: 100,
            per_second_per_address: 2,
        });
        let [greedy, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let begin = Instant::now();
        let mut come_and_go = |address, now| {
            let came = population.enter(address, now).is_ok();
            if came {
                population.leave(address, now);
            }
            came
        };
        let came = (0..100).filter(|_| come_and_go(greedy, begin)).count();
        assert_eq!(came, 2 * BURST_SECS as usize);
        assert!(come_and_go(other, begin));
        let later = begin + std::time::Duration::from_secs(1);
        let came = (0..100).filter(|_| come_and_go(greedy, later)).count();
        assert_eq!(came, 2);
        assert_eq!((population.connections, population.absent), (0, 2));
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
