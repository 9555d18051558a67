//! Messages that have not got to all their recipients yet, because these are very many, and who has still to get each. It keeps the
//! order; how a message gets to one session is `deliver`'s business.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use records::{Millis, SessionRef, Stamp};
use routing::Match;

use crate::delivery::publication::Publication;
use crate::io::ConnectionId;
use crate::message::Message;

/// Messages that are on their way in pieces; one more goes to all its recipients at once.
const FANOUTS_MAX: usize = 8;

/// The messages, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Fanouts(VecDeque<Fanout>);

/// A message that goes to many.
#[derive(Debug, Clone)]
pub(crate) struct FanoutMessage {
    pub(crate) message: Arc<Message>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) publisher: SessionRef,
}

#[derive(Debug)]
struct Fanout {
    message: FanoutMessage,
    /// In the order of their sessions; the last one is next.
    left: Vec<Match>,
    /// Sessions among them that have had their turn.
    done: BTreeSet<u32>,
    /// The publisher's connection, which is not read until everybody has the message.
    paused: Option<ConnectionId>,
}

impl FanoutMessage {
    pub(crate) fn publication(&self, now: Millis) -> Publication<'_> {
        Publication {
            view: self.message.view(),
            shared: Some(self.message.clone()),
            stamp: self.stamp,
            publisher: self.publisher,
            now,
        }
    }
}

impl Fanouts {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no other message can go in pieces.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= FANOUTS_MAX
    }

    /// A message goes to these recipients, in the order of their sessions, piece by piece. The publisher's connection is not
    /// read meanwhile.
    pub(crate) fn push(
        &mut self,
        message: FanoutMessage,
        left: Vec<Match>,
        paused: Option<ConnectionId>,
    ) {
        self.0.push_back(Fanout {
            message,
            left,
            done: BTreeSet::new(),
            paused,
        });
    }

    /// The oldest message.
    pub(crate) fn oldest(&self) -> Option<FanoutMessage> {
        self.0.front().map(|fanout| fanout.message.clone())
    }

    /// The next recipient of the oldest message; when there is none any more the connection that may be read again, if there is one.
    pub(crate) fn next_recipient(&mut self) -> Result<Match, Option<ConnectionId>> {
        let next = self.0.front_mut().and_then(Fanout::next);
        next.ok_or_else(|| self.0.pop_front()?.paused)
    }

    /// Gives a session its turn now with one of the messages, by its place in their order, if it is still to have it.
    pub(crate) fn take(&mut self, number: usize, slot: u32) -> Option<(Match, FanoutMessage)> {
        let fanout = self.0.get_mut(number)?;
        let place = fanout.place_of(slot)?;
        fanout.done.insert(slot);
        Some((fanout.left[place].clone(), fanout.message.clone()))
    }

    /// A session is no more: whoever gets its place gets nothing of what was on its way to it.
    pub(crate) fn forget(&mut self, slot: u32) {
        for fanout in &mut self.0 {
            if fanout.place_of(slot).is_some() {
                fanout.done.insert(slot);
            }
        }
    }

    /// Stored messages that are on their way to a session.
    pub(crate) fn pending_stamps(&self, slot: u32) -> impl Iterator<Item = Stamp> + '_ {
        let pending = self.0.iter();
        pending
            .filter(move |fanout| fanout.place_of(slot).is_some())
            .filter_map(|fanout| fanout.message.stamp)
    }

    /// Stored messages that are on their way to anybody.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.0.iter().filter_map(|fanout| fanout.message.stamp)
    }
}

impl Fanout {
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

#[cfg(test)]
mod tests {
    use super::*;
    use routing::Subscriber;

    fn fanouts(slots: &[u32]) -> Fanouts {
        let recipients = slots.iter().map(|slot| {
            Match::from(&Subscriber {
                session: *slot,
                options: 0,
                identifier: 0,
                durable: false,
            })
        });
        let message = FanoutMessage {
            message: Arc::new(Message::released()),
            stamp: Some(Stamp::of(5, 0)),
            publisher: SessionRef {
                shard: 0,
                slot: 0,
                generation: 0,
            },
        };
        let mut fanouts = Fanouts::default();
        let paused = ConnectionId { slot: 9, serial: 1 };
        fanouts.push(message, recipients.collect(), Some(paused));
        fanouts
    }

    /// Whoever has had its turn before the others does not get the message twice, and whoever has gone not at all.
    #[test]
    fn every_recipient_has_one_turn() {
        let mut fanouts = fanouts(&[1, 2, 3, 4]);
        assert_eq!(
            fanouts.pending_stamps(2).collect::<Vec<_>>(),
            [Stamp::of(5, 0)]
        );
        assert!(fanouts.take(0, 2).is_some());
        assert!(fanouts.take(0, 2).is_none() && fanouts.take(0, 7).is_none());
        assert_eq!(fanouts.pending_stamps(2).count(), 0);
        fanouts.forget(4);
        let mut left = Vec::new();
        let paused = loop {
            match fanouts.next_recipient() {
                Ok(found) => left.push(found.session),
                Err(paused) => break paused,
            }
        };
        assert_eq!(left, [3, 1]);
        assert_eq!(paused, Some(ConnectionId { slot: 9, serial: 1 }));
        assert!(fanouts.is_empty());
    }
}
