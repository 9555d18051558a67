//! Whose bytes TCP acknowledges at once. A TCP acknowledgement travels with the next bytes that are written; where there are
//! none, Linux delays it by 40 ms. A client with Nagle's algorithm (one that does not set TCP_NODELAY, as Paho for Java) sends
//! no small packet while an earlier one is unacknowledged: after its PUBACK, which MQTT has no answer to, its next question
//! would wait that long. (docs/decisions/0015)

use broker::ConnectionId;
use mqtt_codec::ack;

use super::ShardThread;

/// Reads of nothing but PUBACK and PUBCOMP that are acknowledged at once, after each read of anything else. A client that
/// only subscribes has nothing that could wait behind its PUBACKs, and costs nothing.
const AT_ONCE_MAX: u8 = 8;

/// What decides it for one connection.
#[derive(Debug, Default)]
pub(super) struct QuickAcks {
    left: u8,
    /// The last read counts, and nothing has been written since.
    due: bool,
}

impl QuickAcks {
    /// Takes note of what was read; true if it is to be acknowledged at the end of the turn, unless something is written by
    /// then.
    fn read(&mut self, bytes: &[u8]) -> bool {
        if !ack::ends_deliveries(bytes) {
            self.left = AT_ONCE_MAX;
            self.due = false;
            return false;
        }
        let begins = self.left > 0 && !self.due;
        self.due |= begins;
        begins
    }

    /// Takes note that something was written, which carries the acknowledgement.
    pub(super) fn wrote(&mut self) {
        self.due = false;
    }

    fn take_due(&mut self) -> bool {
        let due = std::mem::take(&mut self.due);
        self.left -= u8::from(due);
        due
    }
}

impl ShardThread {
    /// Takes note of what was read from a connection.
    pub(super) fn note_read(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(id)
            && socket.quick_acks.read(bytes)
        {
            self.unanswered.push(id);
        }
    }

    /// At the end of a turn: has TCP acknowledge what was read in it and is answered with nothing.
    pub(super) fn acknowledge_unanswered(&mut self) {
        for id in self.unanswered.drain(..) {
            if let Some(socket) = self.sockets.get_mut(id)
                && socket.quick_acks.take_due()
            {
                socket.transport.acknowledge();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBACK: &[u8] = &[0x40, 2, 0, 1];
    const PINGREQ: &[u8] = &[0xC0, 0];

    #[test]
    fn a_few_pubacks_after_each_other_packet_are_acknowledged_at_once() {
        let mut acks = QuickAcks::default();
        assert!(!acks.read(PUBACK), "nothing has come that could follow");
        for _ in 0..2 {
            assert!(!acks.read(PINGREQ), "it is answered");
            for _ in 0..AT_ONCE_MAX {
                assert!(acks.read(PUBACK) && acks.take_due());
            }
            assert!(!acks.read(PUBACK) && !acks.take_due());
        }
    }

    #[test]
    fn what_is_written_in_the_same_turn_carries_the_acknowledgement() {
        let mut acks = QuickAcks::default();
        acks.read(PINGREQ);
        assert!(acks.read(PUBACK));
        assert!(!acks.read(PUBACK), "it is listed already");
        acks.wrote();
        assert!(!acks.take_due());
        assert!(acks.read(PUBACK));
        acks.read(PINGREQ);
        assert!(!acks.take_due(), "the client did not wait");
    }
}
