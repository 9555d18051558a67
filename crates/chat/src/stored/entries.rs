//! Entries as the messenger takes them out of the store: what each must say, and which are damaged. What is damaged reaches nobody,
//! and keeps nobody from what stands beside it. Must not decide what is asked for.

use std::borrow::Cow;

use bytes::Bytes;
use records::{ConversationId, Entry, KeyRange, Millis, Pos, Seq, key};
use serde::Deserialize;

use crate::format::head;
use crate::stored::damaged::Damaged;
use crate::stored::source::{End, Source, Unreadable};

/// Where an entry stands in its conversation: the number of the newest message then, its own if it is one, and its position.
/// Both grow together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) pos: Pos,
}

impl Place {
    /// Before every entry.
    pub(crate) const FIRST: Self = Self {
        seq: Seq::ZERO,
        pos: Pos::ZERO,
    };
    /// Behind every entry.
    pub(crate) const LAST: Self = Self {
        seq: Seq::MAX,
        pos: Pos::MAX,
    };

    /// Where a message stands, before everything else since the one before it.
    pub(crate) fn of_message(seq: Seq) -> Self {
        let pos = Pos::ZERO;
        Self { seq, pos }
    }

    /// The first that comes behind it.
    pub(crate) fn next(self) -> Self {
        let pos = self.pos.next();
        Self { pos, ..self }
    }
}

/// An entry's place, and the entry unless it is damaged.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) entry: Option<Entry>,
}

impl Found {
    /// Bytes of what goes out.
    pub(crate) fn bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.wire.len())
    }
}

/// Entries of a conversation from one place up to another, which is not included, beginning at one end, at most `limit`, up to about
/// `bytes_max`; one at least.
pub(crate) fn entries(
    source: &dyn Source,
    conversation: ConversationId,
    (from, to): (Place, Place),
    end: End,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Found>, Unreadable> {
    let mut range = between(conversation, from, to);
    let mut found = Vec::new();
    let mut bytes = 0;
    while found.len() < limit && range.from < range.to && bytes <= bytes_max {
        let rows = source.rows(&range, end, limit - found.len(), bytes_max - bytes)?;
        let before = found.len();
        for (at, value) in &rows {
            bytes += value.len();
            found.extend(entry(source, at, value));
        }
        // Keys that are none count for nothing, or they would hide what stands behind them.
        let strays = before + rows.len() - found.len();
        match rows.last() {
            Some((last, _)) if strays > 0 => go_on(&mut range, end, last),
            Some(_) | None => break,
        }
    }
    Ok(found)
}

/// Where entries of a conversation stand from one place up to another, which is not included, ascending, at most `limit`; the
/// entries are not read.
pub(crate) fn places(
    source: &dyn Source,
    conversation: ConversationId,
    (from, to): (Place, Place),
    limit: usize,
) -> Result<Vec<Place>, Unreadable> {
    let mut range = between(conversation, from, to);
    let mut found = Vec::new();
    while found.len() < limit && range.from < range.to {
        let keys = source.keys(&range, End::First, limit - found.len())?;
        let before = found.len();
        found.extend(keys.iter().filter_map(|at| place(source, at)));
        let strays = before + keys.len() - found.len();
        match keys.last() {
            Some(last) if strays > 0 => go_on(&mut range, End::First, last),
            Some(_) | None => break,
        }
    }
    Ok(found)
}

/// The newest entry of a conversation.
pub(crate) fn newest(
    source: &dyn Source,
    conversation: ConversationId,
) -> Result<Option<Found>, Unreadable> {
    let found = entries(source, conversation, EVERYWHERE, End::Last, 1, 1)?;
    Ok(found.into_iter().next())
}

/// Where the newest entry of a conversation stands.
pub(crate) fn newest_place(
    source: &dyn Source,
    conversation: ConversationId,
) -> Result<Option<Place>, Unreadable> {
    let range = between(conversation, Place::FIRST, Place::LAST);
    let keys = source.keys(&range, End::Last, 1)?;
    match keys.first().map(|at| place(source, at)) {
        Some(Some(newest)) => Ok(Some(newest)),
        // Its key is none: what stands before it counts.
        Some(None) => Ok(newest(source, conversation)?.map(|found| found.place)),
        None => Ok(None),
    }
}

/// Every place of a conversation.
pub(crate) const EVERYWHERE: (Place, Place) = (Place::FIRST, Place::LAST);

/// Places that are read at once from the end of a conversation: mostly what is new lies among them.
const TAIL_MAX: usize = 8;

/// Where the newest entries of a conversation stand.
#[derive(Debug)]
pub(crate) struct Tail {
    conversation: ConversationId,
    /// The newest first.
    places: Vec<Place>,
}

impl Tail {
    pub(crate) fn read(
        source: &dyn Source,
        conversation: ConversationId,
    ) -> Result<Self, Unreadable> {
        let range = between(conversation, Place::FIRST, Place::LAST);
        let keys = source.keys(&range, End::Last, TAIL_MAX)?;
        let places = keys.iter().filter_map(|at| place(source, at)).collect();
        Ok(Self {
            conversation,
            places,
        })
    }

    /// The newest entry.
    pub(crate) fn newest(&self) -> Option<Place> {
        self.places.first().copied()
    }

    /// The entries at or behind a position, ascending, if all of them are known.
    pub(crate) fn since(&self, pos: Pos) -> Option<Vec<Place>> {
        let count = self
            .places
            .iter()
            .take_while(|place| place.pos >= pos)
            .count();
        let is_known = count < self.places.len() || self.places.len() < TAIL_MAX;
        is_known.then(|| self.places[..count].iter().rev().copied().collect())
    }

    /// The place where entries at or behind a position begin. Numbers grow with positions: it is found among them by halving, from
    /// the newest backwards.
    pub(crate) fn seek(&self, source: &dyn Source, pos: Pos) -> Result<Place, Unreadable> {
        let before = self.places.iter().find(|place| place.pos < pos);
        if let Some(before) = before {
            let seq = before.seq;
            return Ok(Place { seq, pos });
        }
        if self.places.len() < TAIL_MAX {
            let seq = Seq::ZERO;
            return Ok(Place { seq, pos });
        }
        let lies_before = |seq: u64| -> Result<bool, Unreadable> {
            let range = (Place::of_message(Seq::new(seq)), Place::LAST);
            let first = places(source, self.conversation, range, 1)?;
            Ok(first.first().is_none_or(|first| first.pos < pos))
        };
        let oldest = self.places.last().map_or(Seq::ZERO, |oldest| oldest.seq);
        let mut high = oldest.value();
        let mut low = high;
        let mut step = 1;
        while low > 0 && !lies_before(low)? {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if lies_before(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        let seq = Seq::new(low);
        Ok(Place { seq, pos })
    }
}

/// The entry that stands in a place; `None` if there is none any more.
pub(crate) fn at_place(
    source: &dyn Source,
    conversation: ConversationId,
    place: Place,
) -> Result<Option<Found>, Unreadable> {
    let at = Bytes::from(key::entry(conversation, place.seq, place.pos));
    let value = source.value(&at)?;
    Ok(value.and_then(|value| entry(source, &at, &value)))
}

/// A message by its number: its place, and itself unless it is damaged; `None` if there is none.
pub(crate) fn message(
    source: &dyn Source,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<Found>, Unreadable> {
    let range = (Place::of_message(seq), Place::of_message(seq.next()));
    let found = entries(source, conversation, range, End::First, 1, 1)?;
    let first = found.into_iter().next();
    // Only an event that followed it is left.
    let is_it = |found: &Found| found.entry.as_ref().is_none_or(|entry| entry.seq.is_some());
    Ok(first.filter(is_it))
}

/// An entry's row; `None` if its key is none.
fn entry(source: &dyn Source, at: &Bytes, value: &Bytes) -> Option<Found> {
    let place = place(source, at)?;
    let entry = match Entry::decode(value) {
        Ok(entry) => match check(place, &entry) {
            Ok(None) => Ok(entry),
            Ok(Some(ttl)) => Ok(unless_expired(entry, ttl, source.now())),
            Err(what) => Err(Damaged::untrue(at, what)),
        },
        Err(error) => Err(Damaged::new(at, error)),
    };
    let entry = entry.inspect_err(|damaged| source.damaged(damaged)).ok();
    Some(Found { place, entry })
}

fn place(source: &dyn Source, at: &[u8]) -> Option<Place> {
    match key::parse_entry(at) {
        Ok((_, seq, pos)) => Some(Place { seq, pos }),
        Err(error) => {
            source.damaged(&Damaged::new(at, error));
            None
        }
    }
}

/// The entry, or what is left of it once its seconds are over.
fn unless_expired(entry: Entry, ttl: u32, now: Millis) -> Entry {
    if now.since(entry.at) < u64::from(ttl) * 1_000 {
        return entry;
    }
    let wire = head::expired(&entry.wire).unwrap_or_default();
    Entry { wire, ..entry }
}

/// What is wrong with an entry that can be read, or after how many seconds it has expired. A position is given once, so that an entry
/// that says the one of its key is in its place.
fn check(place: Place, entry: &Entry) -> Result<Option<u32>, &'static str> {
    #[derive(Deserialize)]
    struct Stamps<'a> {
        #[serde(borrow)]
        pos: Cow<'a, str>,
        #[serde(default)]
        seq: Option<u64>,
        #[serde(default)]
        ttl: Option<u32>,
    }
    if entry.pos != place.pos {
        return Err("it stands in another entry's place");
    }
    if entry.seq.is_some_and(|seq| seq != place.seq) {
        return Err("it stands in the place of another number");
    }
    let wire = std::str::from_utf8(&entry.wire).ok();
    let wire = wire.filter(|wire| wire.starts_with('{'));
    let stamps = wire.and_then(|wire| serde_json::from_str::<Stamps<'_>>(wire).ok());
    let Some(stamps) = stamps else {
        return Err("what goes out of it is no JSON of an entry");
    };
    let seq = entry.seq.is_none() || stamps.seq.map(Seq::new) == entry.seq;
    let same = stamps.pos.parse() == Ok(place.pos) && seq;
    if !same {
        return Err("what goes out of it says another place");
    }
    Ok(stamps.ttl)
}

fn between(conversation: ConversationId, from: Place, to: Place) -> KeyRange {
    KeyRange {
        from: key::entry(conversation, from.seq, from.pos),
        to: key::entry(conversation, to.seq, to.pos),
    }
}

fn go_on(range: &mut KeyRange, end: End, last: &[u8]) {
    match end {
        End::First => range.from = [last, &[0]].concat(),
        End::Last => range.to = last.to_vec(),
    }
}
