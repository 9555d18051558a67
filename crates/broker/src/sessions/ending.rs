//! How connections end, and what their end means for sessions: take-over, DISCONNECT, wills, expiry.
//! It decides nothing about when a connection is silent for too long; that is `timeouts`.

use std::sync::Arc;

use mqtt_codec::{ReasonCode, Version, disconnect};
use records::Millis;

use crate::authentication::closed::Closed;
use crate::connections::connection::Stage;
use crate::io::{ConnectionId, Output, Service};
use crate::publishing::publish::Fault;
use crate::sessions::session::NO_CONNECTION;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::turn::deferred::{Closing, DeferredWork};
use crate::turn::work::SESSIONS_PER_PIECE;

/// Connections that are sent to another server in one piece.
const CONNECTIONS_PER_PIECE: u32 = 256;

impl Shard {
    // Connections.

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

    /// The socket is closed: the connection is forgotten.
    pub fn forget(&mut self, id: ConnectionId) {
        self.remove_connection(id);
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

    pub(crate) fn shutdown(&mut self, now: Millis) {
        self.sessions.keep_all_offline();
        self.finish_fanouts(now);
        self.finish_account_deliveries(now);
        let everyone: Vec<ConnectionId> = self.connections.ids().collect();
        for id in everyone {
            self.disconnect(id, ReasonCode::SERVER_SHUTTING_DOWN, now);
        }
        while self.cursors.has_moved() {
            self.store_cursors(now);
        }
    }

    /// Another configuration. If it sends clients elsewhere, those who are here already go too.
    pub(crate) fn reconfigure(&mut self, settings: Arc<Settings>) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.publish_rates.forget();
        let now = &self.settings;
        if (&before.access, before.allow_anonymous, &before.listeners)
            != (&now.access, now.allow_anonymous, &now.listeners)
        {
            self.check_access_again();
        }
        if self.settings.redirect.reason().is_some() {
            self.turn.defer(DeferredWork::Redirect { next: 0 });
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

    // Sessions.

    /// The same client connects again: the older connection goes. [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
    pub(crate) fn take_over(&mut self, slot: u32, now: Millis) {
        let connection = self.sessions[slot].connection;
        if connection == NO_CONNECTION {
            return;
        }
        self.metrics.counters.takeovers += 1;
        let id = self.connections.id(connection);
        self.disconnect(id, ReasonCode::SESSION_TAKEN_OVER, now);
    }

    /// DISCONNECT from the client. Only the one that says that all is well takes the will back. [3.1.1 MQTT-3.14.4-3]
    /// [5 MQTT-3.14.4-3] [5 MQTT-3.1.2-8]
    pub(crate) fn on_disconnect(
        &mut self,
        id: ConnectionId,
        session: u32,
        reason: ReasonCode,
        expiry: Option<u32>,
        now: Millis,
    ) -> Result<(), Fault> {
        if !disconnect::FROM_CLIENTS.contains(&reason) {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        let maximum = self.settings.limits.session_expiry_max_secs;
        let state = &mut self.sessions[session];
        if let Some(secs) = expiry {
            // A session that was to end with its connection can't be prolonged at its end.
            if state.expiry_secs == 0 && secs != 0 {
                return Err(ReasonCode::PROTOCOL_ERROR);
            }
            state.expiry_secs = secs.min(maximum);
        }
        if reason == ReasonCode::SUCCESS {
            self.withdraw_will(session, now);
        }
        self.lose_connection(id, now);
        Ok(())
    }

    /// The session's connection has ended, however it did.
    fn detach(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        session.connection = NO_CONNECTION;
        session.disconnected_at = Some(now);
        if let Some(outbound) = session.outbound.as_mut() {
            outbound.connection_lost();
        }
        let expiry = session.expiry_secs;
        if let Some(waiting) = session.waiting.as_mut() {
            // It is read again when it is wanted again.
            waiting.fetched = std::collections::VecDeque::new();
            // QoS 0 is for those who are there.
            let dropped = waiting.drop_all_live() as u64;
            self.drop_qos0(slot, dropped);
        }
        self.chat_disconnected(slot);
        if expiry != 0 {
            self.announce_shares(slot, now);
        }
        self.arrange_will(slot, now);
        if expiry == 0 {
            self.end_session(slot, now);
            return;
        }
        self.reassign_unsent(slot, None, now);
        self.rebalance_shares(slot, now);
        self.sessions[slot].shed();
        self.mark_dirty(slot, now);
        self.schedule_session_check(slot);
        self.sessions.go_offline(slot);
        self.end_oldest_offline(now);
    }

    /// Has the session checked when its will is due or it ends.
    pub(crate) fn schedule_session_check(&mut self, slot: u32) {
        let maximum = self.settings.limits.session_expiry_max_secs;
        self.sessions.schedule_check(slot, maximum);
    }

    /// The time to check a session has come.
    pub(crate) fn check_session(&mut self, slot: u32, serial: u32, now: Millis) {
        let Some(session) = self.sessions.get_mut(slot, serial) else {
            return;
        };
        session.check_at = Millis::ZERO;
        if self.end_if_expired(slot, now) {
            return;
        }
        if self.sessions[slot].will_due().is_some_and(|at| at <= now) {
            self.publish_will(slot, now);
        }
        self.schedule_session_check(slot);
    }

    /// Ends a session whose time is over, though the check that it waits for has not come; whether it was.
    /// [5 MQTT-4.1.0-2]
    pub(crate) fn end_if_expired(&mut self, slot: u32, now: Millis) -> bool {
        let maximum = self.settings.limits.session_expiry_max_secs;
        let ends_at = self.sessions[slot].ends_at(maximum);
        let over = ends_at.is_some_and(|at| at <= now);
        if over {
            self.metrics.counters.sessions_expired += 1;
            self.end_session(slot, now);
        }
        over
    }

    /// The session is over: nothing of it is left but retained messages.
    /// [3.1.1 MQTT-3.1.2-7] [5 MQTT-4.1.0-2]
    pub(crate) fn end_session(&mut self, slot: u32, now: Millis) {
        // [5 MQTT-3.1.2-8]: a will that was still delayed is due at the session's end.
        self.publish_will(slot, now);
        if self.sessions[slot].is_stored() {
            let writes = self.session_deletes(slot);
            self.append_in_pieces(writes, Then::Nothing, now);
            self.appends.note_session_end();
        }
        self.leave_messenger(slot, now);
        self.retire(slot, now);
    }
}
