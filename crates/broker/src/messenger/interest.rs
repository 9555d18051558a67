//! What a shard knows of the messenger: which sessions have a part in it, how far it has come, and what it has still to answer.

use ahash::RandomState;
use hashbrown::HashMap;
use records::{AccountId, Cursor, Pos};
use smallvec::SmallVec;

use crate::messenger::pending::PendingDeliveries;
use crate::messenger::shares::ChatShares;
use crate::wills::pending::PendingWills;

/// Slots of sessions: most accounts have one or two devices.
pub(crate) type Slots = SmallVec<[u32; 2]>;

/// The shard's part in the messenger.
#[derive(Debug)]
pub(crate) struct Messenger {
    /// Sessions with filters under `im/`, by account.
    sessions: HashMap<AccountId, Slots, RandomState>,
    pub(crate) shares: ChatShares,
    pub(crate) pending: PendingDeliveries,
    pub(crate) wills: PendingWills,
    /// What was delivered.
    latest: Cursor,
    /// Publishes that are to be answered.
    unanswered: usize,
}

impl Messenger {
    pub(crate) fn new(hasher: &RandomState) -> Self {
        Self {
            sessions: HashMap::with_hasher(hasher.clone()),
            shares: ChatShares::new(hasher.clone()),
            pending: PendingDeliveries::default(),
            wills: PendingWills::default(),
            latest: Cursor::default(),
            unanswered: 0,
        }
    }

    /// A session of an account has a filter.
    pub(crate) fn join(&mut self, account: AccountId, slot: u32) {
        let slots = self.sessions.entry(account).or_default();
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }

    /// A session has none any more.
    pub(crate) fn leave(&mut self, account: AccountId, slot: u32) {
        if let Some(slots) = self.sessions.get_mut(&account) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.sessions.remove(&account);
            }
        }
    }

    /// The sessions of an account that have filters.
    pub(crate) fn sessions_of(&self, account: AccountId) -> Option<&Slots> {
        self.sessions.get(&account)
    }

    /// The messenger has delivered an entry, and everything up to a floor.
    pub(crate) fn note_delivered(&mut self, pos: Pos, floor: Pos) {
        self.latest.raise(floor);
        self.latest.advance(pos);
    }

    /// How far it has come.
    pub(crate) fn latest(&self) -> &Cursor {
        &self.latest
    }

    /// It is asked something.
    pub(crate) fn note_asked(&mut self) {
        self.unanswered += 1;
    }

    /// It has answered.
    pub(crate) fn note_answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// What it has still to answer.
    #[inline]
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }
}
