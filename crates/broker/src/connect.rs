//! From CONNECT to an open session, and from an open session to what remains of it when its connection
//! ends: take-over, clean start, expiry, wills.

use std::sync::Arc;

use mqtt_codec::{Connect, QoS, ReasonCode, Version, connack};
use records::{Millis, SessionNumber, Write, key};
use smallvec::SmallVec;

use crate::access::Client;
use crate::connection::Stage;
use crate::door::{AuthenticationRequest, ConnectionId, Identity, Output, Service};
use crate::durable::{StoredPublish, Then, expiry_time};
use crate::message::Message;
use crate::messenger::is_chat;
use crate::publish::Fault;
use crate::session::{NEVER, NO_CONNECTION, Session, Will};
use crate::shard::Shard;
use crate::timers::SessionDeadline;

/// Longest client id in bytes.
const CLIENT_ID_BYTES_MAX: usize = 256;
/// What a will may name in the messenger's tree: a message to a conversation.
const CHAT_WILL_PREFIX: &str = "im/to/";

/// A CONNECT on its way to its session, possibly on another shard.
pub struct PendingConnect {
    version: Version,
    client_id: Arc<str>,
    /// The server chose the client id. [5 MQTT-3.1.3-7]
    assigned: bool,
    clean_start: bool,
    keepalive_secs: u16,
    expiry_secs: u32,
    receive_maximum: u16,
    packet_bytes_max: u32,
    problem_information: bool,
    will: Option<Box<Will>>,
    identity: Option<Identity>,
    /// Bytes that came behind the CONNECT.
    rest: Vec<u8>,
}

impl std::fmt::Debug for PendingConnect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PendingConnect")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// The first packet of a connection. [3.1.1 MQTT-3.1.0-1] [5 MQTT-3.1.0-1]
    pub(crate) fn on_connect(
        &mut self,
        id: ConnectionId,
        packet: &Connect<'_>,
        now: Millis,
    ) -> Result<(), Fault> {
        let version = packet.version;
        if let Some(connection) = self.connection_mut(id) {
            connection.version = version;
            connection.problem_information = packet.properties.request_problem_information;
            connection.packet_bytes_max = packet.properties.maximum_packet_size.unwrap_or(u32::MAX);
        }
        if packet.properties.authentication_method.is_some() {
            // [5 MQTT-4.12.0-1]
            self.refuse_connect(id, ReasonCode::BAD_AUTHENTICATION_METHOD, now);
            return Ok(());
        }
        let Some((client_id, assigned)) = self.client_id(packet, now) else {
            self.refuse_connect(id, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, now);
            return Ok(());
        };
        let pending = Box::new(PendingConnect {
            version,
            client_id,
            assigned,
            clean_start: packet.clean_start,
            keepalive_secs: packet.keep_alive,
            expiry_secs: requested_expiry(packet),
            receive_maximum: packet.properties.receive_maximum.unwrap_or(u16::MAX),
            packet_bytes_max: packet.properties.maximum_packet_size.unwrap_or(u32::MAX),
            problem_information: packet.properties.request_problem_information,
            will: will_of(packet, now),
            identity: None,
            rest: Vec::new(),
        });
        match packet.username {
            Some(username) => {
                self.pause(id);
                let password = packet.password.map(Into::into);
                let request = AuthenticationRequest {
                    connection: id,
                    username: username.into(),
                    password,
                };
                if let Some(connection) = self.connection_mut(id) {
                    connection.stage = Stage::Authenticating(pending);
                }
                self.output(Output::Authenticate(Box::new(request)));
            }
            None if self.settings.allow_anonymous => {
                let identity = Identity {
                    account: None,
                    name: Arc::from(""),
                    admin: false,
                };
                self.identified(id, pending, identity, now);
            }
            None => self.refuse_connect(id, ReasonCode::NOT_AUTHORIZED, now),
        }
        Ok(())
    }

    /// The client id, or a new one when the client left it to us. `None` is refused.
    /// [3.1.1 MQTT-3.1.3-6] [3.1.1 MQTT-3.1.3-8] [5 MQTT-3.1.3-6]
    fn client_id(&mut self, packet: &Connect<'_>, now: Millis) -> Option<(Arc<str>, bool)> {
        if !packet.client_id.is_empty() {
            let fits = packet.client_id.len() <= CLIENT_ID_BYTES_MAX;
            return fits.then(|| (packet.client_id.into(), false));
        }
        let allowed = match packet.version {
            Version::V31 => false,
            Version::V311 => packet.clean_start,
            Version::V5 => true,
        };
        allowed.then(|| (format!("auto-{:x}", self.stamp(now).value()).into(), true))
    }

    /// The credentials have been checked.
    pub(crate) fn authenticated(
        &mut self,
        id: ConnectionId,
        verdict: Result<Identity, ReasonCode>,
        now: Millis,
    ) {
        let Some(connection) = self.connection_mut(id) else {
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
        let home = self.home_of(identity.account, &pending.client_id);
        pending.identity = Some(identity);
        if home == self.shard {
            self.open(id, *pending, now);
            return;
        }
        self.pause(id);
        if let Some(connection) = self.remove_connection(id) {
            if let Some(partial) = connection.partial {
                pending.rest = *partial;
            }
            self.output(Output::HandOver {
                connection: id,
                shard: home,
                pending,
            });
        }
    }

    /// Takes a connection whose CONNECT another shard has accepted.
    pub fn adopt(&mut self, mut pending: Box<PendingConnect>, now: Millis) -> ConnectionId {
        let id = self.insert_connection(now);
        if let Some(connection) = self.connection_mut(id) {
            connection.version = pending.version;
            connection.problem_information = pending.problem_information;
            connection.packet_bytes_max = pending.packet_bytes_max;
            let rest = std::mem::take(&mut pending.rest);
            connection.partial = (!rest.is_empty()).then(|| Box::new(rest));
            connection.paused = true;
        }
        self.open(id, *pending, now);
        id
    }

    fn open(&mut self, id: ConnectionId, mut pending: PendingConnect, now: Millis) {
        let Some(identity) = pending.identity.take() else {
            return;
        };
        if !is_will_allowed(self, &identity, &pending) {
            self.refuse_connect(id, ReasonCode::NOT_AUTHORIZED, now);
            return;
        }
        let existing = self.find_session(identity.account, &pending.client_id);
        if let Some(slot) = existing {
            self.take_over(slot, now);
        }
        // The take-over may have ended a session that was not to outlive its connection.
        let mut existing = self.find_session(identity.account, &pending.client_id);
        if let (Some(slot), true) = (existing, pending.clean_start) {
            // [3.1.1 MQTT-3.1.2-6] [5 MQTT-3.1.2-4]
            self.end_session(slot, now);
            existing = None;
        }
        if existing.is_none() && self.sessions.len() >= self.settings.limits.sessions_max {
            self.counters.sessions_refused += 1;
            self.refuse_connect(id, ReasonCode::QUOTA_EXCEEDED, now);
            return;
        }
        let present = existing.is_some();
        let slot = existing.unwrap_or_else(|| self.create_session(&pending, &identity));
        self.attach(id, slot, pending, identity);
        self.store_or_connack(id, slot, present, now);
    }

    fn create_session(&mut self, pending: &PendingConnect, identity: &Identity) -> u32 {
        let serial = self.serial();
        self.insert_session(Session {
            serial,
            connection: NO_CONNECTION,
            account: identity.account,
            admin: identity.admin,
            dirty: false,
            expiry_secs: 0,
            name: identity.name.clone(),
            client_id: pending.client_id.clone(),
            number: SessionNumber::ZERO,
            subscriptions: SmallVec::new(),
            outbound: None,
            inbound: None,
            waiting: None,
            chat: None,
            will: None,
            done: Vec::new(),
            disconnected_at: None,
        })
    }

    fn attach(&mut self, id: ConnectionId, slot: u32, pending: PendingConnect, identity: Identity) {
        let limits = &self.settings.limits;
        let expiry_secs = pending.expiry_secs.min(limits.session_expiry_max_secs);
        let keepalive_secs = match (limits.keepalive_max_secs, pending.keepalive_secs) {
            (0, wanted) => wanted,
            (maximum, 0) => maximum,
            (maximum, wanted) => wanted.min(maximum),
        };
        let session = &mut self.sessions[slot as usize];
        session.connection = id.slot;
        session.expiry_secs = expiry_secs;
        session.admin = identity.admin;
        session.name = identity.name;
        session.will = pending.will;
        session.disconnected_at = None;
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.keepalive_secs = keepalive_secs;
        connection.receive_maximum = pending.receive_maximum;
        connection.overrules_keepalive = keepalive_secs != pending.keepalive_secs;
        connection.assigned_client_id = pending.assigned;
        connection.overrules_expiry = expiry_secs != pending.expiry_secs;
        connection.stage = Stage::Storing { session: slot };
    }

    /// A session that outlives its connection is on disk before CONNACK says that it exists.
    fn store_or_connack(&mut self, id: ConnectionId, slot: u32, present: bool, now: Millis) {
        if self.sessions[slot as usize].expiry_secs == 0
            && !self.sessions[slot as usize].is_stored()
        {
            self.connected(id, present, now);
            return;
        }
        let mut writes = Vec::new();
        if !self.sessions[slot as usize].is_stored() {
            let number = SessionNumber::new(self.stamp(now).value());
            self.sessions[slot as usize].number = number;
        }
        writes.push(self.session_write(slot));
        self.pause(id);
        self.append(
            writes,
            Then::Connack {
                connection: id,
                present,
            },
        );
    }

    /// Everything a CONNACK promises holds. [3.1.1 MQTT-3.2.2-2] [5 MQTT-3.2.2-3]
    pub(crate) fn connected(&mut self, id: ConnectionId, present: bool, now: Millis) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let Stage::Storing { session: slot } = connection.stage else {
            return;
        };
        connection.stage = Stage::Open { session: slot };
        self.counters.connects_accepted += 1;
        self.send_connack(id, slot, present);
        let keepalive = u64::from(self.connections[id.slot].keepalive_secs) * 1500;
        if keepalive > 0 {
            self.wheel.schedule(id, now.saturating_add(keepalive));
        }
        let session = &self.sessions[slot as usize];
        if let Some(account) = session.account {
            let (reference, device) = (
                session.reference(self.shard, slot),
                session.client_id.clone(),
            );
            self.output(Output::Service(Service::SessionUp {
                session: reference,
                account,
                device,
            }));
        }
        self.chat_connected(slot, now);
        self.pump(slot, now);
        self.resume(id, now);
    }

    fn send_connack(&mut self, id: ConnectionId, slot: u32, present: bool) {
        let limits = &self.settings.limits;
        let session = &self.sessions[slot as usize];
        let connection = &self.connections[id.slot];
        let version = connection.version;
        let properties = connack::Accepted {
            session_present: present,
            session_expiry: connection.overrules_expiry.then_some(session.expiry_secs),
            receive_maximum: limits.receive_maximum,
            maximum_packet_size: limits.packet_bytes_max,
            assigned_client_id: connection.assigned_client_id.then_some(&*session.client_id),
            topic_alias_maximum: limits.topic_alias_maximum,
            server_keep_alive: connection
                .overrules_keepalive
                .then_some(connection.keepalive_secs),
        };
        let mut packet = Vec::new();
        connack::encode_accepted(version, &properties, &mut packet);
        self.connections.buffer(id.slot).extend_from_slice(&packet);
    }

    /// CONNACK with an error, then the end. [3.1.1 MQTT-3.2.2-5] [5 MQTT-3.2.2-7]
    pub(crate) fn refuse_connect(&mut self, id: ConnectionId, reason: ReasonCode, now: Millis) {
        self.counters.connects_refused += 1;
        let version = self.version(id.slot);
        connack::encode_refused(version, reason, self.connections.buffer(id.slot));
        self.lose_connection(id, now);
    }

    // Endings.

    /// The same client connects again: the older connection goes. [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
    fn take_over(&mut self, slot: u32, now: Millis) {
        let connection = self.sessions[slot as usize].connection;
        if connection == NO_CONNECTION {
            return;
        }
        self.counters.takeovers += 1;
        let id = self.connection_id(connection);
        self.disconnect(id, ReasonCode::SESSION_TAKEN_OVER, now);
    }

    /// DISCONNECT from the client. [3.1.1 MQTT-3.14.4-3] [5 MQTT-3.14.4-3]
    pub(crate) fn on_disconnect(
        &mut self,
        id: ConnectionId,
        session: u32,
        reason: ReasonCode,
        expiry: Option<u32>,
        now: Millis,
    ) -> Result<(), Fault> {
        let maximum = self.settings.limits.session_expiry_max_secs;
        let state = &mut self.sessions[session as usize];
        if let Some(secs) = expiry {
            // A session that was to end with its connection can't be prolonged at its end.
            if state.expiry_secs == 0 && secs != 0 {
                return Err(ReasonCode::PROTOCOL_ERROR);
            }
            state.expiry_secs = secs.min(maximum);
        }
        if reason != ReasonCode::DISCONNECT_WITH_WILL {
            state.will = None;
        }
        self.lose_connection(id, now);
        Ok(())
    }

    /// The session's connection has ended, however it did.
    pub(crate) fn detach(&mut self, slot: u32, now: Millis) {
        let reference = self.sessions[slot as usize].reference(self.shard, slot);
        let session = &mut self.sessions[slot as usize];
        session.connection = NO_CONNECTION;
        session.disconnected_at = Some(now);
        if let Some(outbound) = session.outbound.as_mut() {
            outbound.connection_lost();
        }
        if let Some(waiting) = session.waiting.as_mut() {
            // QoS 0 is for those who are there.
            while waiting
                .memory
                .iter()
                .any(|held| held.qos == QoS::AtMostOnce)
                && waiting.drop_oldest(false).is_some()
            {
                self.counters.dropped_qos0 += 1;
            }
        }
        let (account, expiry) = (session.account, session.expiry_secs);
        self.chat_disconnected(slot);
        if let Some(account) = account {
            self.output(Output::Service(Service::SessionDown {
                session: reference,
                account,
            }));
        }
        self.arrange_will(slot, now);
        if expiry == 0 {
            self.end_session(slot, now);
            return;
        }
        self.sessions[slot as usize].shed();
        self.mark_dirty(slot, now);
        let maximum = self.settings.limits.session_expiry_max_secs;
        if let Some(at) = expiry_time(expiry, maximum, now) {
            self.deadlines
                .schedule(at, slot, reference.generation, SessionDeadline::Expiry);
        }
    }

    /// Publishes the will, or sets its delay running. [5 MQTT-3.1.2-8]
    fn arrange_will(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot as usize];
        let Some(will) = &session.will else { return };
        let delay = will.delay_secs.min(session.expiry_secs);
        if delay == 0 {
            self.publish_will(slot, now);
            return;
        }
        let (at, serial) = (now.saturating_add(u64::from(delay) * 1000), session.serial);
        self.deadlines
            .schedule(at, slot, serial, SessionDeadline::Will);
    }

    /// [3.1.1 MQTT-3.1.2-10] [5 MQTT-3.1.2-10]: published, it is no longer there.
    fn publish_will(&mut self, slot: u32, now: Millis) {
        let Some(will) = self.sessions[slot as usize].will.take() else {
            return;
        };
        self.counters.wills_published += 1;
        let session = &self.sessions[slot as usize];
        let publisher = session.reference(self.shard, slot);
        if is_chat(&will.message.topic) {
            self.publish_chat_will(slot, &will.message);
            return;
        }
        let stamp = self.stamp(now);
        let message = Arc::new(Message {
            at: now,
            ..will.message
        });
        let durable = message.qos != QoS::AtMostOnce && self.durable_interest(&message.topic);
        let mut writes = Vec::new();
        if durable {
            writes.push(Write::Put {
                key: key::queue(stamp),
                value: message.to_record(None).encode(),
            });
        }
        if message.retain {
            writes.push(crate::publish::retained_write(&message, stamp));
        }
        let stored = StoredPublish {
            retained: message.retain.then_some(stamp),
            stamp: durable.then_some(stamp),
            message,
            publisher,
            ack: None,
        };
        if writes.is_empty() {
            self.release_publish(&stored, now);
        } else {
            self.append(writes, Then::Publish(Box::new(stored)));
        }
    }

    /// A deadline set when the connection ended has come.
    pub(crate) fn session_deadline(
        &mut self,
        slot: u32,
        serial: u32,
        what: SessionDeadline,
        now: Millis,
    ) {
        let Some(session) = self.sessions.get(slot as usize) else {
            return;
        };
        if session.serial != serial || session.connected() {
            return;
        }
        let Some(since) = session.disconnected_at else {
            return;
        };
        match what {
            SessionDeadline::Will => {
                let delay = session
                    .will
                    .as_ref()
                    .map_or(0, |will| u64::from(will.delay_secs));
                if since.saturating_add(delay * 1000) <= now {
                    self.publish_will(slot, now);
                }
            }
            SessionDeadline::Expiry => {
                let maximum = self.settings.limits.session_expiry_max_secs;
                if expiry_time(session.expiry_secs, maximum, since).is_some_and(|at| at <= now) {
                    self.counters.sessions_expired += 1;
                    self.end_session(slot, now);
                }
            }
        }
    }

    /// The session is over: nothing of it remains but retained messages.
    /// [3.1.1 MQTT-3.1.2-7] [5 MQTT-4.1.0-2]
    pub(crate) fn end_session(&mut self, slot: u32, now: Millis) {
        // [5 MQTT-3.1.2-8]: a will that was still delayed is due at the session's end.
        self.publish_will(slot, now);
        if self.sessions[slot as usize].is_stored() {
            let writes = self.session_deletes(&self.sessions[slot as usize]);
            self.append(writes, Then::Nothing);
        }
        self.leave_messenger(slot);
        self.drop_subscriptions(slot, now);
        self.remove_session(slot);
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
    let expires_at = will
        .properties
        .message_expiry
        .map(|secs| now.saturating_add(u64::from(secs) * 1000));
    Some(Box::new(Will {
        delay_secs: will.properties.will_delay.unwrap_or(0),
        message: Message {
            topic: will.topic.into(),
            payload: bytes::Bytes::copy_from_slice(will.payload),
            properties: properties.into(),
            qos: will.qos,
            retain: will.retain,
            expires_at,
            at: now,
        },
    }))
}

/// A will is a publish like any other: whoever may not publish it may not leave it either.
fn is_will_allowed(shard: &Shard, identity: &Identity, pending: &PendingConnect) -> bool {
    let Some(will) = &pending.will else {
        return true;
    };
    let topic = &*will.message.topic;
    if is_chat(topic) {
        return identity.account.is_some() && topic.starts_with(CHAT_WILL_PREFIX);
    }
    let client = Client {
        account: identity.account.map(|_| &*identity.name),
        client_id: &pending.client_id,
    };
    shard.may_publish(client, identity.admin, topic)
}
