//! The subscriptions of sessions that come, go or end, of which there may be very many: they are announced and given up in
//! pieces. What giving up one means is said in `subscribe` and `shared::members`.

use records::{Millis, SessionNumber, Write, key};

use crate::sessions::session::NO_CONNECTION;
use crate::shard::Shard;
use crate::stored::appends::Then;
use crate::turn::deferred::DeferredWork;
use crate::turn::pieces::FILTERS_PER_PIECE;

impl Shard {
    /// The session is nobody's any more: whoever comes under its name gets a new one.
    pub(crate) fn retire(&mut self, slot: u32, now: Millis) {
        if !self.sessions[slot].has_many_subscriptions() {
            // Their records are on the list of what is deleted with the session's own.
            self.drop_ended_subscriptions(slot, SessionNumber::ZERO, now);
            return;
        }
        self.sessions.unlist(slot);
        let serial = self.sessions.next_serial();
        let session = &mut self.sessions[slot];
        // Nothing that was arranged for it finds it, and nothing is written for it.
        session.serial = serial;
        session.expiry_secs = 0;
        session.dirty = false;
        let number = std::mem::replace(&mut session.number, SessionNumber::ZERO);
        self.turn.defer(DeferredWork::EndedSession {
            slot,
            serial,
            number,
        });
    }

    /// Gives up some of the subscriptions of a session that has ended. Once none is left, what it had not acknowledged
    /// goes to others of its groups, and its place is free.
    pub(crate) fn drop_ended_subscriptions(
        &mut self,
        slot: u32,
        number: SessionNumber,
        now: Millis,
    ) {
        let stored = number != SessionNumber::ZERO;
        let mut writes = Vec::new();
        let mut filter = String::new();
        for _ in 0..FILTERS_PER_PIECE {
            let session = &mut self.sessions[slot];
            filter.clear();
            if let Some(id) = session.subscriptions.pop() {
                if stored || self.peers.has_others() {
                    self.subscriptions.index.write_filter(id, &mut filter);
                }
                self.drop_subscription(slot, id, &filter, now);
            } else if let Some(share) = session.shares.pop() {
                filter.push_str(&share.filter);
                self.has_left_share(slot, &share, now);
            } else {
                break;
            }
            self.turn.spend(filter.len());
            if stored {
                writes.push(Write::Delete {
                    key: key::subscription(number, &filter),
                });
            }
        }
        if !writes.is_empty() {
            self.append_in_pieces(writes, Then::Nothing, now);
        }
        let session = &self.sessions[slot];
        if session.subscriptions.is_empty() && session.shares.is_empty() {
            self.reassign_unacknowledged(slot, now);
            self.remove_session(slot);
            return;
        }
        let serial = session.serial;
        self.turn.defer(DeferredWork::EndedSession {
            slot,
            serial,
            number,
        });
    }

    /// A member of many groups has come or gone: some of them, of the first `left`, are told. They are taken from the
    /// end, so that one that is given up meanwhile makes none be passed by.
    pub(crate) fn announce_some_shares(&mut self, slot: u32, left: usize, now: Millis) {
        let session = &self.sessions[slot];
        let offline = session.connection == NO_CONNECTION;
        let end = left.min(session.shares.len());
        let begin = end.saturating_sub(FILTERS_PER_PIECE);
        let shares: Vec<_> = session.shares[begin..end].to_vec();
        for share in shares {
            self.turn.spend(share.filter.len());
            self.announce_share(&share, now);
            if offline {
                self.rebalance(share.group, now);
            }
        }
        if begin > 0 {
            self.defer_shares(slot, begin);
        }
    }

    /// Has the first `left` groups of a session told of it in later turns.
    pub(crate) fn defer_shares(&mut self, slot: u32, left: usize) {
        let serial = self.sessions[slot].serial;
        self.turn.defer(DeferredWork::Shares { slot, serial, left });
    }
}
