//! `sync`: what an account has missed since a cursor, or, where that is too much, what a client begins anew with. Runs where a disk
//! may be waited for.

use bytes::Bytes;
use records::{Cursor, Place, Pos};

use crate::format::wire;
use crate::sessions::queries::feed::{Feed, Item, Page};
use crate::sessions::queries::joined;
use crate::sessions::queries::list::List;
use crate::sessions::queries::row::Described;
use crate::sessions::reply::{self, PAGE_BYTES_MAX};
use crate::stored::conversations;
use crate::stored::source::{Source, Unreadable};

/// Conversations with something new that are still paged.
const CONVERSATIONS_MAX: usize = 1_000;

/// A question for what is new.
#[derive(Debug)]
pub(crate) struct Sync {
    pub(crate) feed: Feed,
    pub(crate) limit: usize,
    /// Whether what has changed without an entry is wanted as well.
    pub(crate) states: bool,
}

impl Sync {
    /// The answer.
    pub(crate) fn json(self, source: &dyn Source) -> Result<Bytes, Unreadable> {
        let page = self
            .feed
            .read(source, CONVERSATIONS_MAX, self.limit, PAGE_BYTES_MAX)?;
        let states = match &page {
            Some(page) if self.states => self.states(source, &page.upto)?,
            Some(_) | None => Some(Vec::new()),
        };
        match (page, states) {
            (Some(page), Some(states)) => {
                let states = self.states.then_some(states);
                Ok(page_json(&page, states.as_deref()))
            }
            _ => List {
                account: self.feed.account,
                before: None,
                limit: None,
                upto: self.feed.upto,
                reset: true,
                names: self.feed.names,
            }
            .json(source),
        }
    }

    /// Conversations in which a marker of one's own or of a peer has moved since the cursor; `None` if there are too many.
    fn states(&self, source: &dyn Source, upto: &Cursor) -> Result<Option<Vec<Bytes>>, Unreadable> {
        let account = self.feed.account;
        let mut rows = Some(Vec::new());
        joined::each(source, account, |id, row| {
            let (Some(rows_so_far), Some(_), Some(partition)) =
                (&mut rows, row.since, id.partition())
            else {
                return Ok(());
            };
            let seen = self.feed.since.of(partition);
            let moved = |pos: Pos| pos > seen && pos <= upto.of(partition);
            let own = conversations::member(source, id, account)?;
            let mut has_moved = own.is_some_and(|member| moved(member.moved));
            if let (Place::Direct { peer }, false) = (&row.place, has_moved) {
                let peer = conversations::member(source, id, *peer)?;
                has_moved = peer.is_some_and(|member| moved(member.moved_shown()));
            }
            if !has_moved {
                return Ok(());
            }
            if rows_so_far.len() == CONVERSATIONS_MAX {
                rows = None;
                return Ok(());
            }
            if let Some(described) = Described::read(source, id, None)?
                && let Some(row) = described.row(account, &self.feed.names, source)?
            {
                rows_so_far.push(row.state_json());
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// The rest of an object that has begun.
fn write_left(out: &mut Vec<u8>, conv: &str, pos: Pos, deleted: bool) {
    out.extend_from_slice(&wire::json(&conv));
    let deleted = if deleted { r#","deleted":true"# } else { "" };
    let rest = format!(r#","kind":"left","pos":"{pos}"{deleted}}}"#);
    out.extend_from_slice(rest.as_bytes());
}

fn page_json(page: &Page, states: Option<&[Bytes]>) -> Bytes {
    let mut out = Vec::new();
    out.extend_from_slice(br#"{"entries":["#);
    for (at, item) in page.items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"conv":"#);
        match item {
            Item::Entry(conv, _, entry) => {
                out.extend_from_slice(&wire::json(conv));
                // Every entry is an object that is not empty: the conversation goes in front of what it begins with.
                out.push(b',');
                out.extend_from_slice(entry.wire.get(1..).unwrap_or_default());
            }
            Item::Left { conv, pos, deleted } => write_left(&mut out, conv, *pos, *deleted),
            Item::Superseded { conv, joined } => {
                // Older than the entry that follows, which is not of the group that was deleted.
                let pos = Pos::new(joined.value().saturating_sub(1));
                write_left(&mut out, conv, pos, true);
            }
        }
    }
    out.push(b']');
    if !page.gaps.is_empty() {
        out.extend_from_slice(br#","gaps":["#);
        for (at, gap) in page.gaps.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"conv":"#);
            out.extend_from_slice(&wire::json(&gap.conv));
            let numbers = format!(
                r#","after_seq":{},"before_seq":{}}}"#,
                gap.after, gap.before
            );
            out.extend_from_slice(numbers.as_bytes());
        }
        out.push(b']');
    }
    if let Some(states) = states {
        out.extend_from_slice(br#","states":["#);
        out.extend_from_slice(&states.join(&b','));
        out.push(b']');
    }
    let cursor = &page.upto;
    out.extend_from_slice(format!(r#","cursor":"{cursor}","more":"#).as_bytes());
    out.extend_from_slice(reply::truth(page.more));
    out.push(b'}');
    out.into()
}
