//! Appends, from what is to be written to what goes on once it is on disk; and how clients are kept from having more on its way
//! there than the disk takes.

use mqtt_codec::ReasonCode;
use records::{Millis, SessionRef, Write};

use crate::io::{ConnectionId, Ticket};
use crate::shard::Shard;
use crate::stored::appends::Then;

/// What need not be written atomically is written in pieces of this many bytes.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

impl Shard {
    /// Has `writes` stored and goes on with `then` afterwards. Without writes that is after everything that
    /// is on its way to the disk already: at once, if nothing is.
    pub(crate) fn append(&mut self, writes: Vec<Write>, then: Then, now: Millis) {
        if let Some(then) = self.appends.add(writes, then, &mut self.outputs) {
            self.continue_after(then, now);
        }
    }

    /// Has writes stored in order but not atomically, however many they are; `then` follows the last.
    pub(crate) fn append_in_pieces(&mut self, writes: Vec<Write>, then: Then, now: Millis) {
        let mut piece = Vec::new();
        let mut bytes = 0;
        for write in writes {
            if bytes + write.bytes() > PIECE_BYTES && !piece.is_empty() {
                self.append(std::mem::take(&mut piece), Then::Nothing, now);
                bytes = 0;
            }
            bytes += write.bytes();
            piece.push(write);
        }
        self.append(piece, then, now);
    }

    /// Every append up to `upto` is on disk.
    pub(crate) fn appended(&mut self, upto: Ticket, now: Millis) {
        while let Some(then) = self.appends.next_completed(upto) {
            self.continue_after(then, now);
        }
        self.wake_stalled();
    }

    pub(crate) fn continue_after(&mut self, then: Then, now: Millis) {
        match then {
            Then::Nothing => {}
            Then::Connack {
                connection,
                present,
            } => self.connected(connection, present, now),
            Then::Suback(pending) => self.subscribed(*pending, now),
            Then::Send { connection, packet } => {
                self.send_to_open(connection, &packet);
            }
            Then::Settle {
                connection,
                ordinal,
            } => self.settle(connection, ordinal, ReasonCode::SUCCESS, None),
            Then::Publish(stored) => {
                let reason = self.release_publish(&stored, now);
                if let Some((connection, ordinal)) = stored.ack {
                    self.settle(connection, ordinal, reason, None);
                }
            }
            Then::Live { session, delivery } => self.send_at_most_once(session, *delivery, now),
            Then::Pubrel { session, packet_id } => self.send_stored_pubrel(session, packet_id),
            Then::Deliver { session, packet_id } => {
                self.send_stored_publish(session, packet_id, now)
            }
        }
    }

    /// Sends a packet unless the connection has ended meanwhile.
    pub(crate) fn send_to_open(&mut self, id: ConnectionId, packet: &[u8]) -> bool {
        let open = self.connections.is_open(id);
        if open {
            self.connections.buffer(id.slot).extend_from_slice(packet);
        }
        open
    }

    /// How much is on its way to the disk or the messenger.
    pub(crate) fn under_way(&self) -> usize {
        self.appends.len() + self.messenger.unanswered()
    }

    /// Whether clients have to wait because too much is on its way to the disk or the messenger.
    pub(crate) fn congested(&self) -> bool {
        self.under_way() >= self.settings.limits.appends_max
    }

    /// Stops reading a client until the disk has caught up. One that waits for its CONNACK is not read anyway,
    /// and not before it has it.
    pub(crate) fn stall(&mut self, id: ConnectionId) {
        let open = self.connections.is_open(id);
        if open {
            self.metrics.counters.publishers_stalled += 1;
            self.connections.pause(id);
            self.appends.stall(id);
        }
    }

    pub(crate) fn wake_stalled(&mut self) {
        if !self.appends.has_stalled() || self.under_way() > self.settings.limits.appends_max / 2 {
            return;
        }
        let stalled = self.appends.take_stalled();
        self.turn.defer_reads(stalled);
    }

    fn send_stored_pubrel(&mut self, reference: SessionRef, packet_id: u16) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let session = &mut self.sessions[slot];
        let released = session
            .outbound
            .as_mut()
            .is_some_and(|outbound| outbound.released(packet_id));
        if released && let Some(connection) = self.open_connection(slot) {
            self.send_pubrel(connection, packet_id, ReasonCode::SUCCESS);
        }
    }

    fn send_stored_publish(&mut self, reference: SessionRef, packet_id: u16, now: Millis) {
        let Some(slot) = self.sessions.slot_of(reference) else {
            return;
        };
        let connection = self.open_connection(slot);
        let Some(flight) = self.sessions[slot]
            .outbound
            .as_mut()
            .and_then(|outbound| outbound.begun(packet_id))
        else {
            return;
        };
        let delivery = flight.item.clone();
        let Some(connection) = connection else { return };
        self.frames.select(&delivery.message);
        self.send_publish(connection, &delivery, Some(packet_id), false, now);
    }
}
