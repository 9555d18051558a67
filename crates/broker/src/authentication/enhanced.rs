//! Enhanced authentication: CONNECT, AUTH and CONNACK, AUTH on an open connection, and what a failure means for the
//! connection. What the data mean is decided outside; the shard knows no method. [5 MQTT-4.12.0-1]

use mqtt_codec::{Auth, Packet, ReasonCode};
use records::Millis;

use crate::access::list::Identity;
use crate::authentication::exchange::{Awaiting, Exchange};
use crate::connections::connection::Fault;
use crate::connections::connection::Stage;
use crate::connections::pending_connect::PendingConnect;
use crate::io::{ConnectionId, ExchangeRequest, Exchanged, Output};
use crate::shard::Shard;

/// Longest name of a method in bytes; a longer one is nobody's.
const METHOD_BYTES_MAX: usize = 64;

impl Shard {
    /// A CONNECT with an authentication method.
    pub(crate) fn begin_exchange(
        &mut self,
        id: ConnectionId,
        pending: Box<PendingConnect>,
        packet: &mqtt_codec::Connect<'_>,
        method: &str,
        now: Millis,
    ) {
        if method.len() > METHOD_BYTES_MAX {
            self.refuse_connect(id, ReasonCode::BAD_AUTHENTICATION_METHOD, now);
            return;
        }
        let exchange = Exchange::new(method, packet.username);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stage = Stage::Authenticating(pending);
            connection.exchange = Some(Box::new(exchange));
        }
        self.step(id, packet.properties.authentication_data, now);
    }

    /// A packet between a CONNECT with an authentication method and its CONNACK. [5 MQTT-4.12.0-4]
    pub(crate) fn on_packet_in_exchange(
        &mut self,
        id: ConnectionId,
        packet: &Packet<'_>,
        now: Millis,
    ) {
        match packet {
            Packet::Auth(auth) if self.is_next_step(id, auth) => self.step(id, auth.data, now),
            Packet::Disconnect(_) => self.lose_connection(id, now),
            _ => {
                self.metrics.counters.protocol_errors += 1;
                self.refuse_connect(id, ReasonCode::PROTOCOL_ERROR, now);
            }
        }
    }

    /// AUTH on an open connection: it authenticates anew, and everything else goes on meanwhile.
    pub(crate) fn on_auth(
        &mut self,
        id: ConnectionId,
        auth: &Auth<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        if self.is_next_step(id, auth) {
            self.step(id, auth.data, now);
            return Ok(());
        }
        // [5 MQTT-4.12.0-6]: none without a method in CONNECT.
        let exchange = self
            .connections
            .get(id)
            .and_then(|connection| connection.exchange.as_ref())
            .ok_or(ReasonCode::PROTOCOL_ERROR)?;
        let begins = auth.reason == ReasonCode::RE_AUTHENTICATE
            && exchange.awaiting == Awaiting::Nothing
            && auth.method == Some(&*exchange.method);
        if !begins {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        self.step(id, auth.data, now);
        Ok(())
    }

    /// Whether this AUTH is the one that is awaited. [5 MQTT-4.12.0-5]
    fn is_next_step(&self, id: ConnectionId, auth: &Auth<'_>) -> bool {
        let exchange = self
            .connections
            .get(id)
            .and_then(|connection| connection.exchange.as_ref());
        exchange.is_some_and(|exchange| {
            exchange.awaits_client()
                && auth.reason == ReasonCode::CONTINUE_AUTHENTICATION
                && auth.method == Some(&*exchange.method)
        })
    }

    /// Has the client's data judged outside.
    fn step(&mut self, id: ConnectionId, data: Option<&[u8]>, now: Millis) {
        let settings = self.settings.clone();
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let before_connack = matches!(connection.stage, Stage::Authenticating(_));
        let Some(exchange) = connection.exchange.as_mut() else {
            return;
        };
        if !exchange.take(data, &settings.limits) {
            self.metrics.counters.exchanges_too_long += 1;
            self.exchange_failed(id, ReasonCode::QUOTA_EXCEEDED, now);
            return;
        }
        let request = ExchangeRequest {
            connection: id,
            method: exchange.method.clone(),
            data: data.map(Into::into),
            state: std::mem::take(&mut exchange.state),
        };
        if before_connack {
            self.connections.pause(id);
        }
        self.outputs.push(Output::Exchange(Box::new(request)));
    }

    /// The word from outside on a step.
    pub(crate) fn exchanged(&mut self, id: ConnectionId, outcome: Exchanged, now: Millis) {
        let ours = self
            .connections
            .get_mut(id)
            .and_then(|connection| connection.exchange.as_mut())
            .filter(|exchange| exchange.awaiting == Awaiting::Verdict);
        let Some(exchange) = ours else {
            return;
        };
        match outcome {
            Exchanged::Continue { data, state } => {
                exchange.awaiting = Awaiting::Client;
                exchange.state = state;
                // [5 MQTT-4.12.0-2]
                self.send_auth(id, ReasonCode::CONTINUE_AUTHENTICATION, &data, now);
                // An open connection was not paused for this, but may be for something else.
                let before_connack = self
                    .connections
                    .get(id)
                    .is_some_and(|connection| matches!(connection.stage, Stage::Authenticating(_)));
                if before_connack {
                    self.resume(id, now);
                }
            }
            Exchanged::Proved { identity, data } => {
                exchange.end();
                self.proved(id, identity, data, now);
            }
            Exchanged::Refused(reason) => self.exchange_failed(id, reason, now),
        }
    }

    fn proved(&mut self, id: ConnectionId, identity: Identity, data: Box<[u8]>, now: Millis) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if let Stage::Open { session } = connection.stage {
            let session = &mut self.sessions[session];
            if session.account != identity.account {
                // It stays who it is: sessions and subscriptions are its account's.
                self.exchange_failed(id, ReasonCode::NOT_AUTHORIZED, now);
                return;
            }
            session.admin = identity.admin;
            self.metrics.counters.reauthentications += 1;
            self.send_auth(id, ReasonCode::SUCCESS, &data, now);
            return;
        }
        let Some(exchange) = connection.exchange.as_mut() else {
            return;
        };
        let claimed = exchange.claimed.take();
        exchange.last = (!data.is_empty()).then_some(data);
        let verdict = match claimed {
            Some(claimed) if *claimed != *identity.name => Err(ReasonCode::NOT_AUTHORIZED),
            Some(_) | None => Ok(identity),
        };
        self.authenticated(id, verdict, now);
    }

    /// [5 MQTT-4.12.0-4] [5 MQTT-4.12.1-2]
    fn exchange_failed(&mut self, id: ConnectionId, reason: ReasonCode, now: Millis) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if matches!(connection.stage, Stage::Authenticating(_)) {
            self.refuse_connect(id, reason, now);
            return;
        }
        self.metrics.counters.reauthentications_refused += 1;
        // DISCONNECT has no word for a wrong password. [5 MQTT-3.14.2-1]
        let reason = match reason {
            ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::BAD_AUTHENTICATION_METHOD => {
                ReasonCode::NOT_AUTHORIZED
            }
            other => other,
        };
        self.disconnect(id, reason, now);
    }

    /// Every AUTH repeats the method of CONNECT. [5 MQTT-4.12.0-5]
    fn send_auth(&mut self, id: ConnectionId, reason: ReasonCode, data: &[u8], now: Millis) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let (maximum, exchange) = (connection.packet_bytes_max, connection.exchange.as_ref());
        let Some(exchange) = exchange else {
            return;
        };
        let data = (!data.is_empty()).then_some(data);
        let mut packet = Vec::new();
        Auth::new(reason, &exchange.method, data).encode(maximum, &mut packet);
        if packet.len() > maximum as usize {
            // [5 MQTT-3.1.2-24]: it can't be said to this client, and without it there is no going on.
            self.exchange_failed(id, ReasonCode::PACKET_TOO_LARGE, now);
            return;
        }
        self.connections.buffer(id.slot).extend_from_slice(&packet);
    }
}
