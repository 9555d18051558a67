//! A page of one conversation's entries. Runs where a disk may be waited for.

use records::{ConversationId, Entry, Pos, Seq};

use crate::reply::PAGE_BYTES_MAX;
use crate::source::{ENTRY_OVERHEAD_MAX, Source, Unreadable};

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
        match self.window {
            Window::Latest => older(source, id, Pos::MAX, limit, bytes_max),
            Window::Before(place) => {
                let end = match place {
                    Place::Message(seq) => source.pos_of(id, seq)?.unwrap_or(Pos::MAX),
                    Place::Entry(pos) => pos,
                };
                older(source, id, end, limit, bytes_max)
            }
            Window::After(Place::Message(Seq::ZERO)) => {
                newer(source, id, Pos::ZERO, limit, bytes_max)
            }
            Window::After(place) => {
                let last = match place {
                    Place::Message(seq) => source.pos_of(id, seq)?,
                    Place::Entry(pos) => Some(pos),
                };
                match last.filter(|last| *last < Pos::MAX) {
                    Some(last) => newer(source, id, last.next(), limit, bytes_max),
                    None => Ok(Page::default()),
                }
            }
            Window::Around(seq) => {
                let middle = source.pos_of(id, seq)?.unwrap_or(Pos::MAX);
                let half = limit / 2;
                let before = older(source, id, middle, half, bytes_max / 2)?;
                let after = newer(source, id, middle, limit - half, bytes_max / 2)?;
                let mut entries = before.entries;
                entries.extend(after.entries);
                Ok(Page {
                    next: entries.first().map(|entry| entry.pos),
                    entries,
                    more: before.more || after.more,
                })
            }
        }
    }
}

/// The newest entries before `end`.
fn older(
    source: &dyn Source,
    id: ConversationId,
    end: Pos,
    limit: usize,
    bytes_max: usize,
) -> Result<Page, Unreadable> {
    let found = source.entries(id, Pos::ZERO, end, true, limit + 1, bytes_max)?;
    let mut page = cut(found, limit, bytes_max);
    page.next = page.entries.last().map(|entry| entry.pos);
    if let (Some(oldest), true) = (page.next, page.open) {
        page.more = !source
            .entries(id, Pos::ZERO, oldest, true, 1, 1)?
            .is_empty();
    }
    page.entries.reverse();
    Ok(page.into())
}

/// The oldest entries from `start` on.
fn newer(
    source: &dyn Source,
    id: ConversationId,
    start: Pos,
    limit: usize,
    bytes_max: usize,
) -> Result<Page, Unreadable> {
    let found = source.entries(id, start, Pos::MAX, false, limit + 1, bytes_max)?;
    let mut page = cut(found, limit, bytes_max);
    page.next = page.entries.last().map(|entry| entry.pos);
    if let (Some(newest), true) = (page.next, page.open) {
        page.more = !source.positions(id, newest.next(), Pos::MAX, 1)?.is_empty();
    }
    Ok(page.into())
}

/// What of a reading goes into a page.
struct Cut {
    entries: Vec<Entry>,
    more: bool,
    next: Option<Pos>,
    /// Whether the reading may have ended before the conversation did, so that `more` is not known yet.
    open: bool,
}

impl From<Cut> for Page {
    fn from(cut: Cut) -> Self {
        Self {
            entries: cut.entries,
            more: cut.more,
            next: cut.next,
        }
    }
}

/// As many from the front as a page holds, one at least if one is wanted.
fn cut(mut entries: Vec<Entry>, limit: usize, bytes_max: usize) -> Cut {
    let mut bytes = 0;
    let fitting = entries
        .iter()
        .take(limit)
        .take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.wire.len() + 1;
            first || bytes <= bytes_max
        })
        .count();
    let more = entries.len() > fitting;
    let read: usize = entries
        .iter()
        .map(|entry| entry.wire.len() + ENTRY_OVERHEAD_MAX)
        .sum();
    entries.truncate(fitting);
    Cut {
        entries,
        more,
        next: None,
        open: !more && read > bytes_max,
    }
}
