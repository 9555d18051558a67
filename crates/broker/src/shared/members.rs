//! Who is in the groups of shared subscriptions to ordinary filters, and who else is on other shards. How their messages reach them
//! is in `claims`.

use mqtt_codec::topic;
use records::Millis;
use routing::{Interest, Subscriber};

use crate::io::{Announcement, Output};
use crate::sessions::session::Membership;
use crate::shard::Shard;

impl Shard {
    /// Enters a session into a group; true when it replaced a subscription.
    pub(crate) fn join_share(&mut self, slot: u32, filter: &str, subscriber: Subscriber) -> bool {
        let Some((name, plain)) = topic::shared(filter) else {
            return false;
        };
        let joined = self.shared.index.subscribe(name, plain, subscriber);
        if joined.replaced.is_none() {
            let shares = &mut self.sessions[slot].shares;
            shares.push(Membership {
                group: joined.id,
                filter: filter.into(),
            });
        }
        joined.replaced.is_some()
    }

    /// Takes a session out of a group; false when it was not in it. What has been sent to it is finished with it.
    pub(crate) fn leave_share(&mut self, slot: u32, filter: &str, now: Millis) -> bool {
        let shares = &mut self.sessions[slot].shares;
        let Some(place) = shares.iter().position(|share| &*share.filter == filter) else {
            return false;
        };
        let share = shares.swap_remove(place);
        // Among ten thousand it is the search that costs.
        self.turn
            .spend_exactly(place * std::mem::size_of::<Membership>());
        self.has_left_share(slot, &share, now);
        true
    }

    /// It is on its session's list no longer.
    pub(crate) fn has_left_share(&mut self, slot: u32, share: &Membership, now: Millis) {
        self.shared.index.unsubscribe(share.group, slot);
        self.announce_share(share, now);
        self.reassign_unsent(slot, Some(share.group), now);
        self.rebalance(share.group, now);
    }

    /// Tells the other shards who of a group is here.
    pub(crate) fn announce_share(&mut self, share: &Membership, now: Millis) {
        if !self.peers.has_others() {
            return;
        }
        let connected = |slot| self.open_connection(slot).is_some();
        let group = self.shared.index.interest(share.group, connected);
        let clock = self.clock.stamp(now);
        self.outputs.push(Output::Announce(Announcement {
            shard: self.peers.own(),
            account: None,
            filter: (&*share.filter).into(),
            interest: Interest::default(),
            group,
            clock,
        }));
    }

    /// A session has come or gone: its groups are told.
    pub(crate) fn announce_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot];
        if session.has_many_subscriptions() {
            self.defer_shares(slot, session.shares.len());
        } else if self.peers.has_others() {
            for share in session.shares.clone() {
                self.announce_share(&share, now);
            }
        }
        if self.peers.has_others() {
            self.announce_chat_shares(slot, now);
        }
    }

    /// Tells the other shards of a session's latest share.
    pub(crate) fn announce_joined(&mut self, slot: u32, filter: &str, now: Millis) {
        let shares = &self.sessions[slot].shares;
        let share = shares.iter().rfind(|share| &*share.filter == filter);
        if let Some(share) = share.cloned() {
            self.announce_share(&share, now);
            self.rebalance(share.group, now);
        }
    }
}
