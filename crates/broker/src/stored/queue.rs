//! The stored messages a session waits for: twelve bytes each, because there may be a hundred thousand of them for every
//! session that is offline. It knows their order and nothing of where they are kept.

use std::collections::VecDeque;

use mqtt_codec::QoS;
use records::Stamp;

/// The lower bits of what stands beside a stamp: the message's bytes. A packet has fewer than 2^28.
const WEIGHT: u32 = (1 << FLAGS_AT) - 1;
const FLAGS_AT: u32 = 28;
const QOS: u32 = 0b011;
const RETAIN: u32 = 0b100;
const IDENTIFIED: u32 = 0b1000;

/// Subscription identifiers of a delivery; nearly always none.
pub(crate) type Identifiers = Option<Box<[u32]>>;

/// A delivery whose message is in the queue table.
#[derive(Debug, Clone)]
pub(crate) struct StoredDelivery {
    pub(crate) stamp: Stamp,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Bytes of its message.
    pub(crate) weight: u32,
    pub(crate) identifiers: Identifiers,
}

/// Deliveries in the order in which they are owed.
#[derive(Debug, Default)]
pub(crate) struct StoredQueue {
    stamps: VecDeque<Stamp>,
    /// Beside each stamp: weight, QoS, RETAIN, and whether it has identifiers.
    marks: VecDeque<u32>,
    /// Of those that have some, in the same order.
    identifiers: VecDeque<Box<[u32]>>,
}

impl StoredQueue {
    pub(crate) fn len(&self) -> usize {
        self.stamps.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    pub(crate) fn push_back(&mut self, delivery: StoredDelivery) {
        let mut flags = delivery.qos as u32;
        if delivery.retain {
            flags |= RETAIN;
        }
        if let Some(identifiers) = delivery.identifiers {
            flags |= IDENTIFIED;
            self.identifiers.push_back(identifiers);
        }
        self.stamps.push_back(delivery.stamp);
        self.marks
            .push_back((flags << FLAGS_AT) | delivery.weight.min(WEIGHT));
    }

    pub(crate) fn pop_front(&mut self) -> Option<StoredDelivery> {
        let stamp = self.stamps.pop_front()?;
        let mark = self
            .marks
            .pop_front()
            .expect("there are as many marks as stamps");
        let flags = mark >> FLAGS_AT;
        let identifiers: Identifiers = if flags & IDENTIFIED == 0 {
            None
        } else {
            self.identifiers.pop_front()
        };
        Some(StoredDelivery {
            stamp,
            qos: QoS::from_bits((flags & QOS) as u8).expect("it was one"),
            retain: flags & RETAIN != 0,
            weight: mark & WEIGHT,
            identifiers,
        })
    }

    pub(crate) fn front(&self) -> Option<Stamp> {
        self.stamps.front().copied()
    }

    pub(crate) fn back(&self) -> Option<Stamp> {
        self.stamps.back().copied()
    }

    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.stamps.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_comes_back_as_it_was() {
        let mut queue = StoredQueue::default();
        let owed = |number: u64| StoredDelivery {
            stamp: Stamp::new(number),
            qos: [QoS::AtLeastOnce, QoS::ExactlyOnce][number as usize % 2],
            retain: number.is_multiple_of(3),
            weight: 1000 * number as u32,
            identifiers: (number.is_multiple_of(5)).then(|| [number as u32, 7].into()),
        };
        for number in 0..40 {
            queue.push_back(owed(number));
        }
        assert_eq!(queue.len(), 40);
        assert!(queue.stamps().eq((0..40).map(Stamp::new)));
        for number in 0..40 {
            assert_eq!(queue.front(), Some(Stamp::new(number)));
            let (found, wanted) = (queue.pop_front().expect("one is owed"), owed(number));
            assert_eq!(
                (
                    found.stamp,
                    found.qos,
                    found.retain,
                    found.weight,
                    found.identifiers
                ),
                (
                    wanted.stamp,
                    wanted.qos,
                    wanted.retain,
                    wanted.weight,
                    wanted.identifiers
                )
            );
        }
        assert!(queue.pop_front().is_none() && queue.is_empty());
    }
}
