//! Counts what waits for all sessions, in pieces: which stored messages are still needed, and which clients do not keep up.

use std::sync::Arc;

use records::{Millis, Stamp};

use crate::io::Output;
use crate::message::Origin;
use crate::metrics::counters::SlowClient;
use crate::metrics::drops::ClientName;
use crate::sessions::session::Session;
use crate::shard::Shard;
use crate::shared::waiting_claims::Backlog;
use crate::stored::survey::{Segments, Survey};
use crate::turn::deferred::{Census, DeferredWork};
use crate::turn::pieces::{SESSIONS_PER_PIECE, WAITING_PER_PIECE};
use crate::turn::work::TURN_WORK_MAX;

impl Shard {
    /// Finds the stamp below which messages wait for nobody here, and below which none will be stamped: an idle
    /// shard's clock follows the time. The answer is [`Output::LowWater`].
    ///
    /// Sessions are looked through in pieces. A message that moves from where it has not been seen yet to where it has
    /// been looked already is missed in this round; whoever asks takes two rounds together.
    pub fn seek_low_water(&mut self, now: Millis) {
        self.begin_census(None, now);
    }

    /// The same, and finds which segments of the queue table somebody here waits for. The answer is [`Output::Surveyed`] before
    /// [`Output::LowWater`], and two rounds are needed for it as well.
    pub fn survey(&mut self, ends: Arc<[Stamp]>, now: Millis) {
        self.begin_census(Some(Box::new(Survey::new(ends))), now);
    }

    fn begin_census(&mut self, survey: Option<Box<Survey>>, now: Millis) {
        let lowest = self.clock.stamp(now).min(self.lowest_under_way());
        let mut census = Census {
            lowest,
            survey,
            ..Census::default()
        };
        self.survey_under_way(&mut census);
        self.turn.defer(DeferredWork::Census(Box::new(census)));
    }

    /// The sessions of one piece.
    pub(crate) fn count_some(&mut self, mut census: Census) {
        let end = self.sessions.capacity();
        let last = end.min(census.next + SESSIONS_PER_PIECE);
        let mut seen = 0;
        while census.next < last && seen < WAITING_PER_PIECE {
            seen += self.count_session(&mut census);
            census.next += 1;
        }
        // About what looking costs, in the turn's currency.
        self.turn.spend_exactly(TURN_WORK_MAX / 2);
        if census.next < end {
            self.turn.defer(DeferredWork::Census(Box::new(census)));
            return;
        }
        self.survey_under_way(&mut census);
        let lowest = census.lowest.min(self.lowest_under_way());
        self.shared.waiting.forget_moved();
        if let Some(survey) = census.survey {
            self.outputs.push(Output::Surveyed(survey));
        }
        self.metrics.counted(census.waiting, census.slowest);
        self.outputs.push(Output::LowWater(lowest));
    }

    /// Counts what waits for one session, and says how much that was to look at.
    fn count_session(&self, census: &mut Census) -> usize {
        let Some(session) = self.sessions.at(census.next) else {
            return 0;
        };
        let mut seen = 0;
        let waiting = session.waiting.as_ref();
        let floor = waiting.map_or(Stamp::ZERO, |waiting| waiting.floor);
        let mut segments = Segments::default();
        let mut need = |stamp: Stamp| {
            census.lowest = census.lowest.min(stamp);
            if let Some(survey) = &mut census.survey {
                survey.need(stamp, &mut segments);
            }
        };
        if let Some(slow) = self.slow_client(session) {
            SlowClient::rank(&mut census.slowest, slow);
        }
        for flight in session.outbound.iter().flat_map(|outbound| outbound.iter()) {
            seen += 1;
            census.waiting.bytes += flight.item.message.weight() as u64;
            let origin = flight.item.origin;
            let is_let_go = matches!(origin, Origin::Queue(stamp) if stamp < floor);
            if let Some(stamp) = origin.needs()
                && !is_let_go
            {
                need(stamp);
            }
        }
        if let Some(waiting) = waiting {
            let stored = waiting.stored();
            stored.stamps().for_each(&mut need);
            waiting.needed_by_claims().for_each(&mut need);
            waiting.needed_by_queued().for_each(&mut need);
            census.waiting.bytes += waiting.queued_bytes() as u64 + waiting.stored_bytes();
            seen += stored.len() + waiting.claims().len() + waiting.queued();
        }
        if let Some(survey) = &mut census.survey {
            survey.charge(session.account, &segments);
        }
        census.waiting.messages += seen as u64;
        seen
    }

    /// Notes what groups wait for, and keeps what is under way.
    fn survey_under_way(&self, census: &mut Census) {
        let Some(survey) = &mut census.survey else {
            return;
        };
        for backlog in self.shared.waiting.backlogs() {
            let mut segments = Segments::default();
            for claim in backlog.iter() {
                survey.need(claim.stored.message, &mut segments);
            }
            // Once, though it is asked at the beginning and at the end.
            if census.next == 0 {
                survey.charge(None, &segments);
            }
        }
        let mut moved = Segments::default();
        for stamp in self.shared.waiting.moved() {
            survey.need(*stamp, &mut moved);
        }
        survey.keep_from(self.oldest_unseen());
    }

    /// What waits for a connected client, if that is more than for one that keeps up.
    fn slow_client(&self, session: &Session) -> Option<SlowClient> {
        let connection = self.connections.at(session.connection)?;
        let mut bytes = connection.backlog() as u64;
        let mut messages = 0;
        if let Some(waiting) = &session.waiting {
            bytes += waiting.queued_bytes() as u64 + waiting.stored_bytes();
            messages += waiting.queued() + waiting.stored().len() + waiting.claims().len();
        }
        (bytes >= SlowClient::BYTES_MIN).then(|| SlowClient {
            client: ClientName::of(session),
            messages: messages as u64,
            bytes,
        })
    }

    /// What is still on its way to the disk has reached nobody yet, whoever may wait for it. What waits in groups is
    /// nobody's, and what they have passed on may not have arrived.
    fn lowest_under_way(&self) -> Stamp {
        let waiting = self.shared.waiting.backlogs().flat_map(Backlog::iter);
        let waiting = waiting.map(|claim| claim.stored.message);
        let moved = self.shared.waiting.moved().iter().copied();
        waiting.chain(moved).fold(self.oldest_unseen(), Stamp::min)
    }

    /// From which message on somebody may wait for one of whom nothing is known.
    fn oldest_unseen(&self) -> Stamp {
        let all = self
            .appends
            .publishes()
            .chain(self.shared.waiting.oldest_moved_beside());
        let all = all.chain(self.fanouts.stamps());
        all.fold(Stamp::new(u64::MAX), Stamp::min)
    }
}
