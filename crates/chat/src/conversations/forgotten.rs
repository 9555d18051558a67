//! What a partition has forgotten while something was being read: rows of it that were read before may be older than what was
//! written since, and are read again. Must not know what is read.

use std::collections::VecDeque;

use records::ConversationId;

use crate::command::{Address, To};

/// A moment between two things that were forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    epoch: Epoch,
    /// Ascending; those that nothing was read before are left out.
    recent: VecDeque<(Epoch, ConversationId, Address)>,
    /// Whatever was read before is worth nothing.
    all_before: Epoch,
}

impl Forgotten {
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A conversation is no longer in memory; `oldest` is when the oldest reading began that is under way.
    pub(super) fn add(&mut self, id: ConversationId, address: Address, oldest: Option<Epoch>) {
        self.epoch.0 += 1;
        match oldest {
            Some(oldest) => {
                while self.recent.front().is_some_and(|(at, ..)| *at <= oldest) {
                    self.recent.pop_front();
                }
                self.recent.push_back((self.epoch, id, address));
            }
            None => self.recent.clear(),
        }
    }

    /// Nothing is in memory any more.
    pub(super) fn add_all(&mut self) {
        self.epoch.0 += 1;
        self.all_before = self.epoch;
        self.recent.clear();
    }

    /// Whether rows that were read since a moment are of use.
    pub(super) fn is_fresh(&self, to: &To, found: Option<ConversationId>, since: Epoch) -> bool {
        let is_it = |id: &ConversationId, address: &Address| {
            found == Some(*id)
                || match to {
                    To::Address(wanted) => wanted == address,
                    To::Conversation(wanted) => wanted == id,
                }
        };
        let newer = self.recent.iter().rev().take_while(|(at, ..)| *at > since);
        since >= self.all_before && !newer.into_iter().any(|(_, id, address)| is_it(id, address))
    }
}
