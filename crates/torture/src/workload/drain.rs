//! A queue is filled and drained, conversations end, a week of mids is forgotten, again and again. What no longer lives must
//! not stay on disk.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use records::{KeyRange, Stamp, Table, Write, key};
use store::{Committer, Store};

use super::{
    BEGIN_MS, LANES, Run, SPARE_BYTES, await_disk, await_empty, everything, in_lanes, scan, trim,
};
use crate::measure::{Progress, Timed, Watch, disk_bytes, written_bytes};
use crate::rows::{Message, Room, Text, WEEK_MS, ended, queued, session_cursor};
use crate::verdict::{Figure, Verdicts};

const PAYLOAD_BYTES: u64 = 1_000;
/// Struck out together, with the cursor that has passed them.
const READ_TOGETHER: u64 = 64;
/// Conversations that a lane begins in a round; the first of them stays.
const ROOMS: u64 = 10;
/// One message of a conversation comes with so many of the queue.
const MESSAGE_EVERY: u64 = 10;
const TEXT_BYTES: usize = 300;

const FILES_MAX: Figure = Figure::Count(128);

/// What can be said of it.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How often.
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// Bytes of queued messages in each round.
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
}

/// What is there and readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Live {
    rows: u64,
    bytes: u64,
}

pub(crate) fn run(run: &Run, options: &Options, verdicts: &mut Verdicts) -> Result<()> {
    let text = Text::new(run.seed);
    let progress = Progress::new();
    let watch = Watch::start(&run.folder, &progress)?;
    let store = Timed::around(run.open()?, &progress);
    let committer = Committer::start(store.clone())?;
    for round in 0..options.rounds {
        let begin = Instant::now();
        fill(&committer, options, round, &text)?;
        let filled = begin.elapsed().as_secs_f64();
        let full = disk_bytes(&run.folder)?;
        drain(&committer, options, round)?;
        end_conversations(&committer, &*store, round)?;
        forget_mids(&committer, &*store, round)?;
        let drained = begin.elapsed().as_secs_f64() - filled;
        let live = live(&*store)?;
        let most = live.bytes + live.bytes * 3 / 10 + SPARE_BYTES;
        let (took, disk) = await_disk(run, most)?;
        println!(
            "round {}: filled in {filled:.1} s ({:.0} MB on disk), emptied in {drained:.1} s, {} rows of {:.1} MB live",
            round + 1,
            full as f64 / 1e6,
            live.rows,
            live.bytes as f64 / 1e6,
        );
        verdicts.at_most(
            &format!("on disk after {took:.0} s"),
            Figure::Bytes(disk),
            Figure::Bytes(most),
        );
    }
    verdicts.note("stored", Figure::Bytes(progress.stored_bytes()));
    verdicts.note("written to disk", Figure::Bytes(written_bytes()?));
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
    drop(watch);
    let before = live(&*store)?;
    committer.stop();
    drop(store);
    let (store, took) = run.open_timed()?;
    verdicts.note("opened again in", Figure::Seconds(took));
    verdicts.holds(
        "what lives is there after a restart",
        live(&*store)? == before,
    );
    Ok(())
}

fn fill(committer: &Committer, options: &Options, round: u64, text: &Text) -> Result<()> {
    in_lanes(&committer.handle(), |number, lane| {
        let mut rooms: Vec<Room> = rooms(round, number).collect();
        for stamp in stamps(options, round, number) {
            let at = BEGIN_MS + round * WEEK_MS;
            lane.append(vec![queued(stamp, at, PAYLOAD_BYTES as usize, text)])?;
            let nth = stamp / LANES;
            if nth.is_multiple_of(MESSAGE_EVERY) {
                let room = &mut rooms[(nth / MESSAGE_EVERY % ROOMS) as usize];
                let message = Message {
                    room: *room,
                    pos: stamp,
                    at,
                    text_bytes: TEXT_BYTES,
                };
                let mut writes = message.writes(text);
                if room.last_seq == 0 {
                    writes.splice(..0, room.begun(stamp, at));
                }
                room.last_seq += 1;
                lane.append(writes)?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn drain(committer: &Committer, options: &Options, round: u64) -> Result<()> {
    in_lanes(&committer.handle(), |number, lane| {
        let mut writes = Vec::new();
        for stamp in stamps(options, round, number) {
            writes.push(Write::Delete {
                key: key::queue(Stamp::new(stamp)),
            });
            if writes.len() as u64 == READ_TOGETHER {
                writes.push(session_cursor(number, stamp));
                lane.append(std::mem::take(&mut writes))?;
            }
        }
        lane.append(writes)
    })?;
    Ok(())
}

/// All but the first of each lane: half by the committer as the server does it, half by the store's own way.
fn end_conversations(committer: &Committer, store: &dyn Store, round: u64) -> Result<()> {
    for number in 0..LANES {
        for (place, room) in rooms(round, number).enumerate().skip(1) {
            for range in ended(room.id) {
                if place % 2 == 0 {
                    store.delete_range(&range)?;
                } else {
                    trim(&committer.handle(), &range);
                }
            }
        }
    }
    for number in 0..LANES {
        for room in rooms(round, number).skip(1) {
            for range in ended(room.id) {
                await_empty(store, &range)?;
            }
        }
    }
    Ok(())
}

/// This round's week.
fn forget_mids(committer: &Committer, store: &dyn Store, round: u64) -> Result<()> {
    let week = (BEGIN_MS + round * WEEK_MS) / WEEK_MS;
    let before = u32::try_from(week + 1).expect("weeks of this century are few");
    trim(&committer.handle(), &key::dedups_before(before));
    // Looked for from the end, as what is deleted may have to be stepped over at the front.
    let range = KeyRange {
        from: Table::Dedup.range().from,
        to: key::dedups_before(before).to,
    };
    await_empty(store, &range)
}

fn live(store: &dyn Store) -> Result<Live> {
    let mut live = Live::default();
    scan(store, everything(), |key, value| {
        live.rows += 1;
        live.bytes += (key.len() + value.len()) as u64;
        Ok(())
    })?;
    Ok(live)
}

/// The stamps of a lane's messages in a round, ascending.
fn stamps(options: &Options, round: u64, lane: u64) -> impl Iterator<Item = u64> {
    let count = options.bytes / PAYLOAD_BYTES / LANES;
    (0..count).map(move |nth| (round * count + nth + 1) * LANES + lane)
}

fn rooms(round: u64, lane: u64) -> impl Iterator<Item = Room> {
    (0..ROOMS).map(move |place| Room::new((round * ROOMS + place) * LANES + lane + 1))
}
