//! The child that is killed. It looks whether the store holds exactly what some number of appends of each lane comes to, no
//! fewer than were acknowledged, and goes on from there, saying what is on disk.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use records::{Member, Session, Stamp, Table, Write, describe, key};
use store::{Committer, Store};

use super::{BEGIN_MS, LANES, Run, scan};
use crate::lane::Lane;
use crate::rows::{Message, Room, Text, mixed, queued, retained, session_cursor};

/// A lane's messages live until so many have come after them.
const MESSAGES: u64 = 1_500;
const QUEUED: u64 = 300;
const SENSORS: u64 = 40;
const ROOMS: u64 = 50;

/// What a child is told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Per lane, the last append that is known to be on disk.
    #[arg(long, value_delimiter = ',')]
    acknowledged: Vec<u64>,
    /// The store's folder.
    folder: PathBuf,
}

impl Options {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What a child says, a line each.
#[derive(Debug)]
pub(crate) enum Said {
    /// The store is open.
    Open,
    /// What was acknowledged is there.
    Started,
    /// On disk.
    Appended { lane: u64, upto: u64 },
    /// Why it cannot go on.
    Fault(String),
}

impl Said {
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("open"), None, None) => Self::Open,
            (Some("started"), None, None) => Self::Started,
            (Some("appended"), Some(lane), Some(upto)) => match (lane.parse(), upto.parse()) {
                (Ok(lane), Ok(upto)) => Self::Appended { lane, upto },
                _ => Self::Fault(line.to_owned()),
            },
            _ => Self::Fault(line.to_owned()),
        }
    }
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let text = Text::new(run.seed);
    let store = run.open()?;
    say("open");
    let mut upto = Vec::new();
    for (lane, acknowledged) in (0..LANES).zip(&options.acknowledged) {
        let last = last_append(&*store, lane)?;
        ensure!(
            last >= *acknowledged,
            "lost: lane {lane} ends at append {last}, and {acknowledged} was acknowledged"
        );
        upto.push(last);
    }
    check(&*store, &upto, &text)?;
    say("started");
    let committer = Committer::start(store)?;
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .zip(upto)
            .map(|(number, last)| {
                let (text, committer) = (&text, committer.handle());
                scope.spawn(move || -> Result<()> {
                    let mut lane = Lane::from_ticket(&committer, last, move |upto| {
                        say(&format!("appended {number} {upto}"));
                    });
                    for append in last + 1.. {
                        lane.append(writes(number, append, text))?;
                    }
                    Ok(())
                })
            })
            .collect();
        for lane in lanes {
            lane.join().unwrap_or_else(|_| bail!("a lane panicked"))?;
        }
        Ok(())
    })
}

/// One line in one call: whoever kills us gets all of it or nothing.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told that nobody is left.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

/// Everything that an append of a lane writes: what it brings, and what goes for it.
fn writes(lane: u64, append: u64, text: &Text) -> Vec<Write> {
    let mut writes = message(lane, append).writes(text);
    writes.push(queued(stamp(lane, append), BEGIN_MS, 200, text));
    let sensor = lane * SENSORS + append % SENSORS;
    let bytes = size(append) / 2;
    writes.push(retained(sensor, stamp(lane, append), BEGIN_MS, bytes, text));
    if append > MESSAGES {
        let gone = message(lane, append - MESSAGES).writes(text);
        // The marker stays: it is overwritten.
        let gone = (gone.iter()).filter(|write| Table::of(write.key()) != Ok(Table::Member));
        writes.extend(gone.map(|write| Write::Delete {
            key: write.key().to_vec(),
        }));
    }
    if append > QUEUED {
        writes.push(Write::Delete {
            key: key::queue(Stamp::new(stamp(lane, append - QUEUED))),
        });
    }
    writes.push(session_cursor(lane + 1, append));
    writes
}

fn message(lane: u64, append: u64) -> Message {
    Message {
        room: Room {
            last_seq: append,
            ..Room::new(lane * ROOMS + append % ROOMS + 1)
        },
        pos: stamp(lane, append),
        at: BEGIN_MS,
        text_bytes: size(append),
    }
}

fn stamp(lane: u64, append: u64) -> u64 {
    append * LANES + lane
}

fn size(append: u64) -> usize {
    match mixed(append) % 1_000 {
        0..=2 => 200_000,
        3..=149 => 8_000,
        _ => 100,
    }
}

fn last_append(store: &dyn Store, lane: u64) -> Result<u64> {
    let Some(value) = store.get(session_cursor(lane + 1, 0).key())? else {
        return Ok(0);
    };
    let session = Session::decode(&value)?;
    let cursor = session.queue_cursors.first();
    Ok(cursor.context("a session without a cursor")?.value())
}

/// Holds every row against what these appends come to.
fn check(store: &dyn Store, upto: &[u64], text: &Text) -> Result<()> {
    let (mut markers, mut rest) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in expected(upto, text) {
        match Table::of(&key)? {
            Table::Member => markers.insert(key, value),
            _ => rest.insert(key, value),
        };
    }
    for table in [Table::Entry, Table::Dedup, Table::Queue, Table::Retained] {
        scan(store, table.range(), |key, value| match rest.remove(key) {
            None => bail!("too much: {}", describe(key)),
            Some(stored) if stored != value => bail!("not as written: {}", describe(key)),
            Some(_) => Ok(()),
        })?;
    }
    rest.retain(|key, _| Table::of(key) != Ok(Table::Session));
    if let Some(key) = rest.keys().next() {
        bail!("lost: {}, and {} rows more", describe(key), rest.len() - 1);
    }
    check_markers(store, upto, markers)
}

/// Those of the last messages exactly; older ones must be of a message that was.
fn check_markers(
    store: &dyn Store,
    upto: &[u64],
    mut recent: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<()> {
    scan(store, Table::Member.range(), |key, value| {
        if let Some(stored) = recent.remove(key) {
            ensure!(stored == value, "not as written: {}", describe(key));
            return Ok(());
        }
        let (room, _) = key::parse_member(key)?;
        let lane = (room.number() - 1) / ROOMS;
        let read = Member::decode(value)?.read.value();
        let last = upto.get(lane as usize).copied().unwrap_or(0);
        ensure!(
            read <= last + 1,
            "too much: {} has read {read} of {last}",
            describe(key)
        );
        Ok(())
    })?;
    match recent.keys().next() {
        None => Ok(()),
        Some(key) => bail!("lost: {}", describe(key)),
    }
}

fn expected(upto: &[u64], text: &Text) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows = BTreeMap::new();
    for (lane, last) in (0..LANES).zip(upto) {
        for append in last.saturating_sub(MESSAGES) + 1..=*last {
            for write in writes(lane, append, text) {
                match write {
                    Write::Put { key, value } => {
                        rows.insert(key, value);
                    }
                    Write::Delete { key } => {
                        rows.remove(&key);
                    }
                }
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use store::{Batch, MemoryStore};

    use super::*;

    const UPTO: [u64; LANES as usize] = [0, 1, MESSAGES + 60, 20];

    /// What is said of a store that holds what these appends come to, and then some change.
    fn judged(change: Option<Write>) -> String {
        let (store, text) = (MemoryStore::new(), Text::new(1));
        let commit = |writes| {
            let batch = Batch {
                writes,
                ..Batch::default()
            };
            store.commit(batch).unwrap();
        };
        for (lane, upto) in (0..LANES).zip(UPTO) {
            for append in 1..=upto {
                commit(writes(lane, append, &text));
            }
        }
        commit(change.into_iter().collect());
        check(&store, &UPTO, &text).map_or_else(|fault| fault.to_string(), |()| "whole".to_owned())
    }

    fn first_row(lane: u64, append: u64, table: Table) -> (Vec<u8>, Vec<u8>) {
        let mut writes = writes(lane, append, &Text::new(1)).into_iter();
        writes
            .find_map(|write| match write {
                Write::Put { key, value } if Table::of(&key) == Ok(table) => Some((key, value)),
                Write::Put { .. } | Write::Delete { .. } => None,
            })
            .unwrap()
    }

    #[test]
    fn a_row_too_few_too_many_or_changed_is_named() {
        assert_eq!(judged(None), "whole");
        for table in [Table::Entry, Table::Queue, Table::Retained, Table::Member] {
            let (key, mut value) = first_row(3, 20, table);
            let row = describe(&key);
            let gone = judged(Some(Write::Delete { key: key.clone() }));
            assert!(gone.starts_with(&format!("lost: {row}")), "{gone}");
            *value.last_mut().unwrap() ^= 1;
            let changed = judged(Some(Write::Put { key, value }));
            assert_eq!(changed, format!("not as written: {row}"));
        }
        // Half an append that nobody acknowledged.
        for table in [Table::Entry, Table::Dedup, Table::Queue] {
            let (key, value) = first_row(3, 21, table);
            let row = describe(&key);
            assert_eq!(
                judged(Some(Write::Put { key, value })),
                format!("too much: {row}")
            );
        }
    }
}
