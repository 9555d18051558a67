//! From records back to a shard: sessions with their subscriptions and flows, the stored messages they
//! still wait for, and what is retained. Runs before the first connection.

use std::sync::Arc;

use hashbrown::HashMap;
use mqtt_codec::{QoS, SubscriptionOptions, topic};
use mqtt_session::FlightState;
use records::{
    AccountId, Cursor, Incoming, Millis, Outgoing, OutgoingState, Pos, QueuedParts, SessionNumber,
    Stamp, Subscription,
};
use routing::{GroupId, GroupInterest, Subscriber, SubscriptionIndex};
use smallvec::SmallVec;

use crate::access::list::Identity;
use crate::delivery::waiting::Delivery;
use crate::io::{Announcement, Output};
use crate::message::{Message, Origin, StoredClaim};
use crate::messenger::topics::is_chat;
use crate::retained::message::RetainedMessage;
use crate::sessions::session::{ChatFilter, Session};
use crate::shard::Shard;
use crate::shared::claim::{ClaimDelivery, WaitingClaim};
use crate::shared::table::member;
use crate::stored::positions::is_covered;
use crate::stored::queue::StoredDelivery;
use crate::subscriptions::superseded::{past_terms, terms_at};

/// Everything the store knows of one session.
#[derive(Debug)]
pub(crate) struct RecoveredSession {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// Client id.
    pub(crate) client_id: Arc<str>,
    /// The session's record.
    pub(crate) record: records::Session,
    /// Filters and their records.
    pub(crate) subscriptions: Vec<(String, Subscription)>,
    /// Exactly-once deliveries that had begun.
    pub(crate) outgoing: Vec<(Stamp, Outgoing)>,
    /// Packet identifiers of unreleased QoS 2 receipts.
    pub(crate) incoming: Vec<(u16, Incoming)>,
}

/// What recovery has to remember until the stored messages are matched.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// By the slots of the sessions, which are given one after the other: every stored message looks here for each of
    /// its recipients.
    waiting: Vec<RecoveredInterest>,
    /// What was given up while something waited for it.
    given_up: SubscriptionIndex,
    /// Who had begun to get what at QoS 2, by the key it is remembered under.
    begun: HashMap<Stamp, SmallVec<[u32; 2]>, ahash::RandomState>,
}

/// A message that a group has still to get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoveredClaim<'a> {
    /// Its key in the claim table.
    pub(crate) claim: Stamp,
    /// The message's key in the queue table.
    pub(crate) message: Stamp,
    /// `$share/<name>/<filter>`.
    pub(crate) group: &'a str,
    /// The message.
    pub(crate) parts: &'a QueuedParts<'a>,
}

impl RecoveredClaim<'_> {
    fn waiting(&self) -> WaitingClaim {
        let stored = StoredClaim {
            claim: self.claim,
            message: self.message,
        };
        WaitingClaim {
            stored,
            qos: QoS::from_bits(self.parts.qos).unwrap_or(QoS::AtLeastOnce),
            weight: weight(self.parts),
        }
    }
}

impl Recovery {
    fn give_up(&mut self, slot: u32, filter: &str, record: &Subscription) {
        let subscriber = Subscriber {
            session: slot,
            options: record.options,
            identifier: 0,
            durable: true,
        };
        self.given_up.subscribe(filter, subscriber);
    }
}

#[derive(Debug)]
struct RecoveredInterest {
    number: SessionNumber,
    cursors: Vec<Stamp>,
    /// Beyond the cursors: what had been sent, and of that what had not been acknowledged.
    sent: Vec<Stamp>,
    under_way: Vec<(Stamp, u16)>,
    subscriptions: Vec<(String, Subscription)>,
}

impl Shard {
    /// Whether this shard is the home of a session.
    pub(crate) fn owns(&self, account: Option<AccountId>, client_id: &str) -> bool {
        self.sessions.home_of(account, client_id) == self.peers.own()
    }

    /// Begins a recovery.
    ///
    /// # Panics
    /// When the shard has sessions already.
    pub(crate) fn begin_recovery(&self) -> Recovery {
        assert!(self.sessions.is_empty(), "recovery comes first");
        Recovery {
            waiting: Vec::new(),
            given_up: SubscriptionIndex::new(
                [0, 1, 2, 3].map(|number: u64| self.sessions.hasher().hash_one(number)),
            ),
            begun: HashMap::with_hasher(self.sessions.hasher().clone()),
        }
    }

    /// Takes back a session.
    pub(crate) fn recover_session(
        &mut self,
        recovery: &mut Recovery,
        recovered: RecoveredSession,
        now: Millis,
    ) {
        let record = &recovered.record;
        self.clock.observe(Stamp::new(record.number.value()));
        for cursor in &record.queue_cursors {
            self.clock.observe(*cursor);
            self.stored.note_routed(*cursor);
        }
        let serial = self.sessions.next_serial();
        // A crash leaves no time of disconnection: the server's start is when the client was gone. One that has not come yet is
        // of a clock that was wrong.
        let since = record.disconnected_at.unwrap_or(now).min(now);
        let mut session = Session::new(serial, &recovered.identity, recovered.client_id);
        session.protocol_level = record.protocol_level;
        session.expiry_secs = record.expiry_secs;
        session.number = record.number;
        session.disconnected_at = Some(since);
        // The access list may be another one.
        session.withdraws = true;
        let slot = self.sessions.insert(session);
        self.sessions.count_lasting(slot);
        for (filter, subscription) in &recovered.subscriptions {
            for terms in past_terms(subscription) {
                self.clock.observe(terms.since);
                for stamp in terms.until {
                    self.clock.observe(stamp);
                    // Everything before it was matched, whether or not it is still there.
                    self.stored.note_routed(stamp);
                }
            }
            self.subscriptions.recover_terms(slot, filter, subscription);
            if subscription.until.is_empty() {
                self.sessions.count_filter(slot, filter);
                self.recover_subscription(slot, filter, subscription, &record.chat_cursor, now);
            } else {
                recovery.give_up(slot, filter, subscription);
            }
        }
        if self.subscriptions.has_superseded_terms(slot) {
            // What of it the cursors had passed is forgotten with the next.
            self.mark_dirty(slot, now);
        }
        for (packet_id, incoming) in recovered.incoming {
            let session = &mut self.sessions[slot];
            if incoming.to_conversation {
                session.sent.get_or_insert_default().insert(packet_id);
            }
            session.inbound.get_or_insert_default().publish(packet_id);
        }
        let begun = recovered.outgoing.iter();
        for (key, _) in begun.filter(|(_, flow)| flow.state == OutgoingState::Sent) {
            recovery.begun.entry(*key).or_default().push(slot);
        }
        self.recover_flows(slot, record, recovered.outgoing, now);
        self.recover_progress(slot, record, now);
        self.schedule_session_check(slot);
        let cursors = recovered.record.queue_cursors;
        let progress = recovered.record.progress;
        let interest = RecoveredInterest {
            number: recovered.record.number,
            cursors,
            sent: progress.queue_sent,
            under_way: progress.under_way,
            subscriptions: recovered.subscriptions,
        };
        assert_eq!(
            recovery.waiting.len(),
            slot as usize,
            "an empty table gives its slots in order"
        );
        recovery.waiting.push(interest);
    }

    fn recover_subscription(
        &mut self,
        slot: u32,
        filter: &str,
        record: &Subscription,
        chat_cursor: &Cursor,
        now: Millis,
    ) {
        self.clock.observe(record.since);
        let identifier = record.identifier.unwrap_or(0);
        let (share, plain) = match topic::shared(filter) {
            Some((share, plain)) => (Some(share.into()), plain),
            None => (None, filter),
        };
        if is_chat(plain) {
            let filter = ChatFilter {
                filter: plain.into(),
                share,
                options: record.options,
                identifier,
            };
            self.subscribe_chat(slot, filter);
            if let Some(chat) = self.sessions[slot].chat.as_mut() {
                chat.sent = chat_cursor.clone();
                chat.mode = crate::sessions::session::ChatMode::Behind;
            }
            return;
        }
        if share.is_some() {
            let member = member(slot, record.options, identifier, true);
            self.join_share(slot, filter, member);
            self.announce_joined(slot, filter, now);
            return;
        }
        let durable = SubscriptionOptions::from_bits(record.options).qos != QoS::AtMostOnce;
        let subscriber = Subscriber {
            session: slot,
            options: record.options,
            identifier,
            durable,
        };
        let outcome = self.subscriptions.index.subscribe(filter, subscriber);
        if outcome.replaced.is_none() {
            self.sessions[slot].subscriptions.push(outcome.id);
        }
        self.sessions[slot].set_since(outcome.id, record.since);
        if let (Some(interest), true) = (outcome.interest, self.peers.has_others()) {
            let announcement = Announcement {
                shard: self.peers.own(),
                account: None,
                filter: Arc::from(filter),
                interest,
                group: GroupInterest::default(),
                clock: self.clock.latest(),
            };
            self.outputs.push(Output::Announce(announcement));
        }
    }

    fn recover_flows(
        &mut self,
        slot: u32,
        record: &records::Session,
        outgoing: Vec<(Stamp, Outgoing)>,
        now: Millis,
    ) {
        if outgoing.is_empty() {
            return;
        }
        for (key, _) in &outgoing {
            // No other message may get the stamp while this is remembered, though its own may be gone.
            match Origin::from_outgoing_key(*key) {
                Origin::Queue(stamp) => self.clock.observe(stamp),
                Origin::Claim { stored, .. } => {
                    self.clock
                        .observe(stored.map_or(Stamp::ZERO, |stored| stored.claim));
                }
                Origin::Memory | Origin::Share { .. } | Origin::Chat { .. } => {}
            }
        }
        let session = &mut self.sessions[slot];
        session.outbound().start_at(record.progress.next_packet_id);
        for (stamp, mut flow) in outgoing {
            let origin = Origin::from_outgoing_key(stamp);
            if let Origin::Queue(stamp) = origin {
                // It was delivered: cursors may pass it though the message itself may be gone.
                self.stored.note_routed(stamp);
            }
            match flow.state {
                // Until its message comes up no other gets its identifier.
                OutgoingState::Sent if origin != Origin::Memory => {
                    session.outbound().reserve(flow.packet_id);
                }
                // The message went with the memory it was in. The client may have it and keep its identifier: PUBREL
                // frees it, and until PUBCOMP no other message gets it. [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4]
                OutgoingState::Sent | OutgoingState::Released => {
                    let placeholder = Delivery::released(origin);
                    let state = FlightState::AwaitPubcomp;
                    session
                        .outbound()
                        .recover(flow.packet_id, state, placeholder);
                    if let Origin::Claim { .. } | Origin::Memory = origin {
                        // Its claim is over, or it was in memory: the message does not come up again.
                        continue;
                    }
                    // Its message, when it comes up again, is one that has been delivered.
                    flow.state = OutgoingState::Done;
                }
                // Finished, and the cursor had passed it: all that is left is to forget it.
                OutgoingState::Done if is_passed(origin, record) => {
                    session.done.push(origin);
                    continue;
                }
                OutgoingState::Done => {}
            }
            session.waiting().recovered.push((stamp, flow));
        }
        self.mark_dirty(slot, now);
    }

    /// Takes back a stored message, oldest first.
    pub(crate) fn recover_queued(
        &mut self,
        recovery: &Recovery,
        stamp: Stamp,
        message: &QueuedParts<'_>,
    ) {
        self.clock.observe(stamp);
        self.stored.note_routed(stamp);
        let mut matches = self.subscriptions.recipients(None, message.topic);
        for found in &matches {
            self.recover_waiting(recovery, found.session, stamp, message);
        }
        if !recovery.given_up.is_empty() {
            recovery.given_up.collect(message.topic, &mut matches);
            for found in matches.iter() {
                if !self.waits_for(found.session, stamp) {
                    self.recover_waiting(recovery, found.session, stamp, message);
                }
            }
        }
        self.subscriptions.reuse(matches);
        // A delivery that has begun is finished, whether or not a subscription still asks for it. [3.1.1 MQTT-3.10.4-3]
        // [5 MQTT-3.10.4-3]
        for slot in recovery.begun.get(&stamp).into_iter().flatten() {
            if !self.waits_for(*slot, stamp) {
                let delivery = begun_delivery(stamp, message);
                self.enqueue_stored(*slot, delivery);
            }
        }
    }

    /// Whether a session waits for the message that came up last.
    fn waits_for(&self, slot: u32, stamp: Stamp) -> bool {
        let waiting = self.sessions[slot].waiting.as_ref();
        waiting.is_some_and(|waiting| waiting.stored().back() == Some(stamp))
    }

    /// Has a session wait for a stored message if it was matched for it and it has not had it.
    fn recover_waiting(
        &mut self,
        recovery: &Recovery,
        slot: u32,
        stamp: Stamp,
        message: &QueuedParts<'_>,
    ) {
        let Some(interest) = recovery.waiting.get(slot as usize) else {
            return;
        };
        let Some(delivery) = interest.delivery(stamp, message) else {
            return;
        };
        // One that has begun at QoS 2 is remembered, whatever its subscription has become since.
        let over = delivery.qos == QoS::AtLeastOnce
            && interest.is_acknowledged(stamp)
            && !self.sessions[slot].remembers(stamp);
        if !over {
            self.enqueue_stored(slot, delivery);
        }
    }

    /// Takes back the claim of a group that a session of this shard had begun to get at QoS 2; false when none had.
    pub(crate) fn recover_begun_claim(
        &mut self,
        recovery: &Recovery,
        claim: &RecoveredClaim<'_>,
    ) -> bool {
        self.clock.observe(claim.claim);
        let group = self.group_of(claim.group).unwrap_or_default();
        // How it was sent is remembered with it.
        let delivery = ClaimDelivery {
            group,
            claim: claim.waiting(),
            qos: QoS::ExactlyOnce,
            keeps_retain: false,
            identifiers: None,
        };
        let key = delivery.origin().stored_key();
        let Some([slot, ..]) = key
            .and_then(|key| recovery.begun.get(&key))
            .map(|slots| &slots[..])
        else {
            return false;
        };
        let waiting = self.sessions[*slot].waiting();
        waiting.push_claim(delivery);
        true
    }

    /// Takes back the claim of a group that nobody has begun to get; false when the group has no member here.
    pub(crate) fn recover_claim(&mut self, claim: &RecoveredClaim<'_>, now: Millis) -> bool {
        self.clock.observe(claim.claim);
        let group = self.group_of(claim.group);
        let Some(group) = group.filter(|group| !self.shared.index.members(*group).is_empty())
        else {
            return false;
        };
        self.await_member(group, claim.waiting(), now);
        true
    }

    /// A claim whose group or message is gone is struck out.
    pub(crate) fn drop_claim(&mut self, claim: Stamp, now: Millis) {
        self.clock.observe(claim);
        self.settle_claim(claim, now);
    }

    fn group_of(&self, text: &str) -> Option<GroupId> {
        let (name, plain) = topic::shared(text)?;
        self.shared.index.id(name, plain)
    }

    /// Takes back a retained message.
    pub(crate) fn recover_retained(&mut self, topic: &str, message: RetainedMessage) {
        self.retain(topic, message);
    }

    /// Ends a recovery: the messenger has come this far.
    pub(crate) fn finish_recovery(&mut self, recovery: Recovery, latest_pos: Pos) {
        let mut offline: Vec<u32> = (0..recovery.waiting.len() as u32).collect();
        drop(recovery);
        let since = |slot: &u32| self.sessions[*slot].disconnected_at;
        offline.sort_unstable_by_key(|slot| (since(slot), *slot));
        for slot in offline {
            self.sessions.go_offline(slot);
        }
        self.messenger.note_delivered(latest_pos, latest_pos);
        let newest = self.stored.newest_routed();
        self.cursors.redeliveries.bound(newest, latest_pos);
    }
}

/// Whether a session's stored cursors are past a delivery.
fn is_passed(origin: Origin, record: &records::Session) -> bool {
    match origin {
        Origin::Queue(stamp) => is_covered(&record.queue_cursors, stamp),
        Origin::Chat { pos, .. } => record.chat_cursor.covers(pos),
        Origin::Memory | Origin::Share { .. } | Origin::Claim { .. } => true,
    }
}

impl RecoveredInterest {
    /// Whether a QoS 1 delivery was acknowledged, though one before it was not.
    fn is_acknowledged(&self, stamp: Stamp) -> bool {
        let under_way = || self.under_way.binary_search_by_key(&stamp, |(key, _)| *key);
        is_covered(&self.sent, stamp) && under_way().is_err()
    }

    /// How the session waits for a message: as its subscriptions were when it was matched.
    fn delivery(&self, stamp: Stamp, message: &QueuedParts<'_>) -> Option<StoredDelivery> {
        if is_covered(&self.cursors, stamp) {
            return None;
        }
        let mut qos = QoS::AtMostOnce;
        let mut keep_retain = false;
        let mut identifiers = Vec::new();
        for (filter, record) in &self.subscriptions {
            let Some((options, identifier)) = terms_at(record, stamp) else {
                continue;
            };
            // The index has found the session by one of its ordinary filters: an only one need not be compared again.
            if topic::shared(filter).is_some()
                || (self.subscriptions.len() > 1 && !topic::matches(filter, message.topic))
            {
                continue;
            }
            let options = SubscriptionOptions::from_bits(options);
            if options.no_local && message.publisher == Some(self.number) {
                continue;
            }
            qos = qos.max(options.qos);
            keep_retain |= options.retain_as_published;
            identifiers.extend(identifier);
        }
        let qos = qos.min(QoS::from_bits(message.qos).unwrap_or(QoS::AtMostOnce));
        (qos != QoS::AtMostOnce).then(|| StoredDelivery {
            stamp,
            qos,
            retain: message.retain && keep_retain,
            weight: weight(message),
            identifiers: (!identifiers.is_empty()).then(|| identifiers.into()),
        })
    }
}

/// One that goes on as it began: how, is remembered with it.
fn begun_delivery(stamp: Stamp, message: &QueuedParts<'_>) -> StoredDelivery {
    StoredDelivery {
        stamp,
        qos: QoS::ExactlyOnce,
        retain: false,
        weight: weight(message),
        identifiers: None,
    }
}

/// Bytes a stored message takes where it waits, as [`Message::weight`] has it.
fn weight(message: &QueuedParts<'_>) -> u32 {
    let bytes = message.topic.len() + message.payload.len() + message.properties.len();
    u32::try_from(size_of::<Message>() + bytes).unwrap_or(u32::MAX)
}
