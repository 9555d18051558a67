//! What subscriptions were before a SUBSCRIBE replaced them or an UNSUBSCRIBE ended them, for as long as stored messages may
//! have to be matched again as they were matched then: after a restart they go as they would have gone without one. It
//! owns that memory, which stands on disk in the subscription's own row.

use std::collections::BTreeMap;

use records::{Stamp, Subscription, Terms};

use crate::stored::positions::is_covered;

/// How often one filter may change while something waits; a SUBSCRIBE that changes it once more is refused (0x97).
const SUPERSEDED_MAX: usize = 64;

/// By session, what its filters were.
#[derive(Debug, Default)]
pub(crate) struct SupersededTerms(BTreeMap<u32, Superseded>);

/// What a session's filters were.
#[derive(Debug, Default)]
struct Superseded {
    filters: BTreeMap<Box<str>, FilterHistory>,
    /// All their terms.
    terms: usize,
}

/// What one filter was, oldest first.
#[derive(Debug, Default)]
struct FilterHistory {
    terms: Vec<Terms>,
    /// It is not held any more.
    given_up: bool,
}

/// How a filter counted for a message, if it did.
pub(crate) fn terms_at(record: &Subscription, stamp: Stamp) -> Option<(u8, Option<u32>)> {
    let mut superseded = record.former.iter();
    if let Some(terms) = superseded.find(|terms| is_covered(&terms.until, stamp)) {
        return (terms.since < stamp).then_some((terms.options, terms.identifier));
    }
    let was_in_force = record.until.is_empty() || is_covered(&record.until, stamp);
    (was_in_force && record.since < stamp).then_some((record.options, record.identifier))
}

/// Everything that a row says a filter was, oldest first: it may not be held any more.
pub(crate) fn past_terms(record: &Subscription) -> Vec<Terms> {
    let mut terms = record.former.clone();
    if !record.until.is_empty() {
        terms.push(Terms {
            options: record.options,
            identifier: record.identifier,
            since: record.since,
            until: record.until.clone(),
        });
    }
    terms
}

impl SupersededTerms {
    /// Whether something is remembered of what a session's filters were.
    pub(crate) fn has(&self, slot: u32) -> bool {
        self.0.contains_key(&slot)
    }

    /// What a filter was.
    pub(crate) fn of(&self, slot: u32, filter: &str) -> &[Terms] {
        let superseded = self.0.get(&slot);
        let history = superseded.and_then(|superseded| superseded.filters.get(filter));
        history.map_or(&[], |history| &history.terms)
    }

    /// Whether the filters of a session may not change, because of them all or because of this one.
    pub(crate) fn fullness(&self, slot: u32, filter: &str, most: usize) -> Fullness {
        let Some(superseded) = self.0.get(&slot) else {
            return Fullness::Room;
        };
        if superseded.terms >= most {
            Fullness::Session
        } else if self.of(slot, filter).len() >= SUPERSEDED_MAX {
            Fullness::Filter
        } else {
            Fullness::Room
        }
    }

    /// Remembers what a filter was up to here.
    pub(crate) fn push(&mut self, slot: u32, filter: &str, terms: Terms) {
        let superseded = self.0.entry(slot).or_default();
        let history = superseded.filters.entry(filter.into()).or_default();
        history.terms.push(terms);
        superseded.terms += 1;
    }

    /// A filter is given up, or held again.
    pub(crate) fn set_given_up(&mut self, slot: u32, filter: &str, given_up: bool) {
        if let Some(superseded) = self.0.get_mut(&slot)
            && let Some(history) = superseded.filters.get_mut(filter)
        {
            history.given_up = given_up;
        }
    }

    /// Nothing waits that was matched by what a filter was.
    pub(crate) fn forget_filter(&mut self, slot: u32, filter: &str) {
        if let Some(superseded) = self.0.get_mut(&slot)
            && let Some(history) = superseded.filters.remove(filter)
        {
            superseded.terms -= history.terms.len();
        }
    }

    /// The filters that a session has given up and that are still remembered.
    pub(crate) fn given_up_filters(&self, slot: u32) -> impl Iterator<Item = &str> {
        let superseded = self.0.get(&slot).into_iter();
        let filters = superseded.flat_map(|superseded| &superseded.filters);
        filters
            .filter(|(_, history)| history.given_up)
            .map(|(filter, _)| &**filter)
    }

    /// The row of a filter that is not held any more, while something is remembered of it.
    pub(crate) fn given_up_row(&self, slot: u32, filter: &str) -> Option<Subscription> {
        let (last, former) = self.of(slot, filter).split_last()?;
        Some(Subscription {
            options: last.options,
            identifier: last.identifier,
            since: last.since,
            until: last.until.clone(),
            former: former.to_vec(),
        })
    }

    /// Takes back what a filter was.
    pub(crate) fn recover(&mut self, slot: u32, filter: &str, record: &Subscription) {
        let terms = past_terms(record);
        if terms.is_empty() {
            return;
        }
        let superseded = self.0.entry(slot).or_default();
        superseded.terms += terms.len();
        let history = FilterHistory {
            terms,
            given_up: !record.until.is_empty(),
        };
        superseded.filters.insert(filter.into(), history);
    }

    /// What a session's cursors have passed need not be matched again: the terms that only it was matched by are
    /// forgotten. Of this filter only, if one is given; which filters have changed by it.
    pub(crate) fn forget_passed(
        &mut self,
        slot: u32,
        only: Option<&str>,
        cursors: &[Stamp],
    ) -> Vec<Box<str>> {
        let Some(superseded) = self.0.get_mut(&slot) else {
            return Vec::new();
        };
        let filters: Vec<Box<str>> = match only {
            Some(filter) => vec![filter.into()],
            None => superseded.filters.keys().cloned().collect(),
        };
        let filters = filters.into_iter();
        let changed = filters
            .filter(|filter| superseded.forget_passed(filter, cursors))
            .collect();
        if only.is_none() && superseded.filters.is_empty() {
            self.0.remove(&slot);
        }
        changed
    }

    /// The session is no more.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.0.remove(&slot);
    }
}

/// Whether there is room for another change of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fullness {
    /// There is.
    Room,
    /// The filter has changed too often.
    Filter,
    /// All filters of the session have.
    Session,
}

impl Superseded {
    /// Forgets what cursors have passed of a filter, and says whether that was anything.
    fn forget_passed(&mut self, filter: &str, cursors: &[Stamp]) -> bool {
        let Some(history) = self.filters.get_mut(filter) else {
            return false;
        };
        let passed = |until: &[Stamp]| until.iter().all(|stamp| is_covered(cursors, *stamp));
        let over = history
            .terms
            .iter()
            .take_while(|terms| passed(&terms.until));
        let over = over.count();
        history.terms.drain(..over);
        self.terms -= over;
        if history.terms.is_empty() {
            self.filters.remove(filter);
        }
        over > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(until: u64) -> Terms {
        Terms {
            options: 1,
            identifier: None,
            since: Stamp::ZERO,
            until: vec![Stamp::of(until, 0)],
        }
    }

    /// What is remembered goes with the cursors, oldest first, and nothing of a session is kept for ever.
    #[test]
    fn what_cursors_have_passed_is_forgotten() {
        let mut superseded = SupersededTerms::default();
        for until in [10, 20, 30] {
            superseded.push(7, "a", terms(until));
        }
        superseded.push(7, "b", terms(15));
        superseded.set_given_up(7, "b", true);
        assert_eq!(superseded.given_up_filters(7).collect::<Vec<_>>(), ["b"]);
        let changed = superseded.forget_passed(7, None, &[Stamp::of(20, 0)]);
        assert_eq!(changed, ["a".into(), "b".into()]);
        assert_eq!(superseded.of(7, "a"), [terms(30)]);
        assert_eq!(superseded.of(7, "b"), []);
        assert!(superseded.given_up_row(7, "b").is_none());
        assert!(
            superseded
                .forget_passed(7, None, &[Stamp::of(20, 0)])
                .is_empty()
        );
        superseded.forget_passed(7, None, &[Stamp::of(30, 0)]);
        assert!(!superseded.has(7));
    }

    #[test]
    fn how_often_filters_change_is_bounded_for_one_and_for_all() {
        let mut superseded = SupersededTerms::default();
        assert_eq!(superseded.fullness(7, "a", 100), Fullness::Room);
        for until in 0..SUPERSEDED_MAX as u64 {
            superseded.push(7, "a", terms(until + 1));
        }
        assert_eq!(superseded.fullness(7, "a", 100), Fullness::Filter);
        assert_eq!(superseded.fullness(7, "b", 100), Fullness::Room);
        assert_eq!(
            superseded.fullness(7, "b", SUPERSEDED_MAX),
            Fullness::Session
        );
        superseded.forget_filter(7, "a");
        assert_eq!(superseded.fullness(7, "a", SUPERSEDED_MAX), Fullness::Room);
    }

    #[test]
    fn a_row_is_taken_back_as_it_was_written() {
        let mut superseded = SupersededTerms::default();
        superseded.push(7, "a", terms(10));
        superseded.push(7, "a", terms(20));
        superseded.set_given_up(7, "a", true);
        let row = superseded.given_up_row(7, "a").expect("it is remembered");
        let mut again = SupersededTerms::default();
        again.recover(3, "a", &row);
        assert_eq!(again.given_up_row(3, "a"), Some(row));
        assert_eq!(again.given_up_filters(3).count(), 1);
    }
}
