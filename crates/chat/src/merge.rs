//! Everything of an account's conversations after a position, in the order of positions: what `sync` and a session that was away
//! get. Runs where a disk may be waited for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use records::{AccountId, ConversationId, Entry, Pos};

use crate::chat::Chat;
use crate::source::{Source, Unreadable};

/// Entries read from one conversation at a time, after the first ones.
const CHUNK: usize = 32;

/// Conversations with something new, and up to where it is read.
#[derive(Debug)]
pub(crate) struct Feed {
    upto: Pos,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    id: ConversationId,
    conv: Box<str>,
    /// The first position that has not been read.
    from: Pos,
    read: VecDeque<Entry>,
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

    /// Reads the first page.
    pub(crate) fn read(
        mut self,
        source: &dyn Source,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Fed, Unreadable> {
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
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(Reverse((_, at))) = next.peek().copied() {
            let stream = &mut self.streams[at];
            let Some(entry) = stream.read.front() else {
                next.pop();
                continue;
            };
            let size = entry.wire.len() + stream.conv.len() + 16;
            let full = entries.len() == entries_max || bytes + size > bytes_max;
            if full && !entries.is_empty() {
                break;
            }
            bytes += size;
            next.pop();
            if let Some(entry) = stream.read.pop_front() {
                entries.push((stream.conv.clone(), stream.id, entry));
            }
            next.extend(
                stream
                    .fill(source, upto, CHUNK)?
                    .map(|pos| Reverse((pos, at))),
            );
        }
        let more = !next.is_empty();
        let upto = match entries.last() {
            Some((_, _, last)) if more => last.pos,
            Some(_) | None => upto,
        };
        Ok(Fed {
            entries,
            upto,
            more,
        })
    }
}

impl Stream {
    /// The position of the next entry, read if need be.
    fn fill(
        &mut self,
        source: &dyn Source,
        upto: Pos,
        chunk: usize,
    ) -> Result<Option<Pos>, Unreadable> {
        if self.read.is_empty() && !self.exhausted {
            let found = source.entries(self.id, self.from, upto.next(), false, chunk)?;
            self.exhausted = found.len() < chunk;
            if let Some(last) = found.last() {
                self.from = last.pos.next();
            }
            self.read.extend(found);
        }
        Ok(self.read.front().map(|entry| entry.pos))
    }
}
