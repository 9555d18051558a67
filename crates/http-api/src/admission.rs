//! Which HTTP connections are served: how many there may be together and from one address, and no more than the process has
//! descriptors for. It must not know what is done with the others.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use server::admission::{Descriptors, Full, Population, PopulationLimits, half};
use server::config::HttpConfig;

/// The connections there are.
pub(crate) struct Admission {
    descriptors: Arc<Descriptors>,
    population: Mutex<Population>,
}

/// A connection's place, until it leaves or is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    left: AtomicBool,
}

impl Admission {
    pub(crate) fn new(config: &HttpConfig, descriptors: Arc<Descriptors>) -> Arc<Self> {
        let connections_max = config.connections_max.min(half(descriptors.max()));
        let limits = PopulationLimits {
            connections_max,
            per_address_max: match config.connections_per_address_max {
                0 => half(connections_max),
                given => given,
            },
            per_second_per_address: 0,
        };
        Arc::new(Self {
            descriptors,
            population: Mutex::new(Population::new(limits)),
        })
    }

    /// A place for a connection of this address, unless that is one too many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Arc<Place>, Full> {
        if !self.descriptors.take() {
            return Err(Full::Descriptors);
        }
        let entered = self.lock().enter(address, Instant::now());
        if let Err(full) = entered {
            self.descriptors.give_back();
            return Err(full);
        }
        Ok(Arc::new(Place {
            admission: self.clone(),
            address,
            left: AtomicBool::new(false),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Population> {
        self.population
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It is free for another connection: this one is over, or is HTTP no longer.
    pub(crate) fn leave(&self) {
        if self.left.swap(true, Ordering::Relaxed) {
            return;
        }
        self.admission.lock().leave(self.address, Instant::now());
        self.admission.descriptors.give_back();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn admission(connections_max: usize, descriptors: usize) -> Arc<Admission> {
        let config = HttpConfig {
            connections_max,
            ..HttpConfig::default()
        };
        Admission::new(&config, Arc::new(Descriptors::new(descriptors)))
    }

    #[test]
    fn one_address_has_half_of_the_places() {
        let admission = admission(4, usize::MAX);
        let _held = [admission.enter(ONE), admission.enter(ONE)].map(Result::unwrap);
        assert_eq!(admission.enter(ONE).err(), Some(Full::Address));
        let _others = [admission.enter(OTHER), admission.enter(OTHER)].map(Result::unwrap);
        assert_eq!(admission.enter(OTHER).err(), Some(Full::Server));
    }

    #[test]
    fn http_has_half_of_the_descriptors_and_a_place_is_left_once() {
        let admission = admission(4096, 4);
        let first = admission.enter(ONE).unwrap();
        let _second = admission.enter(OTHER).unwrap();
        assert_eq!(admission.enter(OTHER).err(), Some(Full::Server));
        first.leave();
        drop(first);
        let third = admission.enter(ONE).unwrap();
        assert_eq!(admission.enter(OTHER).err(), Some(Full::Server));
        drop(third);
        assert!(admission.enter(ONE).is_ok());
    }

    #[test]
    fn what_mqtt_holds_http_cannot_have() {
        let descriptors = Arc::new(Descriptors::new(2));
        let admission = Admission::new(&HttpConfig::default(), descriptors.clone());
        assert!(descriptors.take() && descriptors.take());
        assert_eq!(admission.enter(ONE).err(), Some(Full::Descriptors));
        descriptors.give_back();
        assert!(admission.enter(ONE).is_ok());
    }
}
