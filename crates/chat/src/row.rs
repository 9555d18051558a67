//! One conversation as one of its members sees it: the object of `conversations` and of `im/about/<conv>`.

use bytes::Bytes;
use records::{AccountId, ConversationId, ConversationKind, Pos, Seq};
use serde::Serialize;

use crate::chat::Chat;
use crate::head;
use crate::source::{Source, Unreadable};
use crate::stored;
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

impl Row {
    /// Whether the newest message has to be read from the store.
    pub(crate) fn lacks_head(&self) -> bool {
        self.head.is_none() && self.last_seq > Seq::ZERO
    }

    /// Reads the newest message.
    pub(crate) fn find_head(&mut self, source: &dyn Source) -> Result<(), Unreadable> {
        if self.lacks_head() {
            self.head = read_head(self.id, self.last_seq, source)?;
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

    /// The object. What it shows of the newest message is JSON already and is not taken apart for every member.
    pub(crate) fn json(&self) -> Bytes {
        const KEYS_BYTES: usize = 160;
        let mut out =
            Vec::with_capacity(KEYS_BYTES + self.conv.len() + self.title.len() + self.head_bytes());
        out.extend_from_slice(br#"{"conv":"#);
        out.extend_from_slice(&wire::json(&self.conv));
        out.extend_from_slice(br#","kind":""#);
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(br#"","title":"#);
        out.extend_from_slice(&wire::json(&self.title));
        out.extend_from_slice(br#","head":"#);
        out.extend_from_slice(self.head.as_deref().unwrap_or(b"null"));
        let unread = self.last_seq.value().saturating_sub(self.read.value());
        let (read, members) = (self.read.value(), self.members);
        let numbers = format!(r#","read":{read},"unread":{unread},"members":{members}"#);
        out.extend_from_slice(numbers.as_bytes());
        if let Some(peer) = &self.peer {
            out.extend_from_slice(br#","peer":"#);
            out.extend_from_slice(&wire::json(peer));
        }
        out.push(b'}');
        out.into()
    }
}

/// What lists show of the newest message of a conversation.
fn read_head(
    id: ConversationId,
    last: Seq,
    source: &dyn Source,
) -> Result<Option<Bytes>, Unreadable> {
    let (_, found) = stored::message(source, id, last)?;
    Ok(found.and_then(|entry| head::of(&entry.wire)))
}

impl Chat {
    /// A conversation as an account sees it; `None` if it takes no part in it.
    pub(crate) fn row(&self, id: ConversationId, account: AccountId) -> Option<Row> {
        let room = self.rooms.find(id)?;
        let own = room.member(account)?;
        let (kind, title, peer) = match &room.record.kind {
            ConversationKind::Ended { .. } => return None,
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
}
