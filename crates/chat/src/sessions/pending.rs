//! What a device still gets: questions that wait for its one reading, descriptions that wait to be made, and what is held back
//! while nobody looks at it. Must not decide what is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use records::{AccountId, ConversationId, Cursor, Millis, Seq};

use crate::command::Address;
use crate::note::Marker;
use crate::sessions::queries::Question;
use crate::sessions::reply::ReplyTo;

/// A reading nobody has reported the end of is taken for lost after this.
const LOST_MILLIS: u64 = 30_000;
/// Receipts held back for one device; further ones are dropped, and `members` tells.
const RECEIPTS_MAX: usize = 1_024;
/// A marker that moved: where, whose, and which.
pub(crate) type ReceiptKey = (ConversationId, AccountId, Marker);

/// See the file's header.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Since when something is being read for the session.
    busy_since: Option<Millis>,
    waiting: VecDeque<(ReplyTo, Question)>,
    /// Conversations to be described as soon as that is possible.
    pub(crate) due: BTreeSet<ConversationId>,
    /// Conversations to be described before those, as they were for whoever has come so far as the session had when it came back:
    /// what came behind is still on its way to it.
    pub(crate) resumed: BTreeSet<ConversationId>,
    /// Those that could not be described, until they are tried again, and how often that was in vain.
    pub(crate) undescribed: BTreeSet<ConversationId>,
    pub(crate) tries: u32,
    /// Conversations to be described when somebody looks or a message comes.
    pub(crate) abouts: BTreeSet<ConversationId>,
    /// Accounts whose presence is to be told then.
    pub(crate) presences: BTreeSet<AccountId>,
    /// Receipts to be told then.
    pub(crate) receipts: BTreeMap<ReceiptKey, (Address, Seq)>,
    /// A catch-up that waits for its time.
    pub(crate) again: Option<Cursor>,
}

impl Pending {
    /// Whether something is being read.
    pub(crate) fn is_busy(&self, now: Millis) -> bool {
        self.busy_since
            .is_some_and(|since| now.since(since) < LOST_MILLIS)
    }

    /// Whether the end of a reading has still to be reported, however late.
    pub(crate) fn is_reading(&self) -> bool {
        self.busy_since.is_some()
    }

    /// Something is read from here on.
    pub(crate) fn begin(&mut self, now: Millis) {
        self.busy_since = Some(now);
    }

    /// What was read has been read.
    pub(crate) fn end(&mut self) {
        self.busy_since = None;
    }

    /// Whether a further question may wait, of at most so many.
    pub(crate) fn has_room(&self, waiting_max: usize) -> bool {
        self.waiting.len() < waiting_max
    }

    /// Keeps a question for later.
    pub(crate) fn wait(&mut self, to: ReplyTo, question: Question) {
        self.waiting.push_back((to, question));
    }

    /// The question that has waited longest.
    pub(crate) fn next(&mut self) -> Option<(ReplyTo, Question)> {
        self.waiting.pop_front()
    }

    /// Holds a receipt back; false if there is no room.
    pub(crate) fn hold_receipt(&mut self, key: ReceiptKey, address: &Address, upto: Seq) -> bool {
        if self.receipts.len() >= RECEIPTS_MAX && !self.receipts.contains_key(&key) {
            return false;
        }
        let held = self.receipts.entry(key);
        let (_, furthest) = held.or_insert_with(|| (address.clone(), upto));
        *furthest = upto.max(*furthest);
        true
    }

    /// Whether something is held back.
    pub(crate) fn holds(&self) -> bool {
        !(self.abouts.is_empty() && self.presences.is_empty() && self.receipts.is_empty())
    }

    /// Whether nothing at all is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.busy_since.is_none()
            && self.waiting.is_empty()
            && self.due.is_empty()
            && self.resumed.is_empty()
            && self.undescribed.is_empty()
            && self.again.is_none()
            && !self.holds()
    }
}
