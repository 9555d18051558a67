//! How connections end by the shard's word: with a reason, with their account or token, or for another server. What that means for
//! their sessions is in `sessions::ending`.

use mqtt_codec::{ReasonCode, Version, disconnect};
use records::Millis;

use crate::authentication::closed::Closed;
use crate::connections::connection::Stage;
use crate::io::{ConnectionId, Output, Service};
use crate::sessions::session::NO_CONNECTION;
use crate::shard::Shard;
use crate::turn::deferred::{Closing, DeferredWork};
use crate::turn::pieces::SESSIONS_PER_PIECE;

/// Connections that are sent to another server in one piece.
const CONNECTIONS_PER_PIECE: u32 = 256;

impl Shard {
    /// Says why, if the protocol has a word for it, and closes. [5 MQTT-4.13.1-1]
    pub(crate) fn disconnect(&mut self, id: ConnectionId, reason: ReasonCode, now: Millis) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let (version, open) = (
            connection.version,
            matches!(connection.stage, Stage::Open { .. }),
        );
        // [5 MQTT-3.14.0-1]: no DISCONNECT before a successful CONNACK.
        if open && version == Version::V5 {
            self.send_disconnect(id.slot, reason);
        }
        self.lose_connection(id, now);
    }

    /// Detaches the session and has the socket closed once its bytes are written.
    pub(crate) fn lose_connection(&mut self, id: ConnectionId, now: Millis) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let stage = std::mem::replace(&mut connection.stage, Stage::Closing);
        connection.partial = None;
        connection.publishing = None;
        connection.aliases = None;
        connection.exchange = None;
        self.count_unauthenticated(id, 0, now);
        self.outputs.push(Output::Close(id));
        let grace = self.connect_timeout_ms(id);
        self.connections
            .schedule_check(id, now.saturating_add(grace), now, &self.clock);
        match stage {
            Stage::Open { session } => {
                self.tell_session_down(session);
                self.detach(session, now);
            }
            Stage::Storing { session, .. } => {
                // No CONNACK went out: the will of a CONNECT that was never accepted is nobody's will.
                self.withdraw_will(session, now);
                self.detach(session, now);
            }
            Stage::AwaitConnect | Stage::Authenticating(_) | Stage::Leaving(_) | Stage::Closing => {
            }
        }
    }

    fn tell_session_down(&mut self, slot: u32) {
        let session = &self.sessions[slot];
        let Some(account) = session.account else {
            return;
        };
        let session = self.sessions.reference(slot);
        self.outputs
            .push(Output::Service(Service::SessionDown { session, account }));
    }

    /// Closes the connections of an account, or those that one of its tokens has opened.
    pub(crate) fn close_clients(&mut self, closed: Closed, reason: ReasonCode, now: Millis) {
        self.closed_clients.note(&closed, now);
        self.turn
            .defer(DeferredWork::Close(Closing::new(closed, reason)));
    }

    /// Closes those of the connections that are found in one piece of the sessions.
    pub(crate) fn close_some(&mut self, mut closing: Closing, now: Millis) {
        let end = self.sessions.capacity();
        let last = end.min(closing.next + SESSIONS_PER_PIECE);
        for place in closing.next..last {
            let session = self.sessions.at(place);
            let concerned = session.filter(|session| {
                session.connection != NO_CONNECTION
                    && closing
                        .closed
                        .concerns(session.account, session.token.as_ref())
            });
            if let Some(session) = concerned {
                self.disconnect(self.connections.id(session.connection), closing.reason, now);
            }
        }
        closing.next = last;
        if closing.next < end {
            self.turn.defer(DeferredWork::Close(closing));
        }
    }

    /// Sends those to another server who are found in one piece of the connections.
    pub(crate) fn redirect_some(&mut self, next: u32, now: Millis) {
        let redirect = self.settings.redirect.clone();
        let (Some(reason), Some(reference)) = (redirect.reason(), redirect.reference()) else {
            return;
        };
        let end = self.connections.capacity();
        let last = end.min(next.saturating_add(CONNECTIONS_PER_PIECE));
        for slot in next..last {
            if self.connections.at(slot).is_some() {
                self.redirect_connection(self.connections.id(slot), reason, reference, now);
            }
        }
        if last < end {
            self.turn.defer(DeferredWork::Redirect { next: last });
        }
    }

    fn redirect_connection(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        reference: &str,
        now: Millis,
    ) {
        let connection = &self.connections[id.slot];
        let maximum = connection.packet_bytes_max;
        match connection.stage {
            Stage::Open { .. } => {
                self.metrics.counters.redirected += 1;
                if connection.version == Version::V5 {
                    let out = self.connections.buffer(id.slot);
                    disconnect::encode_reference(reason, reference, maximum, out);
                }
                self.lose_connection(id, now);
            }
            Stage::Storing { .. } => self.refuse_connect(id, reason, now),
            // They are told when they come as far as a CONNACK.
            Stage::AwaitConnect | Stage::Authenticating(_) | Stage::Leaving(_) | Stage::Closing => {
            }
        }
    }
}
