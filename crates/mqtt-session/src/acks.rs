//! Acknowledgements owed to the peer, in the order in which it is entitled to them: one whose message is
//! still being stored holds back those behind it. [3.1.1 MQTT-4.6.0-6] [5 MQTT-4.6.0-2]

use std::collections::VecDeque;

/// Which packet acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckKind {
    /// Answers a QoS 1 PUBLISH.
    Puback,
    /// Answers a QoS 2 PUBLISH.
    Pubrec,
}

/// An acknowledgement that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<R, M> {
    /// PUBACK or PUBREC.
    pub kind: AckKind,
    /// The identifier of the PUBLISH it answers. [3.1.1 MQTT-2.3.1-6]
    pub packet_id: u16,
    /// What it says.
    pub result: R,
    /// What the PUBLISH was marked with when it came.
    pub mark: M,
}

/// Names an owed acknowledgement for as long as the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AckOrdinal(pub u64);

/// Owed acknowledgements of one connection; bounded by the receive maximum the broker enforces. `R` is what one says, `M` a
/// mark that its owner puts on it.
#[derive(Debug)]
pub struct AckQueue<R, M> {
    owed: VecDeque<Owed<R, M>>,
    first: u64,
    pubacks: usize,
}

#[derive(Debug)]
struct Owed<R, M> {
    kind: AckKind,
    packet_id: u16,
    result: Option<R>,
    mark: M,
}

impl<R, M> Default for AckQueue<R, M> {
    fn default() -> Self {
        Self {
            owed: VecDeque::new(),
            first: 0,
            pubacks: 0,
        }
    }
}

impl<R, M> AckQueue<R, M> {
    /// Acknowledgements that wait.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// PUBACKs among them.
    pub fn pubacks(&self) -> usize {
        self.pubacks
    }

    /// Whether none waits, so that one which is ready may be sent at once.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// An acknowledgement is owed; its result is not known yet.
    pub fn owe(&mut self, kind: AckKind, packet_id: u16, mark: M) -> AckOrdinal {
        let ordinal = AckOrdinal(self.first + self.owed.len() as u64);
        self.pubacks += usize::from(kind == AckKind::Puback);
        self.owed.push_back(Owed {
            kind,
            packet_id,
            result: None,
            mark,
        });
        ordinal
    }

    /// The result is known. Ordinals that were never given, or are settled, are ignored.
    pub fn settle(&mut self, ordinal: AckOrdinal, result: R) {
        let Some(index) = ordinal
            .0
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        if let Some(owed) = self.owed.get_mut(index) {
            owed.result.get_or_insert(result);
        }
    }

    /// The next acknowledgement that may be sent.
    pub fn next_ready(&mut self) -> Option<Ack<R, M>> {
        self.owed.front()?.result.as_ref()?;
        let owed = self.owed.pop_front()?;
        self.first += 1;
        self.pubacks -= usize::from(owed.kind == AckKind::Puback);
        if self.owed.is_empty() {
            self.owed = VecDeque::new();
        }
        owed.result.map(|result| Ack {
            kind: owed.kind,
            packet_id: owed.packet_id,
            result,
            mark: owed.mark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [3.1.1 MQTT-4.6.0-2] [3.1.1 MQTT-4.6.0-3] [3.1.1 MQTT-4.6.0-6] [5 MQTT-4.6.0-2] [5 MQTT-4.6.0-3]
    #[test]
    fn acknowledgements_leave_in_the_order_of_their_messages() {
        let mut acks = AckQueue::default();
        let first = acks.owe(AckKind::Puback, 10, 1);
        let second = acks.owe(AckKind::Pubrec, 11, 2);
        acks.settle(second, "two");
        assert_eq!(acks.next_ready(), None);
        acks.settle(first, "one");
        assert_eq!(
            acks.next_ready(),
            Some(Ack {
                kind: AckKind::Puback,
                packet_id: 10,
                result: "one",
                mark: 1
            })
        );
        assert_eq!(
            acks.next_ready(),
            Some(Ack {
                kind: AckKind::Pubrec,
                packet_id: 11,
                result: "two",
                mark: 2
            })
        );
        acks.settle(first, "again");
        assert!(acks.is_empty());
        assert_eq!(acks.pubacks(), 0);
        let third = acks.owe(AckKind::Puback, 12, 3);
        assert_ne!(third, first);
    }
}
