//! Connections on their way to MQTT: PROXY headers, TLS and WebSocket handshakes. A handshake costs a signature, so only a
//! few of them go on in one turn: a thousand that arrive at once do not hold up those that are here.

use net::{Failure, Stage};

use super::ShardThread;
use crate::admission::Full;
use crate::origin::Origin;
use broker::ConnectionId;
use mqtt_codec::ReasonCode;

/// Handshakes that go on in one turn.
const PER_TURN: usize = 4;

impl ShardThread {
    /// Lets a few arriving connections go on.
    pub(super) fn read_arrivals(&mut self, scratch: &mut [u8]) {
        for _ in 0..PER_TURN {
            let Some(id) = self.arrivals.pop_front() else {
                return;
            };
            self.read(id, scratch);
        }
    }

    /// Takes note of a step; false ends the reading.
    pub(super) fn arrive(&mut self, id: ConnectionId, stage: Stage) -> bool {
        let Some(origin) = self.sockets.origin(id) else {
            return false;
        };
        match stage {
            Stage::Proxied(None) => true,
            Stage::Proxied(Some(client)) => {
                let address = client.ip().to_canonical();
                let named = Origin {
                    address,
                    refused: None,
                    ..origin
                };
                self.readdress(id, named)
            }
            Stage::Secured => {
                if self.certified(id).is_some() {
                    self.core.vouch(id);
                }
                true
            }
            Stage::Failed(failure) => {
                self.turn_away(id, origin, failure);
                false
            }
        }
    }

    /// The account's name in the certificate that the peer has proved to hold, where the listener asks for it.
    pub(super) fn certified(&mut self, id: ConnectionId) -> Option<String> {
        let origin = self.sockets.origin(id)?;
        let listener = self.served.get(origin.listener)?;
        let socket = self.sockets.get_mut(id)?;
        listener.account(socket.transport.peer_certificate())
    }

    /// From here on the connection counts as its client's. One too many is told so, or closed.
    fn readdress(&mut self, id: ConnectionId, origin: Origin) -> bool {
        let was_refused = self
            .sockets
            .origin(id)
            .is_some_and(|before| before.refused.is_some());
        let admitted = self.sockets.readdress(id, origin);
        if let Some(Origin { refused: None, .. }) = admitted {
            if was_refused {
                self.core.withdraw_refusal(id, self.clock.now());
            }
            return true;
        }
        if let Some(listener) = self.served.get(origin.listener) {
            listener.count_refused();
        }
        if let Some(Origin {
            refused: Some(full),
            ..
        }) = admitted
        {
            self.core
                .refuse_connection(id, refusal(full), self.clock.now());
            return true;
        }
        drop(self.sockets.take(id, self.poll.registry()));
        let now = self.clock.now();
        self.core.closed(id, now);
        self.core.forget(id);
        false
    }

    fn turn_away(&mut self, id: ConnectionId, origin: Origin, failure: Failure) {
        if let Some(listener) = self.served.get(origin.listener) {
            listener.count_failure(failure);
        }
        tracing::debug!(address = %origin.address, listener = origin.listener.0, %failure, "a connection was turned away");
        let now = self.clock.now();
        self.core.closed(id, now);
    }

    /// The core closes a connection; one that has not arrived has taken too long.
    pub(super) fn note_timeout(&mut self, id: ConnectionId) {
        let Some(origin) = self.sockets.origin(id) else {
            return;
        };
        let late = self.stop_at.is_none()
            && self
                .sockets
                .get_mut(id)
                .is_some_and(|socket| socket.transport.is_arriving());
        if late && let Some(listener) = self.served.get(origin.listener) {
            listener.count_timeout();
        }
    }
}

/// What a client is told that is one too many.
pub(super) fn refusal(full: Full) -> ReasonCode {
    match full {
        Full::Descriptors | Full::Server | Full::Listener => ReasonCode::SERVER_BUSY,
        Full::Address => ReasonCode::QUOTA_EXCEEDED,
        Full::Rate => ReasonCode::CONNECTION_RATE_EXCEEDED,
    }
}
