//! Rows as the messenger takes them out of the store: what each must say, and which are damaged. What is damaged reaches nobody,
//! and keeps nobody from what stands beside it. Must not decide what is asked for.

use std::borrow::Cow;

use bytes::Bytes;
use records::{AccountId, ConversationId, Dedup, Entry, KeyRange, Pos, Seq, key};
use serde::Deserialize;

use crate::damaged::Damaged;
use crate::source::{End, Source, Unreadable};

/// An entry's place, and the entry unless it is damaged.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pos: Pos,
    pub(crate) entry: Option<Entry>,
}

impl Found {
    /// Bytes of what goes out.
    pub(crate) fn bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.wire.len())
    }
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    At(Pos),
    Nowhere,
    /// The row that says so is damaged.
    Damaged,
}

/// Entries of a conversation with `from <= pos < to`, beginning at one end, at most `limit`, up to about `bytes_max`; one at least.
pub(crate) fn entries(
    source: &dyn Source,
    conversation: ConversationId,
    (from, to): (Pos, Pos),
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

/// Where entries of a conversation with `from <= pos < to` stand, ascending, at most `limit`; the entries are not read.
pub(crate) fn positions(
    source: &dyn Source,
    conversation: ConversationId,
    (from, to): (Pos, Pos),
    limit: usize,
) -> Result<Vec<Pos>, Unreadable> {
    let mut range = between(conversation, from, to);
    let mut found = Vec::new();
    while found.len() < limit && range.from < range.to {
        let keys = source.keys(&range, limit - found.len())?;
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

/// Where a message stands, as the table of numbers says.
pub(crate) fn pos_of(
    source: &dyn Source,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Standing, Unreadable> {
    let at = key::seq(conversation, seq);
    let Some(value) = source.value(&at)? else {
        return Ok(Standing::Nowhere);
    };
    Ok(match key::decode_pos(&value) {
        Ok(pos) => Standing::At(pos),
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Standing::Damaged
        }
    })
}

/// A message by its number, and its place. The table of numbers is believed only if the entry agrees.
pub(crate) fn message(
    source: &dyn Source,
    conversation: ConversationId,
    seq: Seq,
) -> Result<(Standing, Option<Entry>), Unreadable> {
    let standing = pos_of(source, conversation, seq)?;
    let Standing::At(pos) = standing else {
        return Ok((standing, None));
    };
    let found = entries(source, conversation, (pos, pos.next()), End::First, 1, 1)?;
    match found.into_iter().next() {
        Some(Found { entry: None, .. }) => Ok((standing, None)),
        Some(Found {
            entry: Some(entry), ..
        }) if entry.seq == Some(seq) => Ok((standing, Some(entry))),
        Some(_) | None => {
            let at = key::seq(conversation, seq);
            source.damaged(&Damaged::untrue(
                &at,
                "no message of this number stands there",
            ));
            Ok((Standing::Damaged, None))
        }
    }
}

/// What became of a `mid` in a week. One that is damaged is as good as a store that cannot be read: whether the message is
/// stored, nobody can tell.
pub(crate) fn mid(
    source: &dyn Source,
    (week, account, mid): (u32, AccountId, &str),
    lives: impl FnOnce(ConversationId) -> bool,
) -> Result<Option<Dedup>, Unreadable> {
    let at = key::dedup(week, account, mid);
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    let dedup = Dedup::decode(&value).map_err(|error| {
        source.damaged(&Damaged::new(&at, error));
        Unreadable
    })?;
    let sound = match pos_of(source, dedup.conversation, dedup.seq)? {
        Standing::At(pos) => pos == dedup.pos,
        // The group has ended since.
        Standing::Nowhere => !lives(dedup.conversation) && dedup.seq > Seq::ZERO,
        Standing::Damaged => false,
    };
    if sound {
        return Ok(Some(dedup));
    }
    source.damaged(&Damaged::untrue(
        &at,
        "it tells of a message that is not there",
    ));
    Err(Unreadable)
}

/// An entry's row; `None` if its key is none.
fn entry(source: &dyn Source, at: &Bytes, value: &Bytes) -> Option<Found> {
    let pos = place(source, at)?;
    let entry = match Entry::decode(value) {
        Ok(entry) => match fault(pos, &entry) {
            None => Ok(entry),
            Some(what) => Err(Damaged::untrue(at, what)),
        },
        Err(error) => Err(Damaged::new(at, error)),
    };
    let entry = entry.inspect_err(|damaged| source.damaged(damaged)).ok();
    Some(Found { pos, entry })
}

fn place(source: &dyn Source, at: &[u8]) -> Option<Pos> {
    match key::parse_entry(at) {
        Ok((_, pos)) => Some(pos),
        Err(error) => {
            source.damaged(&Damaged::new(at, error));
            None
        }
    }
}

/// What is wrong with an entry that can be read. A position is given once, so that an entry that says the one of its key is in its
/// place.
fn fault(pos: Pos, entry: &Entry) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Stamps<'a> {
        #[serde(borrow)]
        pos: Cow<'a, str>,
        #[serde(default)]
        seq: Option<u64>,
    }
    if entry.pos != pos {
        return Some("it stands in another entry's place");
    }
    let wire = std::str::from_utf8(&entry.wire).ok();
    let wire = wire.filter(|wire| wire.starts_with('{'));
    let stamps = wire.and_then(|wire| serde_json::from_str::<Stamps<'_>>(wire).ok());
    let Some(stamps) = stamps else {
        return Some("what goes out of it is no JSON of an entry");
    };
    // A receipt of an event may carry a number of its own.
    let seq = entry.seq.is_none() || stamps.seq.map(Seq::new) == entry.seq;
    let same = stamps.pos.parse() == Ok(pos) && seq;
    (!same).then_some("what goes out of it says another place")
}

fn between(conversation: ConversationId, from: Pos, to: Pos) -> KeyRange {
    KeyRange {
        from: key::entry(conversation, from),
        to: key::entry(conversation, to),
    }
}

fn go_on(range: &mut KeyRange, end: End, last: &[u8]) {
    match end {
        End::First => range.from = [last, &[0]].concat(),
        End::Last => range.to = last.to_vec(),
    }
}
