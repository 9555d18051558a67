//! One conversation as one of its members sees it: the object of `conversations` and of `im/about/<conv>`. Runs where a disk may be
//! waited for.

use bytes::Bytes;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Cursor, HistoryAccess, Member, Seq,
};
use serde::Serialize;

use crate::format::{head, wire};
use crate::sessions::queries::names::Names;
use crate::stored::conversations;
use crate::stored::entries::{self, EVERYWHERE, Found, Place, Tail};
use crate::stored::source::{End, Source, Unreadable};

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) conv: Box<str>,
    pub(crate) last: Last,
    kind: &'static str,
    title: Box<str>,
    head: Option<Bytes>,
    read: Seq,
    member_count: u32,
    group: Option<Group>,
    peer: Option<Peer>,
}

/// The newest entry: the number of the newest message then, its position and moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) place: Place,
    at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    open: bool,
    history: HistoryAccess,
}

#[derive(Debug, Serialize)]
struct Peer {
    account: Box<str>,
    display: Box<str>,
    read: u64,
    received: u64,
}

/// What rows of one conversation have in common, read once for many members.
#[derive(Debug)]
pub(crate) struct Described {
    id: ConversationId,
    record: Conversation,
    last: Last,
    head: Option<Bytes>,
}

impl Described {
    /// A conversation as it stands, or stood for whoever has come as far as a cursor says; `None` if there is none.
    pub(crate) fn read(
        source: &dyn Source,
        id: ConversationId,
        upto: Option<&Cursor>,
    ) -> Result<Option<Self>, Unreadable> {
        let Some(record) = conversations::record(source, id)? else {
            return Ok(None);
        };
        if let ConversationKind::Ended { .. } = record.kind {
            return Ok(None);
        }
        let mut newest = entries::newest(source, id)?;
        if let (Some(cursor), Some(found)) = (upto, &newest) {
            let seen = id
                .partition()
                .map_or(cursor.floor(), |known| cursor.of(known));
            if found.place.pos > seen {
                let end = Tail::read(source, id)?.seek(source, seen.next())?;
                let before = (EVERYWHERE.0, end);
                newest = entries::entries(source, id, before, End::Last, 1, 1)?.pop();
            }
        }
        let last = Last {
            place: newest.as_ref().map_or(Place::FIRST, |found| found.place),
            at: newest
                .as_ref()
                .and_then(|found| found.entry.as_ref())
                .map_or(record.created.value(), |entry| entry.at.value()),
        };
        Ok(Some(Self {
            id,
            head: read_head(source, id, last.place.seq, newest)?,
            record,
            last,
        }))
    }

    /// As a member sees it; `None` if the account is none.
    pub(crate) fn row(
        &self,
        account: AccountId,
        names: &Names,
        source: &dyn Source,
    ) -> Result<Option<Row>, Unreadable> {
        let Some(own) = conversations::member(source, self.id, account)? else {
            return Ok(None);
        };
        let (kind, conv, title, group, peer) = match &self.record.kind {
            ConversationKind::Ended { .. } => return Ok(None),
            ConversationKind::Group {
                slug,
                title,
                open,
                history,
                ..
            } => {
                let group = Group {
                    open: *open,
                    history: *history,
                };
                (
                    "group",
                    slug.as_str().into(),
                    title.as_str().into(),
                    Some(group),
                    None,
                )
            }
            ConversationKind::Direct { low, high } => {
                let peer = if *low == account { *high } else { *low };
                let Some(shown) = names.find(peer, source)? else {
                    return Ok(None);
                };
                let marker = if peer == account {
                    Some(own.clone())
                } else {
                    conversations::member(source, self.id, peer)?
                };
                let seq =
                    |of: fn(&Member) -> Seq| marker.as_ref().map_or(0, |known| of(known).value());
                let peer = Peer {
                    account: shown.name.clone(),
                    display: shown.display.clone(),
                    read: seq(Member::read_shown),
                    received: seq(|known| known.received),
                };
                let conv = wire::direct(&shown.name);
                ("direct", conv, shown.display.clone(), None, Some(peer))
            }
        };
        Ok(Some(Row {
            conv,
            last: self.last,
            kind,
            title,
            head: self.head.clone(),
            read: own.read.min(self.last.place.seq),
            member_count: self.record.member_count,
            group,
            peer,
        }))
    }
}

/// What lists show of the newest message of a conversation, whose newest entry may be it.
fn read_head(
    source: &dyn Source,
    id: ConversationId,
    seq: Seq,
    newest: Option<Found>,
) -> Result<Option<Bytes>, Unreadable> {
    if seq == Seq::ZERO {
        return Ok(None);
    }
    let is_message = |found: &Found| {
        found
            .entry
            .as_ref()
            .is_some_and(|entry| entry.seq.is_some())
    };
    let found = match newest.filter(is_message) {
        Some(found) => Some(found),
        None => entries::message(source, id, seq)?,
    };
    let entry = found.and_then(|found| found.entry);
    Ok(entry.and_then(|entry| head::of(&entry.wire)))
}

impl Row {
    /// Bytes of the newest message.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, Bytes::len)
    }

    /// Goes without the newest message.
    pub(crate) fn drop_head(&mut self) {
        self.head = None;
    }

    /// The object. What it shows of the newest message is JSON already and is not taken apart for every member.
    pub(crate) fn json(&self) -> Bytes {
        const KEYS_BYTES: usize = 240;
        let mut out =
            Vec::with_capacity(KEYS_BYTES + self.conv.len() + self.title.len() + self.head_bytes());
        out.extend_from_slice(br#"{"conv":"#);
        out.extend_from_slice(&wire::json(&self.conv));
        out.extend_from_slice(br#","kind":""#);
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(br#"","title":"#);
        out.extend_from_slice(&wire::json(&self.title));
        let (Place { seq, pos }, at) = (self.last.place, self.last.at);
        let last = format!(r#","last":{{"seq":{seq},"pos":"{pos}","at":{at}}}"#);
        out.extend_from_slice(last.as_bytes());
        out.extend_from_slice(br#","head":"#);
        out.extend_from_slice(self.head.as_deref().unwrap_or(b"null"));
        self.write_counts(&mut out);
        if let Some(Group { open, history }) = self.group {
            let history = match history {
                HistoryAccess::All => "all",
                HistoryAccess::Joined => "joined",
            };
            out.extend_from_slice(format!(r#","open":{open},"history":"{history}""#).as_bytes());
        }
        self.write_peer(&mut out);
        out.push(b'}');
        out.into()
    }

    /// What can change without an entry.
    pub(crate) fn state_json(&self) -> Bytes {
        let mut out = Vec::new();
        out.extend_from_slice(br#"{"conv":"#);
        out.extend_from_slice(&wire::json(&self.conv));
        self.write_counts(&mut out);
        self.write_peer(&mut out);
        out.push(b'}');
        out.into()
    }

    fn write_counts(&self, out: &mut Vec<u8>) {
        let unread = self.last.place.seq.value() - self.read.value();
        let (read, members) = (self.read.value(), self.member_count);
        let numbers = format!(r#","read":{read},"unread_count":{unread},"member_count":{members}"#);
        out.extend_from_slice(numbers.as_bytes());
    }

    fn write_peer(&self, out: &mut Vec<u8>) {
        if let Some(peer) = &self.peer {
            out.extend_from_slice(br#","peer":"#);
            out.extend_from_slice(&wire::json(peer));
        }
    }
}
