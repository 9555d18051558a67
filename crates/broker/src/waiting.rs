//! What waits for one session because its window or its socket is full or its client is away. It owns the
//! queues and knows what they weigh; how much may wait, the rooms that push decide.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::QoS;
use records::Stamp;
use routing::RetainedCursor;

use crate::message::{Message, Origin};
use crate::stored::{Identifiers, StoredDelivery, StoredQueue};

/// A delivery that waits or is under way.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) origin: Origin,
    pub(crate) identifiers: Identifiers,
}

impl Held {
    /// Stands for an exactly-once delivery of which only PUBREL is left to send.
    pub(crate) fn released(origin: Origin) -> Self {
        Self {
            message: Arc::new(Message::released()),
            qos: QoS::ExactlyOnce,
            retain: false,
            origin,
            identifiers: None,
        }
    }
}

/// A new subscription that is still getting retained messages.
#[derive(Debug)]
pub(crate) struct RetainedJob {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    pub(crate) identifier: u32,
    pub(crate) cursor: RetainedCursor,
}

/// A session's queues.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// QoS 1 and 2, with the number of each arrival.
    flows: VecDeque<(u64, Held)>,
    /// QoS 0, which no window holds back.
    live: VecDeque<(u64, Held)>,
    arrivals: u64,
    held_bytes: usize,
    stored: StoredQueue,
    stored_bytes: u64,
    /// The front of `stored`, as far as it has been read.
    pub(crate) fetched: VecDeque<(Stamp, Option<Arc<Message>>)>,
    /// The store has been asked for the front of `stored`.
    pub(crate) fetching: bool,
    pub(crate) retained: VecDeque<RetainedJob>,
    /// The session is listed for a slice of retained messages.
    pub(crate) retained_listed: bool,
    /// What the store remembers of exactly-once deliveries begun before a restart.
    pub(crate) recovered: Vec<(Stamp, records::Outgoing)>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.held() == 0
            && self.stored.is_empty()
            && self.retained.is_empty()
            && self.recovered.is_empty()
    }

    /// Whether a new QoS 1 or 2 message has to queue behind others. What is merely remembered holds nothing back.
    pub(crate) fn holds_back(&self) -> bool {
        !(self.flows.is_empty() && self.stored.is_empty() && self.retained.is_empty())
    }

    /// Whether a message that is only in memory has to queue behind others of its kind: QoS 0 waits for no
    /// acknowledgement. [5 MQTT-4.9.0-3]
    pub(crate) fn queues(&self, qos: QoS) -> bool {
        match qos {
            QoS::AtMostOnce => !self.live.is_empty(),
            QoS::AtLeastOnce | QoS::ExactlyOnce => !self.flows.is_empty(),
        }
    }

    // In memory.

    /// Messages in memory.
    pub(crate) fn held(&self) -> usize {
        self.flows.len() + self.live.len()
    }

    /// What they weigh.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.arrivals += 1;
        self.held_bytes += held.message.weight();
        let entry = (self.arrivals, held);
        match entry.1.qos {
            QoS::AtMostOnce => self.live.push_back(entry),
            QoS::AtLeastOnce | QoS::ExactlyOnce => self.flows.push_back(entry),
        }
    }

    /// The next message in memory, in the order of their arrival as far as the windows allow: `flow` while a
    /// QoS 1 or 2 delivery may begin, `live` while the socket takes more.
    pub(crate) fn next_held(&mut self, flow: bool, live: bool) -> Option<Held> {
        let arrival = |queue: &VecDeque<(u64, Held)>| queue.front().map(|(arrival, _)| *arrival);
        let flow = arrival(&self.flows).filter(|_| flow);
        let live = arrival(&self.live).filter(|_| live);
        let first_is_live = match (flow, live) {
            (None, None) => return None,
            (Some(flow), Some(live)) => live < flow,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if first_is_live {
            self.drop_live()
        } else {
            self.drop_flow()
        }
    }

    /// Takes out the oldest QoS 0 message, or the oldest of all when there is none.
    pub(crate) fn drop_oldest(&mut self) -> Option<Held> {
        self.drop_live().or_else(|| self.drop_flow())
    }

    /// Forgets the QoS 0 messages and says how many there were.
    pub(crate) fn drop_all_live(&mut self) -> usize {
        let dropped = std::mem::take(&mut self.live);
        let bytes: usize = dropped.iter().map(|(_, held)| held.message.weight()).sum();
        self.held_bytes -= bytes;
        dropped.len()
    }

    fn drop_live(&mut self) -> Option<Held> {
        let (_, held) = self.live.pop_front()?;
        self.held_bytes -= held.message.weight();
        Some(held)
    }

    fn drop_flow(&mut self) -> Option<Held> {
        let (_, held) = self.flows.pop_front()?;
        self.held_bytes -= held.message.weight();
        Some(held)
    }

    // In the queue table.

    /// Deliveries whose messages are on disk, in their order.
    pub(crate) fn stored(&self) -> &StoredQueue {
        &self.stored
    }

    /// What their messages weigh.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    pub(crate) fn push_stored(&mut self, delivery: StoredDelivery) {
        self.stored_bytes += u64::from(delivery.weight);
        self.stored.push_back(delivery);
    }

    pub(crate) fn pop_stored(&mut self) -> Option<StoredDelivery> {
        let delivery = self.stored.pop_front()?;
        self.stored_bytes -= u64::from(delivery.weight);
        Some(delivery)
    }

    /// Takes out the oldest delivery, and its message if that has been read already.
    pub(crate) fn drop_oldest_stored(&mut self) -> Option<StoredDelivery> {
        let delivery = self.pop_stored()?;
        if !self.fetched.is_empty() {
            self.fetched.pop_front();
        }
        Some(delivery)
    }

    /// Begins to remember an exactly-once delivery the store knows of.
    pub(crate) fn take_recovered(&mut self, stamp: Stamp) -> Option<records::Outgoing> {
        let place = self
            .recovered
            .iter()
            .position(|(known, _)| *known == stamp)?;
        Some(self.recovered.swap_remove(place).1)
    }
}
