//! One network connection: how far its handshake has come, what the client said about itself, and the
//! bytes that wait in either direction. A connection that is idle owns no buffer.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use mqtt_codec::{ReasonCode, Version};
use mqtt_session::{AckQueue, SentAliases, TopicAliases};
use records::Moment;
use slab::Slab;

use crate::authentication::exchange::Exchange;
use crate::connections::pending_connect::PendingConnect;
use crate::io::ConnectionId;

/// Bytes of output buffers kept for the next connections that have something to send: enough for a message to some
/// thousand subscribers, so that a turn need not allocate for each of them.
const BUFFERS_KEPT_BYTES: usize = 1024 * 1024;
/// A buffer larger than this goes back to the allocator.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// No CONNECT yet.
    AwaitConnect,
    /// CONNECT came; its credentials are being checked, or an exchange of enhanced authentication is under way.
    Authenticating(Box<PendingConnect>),
    /// Its session lives on another shard; it goes there at the end of the turn.
    Leaving(Box<PendingConnect>),
    /// The session is being stored before CONNACK says that it exists.
    Storing { session: u32, chosen: Chosen },
    /// CONNACK was sent.
    Open { session: u32 },
    /// Nothing more is read; what waits is written, then the socket closes.
    Closing,
}

/// What the server chose in place of the client, so that CONNACK says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) client_id: bool,
    pub(crate) keepalive: bool,
    pub(crate) expiry: bool,
}

/// What an open connection only needs when it publishes.
#[derive(Debug, Default)]
pub(crate) struct Publishing {
    pub(crate) acks: AckQueue<(ReasonCode, Option<Box<str>>), Moment>,
    pub(crate) aliases: TopicAliases,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) serial: u32,
    pub(crate) stage: Stage,
    pub(crate) version: Version,
    /// Listed for a flush at the end of the turn.
    pub(crate) touched: bool,
    /// It is not read because it does not read.
    pub(crate) choked: bool,
    /// The socket is not read.
    pub(crate) paused: bool,
    /// The client asked for reason strings. [5 MQTT-3.1.2-29]
    pub(crate) problem_information: bool,
    /// The client asked for response information.
    pub(crate) response_information: bool,
    /// Through which of the settings' listeners it came.
    pub(crate) listener: u8,
    /// Who it is has been proved outside: a CONNECT without a user name is asked about all the same.
    pub(crate) vouched: bool,
    /// What its CONNECT is answered with, whatever it says.
    pub(crate) refusal: Option<ReasonCode>,
    /// Keep-alive in seconds; 0 = none.
    pub(crate) keepalive_secs: u16,
    /// The client's Receive Maximum.
    pub(crate) receive_maximum: u16,
    /// Topic aliases that may be set for the client.
    pub(crate) aliases_max: u16,
    /// The client's Maximum Packet Size.
    pub(crate) packet_bytes_max: u32,
    /// Second of the shard's clock at which the client was last heard.
    pub(crate) heard_secs: u32,
    /// Second of the shard's clock at which it is checked.
    pub(crate) check_secs: u32,
    /// What it is counted for among the bytes of clients that have not been let in.
    pub(crate) unauthenticated_bytes: u32,
    /// Bytes of `outgoing` that are written.
    pub(crate) written: u32,
    pub(crate) outgoing: Vec<u8>,
    /// The beginning of a packet whose end has not come, or what was not processed yet.
    #[expect(
        clippy::box_collection,
        reason = "an idle connection pays 8 bytes for it, not 24"
    )]
    pub(crate) partial: Option<Box<Vec<u8>>>,
    pub(crate) publishing: Option<Box<Publishing>>,
    /// Topic aliases that were set for the client.
    pub(crate) aliases: Option<Box<SentAliases>>,
    /// Only with an authentication method.
    pub(crate) exchange: Option<Box<Exchange>>,
}

impl Connection {
    pub(crate) fn new(serial: u32, heard_secs: u32) -> Self {
        Self {
            serial,
            stage: Stage::AwaitConnect,
            version: Version::V311,
            touched: false,
            choked: false,
            paused: false,
            problem_information: true,
            response_information: false,
            listener: 0,
            vouched: false,
            refusal: None,
            keepalive_secs: 0,
            receive_maximum: u16::MAX,
            aliases_max: 0,
            packet_bytes_max: u32::MAX,
            heard_secs,
            check_secs: 0,
            unauthenticated_bytes: 0,
            written: 0,
            outgoing: Vec::new(),
            partial: None,
            publishing: None,
            aliases: None,
            exchange: None,
        }
    }

    /// Whether the client's next AUTH is awaited.
    pub(crate) fn awaits_client(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.awaits_client())
    }

    /// Bytes that wait for the socket.
    pub(crate) fn backlog(&self) -> usize {
        self.outgoing.len() - self.written as usize
    }

    pub(crate) fn publishing(&mut self) -> &mut Publishing {
        self.publishing.get_or_insert_default()
    }
}

/// The connections of a shard, which of them have something to be written, and spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    touched: VecDeque<ConnectionId>,
    buffers: Vec<Vec<u8>>,
    /// What they take.
    buffers_bytes: usize,
    /// Packets that were put into buffers.
    packets: u64,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// No slot is beyond this.
    pub(crate) fn capacity(&self) -> u32 {
        self.slots.capacity() as u32
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> u32 {
        self.slots.insert(connection) as u32
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Connection> {
        self.slots.get(slot as usize)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Connection {
        self.slots.remove(slot as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.slots
            .iter()
            .map(|(slot, connection)| (slot as u32, connection))
    }

    /// Lists a connection for a flush at the end of the turn.
    pub(crate) fn touch(&mut self, slot: u32) {
        let connection = &mut self.slots[slot as usize];
        if !connection.touched {
            connection.touched = true;
            self.touched.push_back(ConnectionId {
                slot,
                serial: connection.serial,
            });
        }
    }

    /// Packets that were put into buffers, ever.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    /// The buffer of a connection, for one packet to be appended to; its flush is arranged.
    pub(crate) fn buffer(&mut self, slot: u32) -> &mut Vec<u8> {
        self.touch(slot);
        self.packets += 1;
        let connection = &mut self.slots[slot as usize];
        if connection.outgoing.capacity() == 0
            && let Some(buffer) = self.buffers.pop()
        {
            self.buffers_bytes -= buffer.capacity();
            connection.outgoing = buffer;
        }
        &mut connection.outgoing
    }

    /// The next connection to flush.
    pub(crate) fn next_touched(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.touched.pop_front() {
            if let Some(connection) = self
                .get_mut(id.slot)
                .filter(|known| known.serial == id.serial)
            {
                connection.touched = false;
                return Some(id);
            }
        }
        None
    }

    /// Takes the buffer of a connection back when everything in it is written.
    pub(crate) fn recycle(&mut self, slot: u32) {
        let connection = &mut self.slots[slot as usize];
        connection.written = 0;
        let mut buffer = std::mem::take(&mut connection.outgoing);
        let bytes = buffer.capacity();
        if bytes <= BUFFER_KEPT_BYTES && self.buffers_bytes + bytes <= BUFFERS_KEPT_BYTES {
            buffer.clear();
            self.buffers_bytes += bytes;
            self.buffers.push(buffer);
        }
    }
}

impl Index<u32> for Connections {
    type Output = Connection;

    fn index(&self, slot: u32) -> &Connection {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Connections {
    fn index_mut(&mut self, slot: u32) -> &mut Connection {
        &mut self.slots[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many connections are written to at once, what is kept for the next ones is bounded, and counted right.
    #[test]
    fn spare_buffers_are_bounded_in_bytes() {
        const EACH: usize = 1000;
        let mut connections = Connections::default();
        let slots: Vec<u32> = (0..2 * BUFFERS_KEPT_BYTES / EACH)
            .map(|serial| connections.insert(Connection::new(serial as u32, 0)))
            .collect();
        for _ in 0..2 {
            for slot in &slots {
                connections.buffer(*slot).resize(EACH, 0);
            }
            assert_eq!(connections.buffers_bytes, 0, "every one is in use");
            for slot in &slots {
                connections.recycle(*slot);
            }
            let kept: usize = connections.buffers.iter().map(Vec::capacity).sum();
            assert_eq!(connections.buffers_bytes, kept);
            assert!((BUFFERS_KEPT_BYTES - EACH..=BUFFERS_KEPT_BYTES).contains(&kept));
        }
        connections
            .buffer(slots[0])
            .resize(BUFFER_KEPT_BYTES + 1, 0);
        let kept = connections.buffers_bytes;
        connections.recycle(slots[0]);
        assert_eq!(connections.buffers_bytes, kept, "a large one is given back");
    }
}
