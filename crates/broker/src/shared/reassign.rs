//! What a member of a group that goes away, leaves or ends had not got yet: it goes to others. Who they are is `claims`'
//! business.

use mqtt_session::FlightState;
use records::Millis;
use routing::GroupId;
use smallvec::SmallVec;

use crate::delivery::waiting::Returned;
use crate::message::Origin;
use crate::shard::Shard;

impl Shard {
    /// A member is away or has left: what it was to get and has not been sent goes to others. With `only`, of
    /// that group.
    pub(crate) fn return_waiting(&mut self, slot: u32, only: Option<GroupId>, now: Millis) {
        let waiting = self.sessions[slot as usize].waiting.as_mut();
        let returned = waiting.map(|waiting| waiting.take_claims(only));
        self.return_claims(returned.unwrap_or_default(), now);
    }

    /// A session has ended: what it had not acknowledged goes to others, except what had begun at QoS 2.
    /// [5 MQTT-4.8.2-5]
    pub(crate) fn return_all(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot as usize];
        let mut returned = Vec::new();
        for flight in session.outbound.iter().flat_map(|outbound| outbound.iter()) {
            let Origin::Claim { group, stored, qos } = flight.item.origin else {
                continue;
            };
            match flight.state {
                FlightState::AwaitPuback => {
                    returned.push(Returned::of(group, stored, qos, &flight.item.message));
                }
                FlightState::Beginning
                | FlightState::AwaitPubrec
                | FlightState::Releasing
                | FlightState::AwaitPubcomp => {}
            }
        }
        if let Some(waiting) = session.waiting.as_mut() {
            returned.extend(waiting.take_claims(None));
        }
        self.return_claims(returned, now);
    }

    /// A member is away: what waits in its groups goes where somebody is connected.
    pub(crate) fn rebalance_shares(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot as usize];
        if session.is_long() {
            // With the announcements, which are put off.
            return;
        }
        let shares = session.shares.iter();
        let groups: SmallVec<[GroupId; 4]> = shares.map(|share| share.group).collect();
        for group in groups {
            self.rebalance(group, now);
        }
    }

    fn return_claims(&mut self, returned: Vec<Returned>, now: Millis) {
        let mut groups = Vec::new();
        let mut held = Vec::new();
        for returned in returned {
            match returned {
                Returned::Stored(group, claim) => {
                    groups.push(group);
                    self.groups.passing.note(claim.stored.message);
                    self.await_member(group, claim, now);
                }
                Returned::Held(group, message) => held.push((group, message)),
            }
        }
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            self.rebalance(group, now);
        }
        for (group, message) in held {
            self.offer(group, message, now);
        }
    }
}
