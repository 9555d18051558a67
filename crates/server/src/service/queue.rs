//! The stored messages of the whole server: how many bytes there are, who waits for them, and which of them nobody needs any more.
//! What one shard needs it says itself.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker::{Pressure, Shed, Survey};
use metrics::Gauge;
use records::{KeyRange, Millis, Stamp, key};

use crate::post::{Post, ShardEvent};
use crate::repeats::Repeats;
use crate::stored_bytes::StoredBytes;
use crate::tally::Tallies;

/// How often shards are asked which stored messages they still need.
const LOW_WATER_INTERVAL: Duration = Duration::from_secs(10);
/// The same while there are too many, or nearly.
const PRESSED_INTERVAL: Duration = Duration::from_secs(1);
/// How often the bytes are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Surveys until what nobody needs is known, and what was dropped last is seen, before anybody loses anything.
const SURVEYS_MIN: u32 = 3;

/// Where a shard says what it needs.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Below this stamp nothing; zero until it has answered.
    low_water: AtomicU64,
    /// What it was asked for beside that.
    survey: Mutex<Option<Box<Survey>>>,
}

impl Needs {
    /// Part of the answer, before the rest.
    pub(crate) fn tell_survey(&self, survey: Box<Survey>) {
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = Some(survey);
    }

    /// The rest of the answer.
    pub(crate) fn tell_low_water(&self, lowest: Stamp) {
        self.low_water.store(lowest.value(), Ordering::Release);
    }

    fn answered(&self) -> Option<u64> {
        let lowest = self.low_water.load(Ordering::Acquire);
        (lowest != 0).then_some(lowest)
    }

    fn take_survey(&self) -> Option<Box<Survey>> {
        self.survey
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn clear(&self) {
        self.take_survey();
        self.low_water.store(0, Ordering::Release);
    }
}

/// What can be done once all shards have answered.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Ranges of stamps that nobody needs; the first may be everything up to its end.
    pub(super) unneeded: Vec<RangeInclusive<Stamp>>,
    /// Who waits for what, if that was asked for in the round before as well.
    pub(super) survey: Option<Survey>,
}

pub(super) struct StoredQueue {
    bytes: StoredBytes,
    tallies: Tallies,
    rounds: Rounds,
    next_count: Instant,
    gauge: Gauge,
    pressed: bool,
    nearly_pressed: bool,
    /// Surveys, one after the other.
    surveys: u32,
    told: Repeats,
}

impl StoredQueue {
    pub(super) fn new(bytes: StoredBytes, shards: Vec<Arc<Needs>>, tallies: Tallies) -> Self {
        metrics::describe_gauge!(
            "magpie_stored_bytes",
            "Bytes of messages that wait on disk, each counted once, and of those that are about to be deleted."
        );
        Self {
            bytes,
            tallies,
            rounds: Rounds::new(shards),
            next_count: Instant::now(),
            gauge: metrics::gauge!("magpie_stored_bytes"),
            pressed: false,
            nearly_pressed: false,
            surveys: 0,
            told: Repeats::new(),
        }
    }

    /// The disk itself has little room left, or has room again.
    pub(super) fn set_disk_full(&mut self, full: bool) {
        self.bytes.set_disk_full(full);
        self.next_count = Instant::now();
    }

    /// What the shards have to know of their bound, if that has changed.
    pub(super) fn look(&mut self, limit: u64, now: Millis) -> Option<Pressure> {
        let at = Instant::now();
        if at < self.next_count {
            return None;
        }
        self.next_count = at + COUNT_INTERVAL;
        let (written, marks) = self.tallies.take_queue();
        self.bytes.count(written, marks, now);
        self.gauge.set(self.bytes.held() as f64);
        self.nearly_pressed = self.bytes.is_nearly_pressed(limit);
        let was_pressed = std::mem::replace(&mut self.pressed, self.bytes.is_pressed(limit));
        if self.pressed != was_pressed {
            let held = self.bytes.held();
            if self.pressed {
                if let Some(left_out) = self.told.meet("", at) {
                    tracing::warn!(
                        held,
                        limit,
                        left_out,
                        "too much waits on disk; the accounts that hold most lose what has waited longest"
                    );
                }
            } else {
                tracing::info!(held, limit, "what waits on disk is within its bound again");
            }
        }
        self.bytes.press(limit)
    }

    /// Asks the shards what they need every once in a while, and says what follows once all have answered.
    pub(super) fn ask(&mut self, now: Millis, post: &Post) -> Option<Findings> {
        let interval = if self.nearly_pressed {
            PRESSED_INTERVAL
        } else {
            LOW_WATER_INTERVAL
        };
        if !self.rounds.is_due(interval) {
            return None;
        }
        let mut findings = Findings::default();
        if self.rounds.asked {
            let answer = self.rounds.answers()?;
            if answer.trim_to > self.rounds.trimmed {
                let first = Stamp::new(self.rounds.trimmed);
                let end = Stamp::new(answer.trim_to - 1);
                findings.unneeded.push(first..=end);
            }
            if let Some(survey) = answer.survey {
                findings.unneeded.extend(self.bytes.surveyed(&survey, now));
                self.surveys += 1;
                findings.survey = (self.surveys >= SURVEYS_MIN).then_some(survey);
            } else {
                self.surveys = 0;
            }
        }
        let ends = self.nearly_pressed.then(|| self.bytes.ends());
        self.rounds.ask(ends.as_ref(), post);
        Some(findings)
    }

    /// What accounts have to lose if there is too much in spite of what has been deleted.
    pub(super) fn shed(&mut self, survey: &Survey, limit: u64, now: Millis) -> Option<Shed> {
        let shed = self.bytes.shed(survey, limit, now)?;
        // What it brings is seen first.
        self.surveys = 0;
        Some(shed)
    }

    /// A range of stamps is being deleted.
    pub(super) fn deleted(&mut self, range: &RangeInclusive<Stamp>) {
        if range.start().value() <= self.rounds.trimmed {
            self.rounds.trimmed = self.rounds.trimmed.max(range.end().value() + 1);
            self.bytes.trimmed(Stamp::new(self.rounds.trimmed));
        }
        self.bytes.deleted(range);
    }
}

/// The keys of these stamps in the queue table.
pub(super) fn keys(range: &RangeInclusive<Stamp>) -> KeyRange {
    KeyRange {
        from: key::queue(*range.start()),
        to: key::queue(Stamp::new(range.end().value() + 1)),
    }
}

/// Asks all shards at once. A message may be on its way from the shard that stored it to one that waits for it, so two rounds are
/// taken together: what neither of them needs, nobody needs. Between the rounds every shard has emptied its mailbox.
struct Rounds {
    shards: Vec<Arc<Needs>>,
    /// The lowest that the round before needed.
    before: Option<u64>,
    /// Everything below is deleted.
    trimmed: u64,
    looked_at: Instant,
    asked: bool,
}

/// Of all shards.
struct Answer {
    /// Everything below this stamp can be deleted; zero if that is not known.
    trim_to: u64,
    survey: Option<Survey>,
}

impl Rounds {
    fn new(shards: Vec<Arc<Needs>>) -> Self {
        Self {
            shards,
            before: None,
            trimmed: 0,
            looked_at: Instant::now(),
            asked: false,
        }
    }

    fn is_due(&mut self, interval: Duration) -> bool {
        let now = Instant::now();
        let due = now >= self.looked_at + interval;
        if due {
            self.looked_at = now;
        }
        due
    }

    /// `None` if a shard is behind, and the round is not over.
    fn answers(&mut self) -> Option<Answer> {
        let reports: Option<Vec<u64>> = self.shards.iter().map(|shard| shard.answered()).collect();
        let lowest = reports?.into_iter().min()?;
        let trim_to = self
            .before
            .replace(lowest)
            .map_or(0, |before| before.min(lowest));
        let surveys: Option<Vec<_>> = self.shards.iter().map(|one| one.take_survey()).collect();
        let survey = surveys.and_then(|surveys| {
            let mut surveys = surveys.into_iter().map(|survey| *survey);
            let mut all = surveys.next()?;
            for survey in surveys {
                all.add(&survey);
            }
            Some(all)
        });
        Some(Answer { trim_to, survey })
    }

    /// Begins a round; `ends` are those of the segments that are asked for.
    fn ask(&mut self, ends: Option<&Arc<[Stamp]>>, post: &Post) {
        for shard in &self.shards {
            shard.clear();
        }
        self.asked = true;
        post.tell_shards(|| ShardEvent::ReportNeeds(ends.cloned()));
    }
}
