//! Everything at once as fast as the store takes it: messages of three sizes to direct chats and groups, markers, a queue
//! that is read behind its end, retained messages, sessions that come and go, conversations that end, mids that age.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use fastrand::Rng;
use records::{ConversationId, Stamp, Write, key};
use store::{Committer, CommitterHandle};

use super::{BEGIN_MS, LANES, Run, in_lanes};
use crate::lane::Lane;
use crate::measure::{
    Progress, Timed, Watch, cpu_seconds, disk_bytes, thread_cpu_seconds, written_bytes,
};
use crate::rows::{Message, Room, Text, Visit, WEEK_MS, ended, marker, queued, retained};
use crate::verdict::{Figure, Verdicts};

const CONVERSATIONS: u64 = 10_000;
const SENSORS: u64 = 5_000;
/// Messages that wait in a lane's queue before its front is read.
const QUEUED: usize = 20_000;
/// Read and struck out together.
const READ_TOGETHER: usize = 64;
const SESSIONS: usize = 500;
/// So long is a week, so that mids age.
const WEEK_SECS: u64 = 60;

const MEMORY_MAX: Figure = Figure::Bytes(300_000_000);
const P99_MAX: Figure = Figure::Millis(20.0);
const P999_MAX: Figure = Figure::Millis(150.0);
const STILL_MAX: Figure = Figure::Seconds(5.0);
const FILES_MAX: Figure = Figure::Count(128);

/// What can be said of it.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How long it writes.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Steps a second at most: messages, markers, retained and queued messages, sessions. Unless given, as many as the
    /// store takes.
    #[arg(long)]
    rate: Option<u64>,
    /// When conversations hold more than this, the oldest end.
    #[arg(long, default_value_t = 4_000_000_000)]
    live_bytes: u64,
}

/// What lanes share.
struct Shared<'a> {
    options: &'a Options,
    text: Text,
    committer: CommitterHandle,
    begun: Instant,
    pos: AtomicU64,
    seed: u64,
}

/// What came of a lane.
#[derive(Debug, Default)]
struct Done {
    messages: u64,
    steps: u64,
    cpu_seconds: f64,
}

pub(crate) fn run(run: &Run, options: &Options, verdicts: &mut Verdicts) -> Result<()> {
    let text = Text::new(run.seed);
    let progress = Progress::new();
    let watch = Watch::start(&run.folder, &progress)?;
    let store = Timed::around(run.open()?, &progress);
    let committer = Committer::start(store.clone())?;
    let shared = Shared {
        options,
        text,
        committer: committer.handle(),
        begun: Instant::now(),
        pos: AtomicU64::new(0),
        seed: run.seed,
    };
    let (written, cpu) = (written_bytes()?, cpu_seconds());
    progress.begin();
    let lanes = in_lanes(&committer.handle(), |number, lane| {
        Steps::new(&shared, number).run(lane)
    })?;
    progress.end();
    let took = shared.begun.elapsed().as_secs_f64();
    let written = written_bytes()? - written;
    let driver: f64 = lanes.iter().map(|done| done.cpu_seconds).sum();
    let cpu = cpu_seconds() - cpu - driver;
    let steps: u64 = lanes.iter().map(|done| done.steps).sum();
    let messages: u64 = lanes.iter().map(|done| done.messages).sum();

    let stored = progress.stored_bytes();
    verdicts.note(
        "steps a second",
        Figure::Count((steps as f64 / took) as u64),
    );
    verdicts.note(
        "messages a second",
        Figure::Count((messages as f64 / took) as u64),
    );
    verdicts.note("commits", Figure::Count(progress.commits.count()));
    verdicts.note("rows written or deleted", Figure::Count(progress.writes()));
    verdicts.note("stored", Figure::Bytes(stored));
    verdicts.note(
        "stored a second",
        Figure::Bytes((stored as f64 / took) as u64),
    );
    verdicts.note("written to disk", Figure::Bytes(written));
    verdicts.note(
        "written / stored",
        Figure::Ratio(written as f64 / stored as f64),
    );
    verdicts.note(
        "on disk at the end",
        Figure::Bytes(disk_bytes(&run.folder)?),
    );
    verdicts.note(
        "CPU a step, without the submitters'",
        Figure::Millis(cpu * 1e3 / steps as f64),
    );
    verdicts.note("threads", Figure::Count(watch.seen().threads()));
    verdicts.note(
        "commit median",
        Figure::Millis(progress.commits.millis(0.5)),
    );
    verdicts.note(
        "commit longest",
        Figure::Millis(progress.commits.longest_millis()),
    );
    verdicts.at_most(
        "commit p99",
        Figure::Millis(progress.commits.millis(0.99)),
        P99_MAX,
    );
    verdicts.at_most(
        "commit p999",
        Figure::Millis(progress.commits.millis(0.999)),
        P999_MAX,
    );
    verdicts.at_most(
        "longest without a commit",
        Figure::Seconds(progress.longest_gap().as_secs_f64()),
        STILL_MAX,
    );
    let memory = watch
        .seen()
        .memory_bytes()?
        .saturating_sub(run.engine.cache_bytes);
    verdicts.at_most("memory beyond the cache", Figure::Bytes(memory), MEMORY_MAX);
    verdicts.at_most(
        "open files",
        Figure::Count(watch.seen().open_files()),
        FILES_MAX,
    );
    committer.stop();
    Ok(())
}

/// What a lane does, step by step.
struct Steps<'a> {
    shared: &'a Shared<'a>,
    number: u64,
    rng: Rng,
    rooms: Vec<(Room, u64)>,
    /// Of all its rooms.
    live_bytes: u64,
    /// The next room that ends.
    oldest: usize,
    next_room: u64,
    queue: VecDeque<u64>,
    visits: VecDeque<Visit>,
    next_visit: u64,
    week: u64,
    done: Done,
}

impl<'a> Steps<'a> {
    fn new(shared: &'a Shared<'a>, number: u64) -> Self {
        let count = CONVERSATIONS / LANES;
        let rooms = (0..count).map(|place| (room(place, number), 0)).collect();
        Self {
            shared,
            number,
            rng: Rng::with_seed(shared.seed ^ (number << 32)),
            rooms,
            live_bytes: 0,
            oldest: 0,
            next_room: count,
            queue: VecDeque::new(),
            visits: VecDeque::new(),
            next_visit: 0,
            week: 0,
            done: Done::default(),
        }
    }

    fn run(mut self, lane: &mut Lane) -> Result<Done> {
        let time = Duration::from_secs(self.shared.options.seconds);
        while self.shared.begun.elapsed() < time {
            self.wait_for_turn();
            match self.rng.u8(..100) {
                0..=51 => self.message(lane)?,
                52..=66 => self.marker(lane)?,
                67..=86 => self.queued(lane)?,
                87..=94 => self.retained(lane)?,
                95..=u8::MAX => self.visit(lane)?,
            }
            self.forget_mids();
            self.done.steps += 1;
        }
        self.done.cpu_seconds = thread_cpu_seconds();
        Ok(self.done)
    }

    fn message(&mut self, lane: &mut Lane) -> Result<()> {
        self.end_oldest();
        let place = self.rng.usize(..self.rooms.len());
        let (room, room_bytes) = &mut self.rooms[place];
        let message = Message {
            room: *room,
            pos: self.shared.pos.fetch_add(1, Ordering::Relaxed) + 1,
            at: at(self.shared.begun),
            text_bytes: size(&mut self.rng),
        };
        room.last_seq += 1;
        let writes = message.writes(&self.shared.text);
        let bytes: u64 = writes.iter().map(|write| write.bytes() as u64).sum();
        *room_bytes += bytes;
        self.live_bytes += bytes;
        self.done.messages += 1;
        lane.append(writes)
    }

    /// The disk is not without end: what is oldest makes room for what is new.
    fn end_oldest(&mut self) {
        if self.live_bytes < self.shared.options.live_bytes / LANES {
            return;
        }
        let (ending, bytes) = self.rooms[self.oldest];
        let mut ranges = ended(ending.id).into_iter();
        if !ranges.all(|range| self.shared.committer.trim(range)) {
            // Trims are under way already: it ends with one of the next messages.
            return;
        }
        self.live_bytes -= bytes;
        self.rooms[self.oldest] = (room(self.next_room, self.number), 0);
        self.next_room += 1;
        self.oldest = (self.oldest + 1) % self.rooms.len();
    }

    fn marker(&mut self, lane: &mut Lane) -> Result<()> {
        let (room, _) = self.rooms[self.rng.usize(..self.rooms.len())];
        lane.append(vec![marker(room, self.rng.u64(..))])
    }

    fn queued(&mut self, lane: &mut Lane) -> Result<()> {
        let stamp = self.stamp();
        self.queue.push_back(stamp);
        let bytes = size(&mut self.rng);
        let at = at(self.shared.begun);
        lane.append(vec![queued(stamp, at, bytes, &self.shared.text)])?;
        if self.queue.len() < QUEUED {
            return Ok(());
        }
        let read = self.queue.drain(..READ_TOGETHER);
        let mut writes: Vec<Write> = read
            .map(|stamp| Write::Delete {
                key: key::queue(Stamp::new(stamp)),
            })
            .collect();
        writes.push(crate::rows::session_cursor(self.number, stamp));
        lane.append(writes)
    }

    fn retained(&mut self, lane: &mut Lane) -> Result<()> {
        let (sensor, stamp) = (self.rng.u64(..SENSORS), self.stamp());
        let bytes = 50 + self.rng.usize(..400);
        let at = at(self.shared.begun);
        lane.append(vec![retained(sensor, stamp, at, bytes, &self.shared.text)])
    }

    fn visit(&mut self, lane: &mut Lane) -> Result<()> {
        let visit = Visit {
            number: LANES + self.next_visit * LANES + self.number,
        };
        self.next_visit += 1;
        self.visits.push_back(visit);
        lane.append(visit.begun())?;
        if self.visits.len() > SESSIONS
            && let Some(over) = self.visits.pop_front()
        {
            lane.append(over.over())?;
        }
        Ok(())
    }

    /// One lane does it for all: of the weeks before the last.
    fn forget_mids(&mut self) {
        let week = at(self.shared.begun) / WEEK_MS;
        if self.number == 0 && week > self.week {
            let before = u32::try_from(week - 1).expect("weeks of this century are few");
            // If there is no room among the trims now, with one of the next steps.
            if self.shared.committer.trim(key::dedups_before(before)) {
                self.week = week;
            }
        }
    }

    fn stamp(&self) -> u64 {
        // As shards make them: the number of the shard in the lowest byte.
        (self.shared.pos.fetch_add(1, Ordering::Relaxed) + 1) << 8 | self.number
    }

    fn wait_for_turn(&self) {
        let Some(rate) = self.shared.options.rate else {
            return;
        };
        let due = Duration::from_secs_f64((self.done.steps * LANES) as f64 / rate.max(1) as f64);
        std::thread::sleep(due.saturating_sub(self.shared.begun.elapsed()));
    }
}

fn room(place: u64, lane: u64) -> Room {
    Room {
        id: ConversationId::new(place * LANES + lane + 1),
        last_seq: 0,
    }
}

/// The clock of the messages, in which weeks are short.
fn at(begun: Instant) -> u64 {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    BEGIN_MS + millis * (WEEK_MS / (WEEK_SECS * 1000))
}

fn size(rng: &mut Rng) -> usize {
    match rng.u8(..100) {
        0..=79 => 100,
        80..=97 => 8_000,
        98..=u8::MAX => 200_000,
    }
}
