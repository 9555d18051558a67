//! Everything at once as fast as the store takes it: messages of three sizes to direct chats and groups, people who join, markers, a queue
//! that is read behind its end, retained messages, sessions that come and go, conversations that end, mids that age.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use fastrand::Rng;
use records::{Stamp, Write, key};
use store::{Committer, CommitterHandle};

use super::{BEGIN_MS, LANES, Run, in_lanes};
use crate::lane::Lane;
use crate::measure::{
    Progress, Timed, Watch, cpu_seconds, disk_bytes, thread_cpu_seconds, written_bytes,
};
use crate::rows::{Message, Room, Text, Visit, WEEK_MS, ended, queued, retained};
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
    /// Steps a second at most: messages, joins, markers, retained and queued messages, sessions. Unless given, as many as the
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

impl Shared<'_> {
    fn next_pos(&self) -> u64 {
        self.pos.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What came of a lane.
#[derive(Debug, Default)]
struct Done {
    messages: u64,
    steps: u64,
    cpu_seconds: f64,
}

/// What all lanes come to.
#[derive(Debug)]
struct Total {
    messages: u64,
    steps: u64,
    took: f64,
    /// Without that of the submitters.
    cpu_seconds: f64,
    written_bytes: u64,
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
    let driver: f64 = lanes.iter().map(|done| done.cpu_seconds).sum();
    let total = Total {
        messages: lanes.iter().map(|done| done.messages).sum(),
        steps: lanes.iter().map(|done| done.steps).sum(),
        took: shared.begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds() - cpu - driver,
        written_bytes: written_bytes()? - written,
    };
    note(run, &total, &progress, verdicts)?;
    verdicts.note("threads", Figure::Count(watch.seen().threads()));
    judge(&progress, verdicts);
    let memory = watch.seen().memory_bytes()?;
    verdicts.at_most(
        "memory beyond the cache",
        Figure::Bytes(memory.saturating_sub(run.engine.cache_bytes)),
        MEMORY_MAX,
    );
    verdicts.at_most(
        "open files",
        Figure::Count(watch.seen().open_files()),
        FILES_MAX,
    );
    committer.stop();
    Ok(())
}

/// What has no bound.
fn note(run: &Run, total: &Total, progress: &Progress, verdicts: &mut Verdicts) -> Result<()> {
    let stored = progress.stored_bytes();
    let a_second = |count: u64| (count as f64 / total.took) as u64;
    let cpu_millis = total.cpu_seconds * 1e3 / total.steps as f64;
    let written = total.written_bytes;
    for (what, figure) in [
        ("steps a second", Figure::Count(a_second(total.steps))),
        ("messages a second", Figure::Count(a_second(total.messages))),
        ("commits", Figure::Count(progress.commits.count())),
        ("rows written or deleted", Figure::Count(progress.writes())),
        ("stored", Figure::Bytes(stored)),
        ("stored a second", Figure::Bytes(a_second(stored))),
        ("written to disk", Figure::Bytes(written)),
        (
            "written / stored",
            Figure::Ratio(written as f64 / stored as f64),
        ),
        (
            "on disk at the end",
            Figure::Bytes(disk_bytes(&run.folder)?),
        ),
        (
            "CPU a step, without the submitters'",
            Figure::Millis(cpu_millis),
        ),
        (
            "commit median",
            Figure::Millis(progress.commits.millis(0.5)),
        ),
        (
            "commit longest",
            Figure::Millis(progress.commits.longest_millis()),
        ),
    ] {
        verdicts.note(what, figure);
    }
    Ok(())
}

/// How long commits took.
fn judge(progress: &Progress, verdicts: &mut Verdicts) {
    let commits = &progress.commits;
    let (p99, p999) = (commits.millis(0.99), commits.millis(0.999));
    verdicts.at_most("commit p99", Figure::Millis(p99), P99_MAX);
    verdicts.at_most("commit p999", Figure::Millis(p999), P999_MAX);
    verdicts.at_most(
        "longest without a commit",
        Figure::Seconds(progress.longest_gap().as_secs_f64()),
        STILL_MAX,
    );
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
                52..=65 => self.marker(lane)?,
                66 => self.join(lane)?,
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
            pos: self.shared.next_pos(),
            at: at(self.shared.begun),
            text_bytes: size(&mut self.rng),
        };
        let mut writes = message.writes(&self.shared.text);
        if room.last_seq == 0 {
            writes.splice(..0, room.begun(message.pos, message.at));
        }
        room.last_seq += 1;
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
        if room.last_seq == 0 {
            return Ok(());
        }
        let marker = room.marker(self.rng.u64(..), self.shared.next_pos());
        lane.append(vec![marker])
    }

    fn join(&mut self, lane: &mut Lane) -> Result<()> {
        let place = self.rng.usize(..self.rooms.len());
        let (room, room_bytes) = &mut self.rooms[place];
        if room.last_seq == 0 || !room.is_group() {
            return Ok(());
        }
        let writes = room.joins(self.shared.next_pos(), at(self.shared.begun));
        let bytes: u64 = writes.iter().map(|write| write.bytes() as u64).sum();
        *room_bytes += bytes;
        self.live_bytes += bytes;
        lane.append(writes)
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
        self.shared.next_pos() << 8 | self.number
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
    Room::new(place * LANES + lane + 1)
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
