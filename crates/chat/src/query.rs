//! A question to the store that may take a while: made by the messenger, run elsewhere, answered from what is stored.
//! Must not change anything: it holds a copy of what it needs.

use std::borrow::Cow;

use bytes::Bytes;
use records::{EntryKind, Moment, Pos, SessionRef};
use serde::Deserialize;

use crate::delivery::{self, Answer, Audience, Delivery};
use crate::history::History;
use crate::merge::Feed;
use crate::reply::{PAGE_BYTES_MAX, ReplyTo};
use crate::row::Row;
use crate::source::{Source, Unreadable};
use crate::text;
use crate::wire;

/// From here on the list of conversations goes without newest messages, so that more conversations fit.
const HEADS_BYTES_MAX: usize = 192 * 1024;
/// Entries a session gets at once when it catches up.
const CAUGHT_UP_MAX: usize = 200;
/// Bytes a session gets at once when it catches up.
const CAUGHT_UP_BYTES_MAX: usize = 1024 * 1024;

/// Something to be read. Opaque to whoever runs it.
#[derive(Debug)]
pub struct Query(Work);

#[derive(Debug)]
enum Work {
    CatchUp {
        session: SessionRef,
        feed: Feed,
    },
    History {
        to: ReplyTo,
        history: History,
    },
    Sync {
        to: ReplyTo,
        feed: Feed,
        limit: usize,
    },
    Conversations {
        to: ReplyTo,
        list: List,
    },
    Row {
        to: ReplyTo,
        row: Box<Row>,
    },
    About {
        session: SessionRef,
        rows: Vec<Row>,
    },
}

/// Conversations to be listed.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) rows: Vec<Row>,
    /// Whether there are conversations behind those.
    pub(crate) more: bool,
    pub(crate) pos: Pos,
    /// Whether the list is what a client begins anew with.
    pub(crate) reset: bool,
}

impl Query {
    pub(crate) fn catch_up(session: SessionRef, feed: Feed) -> Self {
        Self(Work::CatchUp { session, feed })
    }

    pub(crate) fn history(to: ReplyTo, history: History) -> Self {
        Self(Work::History { to, history })
    }

    pub(crate) fn sync(to: ReplyTo, feed: Feed, limit: usize) -> Self {
        Self(Work::Sync { to, feed, limit })
    }

    pub(crate) fn conversations(to: ReplyTo, list: List) -> Self {
        Self(Work::Conversations { to, list })
    }

    pub(crate) fn row(to: ReplyTo, row: Row) -> Self {
        let row = Box::new(row);
        Self(Work::Row { to, row })
    }

    pub(crate) fn about(session: SessionRef, rows: Vec<Row>) -> Self {
        Self(Work::About { session, rows })
    }

    /// The session whose turn this takes; `None` for what takes no turn.
    pub(crate) fn turn_of(&self) -> Option<SessionRef> {
        match &self.0 {
            Work::CatchUp { .. } => None,
            Work::History { to, .. }
            | Work::Sync { to, .. }
            | Work::Conversations { to, .. }
            | Work::Row { to, .. } => Some(to.session),
            Work::About { session, .. } => Some(*session),
        }
    }

    /// The answer when there is no room to run this: `unavailable`. A session that catches up is told to ask again, and the
    /// messenger sees to it that it does not do so in a circle. A description goes without its newest message.
    pub fn refuse(self) -> Option<Answer> {
        match self.0 {
            Work::CatchUp { session, feed } => Some(ask_again(session, feed.since())),
            Work::History { to, .. }
            | Work::Sync { to, .. }
            | Work::Conversations { to, .. }
            | Work::Row { to, .. } => Some(to.answer(Err(Unreadable))),
            Work::About { session, rows } => Some(Answer::Deliver(abouts(session, &rows))),
        }
    }

    /// Reads what is wanted and builds the answer. If the store cannot be read, the answer is that of [`Query::refuse`].
    pub fn run(self, source: &dyn Source) -> Option<Answer> {
        match self.0 {
            Work::CatchUp { session, feed } => {
                let since = feed.since();
                Some(caught_up(session, feed, source).unwrap_or(ask_again(session, since)))
            }
            Work::History { to, history } => {
                let page = history_page(&history, source);
                Some(to.answer(page))
            }
            Work::Sync { to, feed, limit } => {
                let page = sync_page(feed, limit, source);
                Some(to.answer(page))
            }
            Work::Conversations { to, list } => {
                let listed = conversations(list, source);
                Some(to.answer(listed))
            }
            Work::Row { to, mut row } => {
                let found = row.find_head(source);
                Some(to.answer(found.map(|()| row.json())))
            }
            Work::About { session, mut rows } => {
                for row in &mut rows {
                    if row.find_head(source).is_err() {
                        break;
                    }
                }
                Some(Answer::Deliver(abouts(session, &rows)))
            }
        }
    }
}

fn abouts(session: SessionRef, rows: &[Row]) -> Delivery {
    Delivery {
        audience: Audience::Session(session),
        packets: rows
            .iter()
            .map(|row| delivery::packet(format!("im/about/{}", row.conv), row.json()))
            .collect(),
        pos: None,
        receipt: None,
        read_at: Moment::UNKNOWN,
    }
}

/// Nothing, and that there is more.
fn ask_again(session: SessionRef, since: Pos) -> Answer {
    Answer::CaughtUp {
        session,
        entries: Vec::new(),
        upto: since,
        more: true,
    }
}

fn caught_up(session: SessionRef, feed: Feed, source: &dyn Source) -> Result<Answer, Unreadable> {
    let fed = feed.read(source, CAUGHT_UP_MAX, CAUGHT_UP_BYTES_MAX)?;
    let entries = fed
        .entries
        .into_iter()
        .map(|(conv, id, entry)| {
            let packets = match entry.kind {
                EntryKind::Message => {
                    let line = line(&entry.wire);
                    delivery::message_packets(&conv, entry.wire.clone(), line)
                }
                EntryKind::Event => delivery::event_packets(&conv, entry.wire.clone()),
            };
            Delivery {
                audience: Audience::Session(session),
                packets,
                pos: Some(entry.pos),
                receipt: entry.seq.map(|seq| (id, seq)),
                read_at: Moment::UNKNOWN,
            }
        })
        .collect();
    Ok(Answer::CaughtUp {
        session,
        entries,
        upto: fed.upto,
        more: fed.more,
    })
}

/// What a terminal shows of a stored message.
fn line(stored: &[u8]) -> Bytes {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        from: Cow<'a, str>,
        #[serde(borrow, default)]
        text: Option<Cow<'a, str>>,
    }
    match serde_json::from_slice::<Said<'_>>(stored) {
        Ok(said) => text::line(&said.from, said.text.as_deref()),
        // Stored by this program; if the disk has turned it into something else, a terminal shows that there was something.
        Err(_) => text::line("?", None),
    }
}

fn history_page(history: &History, source: &dyn Source) -> Result<Bytes, Unreadable> {
    let page = history.read(source)?;
    let bytes: usize = page.entries.iter().map(|entry| entry.wire.len() + 1).sum();
    let mut out = Vec::with_capacity(bytes + history.conv.len() + 80);
    out.extend_from_slice(br#"{"conv":"#);
    out.extend_from_slice(&wire::json(&history.conv));
    out.extend_from_slice(br#","entries":["#);
    for (at, entry) in page.entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&entry.wire);
    }
    out.extend_from_slice(br#"],"more":"#);
    out.extend_from_slice(truth(page.more));
    if let Some(next) = page.next {
        out.extend_from_slice(br#","next":"#);
        out.extend_from_slice(&wire::json(&next.to_string()));
    }
    out.push(b'}');
    Ok(out.into())
}

fn sync_page(feed: Feed, limit: usize, source: &dyn Source) -> Result<Bytes, Unreadable> {
    let fed = feed.read(source, limit, PAGE_BYTES_MAX)?;
    let mut out = Vec::new();
    out.extend_from_slice(br#"{"entries":["#);
    for (at, (conv, _, entry)) in fed.entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Every entry is an object that is not empty: the conversation goes in front of what it begins with.
        out.extend_from_slice(br#"{"conv":"#);
        out.extend_from_slice(&wire::json(conv));
        out.push(b',');
        out.extend_from_slice(entry.wire.get(1..).unwrap_or_default());
    }
    out.extend_from_slice(br#"],"pos":"#);
    out.extend_from_slice(&wire::json(&fed.upto.to_string()));
    out.extend_from_slice(br#","more":"#);
    out.extend_from_slice(truth(fed.more));
    out.push(b'}');
    Ok(out.into())
}

/// The list as far as it fits an answer; `more` and `before` then say how the rest is asked for.
fn conversations(list: List, source: &dyn Source) -> Result<Bytes, Unreadable> {
    let List {
        rows,
        mut more,
        pos,
        reset,
    } = list;
    let mut out = Vec::new();
    out.push(b'{');
    if reset {
        out.extend_from_slice(br#""reset":true,"#);
    }
    out.extend_from_slice(br#""conversations":["#);
    let mut last = None;
    for mut row in rows {
        if out.len() < HEADS_BYTES_MAX {
            row.find_head(source)?;
        }
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
        last = Some(row.last_pos);
    }
    out.extend_from_slice(br#"],"pos":"#);
    out.extend_from_slice(&wire::json(&pos.to_string()));
    if let Some(last) = last.filter(|_| more) {
        out.extend_from_slice(br#","more":true,"before":"#);
        out.extend_from_slice(&wire::json(&last.to_string()));
    }
    out.push(b'}');
    Ok(out.into())
}

fn truth(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}
