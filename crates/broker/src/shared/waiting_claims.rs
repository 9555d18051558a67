//! What the groups of shared subscriptions wait for while nobody of them is free, which claims are over, and what has moved to
//! other members or shards of late. Who is free, it does not know.

use std::collections::{BTreeMap, VecDeque};

use records::Stamp;
use routing::GroupId;
use smallvec::SmallVec;

use crate::sessions::session::Membership;
use crate::settings::Limits;
use crate::shared::claim::WaitingClaim;

/// Claims that are over and not yet struck out, at most; beyond it they are written at once.
const SETTLED_MAX: usize = 4096;

/// Claims of all groups.
#[derive(Debug, Default)]
pub(crate) struct WaitingClaims {
    /// What waits while nobody of a group is free; none is empty.
    backlogs: BTreeMap<GroupId, Backlog>,
    /// Claims that are over and not yet struck out.
    settled: Vec<Stamp>,
    /// What has moved since it was last said what is needed.
    moved: MovedClaims,
}

impl WaitingClaims {
    /// Whether no group waits for anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.backlogs.is_empty()
    }

    /// Whether a group waits for something.
    pub(crate) fn has(&self, group: GroupId) -> bool {
        self.backlogs.contains_key(&group)
    }

    /// Keeps a claim for the next member that is free, within the bound of a session's queue; what is dropped for it.
    pub(crate) fn insert(
        &mut self,
        group: GroupId,
        claim: WaitingClaim,
        limits: &Limits,
    ) -> SmallVec<[WaitingClaim; 1]> {
        let backlog = self.backlogs.entry(group).or_default();
        backlog.insert(claim);
        let mut dropped = SmallVec::new();
        while backlog.len() > limits.stored_messages_max || backlog.bytes > limits.stored_bytes_max
        {
            dropped.extend(backlog.pop());
        }
        if backlog.is_empty() {
            self.backlogs.remove(&group);
        }
        dropped
    }

    /// Of the groups that a session is in those that may have something waiting. Whichever list is shorter is gone through: of ten
    /// thousand groups hardly any has something waiting.
    pub(crate) fn candidates(&self, memberships: &[Membership]) -> SmallVec<[GroupId; 4]> {
        if memberships.len() <= self.backlogs.len() {
            memberships.iter().map(|share| share.group).collect()
        } else {
            self.backlogs.keys().copied().collect()
        }
    }

    /// Takes the oldest claims of a group, at most so many, and says how many that were.
    pub(crate) fn pull(
        &mut self,
        group: GroupId,
        most: usize,
        mut take: impl FnMut(WaitingClaim),
    ) -> usize {
        let Some(backlog) = self.backlogs.get_mut(&group) else {
            return 0;
        };
        let mut pulled = 0;
        while pulled < most
            && let Some(claim) = backlog.pop()
        {
            pulled += 1;
            take(claim);
        }
        if backlog.is_empty() {
            self.backlogs.remove(&group);
        }
        pulled
    }

    /// Takes everything that a group waits for.
    pub(crate) fn take(&mut self, group: GroupId) -> Backlog {
        self.backlogs.remove(&group).unwrap_or_default()
    }

    /// Takes the oldest claims of each group, as many as `part` says of how many there are, nothing from the message `before` on and
    /// about `most` of all.
    pub(crate) fn shed(
        &mut self,
        mut part: impl FnMut(usize) -> usize,
        before: Stamp,
        most: usize,
    ) -> Vec<WaitingClaim> {
        let mut shed = Vec::new();
        self.backlogs.retain(|_, backlog| {
            let mut part = part(backlog.len());
            while part > 0
                && shed.len() < most
                && backlog.oldest().is_some_and(|stamp| stamp < before)
            {
                part -= 1;
                shed.extend(backlog.pop());
            }
            !backlog.is_empty()
        });
        shed
    }

    /// What each group waits for.
    pub(crate) fn backlogs(&self) -> impl Iterator<Item = &Backlog> {
        self.backlogs.values()
    }

    // What has moved.

    /// A claim has gone to another shard or another member: a look at one place after the other may miss its message.
    pub(crate) fn note_moved(&mut self, message: Stamp) {
        self.moved.note(message);
    }

    /// Messages of claims that have moved, as far as they are known one by one.
    pub(crate) fn moved(&self) -> &[Stamp] {
        &self.moved.stamps
    }

    /// The oldest of those that are not.
    pub(crate) fn oldest_moved_beside(&self) -> Option<Stamp> {
        self.moved.others_from
    }

    /// It has been said what is needed.
    pub(crate) fn forget_moved(&mut self) {
        self.moved.clear();
    }

    // Claims that are over.

    /// A claim is to be struck out; whether those that are have become too many to wait for the next cursors.
    pub(crate) fn settle(&mut self, claim: Stamp) -> bool {
        self.settled.push(claim);
        self.settled.len() >= SETTLED_MAX
    }

    /// The claims to be struck out.
    pub(crate) fn take_settled(&mut self) -> Vec<Stamp> {
        std::mem::take(&mut self.settled)
    }
}

/// Messages of claims that have gone to other shards or other members: a look at one place after the other may miss them.
#[derive(Debug, Default)]
struct MovedClaims {
    stamps: Vec<Stamp>,
    /// The oldest of those that are not among them, because they are too many.
    others_from: Option<Stamp>,
}

impl MovedClaims {
    /// Messages that are known one by one.
    const STAMPS_MAX: usize = 4096;

    fn note(&mut self, message: Stamp) {
        if self.stamps.len() < Self::STAMPS_MAX {
            self.stamps.push(message);
        } else {
            self.others_from = self.others_from.into_iter().chain([message]).min();
        }
    }

    fn clear(&mut self) {
        self.stamps.clear();
        self.others_from = None;
    }
}

/// What a group waits for while nobody of it is free, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    claims: VecDeque<WaitingClaim>,
    bytes: u64,
}

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &WaitingClaim> {
        self.claims.iter()
    }

    /// Puts it in its place; nearly always that is the end.
    fn insert(&mut self, claim: WaitingClaim) {
        self.bytes += u64::from(claim.weight);
        let place = self
            .claims
            .partition_point(|known| known.stored.claim < claim.stored.claim);
        self.claims.insert(place, claim);
    }

    /// The stamp of the message that has waited longest.
    fn oldest(&self) -> Option<Stamp> {
        self.claims.front().map(|claim| claim.stored.message)
    }

    fn pop(&mut self) -> Option<WaitingClaim> {
        let claim = self.claims.pop_front()?;
        self.bytes -= u64::from(claim.weight);
        Some(claim)
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::QoS;

    use super::*;
    use crate::message::StoredClaim;

    fn claim(number: u64) -> WaitingClaim {
        WaitingClaim {
            stored: StoredClaim {
                claim: Stamp::of(number, 0),
                message: Stamp::of(number, 0),
            },
            qos: QoS::AtLeastOnce,
            weight: 10,
        }
    }

    fn messages(claims: &[WaitingClaim]) -> Vec<u64> {
        let claims = claims.iter();
        claims.map(|claim| claim.stored.message.micros()).collect()
    }

    /// A group waits for the newest messages within its bounds, in their order, and leaves nothing behind once it has them.
    #[test]
    fn the_oldest_claims_go_first_and_beyond_the_bound() {
        let limits = Limits {
            stored_messages_max: 3,
            stored_bytes_max: 1000,
            ..Limits::default()
        };
        let (mut claims, group) = (WaitingClaims::default(), GroupId::default());
        for number in [1, 2, 4] {
            assert!(claims.insert(group, claim(number), &limits).is_empty());
        }
        assert_eq!(messages(&claims.insert(group, claim(3), &limits)), [1]);
        let bytes = Limits {
            stored_bytes_max: 35,
            ..limits
        };
        assert_eq!(messages(&claims.insert(group, claim(5), &bytes)), [2]);
        let mut pulled = Vec::new();
        assert_eq!(claims.pull(group, 2, |claim| pulled.push(claim)), 2);
        assert_eq!(messages(&pulled), [3, 4]);
        assert!(claims.has(group));
        assert_eq!(claims.pull(group, 2, |claim| pulled.push(claim)), 1);
        assert!(claims.is_empty() && !claims.has(group));
    }

    #[test]
    fn what_is_shed_is_old_and_not_all_at_once() {
        let (mut claims, group) = (WaitingClaims::default(), GroupId::default());
        for number in 1..=5 {
            claims.insert(group, claim(number), &Limits::default());
        }
        let shed = claims.shed(|of| of - 1, Stamp::of(4, 0), 2);
        assert_eq!(messages(&shed), [1, 2]);
        let shed = claims.shed(|of| of, Stamp::of(4, 0), 10);
        assert_eq!(messages(&shed), [3]);
    }

    #[test]
    fn of_very_many_that_have_moved_the_oldest_of_the_rest_is_known() {
        let mut claims = WaitingClaims::default();
        for number in 0..MovedClaims::STAMPS_MAX as u64 {
            claims.note_moved(Stamp::of(1000 + number, 0));
        }
        assert_eq!(claims.oldest_moved_beside(), None);
        for number in [900, 800, 850] {
            claims.note_moved(Stamp::of(number, 0));
        }
        assert_eq!(claims.oldest_moved_beside(), Some(Stamp::of(800, 0)));
        claims.forget_moved();
        assert!(claims.moved().is_empty() && claims.oldest_moved_beside().is_none());
    }
}
