//! From CONNECT to an open session: who may come in, whether there is room, take-over and clean start, what is stored before
//! CONNACK, and what that says.

use std::sync::Arc;

use mqtt_codec::{Connect, ReasonCode, Version, connack};
use records::{Millis, Moment, SessionNumber, Write, key};

use crate::access::list::{Client, Identity};
use crate::connections::connection::Fault;
use crate::connections::connection::{Chosen, Stage};
use crate::connections::pending_connect::PendingConnect;
use crate::io::{AuthenticationRequest, ConnectionId, Output, Service};
use crate::message::Message;
use crate::messenger::topics::is_chat;
use crate::sessions::session::{NEVER, Session};
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::stored::positions::chat_cursor;
use crate::wills::will::Will;

/// What a will may name in the messenger's tree: a message to a conversation.
const CHAT_WILL_PREFIX: &str = "im/to/";
/// Where the answers to a client's questions come, for those who ask at CONNECT.
const RESPONSE_INFORMATION: &str = "im/answer/";

impl Shard {
    /// The first packet of a connection. [3.1.1 MQTT-3.1.0-1] [5 MQTT-3.1.0-1]
    pub(crate) fn on_connect(
        &mut self,
        id: ConnectionId,
        packet: &Connect<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        let version = packet.version;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.version = version;
            connection.problem_information = packet.properties.request_problem_information;
            connection.packet_bytes_max = packet.properties.maximum_packet_size.unwrap_or(u32::MAX);
        }
        if let Some(reason) = self.refuses_anybody(id) {
            self.refuse_connect(id, reason, now);
            return Ok(());
        }
        let (listener, vouched) = self.connections.get(id).map_or((0, false), |connection| {
            (connection.listener, connection.vouched)
        });
        let allow_anonymous = self.settings.listener(listener).allow_anonymous;
        let Some((client_id, assigned)) = self.client_id(packet, now) else {
            self.refuse_connect(id, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, now);
            return Ok(());
        };
        let pending = Box::new(self.pending(packet, client_id, assigned, listener, now));
        if let Some(method) = packet.properties.authentication_method {
            if vouched {
                // A certificate has proved who it is already; a second proof could be somebody else's.
                self.refuse_connect(id, ReasonCode::BAD_AUTHENTICATION_METHOD, now);
                return Ok(());
            }
            self.begin_exchange(id, pending, packet, method, now);
            return Ok(());
        }
        // Small clients send an empty name where they have none.
        let says_nothing = |name: &str| name.is_empty() && allow_anonymous && !vouched;
        let username = packet.username.filter(|name| !says_nothing(name));
        // Whoever is vouched for need not say who it is; an empty name says nothing.
        match username.or(vouched.then_some("")) {
            Some(username) => {
                self.connections.pause(id);
                let password = packet.password.map(Into::into);
                let request = AuthenticationRequest {
                    connection: id,
                    username: username.into(),
                    password,
                };
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.stage = Stage::Authenticating(pending);
                }
                self.outputs.push(Output::Authenticate(Box::new(request)));
            }
            None if allow_anonymous => {
                let identity = Identity {
                    account: None,
                    name: Arc::from(""),
                    admin: false,
                    token: None,
                };
                self.identified(id, pending, identity, now);
            }
            None => self.refuse_connect(id, ReasonCode::NOT_AUTHORIZED, now),
        }
        Ok(())
    }

    /// Why a CONNECT on this connection is refused, whoever sends it.
    fn refuses_anybody(&self, id: ConnectionId) -> Option<ReasonCode> {
        if self.connections.len() > self.settings.limits.connections_max {
            return Some(ReasonCode::SERVER_BUSY);
        }
        let redirected = self.settings.redirect.reason();
        redirected.or_else(|| self.connections.get(id)?.refusal)
    }

    /// What a CONNECT asks for, and its place among all.
    fn pending(
        &mut self,
        packet: &Connect<'_>,
        client_id: Arc<str>,
        assigned: bool,
        listener: u8,
        now: Millis,
    ) -> PendingConnect {
        PendingConnect {
            version: packet.version,
            client_id,
            assigned,
            clean_start: packet.clean_start,
            keepalive_secs: packet.keep_alive,
            expiry_secs: requested_expiry(packet),
            receive_maximum: packet.properties.receive_maximum.unwrap_or(u16::MAX),
            packet_bytes_max: packet.properties.maximum_packet_size.unwrap_or(u32::MAX),
            aliases_max: packet.properties.topic_alias_maximum,
            problem_information: packet.properties.request_problem_information,
            response_information: packet.properties.request_response_information,
            will: will_of(packet, now),
            identity: None,
            connect_at: now,
            connect_stamp: self.clock.stamp(now),
            home: self.peers.own(),
            exchange: None,
            listener,
            rest: Vec::new(),
        }
    }

    /// The client id, or a new one when the client left it to us. `None` is refused.
    /// [3.1.1 MQTT-3.1.3-6] [3.1.1 MQTT-3.1.3-8] [5 MQTT-3.1.3-6]
    fn client_id(&mut self, packet: &Connect<'_>, now: Millis) -> Option<(Arc<str>, bool)> {
        if !packet.client_id.is_empty() {
            let maximum = self.settings.limits.client_id_bytes_max;
            if packet.client_id.len() > maximum.min(key::TEXT_BYTES_MAX) {
                self.metrics.counters.client_ids_too_long += 1;
                return None;
            }
            return Some((packet.client_id.into(), false));
        }
        let allowed = match packet.version {
            Version::V31 => false,
            Version::V311 => packet.clean_start,
            Version::V5 => true,
        };
        allowed.then(|| {
            (
                format!("auto-{:x}", self.clock.stamp(now).value()).into(),
                true,
            )
        })
    }

    /// The credentials have been checked.
    pub(crate) fn authenticated(
        &mut self,
        id: ConnectionId,
        verdict: Result<Identity, ReasonCode>,
        now: Millis,
    ) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !matches!(connection.stage, Stage::Authenticating(_)) {
            return;
        }
        let stage = std::mem::replace(&mut connection.stage, Stage::AwaitConnect);
        let Stage::Authenticating(pending) = stage else {
            return;
        };
        match verdict {
            Ok(identity) => self.identified(id, pending, identity, now),
            Err(reason) => self.refuse_connect(id, reason, now),
        }
    }

    /// The client is known: its session lives here or on another shard.
    fn identified(
        &mut self,
        id: ConnectionId,
        mut pending: Box<PendingConnect>,
        identity: Identity,
        now: Millis,
    ) {
        pending.home = self.sessions.home_of(identity.account, &pending.client_id);
        pending.identity = Some(identity);
        if pending.home == self.peers.own() {
            self.open(id, *pending, now);
            return;
        }
        self.connections.pause(id);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stage = Stage::Leaving(pending);
            self.connections.leave(id);
        }
    }

    pub(crate) fn open(&mut self, id: ConnectionId, mut pending: PendingConnect, now: Millis) {
        let Some(identity) = pending.identity.take() else {
            return;
        };
        if let Err(reason) = self.check_entry(&identity, &pending) {
            self.refuse_connect(id, reason, now);
            return;
        }
        let existing = self.sessions.find(identity.account, &pending.client_id);
        if let Some(slot) = existing {
            if self.sessions[slot].connect_stamp > pending.connect_stamp {
                // Its credentials took longer to check than those of a CONNECT that came after it: of the two connections
                // this is the older one. [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
                self.metrics.counters.connects_refused += 1;
                self.disconnect(id, ReasonCode::SESSION_TAKEN_OVER, now);
                return;
            }
            if !self.end_if_expired(slot, now) {
                self.take_over(slot, now);
            }
        }
        // The take-over may have ended a session that was not to outlive its connection.
        let mut existing = self.sessions.find(identity.account, &pending.client_id);
        if let (Some(slot), true) = (existing, pending.clean_start) {
            // [3.1.1 MQTT-3.1.2-6] [5 MQTT-3.1.2-4]
            self.end_session(slot, now);
            existing = None;
        }
        if !self.has_room_for(existing, &pending, &identity, now) {
            self.metrics.counters.sessions_refused += 1;
            self.refuse_connect(id, ReasonCode::QUOTA_EXCEEDED, now);
            return;
        }
        let present = existing.is_some();
        let slot = existing.unwrap_or_else(|| self.create_session(&pending, &identity));
        let had_will = self.sessions[slot].will.is_some();
        self.attach(id, slot, pending, identity, now);
        let will = self.will_write(slot, had_will);
        self.store_or_connack(id, slot, present, will, now);
    }

    /// Whether there is room for the session of a CONNECT, of which `existing` is there already.
    fn has_room_for(
        &mut self,
        existing: Option<u32>,
        pending: &PendingConnect,
        identity: &Identity,
        now: Millis,
    ) -> bool {
        let limits = &self.settings.limits;
        if existing.is_none() && self.sessions.len() >= limits.sessions_max {
            return false;
        }
        let is_stored = existing.is_some_and(|slot| self.sessions[slot].is_stored());
        let lasts = pending.expiry_secs.min(limits.session_expiry_max_secs) > 0;
        if is_stored || !lasts {
            return true;
        }
        if self.stored.is_disk_full() || self.is_full_of_offline_sessions() {
            return false;
        }
        identity
            .account
            .is_none_or(|account| self.make_room_for_session(account, now))
    }

    /// Whether the client may come in, with the will it leaves: that is a publish like any other.
    fn check_entry(&self, identity: &Identity, pending: &PendingConnect) -> Result<(), ReasonCode> {
        if let Some(reason) = self.settings.redirect.reason() {
            return Err(reason);
        }
        if self.closed_clients.since(identity, pending.connect_at) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let Some(will) = &pending.will else {
            return Ok(());
        };
        if self.stored.is_disk_full() {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let topic = &*will.message.topic;
        if !self.topic_fits(topic) {
            return Err(ReasonCode::TOPIC_NAME_INVALID);
        }
        let client = Client {
            account: identity.account.map(|_| &*identity.name),
            client_id: &pending.client_id,
        };
        let allowed = if is_chat(topic) {
            identity.account.is_some() && topic.starts_with(CHAT_WILL_PREFIX)
        } else {
            self.may_publish(client, identity.admin, topic)
        };
        if allowed {
            Ok(())
        } else {
            Err(ReasonCode::NOT_AUTHORIZED)
        }
    }

    fn create_session(&mut self, pending: &PendingConnect, identity: &Identity) -> u32 {
        let serial = self.sessions.next_serial();
        let session = Session::new(serial, identity, pending.client_id.clone());
        self.sessions.insert(session)
    }

    fn attach(
        &mut self,
        id: ConnectionId,
        slot: u32,
        pending: PendingConnect,
        identity: Identity,
        now: Millis,
    ) {
        let limits = &self.settings.limits;
        let expiry_secs = pending.expiry_secs.min(limits.session_expiry_max_secs);
        let aliases_max = limits.topic_aliases_sent_max;
        let keepalive_secs = match (limits.keepalive_max_secs, pending.keepalive_secs) {
            (0, wanted) => wanted,
            (maximum, 0) => maximum,
            (maximum, wanted) => wanted.min(maximum),
        };
        let session = &mut self.sessions[slot];
        session.connection = id.slot;
        session.expiry_secs = expiry_secs;
        session.admin = identity.admin;
        session.token = identity.token;
        session.name = identity.name;
        session.will = pending.will;
        session.connect_stamp = pending.connect_stamp;
        session.protocol_level = pending.version.level();
        session.disconnected_at = None;
        self.sessions.come_online(slot);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.keepalive_secs = keepalive_secs;
        connection.receive_maximum = pending.receive_maximum;
        // The limit holds for the whole connection as it was at its beginning.
        connection.aliases_max = pending.aliases_max.min(aliases_max);
        connection.response_information = pending.response_information;
        let chosen = Chosen {
            client_id: pending.assigned,
            keepalive: keepalive_secs != pending.keepalive_secs,
            expiry: expiry_secs != pending.expiry_secs,
        };
        connection.stage = Stage::Storing {
            session: slot,
            chosen,
        };
        self.count_unauthenticated(id, 0, now);
    }

    /// A session that outlives its connection is on disk before CONNACK says that it exists, and so is a will.
    fn store_or_connack(
        &mut self,
        id: ConnectionId,
        slot: u32,
        present: bool,
        will: Option<Write>,
        now: Millis,
    ) {
        let mut writes: Vec<Write> = will.into_iter().collect();
        if self.sessions[slot].expiry_secs == 0 && !self.sessions[slot].is_stored() {
            if writes.is_empty() && !self.appends.is_ending_session() {
                self.connected(id, present, now);
                return;
            }
            // The session that this one replaces must not come back after a crash.
            self.connections.pause(id);
            let then = Then::Connack {
                connection: id,
                present,
            };
            self.append(writes, then, now);
            return;
        }
        if !self.sessions[slot].is_stored() {
            let number = SessionNumber::new(self.clock.stamp(now).value());
            self.sessions[slot].number = number;
            self.sessions.count_lasting(slot);
        }
        writes.push(self.session_write(slot));
        self.connections.pause(id);
        let then = Then::Connack {
            connection: id,
            present,
        };
        self.append(writes, then, now);
    }

    /// Everything a CONNACK promises holds. [3.1.1 MQTT-3.2.2-2] [5 MQTT-3.2.2-3]
    pub(crate) fn connected(&mut self, id: ConnectionId, present: bool, now: Millis) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Stage::Storing {
            session: slot,
            chosen,
        } = connection.stage
        else {
            return;
        };
        let connack = self.connack(id, slot, present, chosen);
        let connection = &mut self.connections[id.slot];
        if connack.len() > connection.packet_bytes_max as usize {
            // [5 MQTT-3.1.2-24]: it has to hear what CONNACK says, and can't.
            self.refuse_connect(id, ReasonCode::PACKET_TOO_LARGE, now);
            return;
        }
        connection.stage = Stage::Open { session: slot };
        if let Some(exchange) = &mut connection.exchange {
            exchange.settle();
        }
        self.metrics.counters.connects_accepted += 1;
        self.connections.buffer(id.slot).extend_from_slice(&connack);
        let keepalive = u64::from(self.connections[id.slot].keepalive_secs) * 1500;
        if keepalive > 0 {
            self.connections
                .schedule_check(id, now.saturating_add(keepalive), now, &self.clock);
        }
        self.tell_session_up(slot, present);
        self.announce_shares(slot, now);
        self.chat_connected(slot, now);
        self.pump(slot, now);
        self.resume(id, now);
    }

    fn tell_session_up(&mut self, slot: u32, present: bool) {
        let session = &self.sessions[slot];
        let Some(account) = session.account else {
            return;
        };
        let (reference, device) = (self.sessions.reference(slot), session.client_id.clone());
        let takes_part = present && session.chat.is_some();
        let since = takes_part.then(|| chat_cursor(session, self.messenger.latest()));
        self.outputs.push(Output::Service(Service::SessionUp {
            session: reference,
            account,
            device,
            since,
        }));
        if present {
            self.tell_resumed(slot, account);
        }
    }

    fn connack(&self, id: ConnectionId, slot: u32, present: bool, chosen: Chosen) -> Vec<u8> {
        let limits = &self.settings.limits;
        let session = &self.sessions[slot];
        let connection = &self.connections[id.slot];
        let exchange = connection.exchange.as_ref();
        // [5 MQTT-3.1.2-28]; only the messenger answers anywhere.
        let response_information = (connection.response_information && session.account.is_some())
            .then_some(RESPONSE_INFORMATION);
        let mut properties = connack::Accepted {
            session_present: present,
            session_expiry: chosen.expiry.then_some(session.expiry_secs),
            receive_maximum: limits.receive_maximum,
            maximum_packet_size: self.settings.listener(connection.listener).packet_bytes_max,
            assigned_client_id: chosen.client_id.then_some(&*session.client_id),
            topic_alias_maximum: limits.topic_alias_maximum,
            server_keep_alive: chosen.keepalive.then_some(connection.keepalive_secs),
            response_information,
            authentication_method: exchange.map(|exchange| exchange.connack_properties().0),
            authentication_data: exchange.and_then(|exchange| exchange.connack_properties().1),
        };
        let mut packet = Vec::new();
        connack::encode_accepted(connection.version, &properties, &mut packet);
        if packet.len() > connection.packet_bytes_max as usize && response_information.is_some() {
            // Nobody has to be told this.
            properties.response_information = None;
            packet.clear();
            connack::encode_accepted(connection.version, &properties, &mut packet);
        }
        packet
    }

    /// CONNACK with an error, then the end. [3.1.1 MQTT-3.2.2-5] [5 MQTT-3.2.2-7]
    pub(crate) fn refuse_connect(&mut self, id: ConnectionId, reason: ReasonCode, now: Millis) {
        self.metrics.counters.connects_refused += 1;
        let version = self.connections.version(id.slot);
        let maximum = self.connections[id.slot].packet_bytes_max;
        let settings = self.settings.clone();
        let out = self.connections.buffer(id.slot);
        match settings.redirect.reference() {
            Some(reference) if settings.redirect.reason() == Some(reason) => {
                self.metrics.counters.redirected += 1;
                connack::encode_referred(version, reason, reference, maximum, out);
            }
            Some(_) | None => connack::encode_refused(version, reason, maximum, out),
        }
        self.lose_connection(id, now);
    }
}

/// How long the client wants its session kept.
fn requested_expiry(packet: &Connect<'_>) -> u32 {
    match packet.version {
        Version::V5 => packet.properties.session_expiry.unwrap_or(0),
        Version::V31 | Version::V311 if packet.clean_start => 0,
        Version::V31 | Version::V311 => NEVER,
    }
}

fn will_of(packet: &Connect<'_>, now: Millis) -> Option<Box<Will>> {
    let will = packet.will.as_ref()?;
    let mut properties = Vec::new();
    will.properties.write_forwarded(&mut properties);
    Some(Box::new(Will {
        delay_secs: will.properties.will_delay.unwrap_or(0),
        expiry_secs: will.properties.message_expiry,
        message: Message {
            topic: will.topic.into(),
            payload: bytes::Bytes::copy_from_slice(will.payload),
            properties: properties.into(),
            qos: will.qos,
            retain: will.retain,
            expires_at: None,
            at: now,
            read_at: Moment::UNKNOWN,
        },
    }))
}
