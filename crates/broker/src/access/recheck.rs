//! The access list has changed, by a reload or over a restart: subscriptions, wills, waiting messages and anonymous sessions that it
//! no longer allows are ended or withdrawn, session by session. Whether something is allowed is `list`'s business.

use mqtt_codec::{ReasonCode, topic};
use records::Millis;

use crate::access::list::Client;
use crate::connections::connection::Stage;
use crate::io::ConnectionId;
use crate::messenger::topics::is_chat;
use crate::metrics::drops::DropReason;
use crate::metrics::system::is_system;
use crate::sessions::session::{NO_CONNECTION, Session};
use crate::shard::Shard;
use crate::subscriptions::filter_request::{FilterRequest, FilterWork};
use crate::turn::deferred::DeferredWork;
use crate::turn::pieces::SESSIONS_PER_PIECE;

/// No packet asked for it: nothing is answered.
pub(crate) const UNASKED: u16 = 0;

impl Shard {
    /// Looks through all sessions, in pieces, for what is allowed no longer.
    pub fn check_access_again(&mut self) {
        self.turn.defer(DeferredWork::Access { next: 0 });
    }

    /// The sessions of one piece.
    pub(crate) fn check_some_access(&mut self, next: u32, now: Millis) {
        let end = self.sessions.capacity();
        let last = end.min(next + SESSIONS_PER_PIECE);
        let mut next = next;
        // A session with very many filters is a piece by itself.
        while next < last && !self.turn.is_spent() {
            self.recheck_session(next, now);
            next += 1;
        }
        if next < end {
            self.turn.defer(DeferredWork::Access { next });
        }
    }

    fn recheck_session(&mut self, slot: u32, now: Millis) {
        let Some(session) = self.sessions.at(slot) else {
            return;
        };
        if session.account.is_none() && !self.lets_anonymous_in(session) {
            self.end_anonymous(slot, now);
            return;
        }
        if !self.allows_will(session) {
            self.metrics.counters.wills_revoked += 1;
            self.withdraw_will(slot, now);
        }
        let revoked = self.filters_not_allowed(slot);
        if revoked.is_empty() {
            return;
        }
        self.metrics.counters.subscriptions_revoked += revoked.len() as u64;
        self.sessions[slot].withdraws = true;
        self.withdraw_queued(slot);
        let connection = self.sessions[slot].connection;
        let connection = match connection {
            NO_CONNECTION => ConnectionId {
                slot: NO_CONNECTION,
                serial: 0,
            },
            connection => self.connections.id(connection),
        };
        let filters = FilterRequest {
            connection,
            session: self.sessions.reference(slot),
            packet_id: UNASKED,
            codes: Vec::new(),
            sentence: None,
            changes: false,
            work: FilterWork::Unsubscribe {
                left: revoked.into_iter(),
                revoked: Vec::new(),
                writes: Vec::new(),
            },
        };
        self.turn
            .defer(DeferredWork::FilterRequest(Box::new(filters)));
    }

    /// Whether clients without an account may come in where this one is, or, for one that is offline, anywhere.
    fn lets_anonymous_in(&self, session: &Session) -> bool {
        let settings = &self.settings;
        if session.connection == NO_CONNECTION {
            let listeners = &settings.listeners;
            return settings.allow_anonymous || listeners.iter().any(|one| one.allow_anonymous);
        }
        let listener = self.connections[session.connection].listener;
        settings.listener(listener).allow_anonymous
    }

    fn end_anonymous(&mut self, slot: u32, now: Millis) {
        self.metrics.counters.sessions_revoked += 1;
        let connection = self.sessions[slot].connection;
        let serial = self.sessions[slot].serial;
        if connection != NO_CONNECTION {
            // What it would leave behind is not allowed either.
            self.withdraw_will(slot, now);
            let id = self.connections.id(connection);
            match self.connections[connection].stage {
                Stage::Storing { .. } => self.refuse_connect(id, ReasonCode::NOT_AUTHORIZED, now),
                Stage::AwaitConnect
                | Stage::Authenticating(_)
                | Stage::Leaving(_)
                | Stage::Open { .. }
                | Stage::Closing => self.disconnect(id, ReasonCode::NOT_AUTHORIZED, now),
            }
        }
        let still_there = self.sessions.at(slot);
        if still_there.is_some_and(|session| session.serial == serial) {
            self.end_session(slot, now);
        }
    }

    fn allows_will(&self, session: &Session) -> bool {
        let Some(will) = &session.will else {
            return true;
        };
        let topic = &*will.message.topic;
        is_chat(topic) || self.may_publish(client(session), session.admin, topic)
    }

    /// Its filters of ordinary topics that it would not get today, as the client wrote them.
    fn filters_not_allowed(&mut self, slot: u32) -> Vec<Box<str>> {
        let session = &self.sessions[slot];
        let mut text = String::new();
        let mut looked_at = 0;
        let mut not_allowed: Vec<Box<str>> = Vec::new();
        for id in &session.subscriptions {
            text.clear();
            self.subscriptions.index.write_filter(*id, &mut text);
            looked_at += text.len();
            if !self.may_receive(session, &text) {
                not_allowed.push(text.as_str().into());
            }
        }
        for share in &session.shares {
            let plain = topic::shared(&share.filter).map_or("", |(_, plain)| plain);
            looked_at += plain.len();
            if !self.may_receive(session, plain) {
                not_allowed.push(share.filter.clone());
            }
        }
        self.turn.spend(looked_at);
        not_allowed
    }

    /// Whether a session may have what a filter, or a topic, stands for.
    pub(crate) fn may_receive(&self, session: &Session, filter: &str) -> bool {
        // Who may know how the server is doing is decided even where ordinary topics are open to all.
        let open = self.settings.allow_anonymous && !is_system(filter);
        is_chat(filter)
            || session.admin
            || open
            || self.settings.access.may_subscribe(client(session), filter)
    }

    /// Of what waits for a session in memory, what it may not have is dropped.
    fn withdraw_queued(&mut self, slot: u32) {
        let Some(mut waiting) = self.sessions[slot].waiting.take() else {
            return;
        };
        let session = &self.sessions[slot];
        let dropped = waiting.retain_queued(|topic| self.may_receive(session, topic));
        waiting.retain_replays(|filter| self.may_receive(session, filter));
        self.sessions[slot].waiting = Some(waiting);
        self.drop_queued(slot, DropReason::NotAllowed, dropped as u64);
    }
}

fn client(session: &Session) -> Client<'_> {
    Client {
        account: session.account.map(|_| &*session.name),
        client_id: &session.client_id,
    }
}
