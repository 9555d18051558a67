//! What a member of a group that goes offline, leaves or ends had not got yet: it goes to others. Who they are is `claims`'
//! business.

use mqtt_session::FlightState;
use records::Millis;
use routing::GroupId;
use smallvec::SmallVec;

use crate::message::Origin;
use crate::shard::Shard;
use crate::shared::claim::Reassigned;

impl Shard {
    /// A member is offline or has left: what it was to get and has not been sent goes to others. With `only`, of
    /// that group.
    pub(crate) fn reassign_unsent(&mut self, slot: u32, only: Option<GroupId>, now: Millis) {
        let waiting = self.sessions[slot].waiting.as_mut();
        let reassigned = waiting.map(|waiting| waiting.take_claims(only));
        self.reassign(reassigned.unwrap_or_default(), now);
    }

    /// A session has ended: what it had not acknowledged goes to others, except what had begun at QoS 2.
    /// [5 MQTT-4.8.2-5]
    pub(crate) fn reassign_unacknowledged(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        let mut reassigned = Vec::new();
        for flight in session.outbound.iter().flat_map(|outbound| outbound.iter()) {
            let Origin::Claim { group, stored, qos } = flight.item.origin else {
                continue;
            };
            match flight.state {
                FlightState::AwaitPuback => {
                    reassigned.push(Reassigned::of(group, stored, qos, &flight.item.message));
                }
                FlightState::Beginning
                | FlightState::AwaitPubrec
                | FlightState::Releasing
                | FlightState::AwaitPubcomp => {}
            }
        }
        if let Some(waiting) = session.waiting.as_mut() {
            reassigned.extend(waiting.take_claims(None));
        }
        self.reassign(reassigned, now);
    }

    /// A member is offline: what waits in its groups goes where somebody is connected.
    pub(crate) fn rebalance_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot];
        if session.has_many_subscriptions() {
            // With the announcements, which are deferred.
            return;
        }
        let shares = session.shares.iter();
        let groups: SmallVec<[GroupId; 4]> = shares.map(|share| share.group).collect();
        for group in groups {
            self.rebalance(group, now);
        }
    }

    fn reassign(&mut self, reassigned: Vec<Reassigned>, now: Millis) {
        let mut groups = Vec::new();
        let mut in_memory = Vec::new();
        for reassigned in reassigned {
            match reassigned {
                Reassigned::Stored(group, claim) => {
                    groups.push(group);
                    self.shared.waiting.note_moved(claim.stored.message);
                    self.await_member(group, claim, now);
                }
                Reassigned::InMemory(group, message) => in_memory.push((group, message)),
            }
        }
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            self.rebalance(group, now);
        }
        for (group, message) in in_memory {
            self.offer(group, message, now);
        }
    }
}
