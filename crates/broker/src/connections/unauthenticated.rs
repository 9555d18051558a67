//! Bytes of clients that have not been let in: the beginnings of their CONNECTs, and CONNECTs whose credentials are checked. All of
//! them together have one bound; a connection that goes beyond it is refused.

use mqtt_codec::{Connect, ReasonCode};
use records::Millis;

use crate::connections::connection::Stage;
use crate::connections::packets::is_connect;
use crate::io::ConnectionId;
use crate::shard::Shard;

impl Shard {
    /// So many bytes of a connection wait outside until more have come, as in a TLS handshake or a WebSocket message.
    pub fn count_bytes_outside(&mut self, id: ConnectionId, bytes: usize, now: Millis) {
        self.count_unauthenticated(id, bytes, now);
    }

    /// Counts what a connection holds, `outside` of it elsewhere, and refuses it if that has become too much.
    pub(crate) fn count_unauthenticated(&mut self, id: ConnectionId, outside: usize, now: Millis) {
        let has_grown = self.connections.count_unauthenticated(id, outside);
        let all = self.connections.unauthenticated_bytes();
        if has_grown && all > self.settings.limits.unauthenticated_bytes_max {
            self.refuse_unauthenticated(id, now);
        }
    }

    fn refuse_unauthenticated(&mut self, id: ConnectionId, now: Millis) {
        self.metrics.counters.unauthenticated_refused += 1;
        let Some(connection) = self.connections.get_mut(id) else {
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
