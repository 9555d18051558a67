//! A SUBSCRIBE or UNSUBSCRIBE as far as it has come: what is left of the packet, and the answer that waits for the disk.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use mqtt_codec::{QoS, ReasonCode, SubscriptionOptions};
use records::{SessionRef, Subscription, Write};

use crate::io::ConnectionId;

/// What is left of a packet, and what its beginning has come to.
#[derive(Debug)]
pub(crate) struct FilterRequest {
    pub(crate) connection: ConnectionId,
    pub(crate) session: SessionRef,
    pub(crate) packet_id: u16,
    pub(crate) codes: Vec<ReasonCode>,
    /// Why the last of those filters was refused whose code does not say enough: an answer has one sentence.
    pub(crate) sentence: Option<&'static str>,
    /// Nothing is sent to the session until the change is on disk.
    pub(crate) changes: bool,
    pub(crate) work: FilterWork,
}

#[derive(Debug)]
pub(crate) enum FilterWork {
    Subscribe {
        left: IntoIter<(Box<str>, SubscriptionOptions)>,
        identifier: u32,
        granted: Vec<Granted>,
        /// A filter that is repeated in the packet is written once, as it stands in the end.
        records: BTreeMap<Box<str>, Subscription>,
    },
    Unsubscribe {
        left: IntoIter<Box<str>>,
        revoked: Vec<Box<str>>,
        writes: Vec<Write>,
    },
}

impl FilterRequest {
    /// Whether every filter has been acted on.
    pub(crate) fn is_done(&self) -> bool {
        match &self.work {
            FilterWork::Subscribe { left, .. } => left.len() == 0,
            FilterWork::Unsubscribe { left, .. } => left.len() == 0,
        }
    }
}

/// The answer to a SUBSCRIBE or UNSUBSCRIBE, and what follows it.
#[derive(Debug)]
pub(crate) struct PendingSuback {
    pub(crate) connection: ConnectionId,
    pub(crate) session: SessionRef,
    pub(crate) packet: Vec<u8>,
    pub(crate) granted: Vec<Granted>,
    pub(crate) identifier: u32,
    /// Filters under `im/` that were given up.
    pub(crate) revoked: Vec<Box<str>>,
    /// Nothing has been sent to the session since it changed what it held.
    pub(crate) changes: bool,
}

/// A granted subscription that is still owed its retained messages.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    pub(crate) existed: bool,
    pub(crate) handling: u8,
}
