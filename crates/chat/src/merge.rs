//! Everything of an account's conversations after a position, in the order of positions: what `sync` and a session that was away
//! get. Runs where a disk may be waited for. Positions are merged first, so that only entries of this page are read.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use records::{AccountId, ConversationId, Entry, Pos};

use crate::chat::Chat;
use crate::source::{End, Source, Unreadable};
use crate::stored::{self, Found};

/// Positions read from one conversation at a time, after the first ones.
const CHUNK: usize = 32;
/// Bytes of an answer that an entry takes besides its wire and its conversation's name.
const ENTRY_BYTES: usize = 16;

/// Conversations with something new, and up to where it is read.
#[derive(Debug)]
pub(crate) struct Feed {
    since: Pos,
    upto: Pos,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    id: ConversationId,
    conv: Box<str>,
    /// The first position that has not been read.
    from: Pos,
    read: VecDeque<Pos>,
    exhausted: bool,
}

/// A page of a feed.
#[derive(Debug)]
pub(crate) struct Fed {
    /// What each entry's conversation is called, and which it is.
    pub(crate) entries: Vec<(Box<str>, ConversationId, Entry)>,
    /// Everything up to here is contained.
    pub(crate) upto: Pos,
    pub(crate) more: bool,
}

/// Entries of one conversation that follow each other in the feed.
#[derive(Debug)]
struct Run {
    stream: usize,
    first: Pos,
    last: Pos,
    count: usize,
}

impl Chat {
    /// What an account has missed since a position.
    pub(crate) fn feed(&self, account: AccountId, since: Pos) -> Feed {
        let streams = self
            .directory
            .conversations(account)
            .iter()
            .filter_map(|id| {
                let room = self.rooms.find(*id)?;
                let member = room.member(account)?;
                (room.last_pos > since).then(|| Stream {
                    id: *id,
                    conv: self.conv_name(*id, account),
                    from: since.next().max(member.joined),
                    read: VecDeque::new(),
                    exhausted: false,
                })
            })
            .collect();
        Feed {
            since,
            upto: self.log.newest(),
            streams,
        }
    }
}

impl Feed {
    /// How many conversations have something new.
    pub(crate) fn conversations(&self) -> usize {
        self.streams.len()
    }

    /// After which position it begins.
    pub(crate) fn since(&self) -> Pos {
        self.since
    }

    /// Whether there is anything to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Reads the first page.
    pub(crate) fn read(
        mut self,
        source: &dyn Source,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Fed, Unreadable> {
        let (runs, beyond) = self.runs(source, entries_max)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut done = self.since;
        let mut full = false;
        for run in &runs {
            let stream = &self.streams[run.stream];
            let left = bytes_max.saturating_sub(bytes);
            let (from, to) = (run.first, run.last.next());
            let found =
                stored::entries(source, stream.id, (from, to), End::First, run.count, left)?;
            let whole = found.is_empty() || found.len() == run.count;
            for Found { pos, entry } in found {
                // What is damaged is passed, or nobody would ever get what stands behind it.
                let Some(entry) = entry else {
                    done = pos;
                    continue;
                };
                let size = entry.wire.len() + stream.conv.len() + ENTRY_BYTES;
                if !entries.is_empty() && bytes + size > bytes_max {
                    full = true;
                    break;
                }
                bytes += size;
                done = pos;
                entries.push((stream.conv.clone(), stream.id, entry));
            }
            // The source stops where a page would.
            full |= !whole;
            if full {
                break;
            }
            done = run.last;
        }
        let more = full || beyond;
        Ok(Fed {
            entries,
            upto: if more { done } else { self.upto },
            more,
        })
    }

    /// Where the first entries stand, and whether there are more than those.
    fn runs(
        &mut self,
        source: &dyn Source,
        entries_max: usize,
    ) -> Result<(Vec<Run>, bool), Unreadable> {
        let upto = self.upto;
        let first = (2 * entries_max / self.streams.len().max(1)).clamp(1, entries_max);
        let mut next = BinaryHeap::with_capacity(self.streams.len());
        for (at, stream) in self.streams.iter_mut().enumerate() {
            next.extend(
                stream
                    .fill(source, upto, first)?
                    .map(|pos| Reverse((pos, at))),
            );
        }
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..entries_max {
            let Some(Reverse((pos, at))) = next.pop() else {
                break;
            };
            match runs.last_mut() {
                Some(run) if run.stream == at => {
                    run.last = pos;
                    run.count += 1;
                }
                Some(_) | None => runs.push(Run {
                    stream: at,
                    first: pos,
                    last: pos,
                    count: 1,
                }),
            }
            let stream = &mut self.streams[at];
            stream.read.pop_front();
            next.extend(
                stream
                    .fill(source, upto, CHUNK)?
                    .map(|pos| Reverse((pos, at))),
            );
        }
        Ok((runs, !next.is_empty()))
    }
}

impl Stream {
    /// The next position, read if need be.
    fn fill(
        &mut self,
        source: &dyn Source,
        upto: Pos,
        chunk: usize,
    ) -> Result<Option<Pos>, Unreadable> {
        if self.read.is_empty() && !self.exhausted {
            let range = (self.from, upto.next());
            let found = stored::positions(source, self.id, range, chunk)?;
            self.exhausted = found.len() < chunk;
            if let Some(last) = found.last() {
                self.from = last.next();
            }
            self.read.extend(found);
        }
        Ok(self.read.front().copied())
    }
}
