//! From what a socket gives to whole packets: what is processed at once, what is kept until more has come, and when a connection is
//! not read for a while.

use records::Millis;

use crate::connections::connection::Stage;
use crate::io::{ConnectionId, Output};
use crate::shard::Shard;

/// A client that lets this many times the outgoing limit wait in answers to itself is not read until it has
/// taken some of them.
const CHOKE_FACTOR: usize = 4;

impl Shard {
    /// Bytes came. Afterwards [`Shard::wants_bytes`] tells whether to read on.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Millis) {
        let heard = self.clock.seconds(now);
        self.metrics.counters.bytes_received += bytes.len() as u64;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.heard_secs = heard;
        let is_open = matches!(connection.stage, Stage::Open { .. });
        if let Some(mut whole) = connection.partial.take() {
            whole.extend_from_slice(bytes);
            self.process_partial(id, whole, now);
        } else {
            let used = self.process(id, bytes, now);
            self.keep_partial(id, &bytes[used..]);
        }
        if !is_open {
            self.count_unauthenticated(id, 0, now);
        }
        self.hand_over();
    }

    /// Processes whole packets and returns how many bytes they took.
    fn process(&mut self, id: ConnectionId, bytes: &[u8], now: Millis) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            let Some(connection) = self.connections.get(id) else {
                return bytes.len();
            };
            if connection.paused {
                break;
            }
            if matches!(connection.stage, Stage::Closing) {
                return bytes.len();
            }
            if connection.backlog() > self.settings.limits.outgoing_bytes_max * CHOKE_FACTOR {
                self.choke(id);
                break;
            }
            if self.turn.defers_reading() {
                self.connections.pause(id);
                self.turn.defer_reads([id]);
                break;
            }
            match self.process_packet(id, &bytes[used..], now) {
                Some(length) => {
                    used += length;
                    self.turn.spend(length);
                }
                None => {
                    // Of a connection that is over nothing is kept.
                    let over = self
                        .connections
                        .get(id)
                        .is_none_or(|connection| matches!(connection.stage, Stage::Closing));
                    return if over { bytes.len() } else { used };
                }
            }
        }
        used
    }

    #[expect(clippy::box_collection, reason = "it goes back to where it was")]
    fn process_partial(&mut self, id: ConnectionId, mut whole: Box<Vec<u8>>, now: Millis) {
        let used = self.process(id, &whole, now);
        if used == whole.len() {
            whole.clear();
            return;
        }
        whole.drain(..used);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.partial = Some(whole);
        }
    }

    fn keep_partial(&mut self, id: ConnectionId, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection
                .partial
                .get_or_insert_default()
                .extend_from_slice(rest);
        }
    }

    /// Stops reading from a client that takes none of the answers it causes.
    fn choke(&mut self, id: ConnectionId) {
        self.connections.pause(id);
        self.metrics.counters.choked += 1;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.choked = true;
        }
    }

    /// Goes on with a paused connection: first with what has come already, then with the socket.
    pub(crate) fn resume(&mut self, id: ConnectionId, now: Millis) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.paused {
            return;
        }
        connection.paused = false;
        if let Some(whole) = connection.partial.take() {
            self.process_partial(id, whole, now);
        }
        if self.wants_bytes(id) {
            self.outputs.push(Output::Resume(id));
        }
    }
}
