//! Which connections are let in: how many there may be of the whole server, of one listener, from one address, and from it in a
//! second, and of all kinds together as many as the process has file descriptors for. A few of those that are one too many are
//! told so when they say CONNECT; the others are closed at once.

mod descriptors;
mod population;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use descriptors::{Descriptors, TooFewDescriptors};
pub(crate) use population::network;
pub use population::{Population, PopulationLimits};

use crate::config::{ListenerConfig, ListenerKind, MqttConfig};
pub use crate::origin::Full;
use crate::origin::Origin;

/// Connections beyond a limit that may be open at once, to be told why they are refused.
const REFUSED_MAX: usize = 16;

/// The limits of MQTT connections as the configuration and the process's descriptors have them.
pub(crate) fn limits(config: &MqttConfig, descriptors: &Descriptors) -> PopulationLimits {
    PopulationLimits {
        connections_max: config.connections_max,
        per_address_max: match config.connections_per_address_max {
            0 => half(config.connections_max.min(descriptors.max())),
            given => given,
        },
        per_second_per_address: config.connections_per_second_per_address,
    }
}

/// What one address may have of so many, unless the configuration says it.
pub fn half(connections: usize) -> usize {
    (connections / 2).max(1)
}

/// The connections there are, counted by all shards together.
pub(crate) struct Admission {
    descriptors: Arc<Descriptors>,
    state: Mutex<Population>,
    listeners: Vec<Listener>,
    refused: AtomicUsize,
    counters: Counters,
}

/// What is particular about a listener.
struct Listener {
    /// Its connections hold one of the process's descriptors each.
    has_descriptors: bool,
    /// Its count, if it has limits of its own.
    own: Option<Mutex<Population>>,
}

/// Of connections that were one too many.
struct Counters {
    descriptors: metrics::Counter,
    server: metrics::Counter,
    listener: metrics::Counter,
    address: metrics::Counter,
    rate: metrics::Counter,
}

impl Admission {
    pub(crate) fn new(config: &MqttConfig, descriptors: Arc<Descriptors>) -> Self {
        Self {
            state: Mutex::new(Population::new(limits(config, &descriptors))),
            descriptors,
            listeners: config.listeners.iter().map(Listener::new).collect(),
            refused: AtomicUsize::new(0),
            counters: Counters::new(),
        }
    }

    /// Takes on other limits; nobody who is there is sent away.
    pub(crate) fn reconfigure(&self, config: &MqttConfig) {
        self.lock().limit(limits(config, &self.descriptors));
    }

    /// Counts a connection in. One too many is counted as refused; then the origin says so if there is room to tell it, and
    /// otherwise it is `None`.
    pub(crate) fn admit(&self, origin: Origin) -> Option<Origin> {
        let full = self.enter(origin).err();
        if let Some(full) = full {
            self.counters.of(full).increment(1);
            let more = |refused| (refused < REFUSED_MAX).then_some(refused + 1);
            self.refused
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .ok()?;
        }
        Some(Origin {
            refused: full,
            ..origin
        })
    }

    /// The same for whoever cannot be told why.
    pub(crate) fn admit_or_close(&self, origin: Origin) -> Option<Origin> {
        match self.enter(origin) {
            Ok(()) => Some(origin),
            Err(full) => {
                self.counters.of(full).increment(1);
                None
            }
        }
    }

    /// Counts a connection out.
    pub(crate) fn release(&self, origin: Origin) {
        if origin.refused.is_some() {
            self.refused.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let now = Instant::now();
        if let Some(mut own) = self.own(origin) {
            own.leave(origin.address, now);
        }
        self.lock().leave(origin.address, now);
        if self.has_descriptor(origin) {
            self.descriptors.give_back();
        }
    }

    fn enter(&self, origin: Origin) -> Result<(), Full> {
        let now = Instant::now();
        if self.has_descriptor(origin) && !self.descriptors.take() {
            return Err(Full::Descriptors);
        }
        let entered = self.enter_populations(origin, now);
        if entered.is_err() && self.has_descriptor(origin) {
            self.descriptors.give_back();
        }
        entered
    }

    fn enter_populations(&self, origin: Origin, now: Instant) -> Result<(), Full> {
        if let Some(mut own) = self.own(origin) {
            own.enter(origin.address, now).map_err(|full| match full {
                Full::Server => Full::Listener,
                Full::Descriptors | Full::Listener | Full::Address | Full::Rate => full,
            })?;
        }
        let entered = self.lock().enter(origin.address, now);
        if entered.is_err()
            && let Some(mut own) = self.own(origin)
        {
            own.leave(origin.address, now);
        }
        entered
    }

    /// A connection that came by QUIC shares its listener's.
    fn has_descriptor(&self, origin: Origin) -> bool {
        self.listener(origin)
            .is_none_or(|listener| listener.has_descriptors)
    }

    fn own(&self, origin: Origin) -> Option<MutexGuard<'_, Population>> {
        let state = self.listener(origin)?.own.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn listener(&self, origin: Origin) -> Option<&Listener> {
        let index = usize::from(origin.listener.0).checked_sub(1)?;
        self.listeners.get(index)
    }

    fn lock(&self) -> MutexGuard<'_, Population> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn new(config: &ListenerConfig) -> Self {
        let limits = &config.limits;
        let any = limits.connections_max.is_some() || limits.connections_per_address_max.is_some();
        Self {
            has_descriptors: config.kind != ListenerKind::Quic,
            own: any.then(|| {
                Mutex::new(Population::new(PopulationLimits {
                    connections_max: limits.connections_max.unwrap_or(usize::MAX),
                    per_address_max: limits.connections_per_address_max.unwrap_or(usize::MAX),
                    per_second_per_address: 0,
                }))
            }),
        }
    }
}

impl Counters {
    fn new() -> Self {
        metrics::describe_counter!(
            "magpie_connections_refused_total",
            "Connections beyond a limit: of file descriptors, the server, a listener, one address, or its connections in a second."
        );
        let refused = |limit: &'static str| metrics::counter!("magpie_connections_refused_total", "limit" => limit);
        Self {
            descriptors: refused("descriptors"),
            server: refused("server"),
            listener: refused("listener"),
            address: refused("address"),
            rate: refused("rate"),
        }
    }

    fn of(&self, full: Full) -> &metrics::Counter {
        match full {
            Full::Descriptors => &self.descriptors,
            Full::Server => &self.server,
            Full::Listener => &self.listener,
            Full::Address => &self.address,
            Full::Rate => &self.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::ListenerNumber;

    fn from(address: [u8; 4], listener: u8) -> Origin {
        Origin {
            address: address.into(),
            listener: ListenerNumber(listener),
            refused: None,
        }
    }

    fn is_counted(admission: &Admission, origin: Origin) -> bool {
        admission.admit_or_close(origin).is_some()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let config = MqttConfig {
            connections_max: 3,
            connections_per_address_max: 2,
            connections_per_second_per_address: 0,
            ..MqttConfig::default()
        };
        let admission = Admission::new(&config, Descriptors::unbounded());
        let [greedy, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|address| from(address, 0));
        assert!(is_counted(&admission, greedy) && is_counted(&admission, greedy));
        assert!(!is_counted(&admission, greedy));
        assert!(is_counted(&admission, other));
        assert!(
            !is_counted(&admission, other),
            "the server as a whole is full"
        );
        admission.release(greedy);
        assert!(is_counted(&admission, other));
    }

    #[test]
    fn a_listener_has_limits_of_its_own() {
        let mut small = ListenerConfig::default();
        small.limits.connections_max = Some(3);
        small.limits.connections_per_address_max = Some(2);
        let config = MqttConfig {
            connections_max: 4,
            connections_per_address_max: 4,
            connections_per_second_per_address: 0,
            listeners: vec![ListenerConfig::default(), small],
            ..MqttConfig::default()
        };
        let admission = Admission::new(&config, Descriptors::unbounded());
        let [greedy, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|address| from(address, 2));
        assert!(is_counted(&admission, greedy) && is_counted(&admission, greedy));
        assert!(!is_counted(&admission, greedy));
        assert!(
            is_counted(&admission, from([127, 0, 0, 1], 1)),
            "another listener has room"
        );
        assert!(is_counted(&admission, other));
        admission.release(other);
        assert!(is_counted(&admission, from([127, 0, 0, 3], 1)));
        assert!(
            !is_counted(&admission, other),
            "the server as a whole is full"
        );
        admission.release(greedy);
        assert!(
            is_counted(&admission, other),
            "what the server refused does not count for the listener"
        );
    }
}
