//! Who wrote the newest messages of a conversation, for receipts.

use std::collections::VecDeque;

use records::{AccountId, Seq};

/// Authors that are remembered; the others are in the store.
const AUTHORS_MAX: usize = 64;

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Authors {
    /// Ascending, without gaps.
    known: VecDeque<(Seq, AccountId)>,
}

impl Authors {
    /// A message was sent.
    pub(super) fn add(&mut self, seq: Seq, author: AccountId) {
        if self.known.len() == AUTHORS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((seq, author));
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.known.capacity() * size_of::<(Seq, AccountId)>()
    }

    /// Authors of the messages `after < seq <= upto` as far as they are remembered, and the last number before those.
    pub(super) fn between(&self, after: Seq, upto: Seq) -> (Vec<AccountId>, Seq) {
        let Some((first, _)) = self.known.front() else {
            return (Vec::new(), upto);
        };
        let covered = self.known.iter();
        let covered = covered.filter(|(seq, _)| after < *seq && *seq <= upto);
        let authors = covered.map(|(_, author)| *author).collect();
        (authors, Seq::new(first.value() - 1).min(upto))
    }
}
