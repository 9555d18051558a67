//! One conversation as one of its members sees it: the object of `conversations` and of `im/about/<conv>`.

use bytes::Bytes;
use records::{AccountId, ConversationId, ConversationKind, Pos, Seq};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::Chat;
use crate::source::{Source, Unreadable};
use crate::wire;

/// See the file's header. Owned, so that it can be completed elsewhere.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) conv: Box<str>,
    pub(crate) last_pos: Pos,
    id: ConversationId,
    last_seq: Seq,
    kind: &'static str,
    title: Box<str>,
    head: Option<Bytes>,
    read: Seq,
    members: usize,
    peer: Option<Peer>,
}

#[derive(Debug, Serialize)]
struct Peer {
    name: Box<str>,
    display: Box<str>,
    read: u64,
    received: u64,
}

#[derive(Serialize)]
struct Object<'a> {
    conv: &'a str,
    kind: &'static str,
    title: &'a str,
    head: Option<&'a RawValue>,
    read: u64,
    unread: u64,
    members: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a Peer>,
}

impl Row {
    /// Whether the newest message has to be read from the store.
    pub(crate) fn lacks_head(&self) -> bool {
        self.head.is_none() && self.last_seq > Seq::ZERO
    }

    /// Reads the newest message.
    pub(crate) fn find_head(&mut self, source: &dyn Source) -> Result<(), Unreadable> {
        if self.lacks_head() {
            self.head = head(self.id, self.last_seq, source)?;
        }
        Ok(())
    }

    /// Bytes of the newest message.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, Bytes::len)
    }

    /// Goes without the newest message.
    pub(crate) fn drop_head(&mut self) {
        self.head = None;
    }

    pub(crate) fn json(&self) -> Bytes {
        // Stored by this program; if the disk has turned it into something else it is left out.
        let head = self
            .head
            .as_ref()
            .and_then(|head| serde_json::from_slice(head).ok());
        wire::json(&Object {
            conv: &self.conv,
            kind: self.kind,
            title: &self.title,
            head,
            read: self.read.value(),
            unread: self.last_seq.value().saturating_sub(self.read.value()),
            members: self.members,
            peer: self.peer.as_ref(),
        })
    }
}

/// The newest message of a conversation.
fn head(id: ConversationId, last: Seq, source: &dyn Source) -> Result<Option<Bytes>, Unreadable> {
    let Some(pos) = source.pos_of(id, last)? else {
        return Ok(None);
    };
    let found = source.entries(id, pos, pos.next(), false, 1)?;
    Ok(found.into_iter().next().map(|entry| entry.wire))
}

impl Chat {
    /// A conversation as an account sees it; `None` if it takes no part in it.
    pub(crate) fn row(&self, id: ConversationId, account: AccountId) -> Option<Row> {
        let room = self.rooms.find(id)?;
        let own = room.member(account)?;
        let (kind, title, peer) = match &room.record.kind {
            ConversationKind::Group { title, .. } => ("group", title.as_str(), None),
            ConversationKind::Direct { .. } => {
                let peer = room.peer(account)?;
                let record = &self.directory.find(peer)?.record;
                let marker = room.member(peer);
                let seq = |seq: Option<Seq>| seq.unwrap_or_default().value();
                let shown = Peer {
                    name: record.name.as_str().into(),
                    display: record.display.as_str().into(),
                    read: seq(marker.map(|member| member.read)),
                    received: seq(marker.map(|member| member.received)),
                };
                ("direct", record.display.as_str(), Some(shown))
            }
        };
        Some(Row {
            conv: self.conv_name(id, account),
            last_pos: room.last_pos,
            id,
            last_seq: room.last_seq,
            kind,
            title: title.into(),
            head: self.recent.head(id).cloned(),
            read: own.read,
            members: room.members().len(),
            peer,
        })
    }

    /// Remembers the newest message of a conversation, if that takes a look into the store.
    pub(crate) fn find_head(&mut self, id: ConversationId, source: &dyn Source) {
        let Some(room) = self.rooms.find(id) else {
            return;
        };
        if room.last_seq == Seq::ZERO || self.recent.head(id).is_some() {
            return;
        }
        match head(id, room.last_seq, source) {
            Ok(Some(wire)) => self.recent.head_found(id, &wire),
            Ok(None) => {}
            Err(Unreadable) => self.counters.unreadable += 1,
        }
    }
}
