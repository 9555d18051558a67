//! A page of one conversation's entries. Runs where a disk may be waited for.

use bytes::Bytes;
use records::{AccountId, ConversationKind, Entry, HistoryAccess, Joined, Pos, Seq};

use crate::command::Address;
use crate::format::wire;
use crate::refusal::Refusal;
use crate::sessions::queries::joined;
use crate::sessions::reply::{self, PAGE_BYTES_MAX};
use crate::stored::conversations;
use crate::stored::entries::{self, EVERYWHERE, Found, Place, Tail};
use crate::stored::source::{End, ROW_OVERHEAD_MAX, Source, Unreadable};

/// A place in a conversation, as clients name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    Message(Seq),
    Entry(Pos),
}

/// Which page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    Latest,
    Before(Named),
    After(Named),
    Around(Seq),
}

/// A question for a page.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) account: AccountId,
    pub(crate) conv: Box<str>,
    pub(crate) address: Address,
    pub(crate) window: Window,
    pub(crate) limit: usize,
}

/// Entries in ascending order, whether there are more in the direction asked, and from where on.
#[derive(Debug, Default)]
struct Page {
    found: Vec<Found>,
    more: bool,
    /// What to name as `before`, or for a page after something as `after`, to get the next page.
    next: Option<Pos>,
}

/// A conversation and what of it may be read.
struct Readable<'a> {
    source: &'a dyn Source,
    id: records::ConversationId,
    newest: Place,
    tail: Tail,
    /// From one place up to another, which is not included, ascending.
    parts: Vec<(Place, Place)>,
}

impl History {
    /// The answer.
    pub(crate) fn json(&self, source: &dyn Source) -> Result<Bytes, Unreadable> {
        let Some(id) = conversations::find(source, &self.address)? else {
            // A chat that has not begun is empty, which is no mistake.
            return Ok(match &self.address {
                Address::Pair { .. } => self.page_json(Page::default()),
                Address::Group(_) => reply::error(&Refusal::no_such_conversation(&self.conv)),
            });
        };
        let Some(row) = joined::find(source, self.account, id)?.filter(|row| row.since.is_some())
        else {
            return Ok(reply::error(&Refusal::not_a_member(&self.conv)));
        };
        let tail = Tail::read(source, id)?;
        let Some(newest) = tail.newest() else {
            return Ok(self.page_json(Page::default()));
        };
        let readable = Readable {
            source,
            id,
            newest,
            tail,
            parts: Vec::new(),
        };
        let parts = match conversations::record(source, id)?.map(|record| record.kind) {
            Some(ConversationKind::Group {
                history: HistoryAccess::Joined,
                ..
            }) => readable.stays(&row)?,
            _ => vec![EVERYWHERE],
        };
        let readable = Readable { parts, ..readable };
        self.read(&readable).map(|page| self.page_json(page))
    }

    fn read(&self, readable: &Readable<'_>) -> Result<Page, Unreadable> {
        let (limit, bytes_max) = (self.limit, PAGE_BYTES_MAX);
        match self.window {
            Window::Latest => readable.older(Place::LAST, limit, bytes_max),
            Window::Before(named) => readable.older(readable.place(named)?, limit, bytes_max),
            Window::After(Named::Message(seq)) if seq > readable.newest.seq => Ok(Page::default()),
            Window::After(Named::Message(Seq::ZERO)) => {
                readable.newer(Place::FIRST, limit, bytes_max)
            }
            Window::After(named) => {
                let start = match named {
                    // Behind the message itself.
                    Named::Message(seq) => {
                        let place = readable.message(seq)?;
                        place.map_or(Place::of_message(seq.next()), Place::next)
                    }
                    Named::Entry(pos) => readable.place(Named::Entry(pos.next()))?,
                };
                readable.newer(start, limit, bytes_max)
            }
            Window::Around(seq) => {
                let middle = readable.place(Named::Message(seq))?;
                let half = limit / 2;
                let mut page = readable.older(middle, half, bytes_max / 2)?;
                let after = readable.newer(middle, limit - half, bytes_max / 2)?;
                page.found.extend(after.found);
                page.more |= after.more;
                page.next = page.found.first().map(|found| found.place.pos);
                Ok(page)
            }
        }
    }

    fn page_json(&self, page: Page) -> Bytes {
        // Damaged ones take their place of the page, so that the next one begins behind them.
        let entries = page.found.into_iter().filter_map(|found| found.entry);
        let entries: Vec<Entry> = entries.collect();
        let bytes: usize = entries.iter().map(|entry| entry.wire.len() + 1).sum();
        let mut out = Vec::with_capacity(bytes + self.conv.len() + 80);
        out.extend_from_slice(br#"{"conv":"#);
        out.extend_from_slice(&wire::json(&self.conv));
        out.extend_from_slice(br#","entries":["#);
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&entry.wire);
        }
        out.extend_from_slice(br#"],"more":"#);
        out.extend_from_slice(reply::truth(page.more));
        if let Some(next) = page.next {
            out.extend_from_slice(br#","next":"#);
            out.extend_from_slice(&wire::json(&next.to_string()));
        }
        out.push(b'}');
        out.into()
    }
}

impl Readable<'_> {
    /// What a member may read who gets nothing of the times when it was none.
    fn stays(&self, row: &Joined) -> Result<Vec<(Place, Place)>, Unreadable> {
        let mut parts = Vec::new();
        for stay in &row.stays {
            parts.push((self.seek(stay.since)?, self.seek(stay.until.next())?));
        }
        if let Some(since) = row.since {
            parts.push((self.seek(since)?, Place::LAST));
        }
        Ok(parts)
    }

    fn seek(&self, pos: Pos) -> Result<Place, Unreadable> {
        self.tail.seek(self.source, pos)
    }

    /// Where a message stands, or would.
    fn place(&self, named: Named) -> Result<Place, Unreadable> {
        match named {
            Named::Message(seq) => Ok(Place::of_message(seq)),
            Named::Entry(pos) => self.seek(pos),
        }
    }

    fn message(&self, seq: Seq) -> Result<Option<Place>, Unreadable> {
        let found = entries::message(self.source, self.id, seq)?;
        Ok(found.map(|found| found.place))
    }

    /// The newest entries before `end`.
    fn older(&self, end: Place, limit: usize, bytes_max: usize) -> Result<Page, Unreadable> {
        let mut page = Page::default();
        let (mut left, mut bytes) = (limit, bytes_max);
        for (from, to) in self.parts.iter().rev() {
            let range = (*from, (*to).min(end));
            if page.more || range.0 >= range.1 {
                continue;
            }
            if left == 0 || bytes == 0 {
                page.more = !self.is_empty(range)?;
                continue;
            }
            let part = self.part(range, End::Last, left, bytes)?;
            left -= part.found.len();
            bytes = bytes.saturating_sub(part.found.iter().map(Found::bytes).sum());
            page.more = part.more;
            page.found.extend(part.found);
        }
        page.next = page.found.last().map(|found| found.place.pos);
        page.found.reverse();
        Ok(page)
    }

    /// The oldest entries from `start` on.
    fn newer(&self, start: Place, limit: usize, bytes_max: usize) -> Result<Page, Unreadable> {
        let mut page = Page::default();
        let (mut left, mut bytes) = (limit, bytes_max);
        for (from, to) in &self.parts {
            let range = ((*from).max(start), *to);
            if page.more || range.0 >= range.1 {
                continue;
            }
            if left == 0 || bytes == 0 {
                page.more = !self.is_empty(range)?;
                continue;
            }
            let part = self.part(range, End::First, left, bytes)?;
            left -= part.found.len();
            bytes = bytes.saturating_sub(part.found.iter().map(Found::bytes).sum());
            page.more = part.more;
            page.found.extend(part.found);
        }
        page.next = page.found.last().map(|found| found.place.pos);
        Ok(page)
    }

    fn is_empty(&self, range: (Place, Place)) -> Result<bool, Unreadable> {
        let found = entries::places(self.source, self.id, range, 1)?;
        Ok(found.is_empty())
    }

    /// As many from one end of a part as fit, one at least.
    fn part(
        &self,
        (from, to): (Place, Place),
        end: End,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, Unreadable> {
        let range = (from, to);
        let found = entries::entries(self.source, self.id, range, end, limit + 1, bytes_max)?;
        let (mut page, open) = cut(found, limit, bytes_max);
        if let (Some(last), true) = (page.found.last(), open) {
            let rest = match end {
                End::First => (last.place.next(), to),
                End::Last => (from, last.place),
            };
            page.more = !self.is_empty(rest)?;
        }
        Ok(page)
    }
}

/// As many from the front as a page holds, one at least if one is wanted; and whether the reading may have ended before the
/// conversation did, so that it is not known yet whether there is more.
fn cut(mut found: Vec<Found>, limit: usize, bytes_max: usize) -> (Page, bool) {
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
    let page = Page {
        found,
        more,
        next: None,
    };
    (page, !more && (damaged || read > bytes_max))
}
