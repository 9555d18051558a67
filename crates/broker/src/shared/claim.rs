//! The claims that groups of shared subscriptions have on stored messages, and the forms that one takes: waiting for a member,
//! given to one, and given back.

use std::sync::Arc;

use mqtt_codec::QoS;
use records::Stamp;
use routing::GroupId;
use smallvec::SmallVec;

use crate::message::{Message, Origin, StoredClaim};
use crate::stored::queue::Identifiers;

/// Claims of one message, by group.
pub(crate) type Claims = SmallVec<[(GroupId, Stamp); 1]>;

/// A stored message that a group waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingClaim {
    pub(crate) stored: StoredClaim,
    /// Quality of service it was published with.
    pub(crate) qos: QoS,
    /// Bytes of its message.
    pub(crate) weight: u32,
}

/// A message that is a session's because it was its claim.
#[derive(Debug, Clone)]
pub(crate) struct ClaimDelivery {
    pub(crate) group: GroupId,
    pub(crate) claim: WaitingClaim,
    pub(crate) qos: QoS,
    /// RETAIN is kept if the message has it.
    pub(crate) keeps_retain: bool,
    pub(crate) identifiers: Identifiers,
}

impl ClaimDelivery {
    pub(crate) fn origin(&self) -> Origin {
        Origin::Claim {
            group: self.group,
            stored: Some(self.claim.stored),
            qos: self.claim.qos,
        }
    }
}

/// What a session gives back to one of its groups.
#[derive(Debug)]
pub(crate) enum Reassigned {
    /// It is on disk.
    Stored(GroupId, WaitingClaim),
    /// It is only in memory.
    InMemory(GroupId, Arc<Message>),
}

impl Reassigned {
    /// What a delivery of a group gives back.
    pub(crate) fn of(
        group: GroupId,
        stored: Option<StoredClaim>,
        qos: QoS,
        message: &Arc<Message>,
    ) -> Self {
        let Some(stored) = stored else {
            return Self::InMemory(group, message.clone());
        };
        let claim = WaitingClaim {
            stored,
            qos,
            weight: message.weight() as u32,
        };
        Self::Stored(group, claim)
    }
}
