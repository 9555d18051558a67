//! A message with very many recipients goes to them in pieces, while everybody else is served. Nobody notices but by the
//! time: a session is given what it is owed before anything that came later, and before its subscriptions change. How a
//! message gets to one session is `deliver`'s business.

use records::Millis;
use routing::Match;

use crate::delivery::fanouts::FanoutMessage;
use crate::delivery::publication::Publication;
use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

/// Recipients in one piece.
const PIECE_MAX: usize = 1024;
/// What a recipient costs beside the bytes, as `turn` counts: a write to its socket takes some microseconds.
const RECIPIENT_WORK: usize = 768;

impl Shard {
    /// Whether so many recipients are too many for one piece, and can be cut.
    pub(crate) fn goes_in_pieces(&self, recipients: usize) -> bool {
        recipients > self.settings.limits.deliveries_at_once_max && !self.fanouts.is_full()
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
        let message = FanoutMessage {
            message: publication.message(),
            stamp: publication.stamp,
            publisher: publication.publisher,
        };
        self.fanouts.push(message, recipients, paused);
        self.turn.defer(DeferredWork::Fanout);
    }

    /// The next piece of the oldest one.
    pub(crate) fn continue_fanout(&mut self, now: Millis) {
        let Some(message) = self.fanouts.oldest() else {
            return;
        };
        let mut publication = message.publication(now);
        self.frames.select(&message.message);
        for _ in 0..self.piece() {
            let found = match self.fanouts.next_recipient() {
                Ok(found) => found,
                Err(paused) => {
                    self.turn.defer_reads(paused);
                    return;
                }
            };
            self.deliver_unless_late(&found, &mut publication);
            self.turn.spend(RECIPIENT_WORK);
        }
        self.turn.defer(DeferredWork::Fanout);
    }

    /// Gives a session what it is owed before something that came later, or before it changes what it wants.
    pub(crate) fn deliver_pending(&mut self, slot: u32, now: Millis) {
        for number in 0..self.fanouts.len() {
            let Some((found, message)) = self.fanouts.take(number, slot) else {
                continue;
            };
            let mut publication = message.publication(now);
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

    /// Delivers the rest at once.
    pub(crate) fn finish_fanouts(&mut self, now: Millis) {
        while !self.fanouts.is_empty() {
            self.continue_fanout(now);
        }
    }
}
