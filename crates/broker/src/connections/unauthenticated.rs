//! Bytes of clients that have not been let in: the beginnings of their CONNECTs, and CONNECTs whose credentials are checked. All of
//! them together have one bound; a connection that goes beyond it is refused.

use mqtt_codec::{Connect, ReasonCode};
use records::Millis;

use crate::connections::connection::{Connection, Stage};
use crate::connections::packets::is_connect;
use crate::connections::pending_connect::PendingConnect;
use crate::io::ConnectionId;
use crate::shard::Shard;

/// So much of each connection is not counted: an ordinary CONNECT is always let in.
const FREE_BYTES: usize = 512;

impl Shard {
    /// So many bytes of a connection wait outside until more have come, as in a TLS handshake or a WebSocket message.
    pub fn count_bytes_outside(&mut self, id: ConnectionId, bytes: usize, now: Millis) {
        self.count_unauthenticated(id, bytes, now);
    }

    /// Counts what a connection holds, `outside` of it elsewhere, and refuses it if that has become too much.
    pub(crate) fn count_unauthenticated(&mut self, id: ConnectionId, outside: usize, now: Millis) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let counted = connection.unauthenticated_bytes(outside);
        let before =
            std::mem::replace(&mut connection.unauthenticated_bytes, counted as u32) as usize;
        self.unauthenticated_bytes = self.unauthenticated_bytes + counted - before;
        let full = self.unauthenticated_bytes > self.settings.limits.unauthenticated_bytes_max;
        if counted > before && full {
            self.refuse_unauthenticated(id, now);
        }
    }

    /// A connection that is forgotten holds nothing.
    pub(crate) fn uncount_unauthenticated(&mut self, connection: &Connection) {
        self.unauthenticated_bytes -= connection.unauthenticated_bytes as usize;
    }

    fn refuse_unauthenticated(&mut self, id: ConnectionId, now: Millis) {
        self.metrics.counters.unauthenticated_refused += 1;
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let has_words = match connection.stage {
            Stage::AwaitConnect => {
                let partial = connection.partial.as_deref().map_or(&[][..], Vec::as_slice);
                let version = is_connect(partial).then(|| Connect::version(partial));
                if let Some(Ok(Some(version))) = version {
                    connection.version = version;
                    true
                } else {
                    false
                }
            }
            Stage::Authenticating(_) | Stage::Leaving(_) => true,
            Stage::Storing { .. } | Stage::Open { .. } | Stage::Closing => false,
        };
        if has_words {
            self.refuse_connect(id, ReasonCode::QUOTA_EXCEEDED, now);
        } else {
            self.lose_connection(id, now);
        }
    }
}

impl Connection {
    /// What it holds beyond what is free, as long as it has not been let in.
    fn unauthenticated_bytes(&self, outside: usize) -> usize {
        let connect = match &self.stage {
            Stage::AwaitConnect => 0,
            Stage::Authenticating(pending) | Stage::Leaving(pending) => pending.bytes(),
            Stage::Storing { .. } | Stage::Open { .. } | Stage::Closing => return 0,
        };
        let partial = self.partial.as_ref().map_or(0, |bytes| bytes.capacity());
        (partial + connect + outside).saturating_sub(FREE_BYTES)
    }
}

impl PendingConnect {
    /// What a client can make long in it.
    fn bytes(&self) -> usize {
        let will = self.will.as_ref().map_or(0, |will| {
            let message = &will.message;
            message.topic.len() + message.payload.len() + message.properties.len()
        });
        self.client_id.len() + will + self.rest.len()
    }
}
