//! What the end of a connection means for its session, and how sessions end: take-over, DISCONNECT, wills, expiry.

use mqtt_codec::{ReasonCode, disconnect};
use records::Millis;

use crate::connections::connection::Fault;
use crate::io::ConnectionId;
use crate::sessions::session::NO_CONNECTION;
use crate::shard::Shard;
use crate::stored::appends::Then;

impl Shard {
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
    pub(crate) fn detach(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        session.connection = NO_CONNECTION;
        session.disconnected_at = Some(now);
        if let Some(outbound) = session.outbound.as_mut() {
            outbound.connection_lost();
        }
        let expiry = session.expiry_secs;
        if let Some(waiting) = session.waiting.as_mut() {
            // It is read again when it is wanted again.
            waiting.forget_fetched();
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
