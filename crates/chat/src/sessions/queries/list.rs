//! `conversations`: an account's conversations, the one with the newest entry first. Runs where a disk may be waited for.

use std::cmp::Reverse;

use bytes::Bytes;
use records::{AccountId, ConversationId, Cursor, Pos};

use crate::sessions::queries::joined;
use crate::sessions::queries::names::Names;
use crate::sessions::queries::parts;
use crate::sessions::queries::row::{Described, Row};
use crate::sessions::reply::{self, PAGE_BYTES_MAX};
use crate::stored::entries;
use crate::stored::source::{Source, Unreadable};

/// Conversations in one list, if they fit; `before` then leads to the rest.
const ROWS_MAX: usize = 1_000;
/// Conversations that are read before it is known in which order they stand.
const SHORT_MAX: usize = 256;
/// From here on the list goes without newest messages, so that more conversations fit.
const HEADS_BYTES_MAX: usize = 192 * 1024;

/// A question for the list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) account: AccountId,
    pub(crate) before: Option<Pos>,
    pub(crate) limit: Option<usize>,
    /// Everything up to here is in the store: what comes behind it, a client gets otherwise.
    pub(crate) upto: Cursor,
    /// Whether the list is what a client begins anew with.
    pub(crate) reset: bool,
    pub(crate) names: Names,
}

impl List {
    /// The answer: as many as fit; `more` and `next` then say how the rest is asked for.
    pub(crate) fn json(self, source: &dyn Source) -> Result<Bytes, Unreadable> {
        let limit = self.limit.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
        let mut joined: Vec<(ConversationId, Pos)> = Vec::new();
        joined::each(source, self.account, |id, row| {
            joined.extend(row.since.map(|since| (id, since)));
            Ok(())
        })?;
        // Of a short list everything is shown, and read once.
        let is_short = joined.len() <= SHORT_MAX.min(limit);
        let (shown, end) = if is_short {
            (joined.into_iter().map(|(id, _)| id).collect(), None)
        } else {
            self.newest(source, &joined, limit)?
        };
        let mut more = end.is_some();
        // It may have ended since.
        let rows = parts::read(source, &shown, |source, id| self.row(source, *id))?;
        let mut rows: Vec<Row> = rows.into_iter().flatten().collect();
        rows.retain(|row| self.is_asked_for(row.last.place.pos));
        rows.sort_by_key(|row| Reverse(row.last.place.pos));
        let mut out = Vec::new();
        out.push(b'{');
        if self.reset {
            out.extend_from_slice(br#""reset":true,"#);
        }
        out.extend_from_slice(br#""conversations":["#);
        let mut last = None;
        for mut row in rows {
            if out.len() + row.head_bytes() > HEADS_BYTES_MAX {
                row.drop_head();
            }
            let object = row.json();
            if last.is_some() && out.len() + object.len() > PAGE_BYTES_MAX {
                more = true;
                break;
            }
            if last.is_some() {
                out.push(b',');
            }
            out.extend_from_slice(&object);
            last = Some(row.last.place.pos);
        }
        let cursor = &self.upto;
        out.extend_from_slice(format!(r#"],"cursor":"{cursor}","more":"#).as_bytes());
        out.extend_from_slice(reply::truth(more));
        // None of them may stand there any more.
        if let Some(last) = last.or(end).filter(|_| more) {
            out.extend_from_slice(format!(r#","next":"{last}""#).as_bytes());
        }
        out.push(b'}');
        Ok(out.into())
    }

    /// The conversations with the newest entries, so many, and, if there are more, where the last one of these stands.
    fn newest(
        &self,
        source: &dyn Source,
        joined: &[(ConversationId, Pos)],
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<Pos>), Unreadable> {
        let mut places = parts::read(source, joined, |source, (id, since)| {
            let newest = entries::newest_place(source, *id)?;
            Ok((newest.map_or(*since, |newest| newest.pos), *id))
        })?;
        places.retain(|(last, _)| self.is_asked_for(*last));
        places.sort_unstable_by_key(|place| Reverse(*place));
        let more = places.len() > limit;
        places.truncate(limit);
        let end = places.last().map(|(last, _)| *last).filter(|_| more);
        Ok((places.into_iter().map(|(_, id)| id).collect(), end))
    }

    /// A conversation as the account sees it, if it is there and the account a member.
    fn row(&self, source: &dyn Source, id: ConversationId) -> Result<Option<Row>, Unreadable> {
        match Described::read(source, id, None)? {
            Some(described) => described.row(self.account, &self.names, source),
            None => Ok(None),
        }
    }

    fn is_asked_for(&self, last: Pos) -> bool {
        self.before.is_none_or(|before| last < before)
    }
}
