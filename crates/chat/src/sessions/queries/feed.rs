//! Everything of an account's conversations after a cursor, in the order of positions: what `sync` and a session that was away
//! get. Runs where a disk may be waited for. Positions are merged first, so that only entries of this page are read.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use records::{
    AccountId, ConversationId, ConversationKind, Cursor, Entry, GroupSlug, Joined,
    Place as JoinedPlace, Pos, Seq, key,
};

use crate::sessions::queries::joined::{self, Slices};
use crate::sessions::queries::names::Names;
use crate::sessions::queries::parts;
use crate::stored::conversations;
use crate::stored::damaged::Damaged;
use crate::stored::entries::{self, Found, Place, Tail};
use crate::stored::source::{End, Source, Unreadable};

/// Places read from one conversation at a time, after the first ones.
const CHUNK: usize = 32;
/// Bytes of an answer that an entry takes besides its wire and its conversation's name.
const ENTRY_BYTES: usize = 16;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) account: AccountId,
    pub(crate) since: Cursor,
    /// Everything up to here is in the store.
    pub(crate) upto: Cursor,
    pub(crate) names: Names,
}

/// A page of a feed.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) gaps: Vec<Gap>,
    /// Everything up to here is contained.
    pub(crate) upto: Cursor,
    pub(crate) more: bool,
}

/// One thing in a page.
#[derive(Debug)]
pub(crate) enum Item {
    /// What its conversation is called, and which it is.
    Entry(Box<str>, ConversationId, Entry),
    /// The account has left a conversation with the entry before, or it was deleted.
    Left {
        conv: Box<str>,
        pos: Pos,
        deleted: bool,
    },
    /// A group of this slug was deleted after the account had left it; `joined` is the entry with which it has come into the next one
    /// and which follows.
    Superseded { conv: Box<str>, joined: Pos },
}

/// Messages between these two are not in the feed: they were sent while the account was no member.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) conv: Box<str>,
    pub(crate) after: Seq,
    pub(crate) before: Seq,
    /// The entry with which it became one.
    joined: Pos,
}

/// What of a feed there is to read.
struct Streams<'a> {
    source: &'a dyn Source,
    account: AccountId,
    upto: Cursor,
    streams: Vec<Stream>,
    gaps: Vec<Gap>,
    left: Vec<(Box<str>, Pos, bool)>,
    /// Groups that the account has come into for the first time, and with which entry.
    first_joined: Vec<(ConversationId, GroupSlug, Pos)>,
    /// Those of them whose slug was that of a deleted group.
    superseding: Vec<(Box<str>, Pos)>,
}

struct Stream {
    id: ConversationId,
    /// Everything of its partition up to here is in the store.
    upto: Pos,
    conv: Box<str>,
    /// Parts that have not been read yet, from one place up to another, which is not included.
    parts: VecDeque<(Place, Place)>,
    /// Places that have been read, each with how many parts come behind its own.
    read: VecDeque<(usize, Place)>,
}

/// What one conversation has for the feed.
#[derive(Default)]
struct OfConversation {
    stream: Option<Stream>,
    gaps: Vec<Gap>,
    left: Option<(Box<str>, Pos, bool)>,
    first_joined: Option<(ConversationId, GroupSlug, Pos)>,
}

/// Entries of one part of a conversation that follow each other in the feed: nothing else stands between them.
struct Run {
    stream: usize,
    part: usize,
    first: Place,
    last: Place,
    count: usize,
}

impl Feed {
    /// Reads the first page; `None` if more than so many conversations have something new.
    pub(crate) fn read(
        &self,
        source: &dyn Source,
        conversations_max: usize,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Option<Page>, Unreadable> {
        let mut streams = Streams {
            source,
            account: self.account,
            upto: self.upto.clone(),
            streams: Vec::new(),
            gaps: Vec::new(),
            left: Vec::new(),
            first_joined: Vec::new(),
            superseding: Vec::new(),
        };
        let mut slices = Slices::of(self.account);
        while let Some(slice) = slices.next(source)? {
            let all = parts::read(source, &slice, |source, (id, row)| {
                self.of_conversation(source, *id, row)
            })?;
            all.into_iter().for_each(|found| streams.add(found));
            if streams.streams.len() > conversations_max {
                return Ok(None);
            }
        }
        streams.find_superseding(&self.since)?;
        streams
            .page(self.since.floor(), entries_max, bytes_max)
            .map(Some)
    }

    /// What a conversation has for the feed.
    fn of_conversation(
        &self,
        source: &dyn Source,
        id: ConversationId,
        row: &Joined,
    ) -> Result<OfConversation, Unreadable> {
        let mut found = OfConversation::default();
        let Some(partition) = id.partition() else {
            return Ok(found);
        };
        let seen = self.since.of(partition);
        let ended = row.stays.last().filter(|_| row.since.is_none());
        if row.since.is_none() && ended.is_none_or(|stay| stay.until <= seen) {
            return Ok(found);
        }
        let tail = Tail::read(source, id)?;
        let is_new = tail.newest().is_some_and(|newest| newest.pos > seen);
        if !is_new && ended.is_none() {
            return Ok(found);
        }
        let Some(conv) = joined::conv(&row.place, &self.names, source)? else {
            return Ok(found);
        };
        if row.since.is_some() && conversations::member(source, id, self.account)?.is_none() {
            // Left a moment ago, or a row that says what is not so: then it might be anybody's.
            return match joined::find(source, self.account, id)? {
                Some(row) if row.since.is_none() => self.of_conversation(source, id, &row),
                Some(_) | None => {
                    let at = key::joined(self.account, id);
                    let what = "it is a member of what it does not take part in";
                    source.damaged(&Damaged::untrue(&at, what));
                    Ok(found)
                }
            };
        }
        if let Some(stay) = ended {
            let record = conversations::record(source, id)?;
            let deleted =
                record.is_none_or(|record| matches!(record.kind, ConversationKind::Ended { .. }));
            if self.upto.covers(stay.until) {
                found.left = Some((conv.clone(), stay.until, deleted));
            }
        }
        if !is_new {
            return Ok(found);
        }
        let begun = row.stays.first().map(|stay| stay.since).or(row.since);
        if let (JoinedPlace::Group { slug }, Some(begun)) = (&row.place, begun)
            && begun > seen
        {
            found.first_joined = Some((id, slug.clone(), begun));
        }
        let mut stream = Stream {
            id,
            upto: self.upto.of(partition),
            conv,
            parts: VecDeque::new(),
            read: VecDeque::new(),
        };
        found.gaps = stream.divide(source, row, &tail, seen.next())?;
        found.stream = Some(stream);
        Ok(found)
    }
}

impl Streams<'_> {
    fn add(&mut self, found: OfConversation) {
        self.streams.extend(found.stream);
        self.gaps.extend(found.gaps);
        self.left.extend(found.left);
        self.first_joined.extend(found.first_joined);
    }

    /// A group whose slug was another one's, which was deleted after the account had left it: nothing has told of that, and what
    /// is known of it would be taken for what was said in this one.
    fn find_superseding(&mut self, since: &Cursor) -> Result<(), Unreadable> {
        if self.first_joined.is_empty() {
            return Ok(());
        }
        let (source, account) = (self.source, self.account);
        joined::each(source, account, |id, row| {
            let is_told = id.partition().is_none_or(|partition| {
                let seen = since.of(partition);
                row.stays.last().is_none_or(|stay| stay.until > seen)
            });
            let (JoinedPlace::Group { slug }, None, false) = (&row.place, row.since, is_told)
            else {
                return Ok(());
            };
            for (joined, address, begun) in &self.first_joined {
                let told = (Box::from(slug.as_str()), *begun);
                if address == slug
                    && *joined != id
                    && self.upto.covers(*begun)
                    && !self.superseding.contains(&told)
                {
                    self.superseding.push(told);
                }
            }
            Ok(())
        })
    }

    fn page(
        mut self,
        since: Pos,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Page, Unreadable> {
        let (runs, beyond) = self.runs(entries_max)?;
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut done = since;
        let mut full = false;
        for run in &runs {
            let stream = &self.streams[run.stream];
            let left = bytes_max.saturating_sub(bytes);
            let found = if run.count == 1 {
                Vec::from_iter(entries::at_place(self.source, stream.id, run.first)?)
            } else {
                let range = (run.first, run.last.next());
                entries::entries(self.source, stream.id, range, End::First, run.count, left)?
            };
            let whole = found.is_empty() || found.len() == run.count;
            for Found { place, entry } in found {
                // What is damaged is passed, or nobody would ever get what stands behind it.
                let Some(entry) = entry else {
                    done = place.pos;
                    continue;
                };
                let size = entry.wire.len() + stream.conv.len() + ENTRY_BYTES;
                if !items.is_empty() && bytes + size > bytes_max {
                    full = true;
                    break;
                }
                bytes += size;
                done = place.pos;
                items.push(Item::Entry(stream.conv.clone(), stream.id, entry));
            }
            // The source stops where a page would.
            full |= !whole;
            if full {
                break;
            }
            done = run.last.pos;
        }
        let mut more = full || beyond;
        let mut upto = if more { done } else { Pos::MAX };
        self.insert_left(&mut items, upto);
        // An account can have left any number of conversations.
        if let Some(last) = items.get(entries_max - 1).map(Item::pos)
            && items.last().is_some_and(|item| item.pos() > last)
        {
            items.truncate(items.partition_point(|item| item.pos() <= last));
            (upto, more) = (last, true);
        }
        let contained = self.upto.cut(upto);
        self.gaps.retain(|gap| contained.covers(gap.joined));
        Ok(Page {
            items,
            gaps: self.gaps,
            upto: contained,
            more,
        })
    }

    /// What was left, behind the entries that say so; and that a deleted group was, in front of the entry with which the account
    /// has come into the next one of its slug.
    fn insert_left(&mut self, items: &mut Vec<Item>, upto: Pos) {
        for (conv, pos, deleted) in std::mem::take(&mut self.left) {
            if pos <= upto {
                let at = items.partition_point(|item| item.pos() <= pos);
                items.insert(at, Item::Left { conv, pos, deleted });
            }
        }
        for (conv, joined) in std::mem::take(&mut self.superseding) {
            if joined <= upto {
                let at = items.partition_point(|item| item.pos() < joined);
                items.insert(at, Item::Superseded { conv, joined });
            }
        }
    }

    /// Where the first entries stand, and whether there are more than those.
    fn runs(&mut self, entries_max: usize) -> Result<(Vec<Run>, bool), Unreadable> {
        let source = self.source;
        let first = (2 * entries_max / self.streams.len().max(1)).clamp(1, entries_max);
        let mut next = BinaryHeap::with_capacity(self.streams.len());
        for (at, stream) in self.streams.iter_mut().enumerate() {
            let place = stream.fill(source, first)?;
            next.extend(place.map(|(part, place)| Reverse((place.pos, at, part, place))));
        }
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..entries_max {
            let Some(Reverse((_, at, part, place))) = next.pop() else {
                break;
            };
            match runs.last_mut() {
                Some(run) if (run.stream, run.part) == (at, part) => {
                    run.last = place;
                    run.count += 1;
                }
                Some(_) | None => runs.push(Run {
                    stream: at,
                    part,
                    first: place,
                    last: place,
                    count: 1,
                }),
            }
            let stream = &mut self.streams[at];
            stream.read.pop_front();
            let place = stream.fill(source, CHUNK)?;
            next.extend(place.map(|(part, place)| Reverse((place.pos, at, part, place))));
        }
        Ok((runs, !next.is_empty()))
    }
}

impl Item {
    /// Where it stands among the others. What has the same place is in the same page.
    fn pos(&self) -> Pos {
        match self {
            Self::Entry(_, _, entry) => entry.pos,
            Self::Left { pos, .. } => *pos,
            Self::Superseded { joined, .. } => *joined,
        }
    }
}

impl Stream {
    /// Gives the conversation its parts from a position on, one for each time that the account was a member; returns the gaps between.
    fn divide(
        &mut self,
        source: &dyn Source,
        row: &Joined,
        tail: &Tail,
        first: Pos,
    ) -> Result<Vec<Gap>, Unreadable> {
        let seek = |pos: Pos| tail.seek(source, pos);
        let mut gaps = Vec::new();
        let mut before = Seq::ZERO;
        let current = row.since.map(|since| (since, Pos::MAX, Seq::MAX));
        let stays = row
            .stays
            .iter()
            .map(|stay| (stay.since, stay.until, stay.seq));
        for (begun, until, seq) in stays.chain(current) {
            if until >= first {
                let from = seek(begun.max(first))?;
                if begun >= first && from.seq > before {
                    gaps.push(Gap {
                        conv: self.conv.clone(),
                        after: before,
                        before: from.seq.next(),
                        joined: begun,
                    });
                }
                let known = tail.since(begun.max(first));
                match known.filter(|_| until == Pos::MAX && self.parts.is_empty()) {
                    Some(known) => self.read.extend(known.into_iter().map(|place| (0, place))),
                    None if until == Pos::MAX => self.parts.push_back((from, Place::LAST)),
                    None => self.parts.push_back((from, seek(until.next())?)),
                }
            }
            before = seq;
        }
        Ok(gaps)
    }

    /// The next place, read if need be, and its part.
    fn fill(
        &mut self,
        source: &dyn Source,
        chunk: usize,
    ) -> Result<Option<(usize, Place)>, Unreadable> {
        while self.read.is_empty() {
            let behind = self.parts.len();
            let Some(part) = self.parts.front_mut() else {
                break;
            };
            let found = entries::places(source, self.id, *part, chunk)?;
            match found.last() {
                Some(last) if found.len() == chunk => part.0 = last.next(),
                Some(_) | None => drop(self.parts.pop_front()),
            }
            self.read
                .extend(found.into_iter().map(|place| (behind, place)));
        }
        let next = self.read.front().copied();
        Ok(next.filter(|(_, place)| place.pos <= self.upto))
    }
}
