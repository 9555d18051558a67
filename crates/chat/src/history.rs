//! A page of one conversation's entries. Runs where a disk may be waited for.

use records::{ConversationId, Entry, Pos, Seq};

use crate::reply::PAGE_BYTES_MAX;
use crate::source::{Source, Unreadable};

/// Which page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    Latest,
    Before(Seq),
    After(Seq),
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

/// Entries in ascending order, and whether there are more in the direction asked.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) more: bool,
}

impl History {
    pub(crate) fn read(&self, source: &dyn Source) -> Result<Page, Unreadable> {
        let Some(id) = self.conversation else {
            return Ok(Page::default());
        };
        match self.window {
            Window::Latest => older(source, id, Pos::MAX, self.limit, PAGE_BYTES_MAX),
            Window::Before(seq) => {
                let end = source.pos_of(id, seq)?.unwrap_or(Pos::MAX);
                older(source, id, end, self.limit, PAGE_BYTES_MAX)
            }
            Window::After(Seq::ZERO) => newer(source, id, Pos::ZERO, self.limit, PAGE_BYTES_MAX),
            Window::After(seq) => match source.pos_of(id, seq)? {
                Some(pos) => newer(source, id, pos.next(), self.limit, PAGE_BYTES_MAX),
                None => Ok(Page::default()),
            },
            Window::Around(seq) => {
                let middle = source.pos_of(id, seq)?.unwrap_or(Pos::MAX);
                let half = self.limit / 2;
                let before = older(source, id, middle, half, PAGE_BYTES_MAX / 2)?;
                let after = newer(source, id, middle, self.limit - half, PAGE_BYTES_MAX / 2)?;
                let mut entries = before.entries;
                entries.extend(after.entries);
                let more = before.more || after.more;
                Ok(Page { entries, more })
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
    let found = source.entries(id, Pos::ZERO, end, true, limit + 1)?;
    let mut page = cut(found, limit, bytes_max);
    page.entries.reverse();
    Ok(page)
}

/// The oldest entries from `start` on.
fn newer(
    source: &dyn Source,
    id: ConversationId,
    start: Pos,
    limit: usize,
    bytes_max: usize,
) -> Result<Page, Unreadable> {
    let found = source.entries(id, start, Pos::MAX, false, limit + 1)?;
    Ok(cut(found, limit, bytes_max))
}

/// As many from the front as a page holds, one at least if one is wanted.
fn cut(mut entries: Vec<Entry>, limit: usize, bytes_max: usize) -> Page {
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
    entries.truncate(fitting);
    Page { entries, more }
}
