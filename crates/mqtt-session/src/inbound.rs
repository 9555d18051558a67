//! The receiving side of a session: which QoS 2 messages have come and are not released, and how many
//! acknowledgements are owed. It decides whether a PUBLISH is new; it does not route it.

/// What a received QoS 2 PUBLISH is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Not seen before under this identifier.
    New,
    /// A repetition of a message that is already owned: acknowledge, deliver nothing.
    /// [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]
    Repeated,
}

/// Unreleased QoS 2 messages of one session.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Sorted identifiers; bounded by the server's receive maximum.
    unreleased: Vec<u16>,
}

impl Inbound {
    /// A QoS 2 PUBLISH came under this identifier.
    pub fn publish(&mut self, packet_id: u16) -> Received {
        match self.unreleased.binary_search(&packet_id) {
            Ok(_) => Received::Repeated,
            Err(place) => {
                self.unreleased.insert(place, packet_id);
                Received::New
            }
        }
    }

    /// Whether a message waits for its PUBREL under this identifier.
    pub fn holds(&self, packet_id: u16) -> bool {
        self.unreleased.binary_search(&packet_id).is_ok()
    }

    /// PUBREL came, or the message was refused with an error: the identifier is free again. False when
    /// nothing waited under it. [5 MQTT-4.3.3-9] [5 MQTT-4.3.3-12]
    pub fn release(&mut self, packet_id: u16) -> bool {
        let found = self.unreleased.binary_search(&packet_id);
        if let Ok(place) = found {
            self.unreleased.remove(place);
        }
        found.is_ok()
    }

    /// Messages that wait for their PUBREL.
    pub fn len(&self) -> usize {
        self.unreleased.len()
    }

    /// Whether no message waits for its PUBREL.
    pub fn is_empty(&self) -> bool {
        self.unreleased.is_empty()
    }

    /// The identifiers that wait, ascending.
    pub fn packet_ids(&self) -> &[u16] {
        &self.unreleased
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10] [5 MQTT-4.3.3-12]
    #[test]
    fn a_repetition_is_told_until_released() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.publish(7), Received::New);
        assert_eq!(inbound.publish(3), Received::New);
        assert_eq!(inbound.publish(7), Received::Repeated);
        assert!(inbound.release(7));
        assert!(!inbound.release(7));
        assert_eq!(inbound.publish(7), Received::New);
        assert_eq!(inbound.packet_ids(), [3, 7]);
    }
}
