//! Who waits for which part of the queue table, counted when too much waits on disk. It counts what it is told; which sessions
//! wait, the shard knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use records::{AccountId, Stamp};

/// An account whose sessions wait; `None` stands for sessions without an account, and for the groups of shared subscriptions.
pub type Holder = Option<AccountId>;

/// The queue table cut into segments, which of them somebody waits for, and how many of them each account keeps from being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The last stamp of each segment, ascending. What is younger than the last of all is not looked at.
    ends: Arc<[Stamp]>,
    /// By segment.
    needed: Vec<bool>,
    /// From this stamp on something may be on its way, and nothing may be deleted.
    kept_from: Stamp,
    /// Segments that each session of an account waits for, added up.
    holders: BTreeMap<Holder, u64>,
}

/// Segments that one session waits for, as they are come upon.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    last: Option<usize>,
    count: u64,
}

impl Survey {
    /// Nobody waits for anything yet.
    pub fn new(ends: Arc<[Stamp]>) -> Self {
        Self {
            needed: vec![false; ends.len()],
            kept_from: Stamp::new(u64::MAX),
            ends,
            holders: BTreeMap::new(),
        }
    }

    /// The last stamp of each segment.
    pub fn ends(&self) -> &[Stamp] {
        &self.ends
    }

    /// Which segment has this last stamp.
    pub fn segment(&self, end: Stamp) -> Option<usize> {
        self.ends.binary_search(&end).ok()
    }

    /// Whether somebody waits for a message of a segment.
    pub fn is_needed(&self, segment: usize) -> bool {
        self.needed[segment]
    }

    /// Whether nobody waits for a message of a segment, and none of it can be on its way.
    pub fn is_unneeded(&self, segment: usize) -> bool {
        !self.needed[segment] && self.ends[segment] < self.kept_from
    }

    /// How many segments each account keeps.
    pub fn holders(&self) -> &BTreeMap<Holder, u64> {
        &self.holders
    }

    /// Together with what another shard has found in the same segments.
    ///
    /// # Panics
    /// If they are not the same.
    pub fn add(&mut self, other: &Self) {
        assert!(self.ends == other.ends, "surveys of different segments");
        for (needed, more) in self.needed.iter_mut().zip(&other.needed) {
            *needed |= more;
        }
        self.kept_from = self.kept_from.min(other.kept_from);
        for (holder, more) in &other.holders {
            *self.holders.entry(*holder).or_default() += more;
        }
    }

    /// One session of an account waits for these messages. They are cheapest in their order.
    pub fn wait(&mut self, holder: Holder, stamps: impl IntoIterator<Item = Stamp>) {
        let mut segments = Segments::default();
        for stamp in stamps {
            self.need(stamp, &mut segments);
        }
        self.charge(holder, &segments);
    }

    /// A session waits for this message.
    pub(crate) fn need(&mut self, stamp: Stamp, segments: &mut Segments) {
        if segments.last.is_some_and(|last| self.is_in(stamp, last)) {
            return;
        }
        let segment = self.ends.partition_point(|end| *end < stamp);
        if let Some(needed) = self.needed.get_mut(segment) {
            *needed = true;
            segments.count += 1;
            segments.last = Some(segment);
        }
    }

    /// What one session has been found to wait for is its account's.
    pub(crate) fn charge(&mut self, holder: Holder, segments: &Segments) {
        if segments.count > 0 {
            *self.holders.entry(holder).or_default() += segments.count;
        }
    }

    /// Nothing from this message on may be deleted, though nobody is known to wait for it.
    pub(crate) fn keep_from(&mut self, stamp: Stamp) {
        self.kept_from = self.kept_from.min(stamp);
    }

    fn is_in(&self, stamp: Stamp, segment: usize) -> bool {
        stamp <= self.ends[segment] && (segment == 0 || stamp > self.ends[segment - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        Survey::new([10, 20, 30, 40].map(Stamp::new).into())
    }

    fn wait(survey: &mut Survey, account: Holder, stamps: &[u64]) {
        survey.wait(account, stamps.iter().copied().map(Stamp::new));
    }

    fn needed(survey: &Survey) -> [bool; 4] {
        [0, 1, 2, 3].map(|segment| survey.is_needed(segment))
    }

    #[test]
    fn each_segment_that_a_session_waits_for_is_counted_once_and_is_its_accounts() {
        let (alice, bob) = (Some(AccountId::new(1)), Some(AccountId::new(2)));
        let mut here = survey();
        wait(&mut here, alice, &[1, 2, 10, 31, 40, 41]);
        wait(&mut here, alice, &[35]);
        wait(&mut here, bob, &[50]);
        assert_eq!(needed(&here), [true, false, false, true]);
        assert_eq!(here.holders(), &[(alice, 3)].into());
        let mut there = survey();
        wait(&mut there, None, &[11]);
        wait(&mut there, alice, &[5]);
        here.add(&there);
        assert_eq!(needed(&here), [true, true, false, true]);
        assert_eq!(here.holders(), &[(alice, 4), (None, 1)].into());
    }

    #[test]
    fn what_is_under_way_keeps_everything_behind_it_and_is_nobodys() {
        let mut here = survey();
        here.keep_from(Stamp::new(21));
        here.keep_from(Stamp::new(99));
        let mut all = survey();
        wait(&mut all, None, &[5]);
        all.add(&here);
        let unneeded = [0, 1, 2, 3].map(|segment| all.is_unneeded(segment));
        assert_eq!(unneeded, [false, true, false, false]);
        assert_eq!(needed(&all), [true, false, false, false]);
        assert_eq!(all.holders(), &[(None, 1)].into());
        assert_eq!(
            [20, 21].map(|end| all.segment(Stamp::new(end))),
            [Some(1), None]
        );
    }
}
