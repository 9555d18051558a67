//! The connections of a shard: where each is found, which have something to be written, which are checked when, and what all of
//! them hold that have not been let in.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use mqtt_codec::Version;
use records::Millis;
use slab::Slab;

use crate::clock::Clock;
use crate::connections::connection::{Connection, Stage};
use crate::connections::wheel::Wheel;
use crate::io::ConnectionId;

/// Furthest ahead that a check is scheduled; less than the wheel's turn.
const CHECK_MS_MAX: u64 = 120_000;
/// Bytes of output buffers kept for the next connections that have something to send: enough for a message to some
/// thousand subscribers, so that a turn need not allocate for each of them.
const BUFFERS_KEPT_BYTES: usize = 1024 * 1024;
/// A buffer larger than this goes back to the allocator.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;

/// The connections, and spare buffers for what they are sent.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    next_serial: u32,
    touched: VecDeque<ConnectionId>,
    buffers: Vec<Vec<u8>>,
    /// What they take.
    buffers_bytes: usize,
    /// Packets that were put into buffers.
    packets: u64,
    wheel: Wheel,
    /// Connections that go to another shard once what came behind their CONNECT is kept.
    leaving: Vec<ConnectionId>,
    /// Bytes of all that have not been let in.
    unauthenticated_bytes: usize,
}

impl Connections {
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            slots: Slab::new(),
            next_serial: 0,
            touched: VecDeque::new(),
            buffers: Vec::new(),
            buffers_bytes: 0,
            packets: 0,
            wheel: Wheel::new(now),
            leaving: Vec::new(),
            unauthenticated_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// No slot is beyond this.
    pub(crate) fn capacity(&self) -> u32 {
        self.slots.capacity() as u32
    }

    /// A new connection, heard in this second.
    pub(crate) fn insert(&mut self, heard_secs: u32) -> ConnectionId {
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let slot = self.slots.insert(Connection::new(serial, heard_secs)) as u32;
        ConnectionId { slot, serial }
    }

    /// A connection, if it is still there.
    #[inline]
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let connection = self.slots.get(id.slot as usize)?;
        (connection.serial == id.serial).then_some(connection)
    }

    /// A connection, if it is still there.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(id.slot as usize)?;
        (connection.serial == id.serial).then_some(connection)
    }

    /// Whatever connection has this slot.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&Connection> {
        self.slots.get(slot as usize)
    }

    /// The connection that has this slot.
    pub(crate) fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId {
            slot,
            serial: self[slot].serial,
        }
    }

    /// All of them.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.slots.iter().map(|(slot, connection)| ConnectionId {
            slot: slot as u32,
            serial: connection.serial,
        })
    }

    /// Forgets a connection.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get(id)?;
        let connection = self.slots.remove(id.slot as usize);
        self.unauthenticated_bytes -= connection.unauthenticated_bytes as usize;
        Some(connection)
    }

    /// The session of an open connection.
    pub(crate) fn session_of(&self, slot: u32) -> Option<u32> {
        match self.at(slot)?.stage {
            Stage::Open { session } => Some(session),
            Stage::AwaitConnect
            | Stage::Authenticating(_)
            | Stage::Leaving(_)
            | Stage::Storing { .. }
            | Stage::Closing => None,
        }
    }

    /// Whether it has had its CONNACK and has not ended.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.get(id)
            .is_some_and(|connection| matches!(connection.stage, Stage::Open { .. }))
    }

    /// The protocol version a connection speaks.
    #[inline]
    pub(crate) fn version(&self, slot: u32) -> Version {
        self[slot].version
    }

    /// Stops reading from a connection.
    pub(crate) fn pause(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.paused = true;
        }
    }

    /// Whether acknowledgements of this connection wait, so that later ones have to queue behind them.
    #[inline]
    pub(crate) fn owes_acks(&self, id: ConnectionId) -> bool {
        self.get(id)
            .and_then(|connection| connection.publishing.as_ref())
            .is_some_and(|publishing| !publishing.acks.is_empty())
    }

    // To other shards.

    /// A connection is handed over at the end of the turn.
    pub(crate) fn leave(&mut self, id: ConnectionId) {
        self.leaving.push(id);
    }

    /// Those that are handed over by now.
    pub(crate) fn take_leaving(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.leaving)
    }

    // Time limits.

    /// Checks a connection once `at` has come, or earlier if that is far away. Of several checks only the
    /// one scheduled last counts.
    pub(crate) fn schedule_check(
        &mut self,
        id: ConnectionId,
        at: Millis,
        now: Millis,
        clock: &Clock,
    ) {
        let at = at.min(now.saturating_add(CHECK_MS_MAX));
        if let Some(connection) = self.get_mut(id) {
            connection.check_secs = clock.seconds(at);
            self.wheel.schedule(id, at, now);
        }
    }

    /// A connection whose check may be due.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<ConnectionId> {
        self.wheel.take_due(now)
    }

    /// When the next one is.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.wheel.next_due()
    }

    // Before they are let in.

    /// Counts what a connection holds, `outside` of it elsewhere; whether that has grown.
    pub(crate) fn count_unauthenticated(&mut self, id: ConnectionId, outside: usize) -> bool {
        let Some(connection) = self.get_mut(id) else {
            return false;
        };
        let counted = connection.bytes_before_entry(outside);
        let before = std::mem::replace(&mut connection.unauthenticated_bytes, counted as u32);
        self.unauthenticated_bytes = self.unauthenticated_bytes + counted - before as usize;
        counted > before as usize
    }

    /// Bytes of all that have not been let in, beyond what is free for each.
    pub(crate) fn unauthenticated_bytes(&self) -> usize {
        self.unauthenticated_bytes
    }

    // Output buffers.

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
            if let Some(connection) = self.get_mut(id) {
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
        let mut connections = Connections::new(Millis::ZERO);
        let slots: Vec<u32> = (0..2 * BUFFERS_KEPT_BYTES / EACH)
            .map(|serial| connections.insert(serial as u32).slot)
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

    /// Whoever is found under a slot later is another connection.
    #[test]
    fn a_slot_that_is_used_again_is_not_the_same_connection() {
        let mut connections = Connections::new(Millis::ZERO);
        let first = connections.insert(0);
        assert!(connections.remove(first).is_some());
        let second = connections.insert(0);
        assert_eq!(second.slot, first.slot);
        assert!(connections.get(first).is_none() && connections.remove(first).is_none());
        assert_eq!(connections.id(second.slot), second);
    }

    /// What a connection held is taken back when it is forgotten, and what is free for each is not counted.
    #[test]
    fn bytes_of_connections_that_are_not_let_in_are_counted_once() {
        let mut connections = Connections::new(Millis::ZERO);
        let (first, second) = (connections.insert(0), connections.insert(0));
        assert!(connections.count_unauthenticated(first, 10_000));
        assert!(
            !connections.count_unauthenticated(first, 10_000),
            "it has not grown"
        );
        assert!(!connections.count_unauthenticated(second, 1), "it is free");
        let counted = connections.unauthenticated_bytes();
        assert!(counted > 0 && counted < 10_000);
        connections.remove(first);
        assert_eq!(connections.unauthenticated_bytes(), 0);
    }
}
