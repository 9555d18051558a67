//! One network connection, from both ends: bytes on their way in either direction, arbitrarily late and in
//! arbitrary pieces, and lost when it is cut. It knows no packet.

use broker::ConnectionId;
use records::Millis;

/// Where the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a shard's hands.
    Shard(usize, ConnectionId),
    /// On its way to another shard.
    Moving,
    /// The server has closed it.
    Gone,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) v5: bool,
    pub(crate) place: Place,
    /// From client to server.
    pub(crate) up: Vec<u8>,
    /// From server to client.
    pub(crate) down: Vec<u8>,
    /// On its way into `down`, while a mistake is made with it.
    pub(crate) raw: Vec<u8>,
    /// Bytes that `down` takes.
    pub(crate) room: usize,
    /// The client still holds its end.
    pub(crate) client_open: bool,
    /// The server has said that it closes once everything is written.
    pub(crate) closing: bool,
    /// The server has read everything before it found that the client was gone.
    pub(crate) read_out: bool,
    /// It has been told that the client is gone.
    pub(crate) told: bool,
    /// When the server last heard anything, and when it closed the connection or knew of its end.
    pub(crate) heard_at: Millis,
    pub(crate) ended_at: Option<Millis>,
    /// Since when it has known that for good: what it knew when it died may not have been on disk.
    pub(crate) known_at: Option<Millis>,
}

impl Link {
    pub(crate) fn new(client: usize, v5: bool, place: Place, room: usize, now: Millis) -> Self {
        Self {
            client,
            v5,
            raw: Vec::new(),
            place,
            up: Vec::new(),
            down: Vec::new(),
            room,
            client_open: true,
            closing: false,
            read_out: false,
            told: false,
            heard_at: now,
            ended_at: None,
            known_at: None,
        }
    }

    /// The server has closed it, or knows that it has ended.
    pub(crate) fn ends(&mut self, now: Millis) {
        self.ended_at.get_or_insert(now);
        self.known_at.get_or_insert(now);
    }

    /// How long the server had heard nothing when it closed the connection.
    pub(crate) fn silence(&self) -> u64 {
        self.ended_at.map_or(0, |at| at.since(self.heard_at))
    }

    /// The client's end goes; so many bytes of what it has written still arrive.
    pub(crate) fn cut(&mut self, arriving: usize) {
        self.client_open = false;
        self.up.truncate(arriving);
        self.down.clear();
    }
}
