//! Years of conversations, of which some are busy and most are not: how soon the store is open again, how long a page takes
//! that nobody has looked at, what the disk had to write for it. Then everything is deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use fastrand::Rng;
use records::{KeyRange, Pos, Seq, Table, Write, key};
use store::{Committer, Range, Store};

use super::{
    BEGIN_MS, LANES, Run, SPARE_BYTES, await_disk, await_empty, await_rest, everything, in_lanes,
    trim,
};
use crate::measure::{Histogram, Progress, Timed, Watch, disk_bytes, forget_cached, written_bytes};
use crate::rows::{Message, Room, Text, WEEK_MS, ended, skewed};
use crate::verdict::{Figure, Verdicts};

const CONVERSATIONS: u64 = 100_000;
/// The whole history is so many weeks; mids are kept for two.
const WEEKS: u64 = 10;
const TEXT_BYTES_MIN: u64 = 100;
const TEXT_BYTES_MAX: u64 = 2_000;
const PAGE_ENTRIES: usize = 50;
/// The files are made cold again after so many pages.
const PAGES_BETWEEN: u64 = 25;

const OPEN_MAX: Figure = Figure::Seconds(2.0);
const OPEN_EMPTY_MAX: Figure = Figure::Seconds(0.3);
const PAGE_P99_MAX: Figure = Figure::Millis(5.0);
const WRITTEN_MAX: Figure = Figure::Ratio(4.0);
const SPACE_MAX: Figure = Figure::Ratio(1.3);
const FILES_MAX: Figure = Figure::Count(128);
const REST_MAX: Duration = Duration::from_secs(60);

/// What can be said of it.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Bytes of keys and values that are stored.
    #[arg(long, default_value_t = 20_000_000_000)]
    bytes: u64,
    /// Cold pages that are read, half of them the newest of a conversation and half from its middle.
    #[arg(long, default_value_t = 2_000)]
    pages: u64,
    /// Reads the history that lies in this folder, written first if there is none, and leaves it there.
    #[arg(long)]
    lasting: Option<PathBuf>,
}

/// What a lane has written, or what is found of it.
#[derive(Debug)]
struct Written {
    last_seqs: Vec<u64>,
    /// Of entries, and of conversations as they began.
    bytes: u64,
    /// Of mids, by week.
    mids: BTreeMap<u64, u64>,
}

pub(crate) fn run(run: &Run, options: &Options, verdicts: &mut Verdicts) -> Result<()> {
    let text = Text::new(run.seed);
    let progress = Progress::new();
    let run = &Run {
        folder: options.lasting.as_ref().unwrap_or(&run.folder).clone(),
        ..*run
    };
    let is_there = run.folder.exists();
    let watch = Watch::start(&run.folder, &progress)?;
    let lanes = if is_there {
        find(&*run.open()?)?
    } else {
        write(run, options, &text, &progress, verdicts)?
    };
    {
        let (store, took) = run.open_timed()?;
        verdicts.at_most("opened again in", Figure::Seconds(took), OPEN_MAX);
        read(run, options, &*store, &lanes, verdicts)?;
        if options.lasting.is_some() {
            return Ok(());
        }
        delete(run, &Timed::around(store, &progress), verdicts)?;
    }
    let (_store, took) = run.open_timed()?;
    verdicts.at_most(
        "opened when emptied in",
        Figure::Seconds(took),
        OPEN_EMPTY_MAX,
    );
    verdicts.at_most(
        "open files",
        Figure::Count(watch.seen().open_files()),
        FILES_MAX,
    );
    let memory = watch.seen().memory_bytes()?;
    verdicts.note(
        "memory beyond the cache",
        Figure::Bytes(memory.saturating_sub(run.engine.cache_bytes)),
    );
    Ok(())
}

fn write(
    run: &Run,
    options: &Options,
    text: &Text,
    progress: &Arc<Progress>,
    verdicts: &mut Verdicts,
) -> Result<Vec<Written>> {
    let store = Timed::around(run.open()?, progress);
    let committer = Committer::start(store.clone())?;
    let before = written_bytes()?;
    let pos = AtomicU64::new(0);
    let begin = Instant::now();
    progress.begin();
    let lanes = in_lanes(&committer.handle(), |number, lane| {
        let mut rng = Rng::with_seed(run.seed ^ (number << 32));
        let mut week = 0;
        let mut written = Written::new();
        while progress.stored_bytes() < options.bytes {
            let at = BEGIN_MS + done_ms(progress.stored_bytes(), options.bytes);
            if number == 0 && at / WEEK_MS > week {
                week = at / WEEK_MS;
                trim(&committer.handle(), &old_mids(week));
            }
            let place = skewed(&mut rng, CONVERSATIONS / LANES);
            let pos = pos.fetch_add(1, Ordering::Relaxed) + 1;
            let room = Room {
                last_seq: written.last_seqs[place as usize],
                ..room(place, number)
            };
            let message = Message {
                room,
                pos,
                at,
                text_bytes: (TEXT_BYTES_MIN + skewed(&mut rng, TEXT_BYTES_MAX - TEXT_BYTES_MIN))
                    as usize,
            };
            let mut writes = message.writes(text);
            written.note(place as usize, at / WEEK_MS, &writes);
            if room.last_seq == 0 {
                let begun = room.begun(pos, at);
                written.bytes += begun.iter().map(|write| write.bytes() as u64).sum::<u64>();
                // Its sender's row is in the message, too.
                writes.splice(..0, begun);
            }
            lane.append(writes)?;
        }
        Ok(written)
    })?;
    progress.end();
    let week = (BEGIN_MS + done_ms(options.bytes, options.bytes)) / WEEK_MS;
    // A short history may have ended before anybody saw its last week begin.
    trim(&committer.handle(), &old_mids(week));
    await_empty(&*store, &old_mids(week))?;
    let took = begin.elapsed().as_secs_f64();
    await_rest(REST_MAX)?;
    let stored = progress.stored_bytes();
    let live = lanes.iter().map(|written| written.live(week)).sum::<u64>();
    verdicts.note("written in", Figure::Seconds(took));
    verdicts.note("messages", Figure::Count(pos.load(Ordering::Relaxed)));
    verdicts.note("stored", Figure::Bytes(stored));
    verdicts.note("live", Figure::Bytes(live));
    verdicts.note("commit p99", Figure::Millis(progress.commits.millis(0.99)));
    verdicts.note(
        "commit p999",
        Figure::Millis(progress.commits.millis(0.999)),
    );
    verdicts.note(
        "longest without a commit",
        Figure::Seconds(progress.longest_gap().as_secs_f64()),
    );
    let written = written_bytes()? - before;
    verdicts.at_most(
        "written / stored",
        Figure::Ratio(written as f64 / stored as f64),
        WRITTEN_MAX,
    );
    let disk = disk_bytes(&run.folder)?;
    verdicts.note("on disk", Figure::Bytes(disk));
    verdicts.at_most(
        "on disk / live",
        Figure::Ratio(disk as f64 / live as f64),
        SPACE_MAX,
    );
    let begin = Instant::now();
    committer.stop();
    drop(store);
    verdicts.note("closed in", Figure::Seconds(begin.elapsed().as_secs_f64()));
    Ok(lanes)
}

/// What the lanes of an earlier run have written.
fn find(store: &dyn Store) -> Result<Vec<Written>> {
    (0..LANES)
        .map(|lane| {
            let mut written = Written::new();
            for place in 0..CONVERSATIONS / LANES {
                let newest = Range::backward(key::entries(room(place, lane).id), 1);
                if let Some(entry) = store.keys(&newest)?.first() {
                    written.last_seqs[place as usize] = key::parse_entry(entry)?.1.value();
                }
            }
            Ok(written)
        })
        .collect()
}

fn read(
    run: &Run,
    options: &Options,
    store: &dyn Store,
    lanes: &[Written],
    verdicts: &mut Verdicts,
) -> Result<()> {
    let mut rng = Rng::with_seed(run.seed);
    let (newest, middle) = (Histogram::new(), Histogram::new());
    let mut whole = true;
    for page in 0..options.pages {
        if page.is_multiple_of(PAGES_BETWEEN) {
            forget_cached(&run.folder)?;
        }
        if page == 0 {
            // Folders and file nodes too, once, as others on the machine lose theirs with it. Only root may.
            let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
        }
        let lane = rng.u64(..LANES);
        // Busy conversations and any.
        let place = if rng.bool() {
            skewed(&mut rng, CONVERSATIONS / LANES)
        } else {
            rng.u64(..CONVERSATIONS / LANES)
        };
        let written = &lanes[lane as usize];
        let id = room(place, lane).id;
        let last_seq = written.last_seqs[place as usize];
        let mut range = key::entries(id);
        if page % 2 == 1 {
            range.to = key::entry(id, Seq::new(last_seq / 2 + 1), Pos::ZERO);
        }
        let begin = Instant::now();
        let found = store.range(&Range::backward(range, PAGE_ENTRIES))?;
        if page % 2 == 1 {
            middle.add(begin.elapsed());
        } else {
            newest.add(begin.elapsed());
            whole &= found.len() == PAGE_ENTRIES.min(last_seq as usize);
        }
    }
    for (what, pages) in [("newest", newest), ("middle", middle)] {
        verdicts.note(
            &format!("cold page, {what}, median"),
            Figure::Millis(pages.millis(0.5)),
        );
        verdicts.at_most(
            &format!("cold page, {what}, p99"),
            Figure::Millis(pages.millis(0.99)),
            PAGE_P99_MAX,
        );
    }
    verdicts.holds("every newest page has every message", whole);
    Ok(())
}

/// Every conversation ends, one by one as the server does it and in no order; then goes what is left.
fn delete(run: &Run, store: &Arc<dyn Store>, verdicts: &mut Verdicts) -> Result<()> {
    let begin = Instant::now();
    let committer = Committer::start(store.clone())?;
    let mut rooms: Vec<(u64, u64)> = (0..CONVERSATIONS / LANES)
        .flat_map(|place| (0..LANES).map(move |lane| (place, lane)))
        .collect();
    Rng::with_seed(run.seed).shuffle(&mut rooms);
    for (place, lane) in rooms {
        for range in ended(room(place, lane).id) {
            trim(&committer.handle(), &range);
        }
    }
    await_empty(&**store, &Table::Entry.range())?;
    committer.stop();
    let took = begin.elapsed().as_secs_f64();
    verdicts.note("conversations ended in", Figure::Seconds(took));
    store.delete_range(&everything())?;
    let (took, disk) = await_disk(run, SPARE_BYTES)?;
    verdicts.at_most(
        &format!("on disk after {took:.0} s"),
        Figure::Bytes(disk),
        Figure::Bytes(SPARE_BYTES),
    );
    Ok(())
}

impl Written {
    fn new() -> Self {
        let rooms = (CONVERSATIONS / LANES) as usize;
        Self {
            last_seqs: vec![0; rooms],
            bytes: 0,
            mids: BTreeMap::new(),
        }
    }

    fn note(&mut self, place: usize, week: u64, message: &[Write]) {
        self.last_seqs[place] += 1;
        let [entry, _marker, mid] = message else {
            unreachable!("a message is three rows");
        };
        self.bytes += entry.bytes() as u64;
        *self.mids.entry(week).or_default() += mid.bytes() as u64;
    }

    /// Markers are left out: they are few beside messages.
    fn live(&self, week: u64) -> u64 {
        self.bytes
            + self
                .mids
                .range(week - 1..)
                .map(|(_, bytes)| bytes)
                .sum::<u64>()
    }
}

/// Every mid that is no longer kept in a week.
fn old_mids(week: u64) -> KeyRange {
    key::dedups_before(u32::try_from(week - 1).expect("weeks of this century are few"))
}

/// How much of the history's time has passed when so much of it is stored.
fn done_ms(stored: u64, of: u64) -> u64 {
    (stored.min(of) as f64 / of as f64 * (WEEKS * WEEK_MS) as f64) as u64
}

fn room(place: u64, lane: u64) -> Room {
    Room::new(place * LANES + lane + 1)
}
