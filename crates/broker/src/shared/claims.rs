//! How the messages of ordinary shared subscriptions reach one member of each group, wait while nobody is free, and go
//! to somebody else when a member is gone. Whose turn it is, is the index's business.
//!
//! A message that a group with a lasting member has to get is in the queue table like any other, and the group's claim
//! beside it says that no member has had it yet. A claim names no member: while it stands, whoever is there gets the
//! message, after a crash too; it is struck out once a member has the message.

use std::sync::Arc;

use mqtt_codec::{QoS, topic};
use records::{Millis, SessionRef, Stamp, Write, key};
use routing::{Chosen, GroupId, Match, Standing, Subscriber};
use smallvec::SmallVec;

use crate::delivery::publication::Publication;
use crate::delivery::waiting::Delivery;
use crate::delivery::waiting::FETCH_MAX;
use crate::io::{ForwardedClaim, Output, PassedClaim, PassedOn};
use crate::message::{Message, Origin, StoredClaim};
use crate::metrics::drops::DropReason;
use crate::shard::Shard;
use crate::shared::claim::{ClaimDelivery, Claims, WaitingClaim};
use crate::shared::waiting_claims::Backlog;
use crate::stored::appends::Then;
use crate::stored::positions::claim_delete;

impl Shard {
    // Before the disk.

    /// Gives a claim to each group that has to get the topic whatever happens to the server.
    pub(crate) fn begin_claims(&mut self, topic: &str, qos: QoS, now: Millis) -> Claims {
        let mut claims = Claims::new();
        if qos != QoS::AtMostOnce {
            let zero = Stamp::ZERO;
            self.shared
                .index
                .durable(topic, |group| claims.push((group, zero)));
        }
        for (_, claim) in &mut claims {
            *claim = self.clock.stamp(now);
        }
        claims
    }

    /// What is written beside the message.
    pub(crate) fn claim_writes(&self, claims: &Claims, message: Stamp) -> Vec<Write> {
        let mut writes = Vec::with_capacity(claims.len());
        for (group, claim) in claims {
            let Some(group) = self.shared.index.text(*group) else {
                continue;
            };
            let record = records::Claim {
                message,
                group: group.into(),
            };
            writes.push(Write::Put {
                key: key::claim(*claim),
                value: record.encode(),
            });
        }
        writes
    }

    /// Bytes that that takes at most.
    pub(crate) fn claim_bytes_max(&self, claims: &Claims) -> usize {
        const REST: usize = 64;
        let texts = claims
            .iter()
            .filter_map(|(group, _)| self.shared.index.text(*group));
        texts.map(|text| text.len() + REST).sum()
    }

    // A message for its groups.

    /// Delivers to one member of each group that gets the topic; whether there is one, and the groups that are served
    /// on another shard.
    pub(crate) fn serve_groups(
        &mut self,
        publication: &mut Publication<'_>,
        claims: &Claims,
    ) -> (bool, Vec<ForwardedClaim>) {
        let mut elsewhere = Vec::new();
        if self.shared.index.is_empty() && claims.is_empty() {
            return (false, elsewhere);
        }
        let mut choices: SmallVec<[(GroupId, Chosen); 4]> = SmallVec::new();
        let standing = |slot| self.standing(slot);
        self.shared
            .index
            .choose(publication.view.topic, standing, |group, chosen| {
                choices.push((group, chosen));
            });
        let message = publication.stamp;
        let stored = |claim: &Stamp| {
            message.map(|message| StoredClaim {
                claim: *claim,
                message,
            })
        };
        // The last member of their groups has gone while the message went to the disk. One who has come since has founded the
        // group anew and gets the message without a claim: the old one is struck out before, or it would come again.
        let chosen = |group| choices.iter().any(|(known, _)| *known == group);
        let over = claims.iter().filter(|(group, _)| !chosen(*group));
        let over: Vec<Write> = over
            .map(|(_, claim)| Write::Delete {
                key: key::claim(*claim),
            })
            .collect();
        if !over.is_empty() {
            self.append(over, Then::Nothing, publication.now);
        }
        for (group, chosen) in &choices {
            let claim = claims.iter().find(|(known, _)| known == group);
            let stored = claim.and_then(|(_, claim)| stored(claim));
            self.serve_group(*group, *chosen, stored, publication, &mut elsewhere);
        }
        (!choices.is_empty(), elsewhere)
    }

    fn serve_group(
        &mut self,
        group: GroupId,
        chosen: Chosen,
        stored: Option<StoredClaim>,
        publication: &mut Publication<'_>,
        elsewhere: &mut Vec<ForwardedClaim>,
    ) {
        match (chosen, stored) {
            (Chosen::Here(member), _) => self.give_claimed(group, &member, stored, publication),
            (Chosen::Shard(shard), _) | (Chosen::OfflineElsewhere(shard), None) => {
                if let Some(text) = self.shared.index.text(group) {
                    elsewhere.push(ForwardedClaim {
                        shard,
                        group: text.into(),
                        claim: stored.map(|stored| stored.claim),
                    });
                }
            }
            (Chosen::Busy(_) | Chosen::Offline(_) | Chosen::OfflineElsewhere(_), Some(stored)) => {
                let claim = waiting_claim(stored, publication);
                self.await_member(group, claim, publication.now);
            }
            (Chosen::Busy(member) | Chosen::Offline(member), None) => {
                self.give_claimed(group, &member, None, publication);
            }
        }
    }

    /// Another shard has found that it is this shard's turn.
    pub(crate) fn serve_forwarded(
        &mut self,
        claim: &ForwardedClaim,
        publication: &mut Publication<'_>,
    ) {
        let now = publication.now;
        let stored = match (claim.claim, publication.stamp) {
            (Some(claim), Some(message)) => Some(StoredClaim { claim, message }),
            _ => None,
        };
        let group =
            topic::shared(&claim.group).and_then(|(name, plain)| self.shared.index.id(name, plain));
        let Some(group) = group else {
            // The group has ended everywhere.
            self.settle_claim_of(stored, now);
            return;
        };
        let chosen = self
            .shared
            .index
            .choose_here(group, |slot| self.standing(slot));
        match (chosen, stored) {
            (Some(Chosen::Here(member)), _)
            | (Some(Chosen::Busy(member) | Chosen::Offline(member)), None) => {
                self.give_claimed(group, &member, stored, publication);
            }
            (_, Some(stored)) => {
                self.await_member(group, waiting_claim(stored, publication), now);
                self.rebalance(group, now);
            }
            // Its members have gone to other shards, or have ended.
            (_, None) => self.offer(group, publication.message(), now),
        }
    }

    fn give_claimed(
        &mut self,
        group: GroupId,
        member: &Subscriber,
        stored: Option<StoredClaim>,
        publication: &mut Publication<'_>,
    ) {
        let now = publication.now;
        // [5 MQTT-4.8.2-3]
        let qos = publication.view.qos.min(granted(member));
        if qos == QoS::AtMostOnce && stored.is_none() {
            self.frames.clear();
            self.deliver_match(&Match::from(member), publication);
            return;
        }
        let claim = Origin::Claim {
            group,
            stored,
            qos: publication.view.qos,
        };
        let delivery = delivery_to(member, publication.message(), claim);
        if qos == QoS::AtMostOnce {
            self.give_at_most_once(member.session, delivery, now);
        } else {
            self.begin_or_enqueue(member.session, delivery, now);
        }
    }

    /// A claimed message goes to a member at QoS 0: at most once, so that a crash must not repeat it.
    fn give_at_most_once(&mut self, slot: u32, mut delivery: Delivery, now: Millis) {
        let settle = claim_delete(delivery.origin).into_iter().collect();
        delivery.origin = Origin::Memory;
        let session = self.sessions.reference(slot);
        let delivery = Box::new(delivery);
        self.append(settle, Then::Live { session, delivery }, now);
    }

    /// The claim is struck out on disk.
    pub(crate) fn send_at_most_once(
        &mut self,
        session: SessionRef,
        delivery: Delivery,
        now: Millis,
    ) {
        let Some(slot) = self.sessions.slot_of(session) else {
            return;
        };
        let Some(connection) = self.open_connection(slot) else {
            return;
        };
        let waiting = &self.sessions[slot].waiting;
        let queues = waiting
            .as_ref()
            .is_some_and(|waiting| waiting.queues(delivery.qos));
        let limit = self.settings.limits.outgoing_bytes_max;
        if queues || self.connections[connection].backlog() > limit {
            self.enqueue(slot, delivery);
        } else {
            self.begin_unless_expired(slot, &delivery, now);
        }
    }

    fn begin_or_enqueue(&mut self, slot: u32, delivery: Delivery, now: Millis) {
        if self.standing(slot) == Standing::Free {
            self.begin_unless_expired(slot, &delivery, now);
        } else {
            self.enqueue(slot, delivery);
        }
    }

    /// Whether a session can take a message.
    pub(crate) fn standing(&self, slot: u32) -> Standing {
        if self.open_connection(slot).is_none() {
            return Standing::Offline;
        }
        let waiting = &self.sessions[slot].waiting;
        let idle = waiting.as_ref().is_none_or(|waiting| !waiting.holds_back());
        if idle && self.window_open(slot) {
            Standing::Free
        } else {
            Standing::Busy
        }
    }

    // Waiting.

    /// Keeps a stored message for the next member that is free, within the bound of a session's queue.
    pub(crate) fn await_member(&mut self, group: GroupId, claim: WaitingClaim, now: Millis) {
        let limits = &self.settings.limits;
        let dropped = self.shared.waiting.insert(group, claim, limits);
        for dropped in dropped {
            self.metrics.counters.dropped_queued += 1;
            self.metrics.drops.note_of_group(DropReason::QueueFull);
            self.settle_claim(dropped.stored.claim, now);
        }
    }

    /// Takes what a session's groups have waiting, a slice at a time; false when there is nothing for it.
    pub(crate) fn pull_claims(&mut self, slot: u32) -> bool {
        let session = &self.sessions[slot];
        if self.shared.waiting.is_empty() || session.shares.is_empty() {
            return false;
        }
        if self.standing(slot) != Standing::Free {
            return false;
        }
        let groups = self.shared.waiting.candidates(&session.shares);
        let mut pulled = 0;
        for group in groups {
            if pulled == FETCH_MAX {
                break;
            }
            let Some(member) = self.shared.index.member(group, slot).copied() else {
                continue;
            };
            if !self.shared.waiting.has(group) {
                continue;
            }
            let waiting = self.sessions[slot].waiting.get_or_insert_default();
            let most = FETCH_MAX - pulled;
            pulled += self.shared.waiting.pull(group, most, |claim| {
                waiting.push_claim(claim_delivery(group, &member, claim));
            });
        }
        pulled > 0
    }

    /// Sends or drops the next of what a session's groups have given it, as [`Shard::pump`] does with the rest;
    /// false when it has to be read first.
    pub(crate) fn next_claimed(&mut self, slot: u32, now: Millis) -> bool {
        let waiting = self.sessions[slot].waiting();
        let Some((claimed, message)) = waiting.next_fetched_claim() else {
            self.fetch(slot);
            return false;
        };
        let origin = claimed.origin();
        let recovered = origin
            .stored_key()
            .and_then(|key| waiting.take_recovered(key));
        let Some(message) = message else {
            self.claim_over(origin, now);
            self.mark_dirty(slot, now);
            return true;
        };
        let delivery = Delivery {
            qos: claimed.qos,
            retain: claimed.keeps_retain && message.retain,
            message,
            origin,
            identifiers: claimed.identifiers,
        };
        match recovered {
            Some(outgoing) => self.continue_recovered(slot, outgoing, delivery, now),
            None if delivery.qos == QoS::AtMostOnce => self.give_at_most_once(slot, delivery, now),
            None => self.begin_unless_expired(slot, &delivery, now),
        }
        true
    }

    /// Lets a group's waiting messages go where somebody can take them.
    pub(crate) fn rebalance(&mut self, group: GroupId, now: Millis) {
        if !self.shared.waiting.has(group) {
            return;
        }
        if !self.shared.index.exists(group) {
            let backlog = self.shared.waiting.take(group);
            for claim in backlog.iter() {
                self.settle_claim(claim.stored.claim, now);
            }
            return;
        }
        let members = self.shared.index.members(group).iter();
        let connected: Vec<u32> = members
            .map(|member| member.session)
            .filter(|slot| self.open_connection(*slot).is_some())
            .collect();
        if connected.is_empty() {
            if let Some(shard) = self.shared.index.connected_elsewhere(group) {
                let claims = self.shared.waiting.take(group);
                self.pass_on(shard, group, &claims, Vec::new(), now);
            }
            return;
        }
        for slot in connected {
            self.pump(slot, now);
        }
    }

    /// Finds another member for a message that is only in memory.
    pub(crate) fn offer(&mut self, group: GroupId, message: Arc<Message>, now: Millis) {
        match self
            .shared
            .index
            .choose_of(group, |slot| self.standing(slot))
        {
            Some(Chosen::Here(member) | Chosen::Busy(member) | Chosen::Offline(member)) => {
                self.give_unstored(group, &member, message, now);
            }
            Some(Chosen::Shard(shard) | Chosen::OfflineElsewhere(shard)) => {
                self.pass_on(shard, group, &Backlog::default(), vec![message], now);
            }
            None => {}
        }
    }

    fn pass_on(
        &mut self,
        shard: u16,
        group: GroupId,
        claims: &Backlog,
        in_memory: Vec<Arc<Message>>,
        now: Millis,
    ) {
        let Some(text) = self.shared.index.text(group) else {
            return;
        };
        // Until the other shard has them, this one says that they are needed.
        for claim in claims.iter() {
            self.shared.waiting.note_moved(claim.stored.message);
        }
        let clock = self.clock.stamp(now);
        let passed = PassedOn {
            group: text.into(),
            stored: claims
                .iter()
                .map(|claim| PassedClaim {
                    claim: claim.stored.claim,
                    message: claim.stored.message,
                    qos: claim.qos,
                    weight: claim.weight,
                })
                .collect(),
            in_memory,
            clock,
        };
        self.outputs.push(Output::PassOn { shard, passed });
    }

    /// Another shard has messages of a group that it has nobody for.
    pub(crate) fn passed_on(&mut self, passed: PassedOn, now: Millis) {
        self.clock.observe(passed.clock);
        let group = topic::shared(&passed.group)
            .and_then(|(name, plain)| self.shared.index.id(name, plain));
        for claim in passed.stored {
            match group {
                Some(group) => {
                    let stored = StoredClaim {
                        claim: claim.claim,
                        message: claim.message,
                    };
                    let claim = WaitingClaim {
                        stored,
                        qos: claim.qos,
                        weight: claim.weight,
                    };
                    self.await_member(group, claim, now);
                }
                None => self.settle_claim(claim.claim, now),
            }
        }
        let Some(group) = group else { return };
        self.rebalance(group, now);
        for message in passed.in_memory {
            self.take_passed(group, message, now);
        }
    }

    /// A message that has come because it was this shard's turn stays here if it can: two shards without a free member
    /// would pass it to each other for ever.
    fn take_passed(&mut self, group: GroupId, message: Arc<Message>, now: Millis) {
        match self
            .shared
            .index
            .choose_here(group, |slot| self.standing(slot))
        {
            Some(Chosen::Here(member) | Chosen::Busy(member)) => {
                self.give_unstored(group, &member, message, now);
            }
            Some(Chosen::Offline(member)) => match self.shared.index.connected_elsewhere(group) {
                Some(shard) => {
                    self.pass_on(shard, group, &Backlog::default(), vec![message], now);
                }
                None => self.give_unstored(group, &member, message, now),
            },
            Some(Chosen::Shard(_) | Chosen::OfflineElsewhere(_)) | None => {
                self.offer(group, message, now);
            }
        }
    }

    /// Gives a member a message that is only in memory; at QoS 0 it is for those who are there.
    fn give_unstored(
        &mut self,
        group: GroupId,
        member: &Subscriber,
        message: Arc<Message>,
        now: Millis,
    ) {
        let claim = Origin::Claim {
            group,
            stored: None,
            qos: message.qos,
        };
        let delivery = delivery_to(member, message, claim);
        if delivery.qos != QoS::AtMostOnce || self.open_connection(member.session).is_some() {
            self.begin_or_enqueue(member.session, delivery, now);
        }
    }

    // Claims that are over.

    /// A member has the message, or it is not to be delivered any more.
    pub(crate) fn claim_over(&mut self, origin: Origin, now: Millis) {
        if let Origin::Claim { stored, .. } = origin {
            self.settle_claim_of(stored, now);
        }
    }

    fn settle_claim_of(&mut self, stored: Option<StoredClaim>, now: Millis) {
        if let Some(stored) = stored {
            self.settle_claim(stored.claim, now);
        }
    }

    /// Has a claim struck out with the next cursors; a crash before that repeats it.
    pub(crate) fn settle_claim(&mut self, claim: Stamp, now: Millis) {
        if self.shared.waiting.settle(claim) {
            self.store_settled(now);
        } else {
            self.cursors.write_soon(now);
        }
    }

    pub(crate) fn store_settled(&mut self, now: Millis) {
        let settled = self.shared.waiting.take_settled();
        if settled.is_empty() {
            return;
        }
        let writes = settled.into_iter().map(|claim| Write::Delete {
            key: key::claim(claim),
        });
        self.append(writes.collect(), Then::Nothing, now);
    }
}

fn waiting_claim(stored: StoredClaim, publication: &Publication<'_>) -> WaitingClaim {
    WaitingClaim {
        stored,
        qos: publication.view.qos,
        weight: publication.view.weight(),
    }
}

fn granted(member: &Subscriber) -> QoS {
    QoS::from_bits(member.qos()).unwrap_or(QoS::AtMostOnce)
}

fn delivery_to(member: &Subscriber, message: Arc<Message>, origin: Origin) -> Delivery {
    Delivery {
        qos: message.qos.min(granted(member)),
        retain: member.retain_as_published() && message.retain,
        message,
        origin,
        identifiers: (member.identifier != 0).then(|| [member.identifier].into()),
    }
}

fn claim_delivery(group: GroupId, member: &Subscriber, claim: WaitingClaim) -> ClaimDelivery {
    ClaimDelivery {
        group,
        claim,
        qos: claim.qos.min(granted(member)),
        keeps_retain: member.retain_as_published(),
        identifiers: (member.identifier != 0).then(|| [member.identifier].into()),
    }
}
