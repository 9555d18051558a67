//! A page of one conversation's entries. Runs where a disk may be waited for.

use records::{ConversationId, Entry, Pos, Seq};

use crate::reply::PAGE_BYTES_MAX;
use crate::source::{End, ROW_OVERHEAD_MAX, Source, Unreadable};
use crate::stored::{self, Found, Standing};

/// A place in a conversation, as clients name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Message(Seq),
    Entry(Pos),
}

/// Which page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    Latest,
    Before(Place),
    After(Place),
    Around(Seq),
}

/// A question for a page.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) conv: Box<str>,
    /// `None` for a chat that has not begun.
    pub(crate) conversation: Option<ConversationId>,
    pub(crate) window: Window,
    pub(crate) limit: usize,
}

/// Entries in ascending order, whether there are more in the direction asked, and from where on.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) more: bool,
    /// What to name as `before`, or for a page after something as `after`, to get the next page.
    pub(crate) next: Option<Pos>,
}

impl History {
    pub(crate) fn read(&self, source: &dyn Source) -> Result<Page, Unreadable> {
        let Some(id) = self.conversation else {
            return Ok(Page::default());
        };
        let (limit, bytes_max) = (self.limit, PAGE_BYTES_MAX);
        let found = match self.window {
            Window::Latest => older(source, id, Pos::MAX, limit, bytes_max)?,
            Window::Before(place) => {
                let end = match place {
                    Place::Message(seq) => stands(source, id, seq)?.unwrap_or(Pos::MAX),
                    Place::Entry(pos) => pos,
                };
                older(source, id, end, limit, bytes_max)?
            }
            Window::After(Place::Message(Seq::ZERO)) => {
                newer(source, id, Pos::ZERO, limit, bytes_max)?
            }
            Window::After(place) => {
                let last = match place {
                    Place::Message(seq) => stands(source, id, seq)?,
                    Place::Entry(pos) => Some(pos),
                };
                match last.filter(|last| *last < Pos::MAX) {
                    Some(last) => newer(source, id, last.next(), limit, bytes_max)?,
                    None => Cut::default(),
                }
            }
            Window::Around(seq) => {
                let middle = stands(source, id, seq)?.unwrap_or(Pos::MAX);
                let half = limit / 2;
                let mut before = older(source, id, middle, half, bytes_max / 2)?;
                let after = newer(source, id, middle, limit - half, bytes_max / 2)?;
                before.found.extend(after.found);
                before.more |= after.more;
                before.next = before.found.first().map(|found| found.pos);
                before
            }
        };
        Ok(found.into())
    }
}

/// Where a message stands; `None` if there is none of that number. A place that cannot be known is no place to count from.
fn stands(source: &dyn Source, id: ConversationId, seq: Seq) -> Result<Option<Pos>, Unreadable> {
    match stored::message(source, id, seq)?.0 {
        Standing::At(pos) => Ok(Some(pos)),
        Standing::Nowhere => Ok(None),
        Standing::Damaged => Err(Unreadable),
    }
}

/// The newest entries before `end`.
fn older(
    source: &dyn Source,
    id: ConversationId,
    end: Pos,
    limit: usize,
    bytes_max: usize,
) -> Result<Cut, Unreadable> {
    let range = (Pos::ZERO, end);
    let found = stored::entries(source, id, range, End::Last, limit + 1, bytes_max)?;
    let mut page = cut(found, limit, bytes_max);
    page.next = page.found.last().map(|found| found.pos);
    if let (Some(oldest), true) = (page.next, page.open) {
        let range = (Pos::ZERO, oldest);
        page.more = !stored::entries(source, id, range, End::Last, 1, 1)?.is_empty();
    }
    page.found.reverse();
    Ok(page)
}

/// The oldest entries from `start` on.
fn newer(
    source: &dyn Source,
    id: ConversationId,
    start: Pos,
    limit: usize,
    bytes_max: usize,
) -> Result<Cut, Unreadable> {
    let range = (start, Pos::MAX);
    let found = stored::entries(source, id, range, End::First, limit + 1, bytes_max)?;
    let mut page = cut(found, limit, bytes_max);
    page.next = page.found.last().map(|found| found.pos);
    if let (Some(newest), true) = (page.next, page.open) {
        let range = (newest.next(), Pos::MAX);
        page.more = !stored::positions(source, id, range, 1)?.is_empty();
    }
    Ok(page)
}

/// What of a reading goes into a page.
#[derive(Default)]
struct Cut {
    found: Vec<Found>,
    more: bool,
    next: Option<Pos>,
    /// Whether the reading may have ended before the conversation did, so that `more` is not known yet.
    open: bool,
}

impl From<Cut> for Page {
    fn from(cut: Cut) -> Self {
        Self {
            // Damaged ones take their place of the page, so that the next one begins behind them.
            entries: cut
                .found
                .into_iter()
                .filter_map(|found| found.entry)
                .collect(),
            more: cut.more,
            next: cut.next,
        }
    }
}

/// As many from the front as a page holds, one at least if one is wanted.
fn cut(mut found: Vec<Found>, limit: usize, bytes_max: usize) -> Cut {
    let mut bytes = 0;
    let fitting = found
        .iter()
        .take(limit)
        .take_while(|found| {
            let first = bytes == 0;
            bytes += found.bytes() + 1;
            first || bytes <= bytes_max
        })
        .count();
    let more = found.len() > fitting;
    // Of a damaged one it is not known how much was read.
    let damaged = found.iter().any(|found| found.entry.is_none());
    let read: usize = found
        .iter()
        .map(|found| found.bytes() + ROW_OVERHEAD_MAX)
        .sum();
    found.truncate(fitting);
    Cut {
        found,
        more,
        next: None,
        open: !more && (damaged || read > bytes_max),
    }
}
