//! The newest messages of active conversations: who wrote them, for receipts, and the very newest, for lists. Bounded; the rest is
//! in the store.

use std::collections::VecDeque;

use bytes::Bytes;
use records::{AccountId, ConversationId, Seq};

use crate::head;
use crate::table::{Table, Tables};

/// Conversations that are remembered; then the one remembered longest is forgotten.
const CONVERSATIONS_MAX: usize = 65_536;
/// Authors remembered per conversation.
const AUTHORS_MAX: usize = 64;
/// Bytes of all newest messages together; then the conversation remembered longest is forgotten.
const HEADS_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
struct Known {
    /// The newest message as lists show it.
    head: Option<Bytes>,
    /// Ascending, without gaps.
    authors: VecDeque<(Seq, AccountId)>,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Recent {
    known: Table<ConversationId, Known>,
    /// In the order in which they came to be known.
    order: VecDeque<ConversationId>,
    heads_bytes: usize,
}

impl Recent {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            known: tables.table(),
            order: VecDeque::new(),
            heads_bytes: 0,
        }
    }

    /// A message was sent.
    pub(crate) fn message(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
        author: AccountId,
        wire: &Bytes,
    ) {
        let known = self.open(conversation);
        if known.authors.len() == AUTHORS_MAX {
            known.authors.pop_front();
        }
        known.authors.push_back((seq, author));
        let before = std::mem::replace(&mut known.head, head::of_new(wire));
        let bytes = known.head.as_ref().map_or(0, Bytes::len);
        self.heads_bytes -= before.map_or(0, |before| before.len());
        self.heads_bytes += bytes;
        while self.heads_bytes > HEADS_BYTES_MAX && self.order.len() > 1 {
            self.forget_oldest();
        }
    }

    /// What lists show of the newest message, if it is remembered.
    pub(crate) fn head(&self, conversation: ConversationId) -> Option<&Bytes> {
        self.known.get(&conversation)?.head.as_ref()
    }

    /// Authors of the messages `after < seq <= upto` as far as they are remembered, and the last number before those.
    pub(crate) fn authors(
        &self,
        conversation: ConversationId,
        after: Seq,
        upto: Seq,
    ) -> (Vec<AccountId>, Seq) {
        let Some(known) = self.known.get(&conversation) else {
            return (Vec::new(), upto);
        };
        let Some((first, _)) = known.authors.front() else {
            return (Vec::new(), upto);
        };
        let authors = known
            .authors
            .iter()
            .filter(|(seq, _)| after < *seq && *seq <= upto)
            .map(|(_, author)| *author)
            .collect();
        (authors, Seq::new(first.value() - 1).min(upto))
    }

    fn open(&mut self, conversation: ConversationId) -> &mut Known {
        if !self.known.contains_key(&conversation) {
            if self.order.len() == CONVERSATIONS_MAX {
                self.forget_oldest();
            }
            self.order.push_back(conversation);
        }
        self.known.entry(conversation).or_default()
    }

    fn forget_oldest(&mut self) {
        let forgotten = self
            .order
            .pop_front()
            .and_then(|oldest| self.known.remove(&oldest));
        let head = forgotten.and_then(|forgotten| forgotten.head);
        self.heads_bytes -= head.map_or(0, |head| head.len());
    }
}
