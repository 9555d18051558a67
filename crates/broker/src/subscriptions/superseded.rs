//! What subscriptions were before a SUBSCRIBE replaced them or an UNSUBSCRIBE ended them, for as long as stored messages may
//! have to be matched again as they were matched then: after a restart they go as they would have gone without one. It
//! owns that memory, which stands on disk in the subscription's own row.

use std::collections::BTreeMap;

use mqtt_codec::{ReasonCode, SubscriptionOptions};
use records::{Millis, SessionNumber, Stamp, Subscription, Terms, Write, key};
use routing::{FilterId, Subscriber};

use crate::message::Origin;
use crate::sessions::session::Session;
use crate::shard::Shard;
use crate::stored::appends::{is_covered, raise};

/// How often one filter may change while something waits; a SUBSCRIBE that changes it once more is refused (0x97).
const SUPERSEDED_MAX: usize = 64;
/// The options that say how a message is matched: all but retain handling.
const MATCHING: u8 = 0x0F;

/// What a session's filters were.
#[derive(Debug, Default)]
pub(crate) struct SupersededTerms {
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

impl Session {
    /// Whether stored messages that were matched for it wait, or are under way.
    fn has_stored_unfinished(&self) -> bool {
        let mut waiting = self.waiting.iter();
        let mut flights = self.outbound.iter().flat_map(|outbound| outbound.iter());
        waiting.any(|waiting| !waiting.stored().is_empty())
            || flights.any(|flight| match flight.item.origin {
                Origin::Queue(_) => true,
                Origin::Memory
                | Origin::Share { .. }
                | Origin::Chat { .. }
                | Origin::Claim { .. } => false,
            })
    }
}

impl Shard {
    /// Whether something is remembered of what a session's filters were.
    pub(crate) fn has_superseded_terms(&self, slot: u32) -> bool {
        self.cursors.superseded.contains_key(&slot)
    }

    /// Whether a filter may be subscribed to on these terms: how often filters change while something waits is bounded, for
    /// one and for all of a session. They can always be given up.
    pub(crate) fn check_changes(
        &mut self,
        slot: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Result<(), ReasonCode> {
        let Some(superseded) = self.cursors.superseded.get(&slot) else {
            return Ok(());
        };
        let all_full = superseded.terms >= self.settings.limits.subscriptions_max;
        let full = self.history(slot, filter).len() >= SUPERSEDED_MAX;
        if !(all_full || full) || !self.differs(slot, filter, options.bits(), identifier) {
            return Ok(());
        }
        if all_full {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        // The cursors are written with the subscription, so that what they have passed is over already.
        let cursors = self.cursors_of(slot);
        let superseded = self.cursors.superseded.get_mut(&slot);
        if superseded.is_some_and(|superseded| superseded.forget_passed(filter, &cursors)) {
            return Ok(());
        }
        Err(ReasonCode::QUOTA_EXCEEDED)
    }

    /// A filter is about to be subscribed to on these terms, or given up. If that changes by what is stored for the session
    /// is matched, nothing is sent to it before the change is on disk: after a crash it would come again, as something
    /// else. True when it does; `already` when the packet has begun a change.
    pub(crate) fn begin_change(
        &mut self,
        slot: u32,
        filter: &str,
        terms: Option<(SubscriptionOptions, u32)>,
        already: bool,
    ) -> bool {
        // Nothing that is stored waits for any other session.
        if !self.sessions[slot].is_stored() {
            return false;
        }
        let durable = self
            .current(slot, filter)
            .is_some_and(|(_, current)| current.durable);
        let differs = |(options, identifier): (SubscriptionOptions, u32)| {
            self.differs(slot, filter, options.bits(), identifier)
        };
        if !durable || !terms.is_none_or(differs) {
            return false;
        }
        if !already {
            *self.cursors.changing.entry(slot).or_default() += 1;
        }
        true
    }

    /// A change is on disk: what has waited for it goes, unless there is another.
    pub(crate) fn end_change(&mut self, slot: u32, now: Millis) {
        if let Some(changes) = self.cursors.changing.get_mut(&slot) {
            *changes -= 1;
            if *changes == 0 {
                self.cursors.changing.remove(&slot);
                self.pump(slot, now);
            }
        }
    }

    /// Whether a change of a session's subscriptions is on its way to the disk.
    pub(crate) fn is_changing(&self, slot: u32) -> bool {
        !self.cursors.changing.is_empty() && self.cursors.changing.contains_key(&slot)
    }

    /// A session's subscription to an ordinary filter.
    fn current(&self, slot: u32, filter: &str) -> Option<(FilterId, &Subscriber)> {
        let id = self.index.id(filter)?;
        Some((id, self.index.subscriber(id, slot)?))
    }

    /// What a filter was.
    fn history(&self, slot: u32, filter: &str) -> &[Terms] {
        let superseded = self.cursors.superseded.get(&slot);
        let history = superseded.and_then(|superseded| superseded.filters.get(filter));
        history.map_or(&[], |history| &history.terms)
    }

    /// Whether a filter is not held on these terms.
    fn differs(&self, slot: u32, filter: &str, options: u8, identifier: u32) -> bool {
        self.current(slot, filter).is_none_or(|(_, current)| {
            (current.options ^ options) & MATCHING != 0 || current.identifier != identifier
        })
    }

    /// A filter is about to be subscribed to on these terms: what it was until now is remembered if it was another.
    pub(crate) fn replace_terms(
        &mut self,
        slot: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) {
        if !self.sessions[slot].is_stored() {
            return;
        }
        if self.differs(slot, filter, options.bits(), identifier) {
            self.keep_terms(slot, filter);
        }
        if let Some(superseded) = self.cursors.superseded.get_mut(&slot)
            && let Some(history) = superseded.filters.get_mut(filter)
        {
            history.given_up = false;
        }
    }

    /// A filter is about to be given up.
    pub(crate) fn end_terms(&mut self, slot: u32, filter: &str) {
        if !self.sessions[slot].is_stored() {
            return;
        }
        self.keep_terms(slot, filter);
        if let Some(superseded) = self.cursors.superseded.get_mut(&slot)
            && let Some(history) = superseded.filters.get_mut(filter)
        {
            history.given_up = true;
        }
    }

    /// Remembers on which terms a filter has been held up to here, if they are any and something may wait that was matched
    /// by them. If nothing waits at all, the session's cursors are past everything that was.
    fn keep_terms(&mut self, slot: u32, filter: &str) {
        let session = &self.sessions[slot];
        if !session.has_stored_unfinished() {
            if let Some(superseded) = self.cursors.superseded.get_mut(&slot) {
                superseded.forget(filter);
            }
            return;
        }
        let Some((id, current)) = self.current(slot, filter) else {
            return;
        };
        let Some(since) = session.since(id) else {
            return;
        };
        let routed = self.routed.iter().copied();
        let until: Vec<Stamp> = routed.filter(|stamp| *stamp != Stamp::ZERO).collect();
        if until.iter().all(|stamp| *stamp <= since) {
            return;
        }
        let terms = Terms {
            options: current.options,
            identifier: (current.identifier != 0).then_some(current.identifier),
            since,
            until,
        };
        let superseded = self.cursors.superseded.entry(slot).or_default();
        let history = superseded.filters.entry(filter.into()).or_default();
        history.terms.push(terms);
        superseded.terms += 1;
    }

    /// What a filter that is held was before.
    pub(crate) fn superseded_terms(&self, slot: u32, filter: &str) -> Vec<Terms> {
        self.history(slot, filter).to_vec()
    }

    /// What the store knows of a filter that was given up.
    pub(crate) fn given_up_write(&self, slot: u32, number: SessionNumber, filter: &str) -> Write {
        let key = key::subscription(number, filter);
        match as_given_up(self.superseded_terms(slot, filter)) {
            Some(record) => Write::Put {
                key,
                value: record.encode(),
            },
            None => Write::Delete { key },
        }
    }

    /// The filters that a session has given up and that are still remembered.
    pub(crate) fn given_up_filters(&self, slot: u32) -> impl Iterator<Item = &str> {
        let superseded = self.cursors.superseded.get(&slot).into_iter();
        let filters = superseded.flat_map(|superseded| &superseded.filters);
        filters
            .filter(|(_, history)| history.given_up)
            .map(|(filter, _)| &**filter)
    }

    /// Takes back what a filter was. Whoever reads the rows has seen that they can be.
    pub(crate) fn recover_terms(&mut self, slot: u32, filter: &str, record: &Subscription) {
        let mut history = FilterHistory {
            terms: record.former.clone(),
            given_up: !record.until.is_empty(),
        };
        if history.given_up {
            history.terms.push(Terms {
                options: record.options,
                identifier: record.identifier,
                since: record.since,
                until: record.until.clone(),
            });
        }
        for terms in &history.terms {
            self.clock.observe(terms.since);
            for stamp in &terms.until {
                self.clock.observe(*stamp);
                // Everything before it was matched, whether or not it is still there.
                raise(&mut self.routed, *stamp);
            }
        }
        if !history.terms.is_empty() {
            let superseded = self.cursors.superseded.entry(slot).or_default();
            superseded.terms += history.terms.len();
            superseded.filters.insert(filter.into(), history);
        }
    }

    /// What a session's cursors have passed need not be matched again: the terms that only it was matched by are
    /// forgotten.
    pub(crate) fn forget_superseded(
        &mut self,
        slot: u32,
        cursors: &[Stamp],
        writes: &mut Vec<Write>,
    ) {
        let Some(superseded) = self.cursors.superseded.get_mut(&slot) else {
            return;
        };
        let filters: Vec<Box<str>> = superseded.filters.keys().cloned().collect();
        let passed = filters.into_iter();
        let changed: Vec<Box<str>> = passed
            .filter(|filter| superseded.forget_passed(filter, cursors))
            .collect();
        if superseded.filters.is_empty() {
            self.cursors.superseded.remove(&slot);
        }
        let number = self.sessions[slot].number;
        for filter in changed {
            writes.push(self.subscription_write(slot, number, &filter));
        }
    }

    /// Writes the row of an ordinary filter as it stands, held or given up.
    fn subscription_write(&self, slot: u32, number: SessionNumber, filter: &str) -> Write {
        let Some(record) = self.current_record(slot, filter) else {
            return self.given_up_write(slot, number, filter);
        };
        Write::Put {
            key: key::subscription(number, filter),
            value: record.encode(),
        }
    }

    /// What stands on disk of an ordinary filter that a stored session holds.
    fn current_record(&self, slot: u32, filter: &str) -> Option<Subscription> {
        let (id, current) = self.current(slot, filter)?;
        Some(Subscription {
            options: current.options,
            identifier: (current.identifier != 0).then_some(current.identifier),
            since: self.sessions[slot].since(id)?,
            until: Vec::new(),
            former: self.superseded_terms(slot, filter),
        })
    }
}

impl SupersededTerms {
    fn forget(&mut self, filter: &str) {
        if let Some(history) = self.filters.remove(filter) {
            self.terms -= history.terms.len();
        }
    }

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

/// The row of a filter that is not held any more, while something is remembered of it.
fn as_given_up(mut terms: Vec<Terms>) -> Option<Subscription> {
    let last = terms.pop()?;
    Some(Subscription {
        options: last.options,
        identifier: last.identifier,
        since: last.since,
        until: last.until,
        former: terms,
    })
}
