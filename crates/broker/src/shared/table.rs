//! The groups of shared subscriptions to ordinary filters: who is in them on this shard and others, and what they wait for.

use mqtt_codec::{QoS, topic};
use routing::{SharedIndex, Subscriber};

use crate::messenger::topics::is_chat;
use crate::shared::waiting_claims::WaitingClaims;

/// The groups.
#[derive(Debug)]
pub(crate) struct SharedSubscriptions {
    /// Whose turn it is.
    pub(crate) index: SharedIndex,
    /// What waits for members.
    pub(crate) waiting: WaitingClaims,
}

impl SharedSubscriptions {
    pub(crate) fn new(seeds: [u64; 4]) -> Self {
        Self {
            index: SharedIndex::new(seeds),
            waiting: WaitingClaims::default(),
        }
    }
}

/// Whether a filter is shared and ordinary.
pub(crate) fn is_ordinary_share(filter: &str) -> bool {
    topic::shared(filter).is_some_and(|(_, plain)| !is_chat(plain))
}

/// A member of a group. QoS and identifier as granted.
pub(crate) fn member(slot: u32, options: u8, identifier: u32, lasting: bool) -> Subscriber {
    Subscriber {
        session: slot,
        identifier,
        options,
        durable: lasting && QoS::from_bits(options & 3).is_some_and(|qos| qos != QoS::AtMostOnce),
    }
}
