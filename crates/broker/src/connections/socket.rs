//! A connection as whoever holds its socket sees it: accepted, read, written, closed.

use mqtt_codec::ReasonCode;
use records::Millis;

use crate::connections::connection::{Connection, Stage};
use crate::io::ConnectionId;
use crate::shard::Shard;

/// How long a connection that is to be refused may take to send its CONNECT.
const REFUSAL_TIMEOUT_MS: u64 = 2000;

impl Shard {
    /// A socket was accepted.
    pub fn accept(&mut self, now: Millis) -> ConnectionId {
        self.accept_through(0, now)
    }

    /// A connection through a listener with limits of its own, or 0.
    pub fn accept_through(&mut self, listener: u8, now: Millis) -> ConnectionId {
        self.accept_late(listener, 0, now)
    }

    /// A connection that began `waited` milliseconds ago, outside: so much of the time for its CONNECT has gone.
    pub fn accept_late(&mut self, listener: u8, waited: u64, now: Millis) -> ConnectionId {
        self.metrics.counters.connections_accepted += 1;
        let id = self.insert_connection(now);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.listener = listener;
        }
        let left = self.connect_timeout_ms(id).saturating_sub(waited);
        self.connections
            .schedule_check(id, now.saturating_add(left), now, &self.clock);
        id
    }

    /// Who this connection is has been proved outside, before its CONNECT: whatever name that gives, or none, it is asked
    /// about with [`crate::Output::Authenticate`].
    pub fn vouch(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.vouched = true;
        }
    }

    /// The connection is one too many: its CONNECT, which has to come soon, is answered with this reason and not looked at.
    pub fn refuse_connection(&mut self, id: ConnectionId, reason: ReasonCode, now: Millis) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.refusal = Some(reason);
            self.connections.schedule_check(
                id,
                now.saturating_add(REFUSAL_TIMEOUT_MS),
                now,
                &self.clock,
            );
        }
    }

    /// There is room for the connection after all, and as much time as for any.
    pub fn withdraw_refusal(&mut self, id: ConnectionId, now: Millis) {
        let time = self.connect_timeout_ms(id);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.refusal = None;
            self.connections
                .schedule_check(id, now.saturating_add(time), now, &self.clock);
        }
    }

    /// Whether the client has been let in: CONNACK was given out, and not to refuse it.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.connections.is_open(id)
    }

    /// Whether the client waits for the word on its credentials, and has sent nothing behind its CONNECT.
    pub fn awaits_verdict(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| {
            matches!(connection.stage, Stage::Authenticating(_))
                && !connection.awaits_client()
                && connection.partial.is_none()
        })
    }

    /// Whether the connection is to be read; false while something has to happen first.
    pub fn wants_bytes(&self, id: ConnectionId) -> bool {
        self.connections
            .get(id)
            .is_some_and(|connection| !connection.paused)
    }

    /// Bytes that wait for this connection's socket.
    pub fn outgoing(&self, id: ConnectionId) -> &[u8] {
        self.connections.get(id).map_or(&[], |connection| {
            &connection.outgoing[connection.written as usize..]
        })
    }

    /// The first `count` bytes of [`Shard::outgoing`] are written.
    pub fn wrote(&mut self, id: ConnectionId, count: usize, now: Millis) {
        self.metrics.counters.bytes_sent += count as u64;
        self.turn.unbuffer(count);
        let low_water = self.settings.limits.outgoing_bytes_max / 2;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.written += count as u32;
        assert!(
            connection.written as usize <= connection.outgoing.len(),
            "only what waits can be written"
        );
        if connection.backlog() == 0 {
            self.connections.recycle(id.slot);
        }
        let connection = &mut self.connections[id.slot];
        if connection.backlog() > low_water {
            return;
        }
        let choked = std::mem::take(&mut connection.choked);
        if let Stage::Open { session } = connection.stage
            && self.sessions[session].wants_room()
        {
            self.pump(session, now);
        }
        if choked {
            self.resume(id, now);
        }
    }

    /// The socket was closed by the peer or failed.
    pub fn closed(&mut self, id: ConnectionId, now: Millis) {
        if self.connections.get(id).is_some() {
            self.lose_connection(id, now);
        }
    }

    /// The socket is closed: the connection is forgotten.
    pub fn forget(&mut self, id: ConnectionId) {
        self.remove_connection(id);
    }

    pub(crate) fn insert_connection(&mut self, now: Millis) -> ConnectionId {
        self.connections.insert(self.clock.seconds(now))
    }

    pub(crate) fn remove_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(id)?;
        self.turn.unbuffer(connection.backlog());
        Some(connection)
    }
}
