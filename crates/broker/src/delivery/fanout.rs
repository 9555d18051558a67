//! A message with very many recipients goes to them in pieces, while everybody else is served. Nobody notices but by the
//! time: a session is given what it is owed before anything that came later, and before its subscriptions change. How a
//! message gets to one session is `deliver`'s business.

use std::collections::BTreeSet;
use std::sync::Arc;

use records::{Millis, SessionRef, Stamp};
use routing::Match;

use crate::delivery::deliver::Publication;
use crate::io::ConnectionId;
use crate::message::Message;
use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

/// Recipients in one piece.
const PIECE_MAX: usize = 1024;
/// What a recipient costs beside the bytes, as `turn` counts: a write to its socket takes some microseconds.
const RECIPIENT_WORK: usize = 768;
/// Messages that are on their way in pieces; one more goes to all its recipients at once.
const FANOUTS_MAX: usize = 8;

/// A message, and who has still to get it.
#[derive(Debug)]
pub(crate) struct Fanout {
    message: Arc<Message>,
    stamp: Option<Stamp>,
    publisher: SessionRef,
    /// In the order of their sessions; the last one is next.
    left: Vec<Match>,
    /// Sessions among them that have had their turn.
    done: BTreeSet<u32>,
    /// The publisher's connection, which is not read until everybody has the message.
    paused: Option<ConnectionId>,
}

impl Fanout {
    fn publication<'a>(&self, message: &'a Arc<Message>, now: Millis) -> Publication<'a> {
        Publication {
            view: message.view(),
            shared: Some(message.clone()),
            stamp: self.stamp,
            publisher: self.publisher,
            now,
        }
    }

    /// The place of a session that has still to get the message.
    fn place_of(&self, slot: u32) -> Option<usize> {
        let place = self.left.binary_search_by_key(&slot, |found| found.session);
        place.ok().filter(|_| !self.done.contains(&slot))
    }

    /// The next recipient.
    fn next(&mut self) -> Option<Match> {
        loop {
            let found = self.left.pop()?;
            if !self.done.remove(&found.session) {
                return Some(found);
            }
        }
    }
}

impl Shard {
    /// Whether so many recipients are too many for one piece, and can be cut.
    pub(crate) fn goes_in_pieces(&self, recipients: usize) -> bool {
        recipients > self.settings.limits.deliveries_at_once_max && self.fanouts.len() < FANOUTS_MAX
    }

    fn piece(&self) -> usize {
        PIECE_MAX.min(self.settings.limits.deliveries_at_once_max)
    }

    /// Delivers to the first of many recipients, and has the others follow.
    pub(crate) fn begin_fanout(
        &mut self,
        mut recipients: Vec<Match>,
        publication: &mut Publication<'_>,
    ) {
        // Nearly always they are in this order already.
        recipients.sort_unstable_by_key(|found| found.session);
        let rest = recipients.len().saturating_sub(self.piece());
        for found in recipients.drain(rest..) {
            self.deliver_pending(found.session, publication.now);
            self.deliver_match(&found, publication);
        }
        let publisher = self.sessions.local(publication.publisher);
        let publisher = publisher.and_then(|slot| self.open_connection(slot));
        let publisher = publisher.map(|connection| self.connections.id(connection));
        // Whoever is not read already is read again by whoever has stopped it.
        let paused = publisher.filter(|id| self.wants_bytes(*id));
        if let Some(id) = paused {
            self.connections.pause(id);
        }
        self.fanouts.push_back(Fanout {
            message: publication.message(),
            stamp: publication.stamp,
            publisher: publication.publisher,
            left: recipients,
            done: BTreeSet::new(),
            paused,
        });
        self.turn.defer(DeferredWork::Fanout);
    }

    /// The next piece of the oldest one.
    pub(crate) fn continue_fanout(&mut self, now: Millis) {
        let Some(fanout) = self.fanouts.front() else {
            return;
        };
        let message = fanout.message.clone();
        let mut publication = fanout.publication(&message, now);
        self.frames.select(&message);
        for _ in 0..self.piece() {
            let next = self.fanouts.front_mut().and_then(Fanout::next);
            let Some(found) = next else {
                let over = self.fanouts.pop_front();
                self.turn.defer_reads(over.and_then(|over| over.paused));
                return;
            };
            self.deliver_unless_late(&found, &mut publication);
            self.turn.spend(RECIPIENT_WORK);
        }
        self.turn.defer(DeferredWork::Fanout);
    }

    /// Gives a session what it is owed before something that came later, or before it changes what it wants.
    pub(crate) fn deliver_pending(&mut self, slot: u32, now: Millis) {
        for number in 0..self.fanouts.len() {
            let fanout = &mut self.fanouts[number];
            let Some(place) = fanout.place_of(slot) else {
                continue;
            };
            fanout.done.insert(slot);
            let found = fanout.left[place].clone();
            let message = fanout.message.clone();
            let mut publication = fanout.publication(&message, now);
            self.frames.clear();
            self.deliver_unless_late(&found, &mut publication);
            // Whatever is delivered next is another message.
            self.frames.clear();
        }
    }

    fn deliver_unless_late(&mut self, found: &Match, publication: &mut Publication<'_>) {
        // Its turn may have come too late. [5 MQTT-3.3.2-5]
        if publication.view.is_late(publication.now) {
            self.metrics.counters.expired += 1;
        } else {
            self.deliver_match(found, publication);
        }
    }

    /// A session is no more: whoever gets its place gets nothing of what it was owed.
    pub(crate) fn forget_recipient(&mut self, slot: u32) {
        for fanout in &mut self.fanouts {
            if fanout.place_of(slot).is_some() {
                fanout.done.insert(slot);
            }
        }
    }

    /// Delivers the rest at once.
    pub(crate) fn finish_fanouts(&mut self, now: Millis) {
        while !self.fanouts.is_empty() {
            self.continue_fanout(now);
        }
    }

    /// Stored messages that are on their way to a session.
    pub(crate) fn pending_stamps(&self, slot: u32) -> impl Iterator<Item = Stamp> + '_ {
        let owing = self.fanouts.iter();
        owing
            .filter(move |fanout| fanout.place_of(slot).is_some())
            .filter_map(|fanout| fanout.stamp)
    }

    /// Stored messages that are on their way to anybody.
    pub(crate) fn fanout_stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.fanouts.iter().filter_map(|fanout| fanout.stamp)
    }
}
