//! SUBSCRIBE and UNSUBSCRIBE: what is granted, what is stored before it is said, what is told to the other
//! shards, and which retained messages follow.

use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode, SubscriptionOptions, topic};
use records::{Millis, Subscription, Write};
use routing::{FilterId, GroupInterest, Interest, Subscriber};

use crate::access::list::RESERVED;
use crate::io::{Announcement, Output, Service};
use crate::message::levels;
use crate::messenger::topics::is_chat;
use crate::metrics::system::{is_reserved, is_system};
use crate::sessions::session::Session;
use crate::shard::Shard;
use crate::shared::table::{is_ordinary_share, member};
use crate::stored::appends::Then;
use crate::subscriptions::filter_request::{Granted, PendingSuback};
use crate::subscriptions::superseded::Fullness;

/// Longest share name in bytes.
const SHARE_NAME_BYTES_MAX: usize = 256;

/// Why a filter is not granted.
pub(crate) struct Refusal {
    pub(crate) reason: ReasonCode,
    /// For MQTT 5, where the code does not say enough.
    pub(crate) sentence: Option<&'static str>,
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self {
            reason,
            sentence: None,
        }
    }
}

impl Shard {
    /// Brings the clocks of the other shards past the moment of a stored subscription: whatever they stamp
    /// once they have heard of it counts as later, after a restart too.
    pub(crate) fn announce_moment(&mut self, granted: &[Granted], now: Millis) {
        let ordinary = granted
            .iter()
            .rev()
            .find(|grant| topic::shared(&grant.filter).is_none() && !is_chat(&grant.filter));
        if let Some(grant) = ordinary {
            let interest = self.subscriptions.index.interest(&grant.filter);
            self.announce(&grant.filter, interest, now);
        }
    }

    pub(crate) fn answer_when_stored(
        &mut self,
        pending: PendingSuback,
        writes: Vec<Write>,
        now: Millis,
    ) {
        if writes.is_empty() {
            self.subscribed(pending, now);
        } else {
            self.append_in_pieces(writes, Then::Suback(Box::new(pending)), now);
        }
    }

    /// The change is on disk, or need not be: answer, then let follow what a subscription brings along.
    pub(crate) fn subscribed(&mut self, pending: PendingSuback, now: Millis) {
        let Some(slot) = self.sessions.slot_of(pending.session) else {
            return;
        };
        let changes = pending.changes;
        self.send_suback(slot, pending, now);
        if changes {
            self.end_change(slot, now);
        }
    }

    fn send_suback(&mut self, slot: u32, pending: PendingSuback, now: Millis) {
        if !self.send_to_open(pending.connection, &pending.packet) {
            return;
        }
        for grant in pending.granted {
            self.after_grant(slot, &grant, pending.identifier, now);
        }
        let session = &self.sessions[slot];
        let Some(account) = session.account else {
            return;
        };
        for filter in pending.revoked {
            self.outputs.push(Output::Service(Service::Unsubscribed {
                session: pending.session,
                account,
                filter,
            }));
        }
    }

    /// Enters one subscription; true when it replaced one.
    pub(crate) fn grant(
        &mut self,
        slot: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
        now: Millis,
    ) -> Result<bool, Refusal> {
        self.deliver_pending(slot, now);
        self.deliver_pending_to_account_of(slot, now);
        let (share, plain) = match topic::shared(filter) {
            Some((share, plain)) => (Some(share), plain),
            None => (None, filter),
        };
        self.check_filter(slot, filter, share.unwrap_or_default(), plain)?;
        if is_chat(plain) {
            let granted = self.grant_chat(slot, plain, share, options, identifier, now);
            return granted.map_err(Refusal::from);
        }
        if share.is_some() {
            let lasting = self.sessions[slot].is_stored();
            let member = member(slot, options.bits(), identifier, lasting);
            let existed = self.join_share(slot, filter, member);
            self.announce_joined(slot, filter, now);
            return Ok(existed);
        }
        let terms = (options, identifier);
        self.check_changes(slot, filter, terms)?;
        let (session, routed) = (&self.sessions[slot], self.stored.routed());
        self.subscriptions
            .replace_terms(slot, session, filter, terms, routed);
        let stored = self.sessions[slot].is_stored();
        let durable = stored && options.qos != QoS::AtMostOnce;
        let subscriber = Subscriber {
            session: slot,
            options: options.bits(),
            identifier,
            durable,
        };
        let outcome = self.subscriptions.index.subscribe(filter, subscriber);
        let since = self.clock.stamp(now);
        let session = &mut self.sessions[slot];
        if outcome.replaced.is_none() {
            session.subscriptions.push(outcome.id);
        }
        // [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3]: what waits goes on waiting when the filter was durable before.
        if outcome
            .replaced
            .is_none_or(|before| durable && !before.durable)
        {
            session.forget_since(outcome.id);
        }
        if stored {
            session.set_since(outcome.id, since);
        }
        if let Some(interest) = outcome.interest {
            self.announce(filter, interest, now);
        }
        Ok(outcome.replaced.is_some())
    }

    /// Whether a filter may change once more while something waits that was matched by what it is.
    fn check_changes(
        &mut self,
        slot: u32,
        filter: &str,
        terms: (SubscriptionOptions, u32),
    ) -> Result<(), ReasonCode> {
        let most = self.settings.limits.subscriptions_max;
        let has_room = match self
            .subscriptions
            .room_for_change(slot, filter, terms, most)
        {
            Fullness::Room => true,
            Fullness::Filter => {
                // The cursors are written with the subscription, so that what they have passed is over already.
                let cursors = self.cursors_of(slot);
                self.subscriptions
                    .make_room_for_change(slot, filter, &cursors)
            }
            Fullness::Session => false,
        };
        if has_room {
            Ok(())
        } else {
            Err(ReasonCode::QUOTA_EXCEEDED)
        }
    }

    fn check_filter(
        &self,
        slot: u32,
        filter: &str,
        share: &str,
        plain: &str,
    ) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        if filter.len() > self.topic_bytes_max()
            || share.len() > SHARE_NAME_BYTES_MAX
            || levels(plain) > limits.topic_levels_max
        {
            return Err(ReasonCode::TOPIC_FILTER_INVALID.into());
        }
        if is_reserved(plain) {
            return Err(Refusal {
                reason: ReasonCode::NOT_AUTHORIZED,
                sentence: Some(RESERVED),
            });
        }
        let session = &self.sessions[slot];
        let chats = session.chat.as_ref().map_or(0, |chat| chat.filters.len());
        let count = session.subscriptions.len() + session.shares.len() + chats;
        let full = count >= limits.subscriptions_max
            || (self.stored.is_disk_full() && session.is_stored())
            || !self.sessions.has_room_for_filter(
                slot,
                filter,
                limits.filter_bytes_per_account_max,
            );
        if full && !self.holds(slot, filter) {
            return Err(ReasonCode::QUOTA_EXCEEDED.into());
        }
        let system = is_system(plain);
        if system && !share.is_empty() {
            // Every shard tells its own sessions: there are no turns to take.
            return Err(ReasonCode::TOPIC_FILTER_INVALID.into());
        }
        if self.may_receive(session, plain) {
            Ok(())
        } else {
            Err(ReasonCode::NOT_AUTHORIZED.into())
        }
    }

    /// Whether the session has a subscription to exactly this filter.
    fn holds(&self, slot: u32, filter: &str) -> bool {
        let (share, plain) = match topic::shared(filter) {
            Some((share, plain)) => (Some(share), plain),
            None => (None, filter),
        };
        if is_ordinary_share(filter) {
            return self.sessions[slot]
                .shares
                .iter()
                .any(|share| &*share.filter == filter);
        }
        if !is_chat(plain) {
            return self.subscriptions.current(slot, filter).is_some();
        }
        self.sessions[slot].chat.as_ref().is_some_and(|chat| {
            let mut filters = chat.filters.iter();
            filters.any(|known| &*known.filter == plain && known.share.as_deref() == share)
        })
    }

    pub(crate) fn subscription_record(
        &mut self,
        slot: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
        now: Millis,
    ) -> Subscription {
        // Shared filters and those under `im/` are not in the index and wait for nothing in the queue.
        let known = self
            .subscriptions
            .index
            .id(filter)
            .and_then(|id| self.sessions[slot].since(id));
        Subscription {
            options: options.bits(),
            identifier: (identifier != 0).then_some(identifier),
            since: known.unwrap_or_else(|| self.clock.stamp(now)),
            until: Vec::new(),
            former: self.subscriptions.superseded_terms(slot, filter),
        }
    }

    /// Retained messages and their like follow the grant. [5 MQTT-3.3.1-9] [5 MQTT-3.3.1-10] [5 MQTT-3.3.1-11]
    fn after_grant(&mut self, slot: u32, grant: &Granted, identifier: u32, now: Millis) {
        const IF_NEW: u8 = 1;
        const NEVER: u8 = 2;
        // Shared subscriptions get no retained messages.
        if topic::shared(&grant.filter).is_some() {
            return;
        }
        if is_chat(&grant.filter) {
            let session = &self.sessions[slot];
            let Some(account) = session.account else {
                return;
            };
            self.outputs.push(Output::Service(Service::Subscribed {
                session: self.sessions.reference(slot),
                account,
                filter: grant.filter.clone(),
                existed: grant.existed,
                retain_handling: grant.handling,
                resumed: false,
            }));
            return;
        }
        if grant.handling == NEVER || (grant.handling == IF_NEW && grant.existed) {
            return;
        }
        if is_system(&grant.filter) {
            self.send_system(slot, &grant.filter, identifier, now);
            return;
        }
        self.begin_retained(slot, &grant.filter, grant.qos, identifier);
    }

    /// Removes one subscription, compared literally. [3.1.1 MQTT-3.10.4-1] [5 MQTT-3.10.4-1]
    pub(crate) fn revoke(&mut self, slot: u32, filter: &str, now: Millis) -> bool {
        self.deliver_pending(slot, now);
        self.deliver_pending_to_account_of(slot, now);
        let (share, plain) = match topic::shared(filter) {
            Some((share, plain)) => (Some(share), plain),
            None => (None, filter),
        };
        if is_chat(plain) {
            return self.unsubscribe_chat(slot, plain, share, now);
        }
        if share.is_some() {
            return self.leave_share(slot, filter, now);
        }
        let Some((filter_id, _)) = self.subscriptions.current(slot, filter) else {
            return false;
        };
        let (session, routed) = (&self.sessions[slot], self.stored.routed());
        self.subscriptions.end_terms(slot, session, filter, routed);
        let Some(outcome) = self.subscriptions.index.unsubscribe_id(filter_id, slot) else {
            return false;
        };
        let session = &mut self.sessions[slot];
        session.forget_since(filter_id);
        let subscriptions = &mut session.subscriptions;
        if let Some(place) = subscriptions.iter().position(|known| *known == filter_id) {
            subscriptions.swap_remove(place);
        }
        if let Some(interest) = outcome.interest {
            self.announce(filter, interest, now);
        }
        true
    }

    /// Removes one of the subscriptions of a session that has ended. `filter` is only looked at where there are other
    /// shards.
    pub(crate) fn drop_subscription(
        &mut self,
        slot: u32,
        filter_id: FilterId,
        filter: &str,
        now: Millis,
    ) {
        if let Some(outcome) = self.subscriptions.index.unsubscribe_id(filter_id, slot)
            && let Some(interest) = outcome.interest
        {
            self.announce(filter, interest, now);
        }
    }

    /// The filters of a session, ordinary ones and those of the messenger, as the client wrote them.
    pub(crate) fn filters_of(&self, session: &Session) -> Vec<String> {
        let mut filters = Vec::with_capacity(session.subscriptions.len());
        for filter_id in &session.subscriptions {
            let mut filter = String::new();
            self.subscriptions
                .index
                .write_filter(*filter_id, &mut filter);
            filters.push(filter);
        }
        filters.extend(session.shares.iter().map(|share| share.filter.to_string()));
        filters.extend(Self::chat_filters_of(session));
        filters
    }

    /// Those of the messenger.
    pub(crate) fn chat_filters_of(session: &Session) -> Vec<String> {
        let mut filters = Vec::new();
        for known in session.chat.iter().flat_map(|chat| &chat.filters) {
            filters.push(match &known.share {
                Some(share) => format!("$share/{share}/{}", known.filter),
                None => known.filter.to_string(),
            });
        }
        filters
    }

    // Other shards.

    pub(crate) fn announce(&mut self, filter: &str, interest: Interest, now: Millis) {
        if !self.peers.has_others() {
            return;
        }
        let clock = self.clock.stamp(now);
        self.outputs.push(Output::Announce(Announcement {
            shard: self.peers.own(),
            account: None,
            filter: Arc::from(filter),
            interest,
            group: GroupInterest::default(),
            clock,
        }));
    }

    /// Another shard's interest has changed.
    pub(crate) fn announced(&mut self, announcement: &Announcement, now: Millis) {
        self.clock.observe(announcement.clock);
        if let Some(account) = announcement.account {
            self.chat_share_announced(account, announcement);
            return;
        }
        if let Some((name, filter)) = topic::shared(&announcement.filter) {
            let (shard, members) = (announcement.shard, announcement.group);
            let group = self.shared.index.announce(name, filter, shard, members);
            self.rebalance(group, now);
            return;
        }
        self.subscriptions.note_remote(
            &announcement.filter,
            announcement.shard,
            announcement.interest,
        );
    }
}
