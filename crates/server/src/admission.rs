//! How many connections there may be: of the whole server and from one address. What is too much is closed at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The connections there are, counted by all shards together.
pub(crate) struct Admission {
    connections: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, u32>>,
    connections_max: AtomicUsize,
    per_address_max: AtomicUsize,
    refused: metrics::Counter,
}

impl Admission {
    pub(crate) fn new(connections_max: usize, per_address_max: usize) -> Self {
        metrics::describe_counter!(
            "magpie_connections_refused_total",
            "Connections beyond the limit of the server or of one address, closed at once."
        );
        Self {
            connections: AtomicUsize::new(0),
            addresses: Mutex::default(),
            connections_max: AtomicUsize::new(connections_max),
            per_address_max: AtomicUsize::new(per_address_max),
            refused: metrics::counter!("magpie_connections_refused_total"),
        }
    }

    pub(crate) fn limit(&self, connections_max: usize, per_address_max: usize) {
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
        self.per_address_max
            .store(per_address_max, Ordering::Relaxed);
    }

    /// Counts a connection in, unless it is one too many, which is counted as refused.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        let admitted = self.has_room(address);
        if !admitted {
            self.refused.increment(1);
        }
        admitted
    }

    fn has_room(&self, address: IpAddr) -> bool {
        let address = network(address);
        if self.connections.fetch_add(1, Ordering::Relaxed)
            >= self.connections_max.load(Ordering::Relaxed)
        {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if *count as usize >= self.per_address_max.load(Ordering::Relaxed) {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        true
    }

    /// Counts a connection out.
    pub(crate) fn release(&self, address: IpAddr) {
        let address = network(address);
        self.connections.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
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
        let admission = Admission::new(3, 2);
        let [greedy, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        assert!(admission.admit(greedy) && admission.admit(greedy));
        assert!(!admission.admit(greedy));
        assert!(admission.admit(other));
        assert!(!admission.admit(other), "the server as a whole is full");
        admission.release(greedy);
        assert!(admission.admit(other));
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
