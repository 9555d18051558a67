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
const FORMER_MAX: usize = 64;
/// The options that say how a message is matched: all but retain handling.
const MATCHING: u8 = 0x0F;

/// What a session's filters were.
#[derive(Debug, Default)]
pub(crate) struct Former {
    filters: BTreeMap<Box<str>, Past>,
    /// All their terms.
    terms: usize,
}

/// What one filter was, oldest first.
#[derive(Debug, Default)]
struct Past {
    terms: Vec<Terms>,
    /// It is not held any more.
    given_up: bool,
}

/// How a filter counted for a message, if it did.
pub(crate) fn terms_at(record: &Subscription, stamp: Stamp) -> Option<(u8, Option<u32>)> {
    let mut former = record.former.iter();
    if let Some(terms) = former.find(|terms| is_covered(&terms.until, stamp)) {
        return (terms.since < stamp).then_some((terms.options, terms.identifier));
    }
    let held = record.until.is_empty() || is_covered(&record.until, stamp);
    (held && record.since < stamp).then_some((record.options, record.identifier))
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
    pub(crate) fn has_past(&self, slot: u32) -> bool {
        self.cursors.former.contains_key(&slot)
    }

    /// Whether a filter may be subscribed to on these terms: how often filters change while something waits is bounded, for
    /// one and for all of a session. They can always be given up.
    pub(crate) fn check_past(
        &mut self,
        slot: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Result<(), ReasonCode> {
        let Some(former) = self.cursors.former.get(&slot) else {
            return Ok(());
        };
        let all_full = former.terms >= self.settings.limits.subscriptions_max;
        let full = self.past(slot, filter).len() >= FORMER_MAX;
        if !(all_full || full) || !self.changes(slot, filter, options.bits(), identifier) {
            return Ok(());
        }
        if all_full {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        // The cursors are written with the subscription, so that what they have passed is over already.
        let cursors = self.cursors_of(slot);
        let former = self.cursors.former.get_mut(&slot);
        if former.is_some_and(|former| former.forget_passed(filter, &cursors)) {
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
        if !self.sessions[slot as usize].is_stored() {
            return false;
        }
        let durable = self
            .held(slot, filter)
            .is_some_and(|(_, held)| held.durable);
        let changes = |(options, identifier): (SubscriptionOptions, u32)| {
            self.changes(slot, filter, options.bits(), identifier)
        };
        if !durable || !terms.is_none_or(changes) {
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
    fn held(&self, slot: u32, filter: &str) -> Option<(FilterId, &Subscriber)> {
        let id = self.index.id(filter)?;
        Some((id, self.index.subscriber(id, slot)?))
    }

    /// What a filter was.
    fn past(&self, slot: u32, filter: &str) -> &[Terms] {
        let former = self.cursors.former.get(&slot);
        let past = former.and_then(|former| former.filters.get(filter));
        past.map_or(&[], |past| &past.terms)
    }

    /// Whether a filter is not held on these terms.
    fn changes(&self, slot: u32, filter: &str, options: u8, identifier: u32) -> bool {
        self.held(slot, filter).is_none_or(|(_, held)| {
            (held.options ^ options) & MATCHING != 0 || held.identifier != identifier
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
        if !self.sessions[slot as usize].is_stored() {
            return;
        }
        if self.changes(slot, filter, options.bits(), identifier) {
            self.keep_terms(slot, filter);
        }
        if let Some(former) = self.cursors.former.get_mut(&slot)
            && let Some(past) = former.filters.get_mut(filter)
        {
            past.given_up = false;
        }
    }

    /// A filter is about to be given up.
    pub(crate) fn end_terms(&mut self, slot: u32, filter: &str) {
        if !self.sessions[slot as usize].is_stored() {
            return;
        }
        self.keep_terms(slot, filter);
        if let Some(former) = self.cursors.former.get_mut(&slot)
            && let Some(past) = former.filters.get_mut(filter)
        {
            past.given_up = true;
        }
    }

    /// Remembers on which terms a filter has been held up to here, if they are any and something may wait that was matched
    /// by them. If nothing waits at all, the session's cursors are past everything that was.
    fn keep_terms(&mut self, slot: u32, filter: &str) {
        let session = &self.sessions[slot as usize];
        if !session.has_stored_unfinished() {
            if let Some(former) = self.cursors.former.get_mut(&slot) {
                former.forget(filter);
            }
            return;
        }
        let Some((id, held)) = self.held(slot, filter) else {
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
            options: held.options,
            identifier: (held.identifier != 0).then_some(held.identifier),
            since,
            until,
        };
        let former = self.cursors.former.entry(slot).or_default();
        let past = former.filters.entry(filter.into()).or_default();
        past.terms.push(terms);
        former.terms += 1;
    }

    /// What a filter that is held was before.
    pub(crate) fn former_terms(&self, slot: u32, filter: &str) -> Vec<Terms> {
        self.past(slot, filter).to_vec()
    }

    /// What the store knows of a filter that was given up.
    pub(crate) fn given_up_write(&self, slot: u32, number: SessionNumber, filter: &str) -> Write {
        let key = key::subscription(number, filter);
        match as_given_up(self.former_terms(slot, filter)) {
            Some(record) => Write::Put {
                key,
                value: record.encode(),
            },
            None => Write::Delete { key },
        }
    }

    /// The filters that a session has given up and that are still remembered.
    pub(crate) fn given_up_filters(&self, slot: u32) -> impl Iterator<Item = &str> {
        let former = self.cursors.former.get(&slot).into_iter();
        let filters = former.flat_map(|former| &former.filters);
        filters
            .filter(|(_, past)| past.given_up)
            .map(|(filter, _)| &**filter)
    }

    /// Takes back what a filter was. Whoever reads the rows has seen that they can be.
    pub(crate) fn recover_terms(&mut self, slot: u32, filter: &str, record: &Subscription) {
        let mut past = Past {
            terms: record.former.clone(),
            given_up: !record.until.is_empty(),
        };
        if past.given_up {
            past.terms.push(Terms {
                options: record.options,
                identifier: record.identifier,
                since: record.since,
                until: record.until.clone(),
            });
        }
        for terms in &past.terms {
            self.observe(terms.since);
            for stamp in &terms.until {
                self.observe(*stamp);
                // Everything before it was matched, whether or not it is still there.
                raise(&mut self.routed, *stamp);
            }
        }
        if !past.terms.is_empty() {
            let former = self.cursors.former.entry(slot).or_default();
            former.terms += past.terms.len();
            former.filters.insert(filter.into(), past);
        }
    }

    /// What a session's cursors have passed need not be matched again: the terms that only it was matched by are
    /// forgotten.
    pub(crate) fn forget_former(&mut self, slot: u32, cursors: &[Stamp], writes: &mut Vec<Write>) {
        let Some(former) = self.cursors.former.get_mut(&slot) else {
            return;
        };
        let filters: Vec<Box<str>> = former.filters.keys().cloned().collect();
        let passed = filters.into_iter();
        let changed: Vec<Box<str>> = passed
            .filter(|filter| former.forget_passed(filter, cursors))
            .collect();
        if former.filters.is_empty() {
            self.cursors.former.remove(&slot);
        }
        let number = self.sessions[slot as usize].number;
        for filter in changed {
            writes.push(self.subscription_write(slot, number, &filter));
        }
    }

    /// Writes the row of an ordinary filter as it stands, held or given up.
    fn subscription_write(&self, slot: u32, number: SessionNumber, filter: &str) -> Write {
        let Some(record) = self.held_record(slot, filter) else {
            return self.given_up_write(slot, number, filter);
        };
        Write::Put {
            key: key::subscription(number, filter),
            value: record.encode(),
        }
    }

    /// What stands on disk of an ordinary filter that a stored session holds.
    fn held_record(&self, slot: u32, filter: &str) -> Option<Subscription> {
        let (id, held) = self.held(slot, filter)?;
        Some(Subscription {
            options: held.options,
            identifier: (held.identifier != 0).then_some(held.identifier),
            since: self.sessions[slot as usize].since(id)?,
            until: Vec::new(),
            former: self.former_terms(slot, filter),
        })
    }
}

impl Former {
    fn forget(&mut self, filter: &str) {
        if let Some(past) = self.filters.remove(filter) {
            self.terms -= past.terms.len();
        }
    }

    /// Forgets what cursors have passed of a filter, and says whether that was anything.
    fn forget_passed(&mut self, filter: &str, cursors: &[Stamp]) -> bool {
        let Some(past) = self.filters.get_mut(filter) else {
            return false;
        };
        let passed = |until: &[Stamp]| until.iter().all(|stamp| is_covered(cursors, *stamp));
        let over = past.terms.iter().take_while(|terms| passed(&terms.until));
        let over = over.count();
        past.terms.drain(..over);
        self.terms -= over;
        if past.terms.is_empty() {
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
