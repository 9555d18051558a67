//! Whom the messenger's deliveries reach: the sessions of accounts, in pieces where there are very many accounts. An account is
//! given what it is owed before anything that came later, and before its filters change. What one session gets is `deliver`'s
//! business.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use records::{AccountId, Millis};

use crate::io::{ChatDelivery, Recipients};
use crate::shard::Shard;
use crate::turn::deferred::DeferredWork;

/// Accounts in one piece.
const PIECE_MAX: usize = 1024;
/// What an account with a session here costs beside the bytes, as `turn` counts: a write to a socket takes some microseconds.
const ACCOUNT_WORK: usize = 768;
/// The same for one that has none here and is only looked for.
const LOOK_WORK: usize = 64;
/// Deliveries that are on their way in pieces; one more goes to all its recipients at once, so that whoever sends more of them
/// than there is time for fills the shard's mailbox, and not this list.
const PENDING_MAX: usize = 8;

/// Deliveries that have not got to all their accounts yet, the oldest first.
pub(crate) type PendingDeliveries = VecDeque<PendingDelivery>;

/// A delivery, and who has still to get it.
#[derive(Debug)]
pub(crate) struct PendingDelivery {
    delivery: Arc<ChatDelivery>,
    /// In ascending order.
    accounts: Arc<[AccountId]>,
    /// The place of the account that is next.
    next: usize,
    /// Accounts behind it that have had their turn.
    done: BTreeSet<AccountId>,
}

impl PendingDelivery {
    fn new(delivery: &Arc<ChatDelivery>, accounts: &Arc<[AccountId]>) -> Self {
        // The members of a group are in this order already.
        let accounts = if accounts.is_sorted() {
            accounts.clone()
        } else {
            let mut sorted = accounts.to_vec();
            sorted.sort_unstable();
            sorted.into()
        };
        Self {
            delivery: delivery.clone(),
            accounts,
            next: 0,
            done: BTreeSet::new(),
        }
    }

    fn next(&mut self) -> Option<AccountId> {
        loop {
            let account = *self.accounts.get(self.next)?;
            self.next += 1;
            if !self.done.remove(&account) {
                return Some(account);
            }
        }
    }

    /// Gives an account its turn now, if it has not had it.
    fn take(&mut self, account: AccountId) -> bool {
        let left = &self.accounts[self.next..];
        left.binary_search(&account).is_ok() && self.done.insert(account)
    }
}

impl Shard {
    /// The messenger delivers.
    pub(crate) fn deliver_chat(&mut self, delivery: &Arc<ChatDelivery>, now: Millis) {
        if let Some(pos) = delivery.pos {
            self.latest_pos = self.latest_pos.max(pos);
        }
        match &delivery.recipients {
            Recipients::Session(reference) => {
                if let Some(slot) = self.sessions.slot_of(*reference) {
                    self.deliver_pending_to_account_of(slot, now);
                    self.deliver_chat_to(slot, delivery, now);
                }
            }
            Recipients::Accounts(accounts) => {
                let many = accounts.len() > self.settings.limits.deliveries_at_once_max;
                if many && self.pending_deliveries.len() < PENDING_MAX {
                    let owed = PendingDelivery::new(delivery, accounts);
                    self.pending_deliveries.push_back(owed);
                    self.turn.defer(DeferredWork::AccountDelivery);
                    return;
                }
                for account in accounts.iter() {
                    self.deliver_pending_to_account(*account, now);
                    self.deliver_chat_to_account(*account, delivery, now);
                }
            }
        }
    }

    /// The next accounts of the oldest delivery.
    pub(crate) fn continue_account_delivery(&mut self, now: Millis) {
        let most = PIECE_MAX.min(self.settings.limits.deliveries_at_once_max.max(1));
        for _ in 0..most {
            let Some(owed) = self.pending_deliveries.front_mut() else {
                return;
            };
            let Some(account) = owed.next() else {
                self.pending_deliveries.pop_front();
                return;
            };
            let delivery = owed.delivery.clone();
            let present = self.deliver_chat_to_account(account, &delivery, now);
            self.turn
                .spend(if present { ACCOUNT_WORK } else { LOOK_WORK });
        }
        self.turn.defer(DeferredWork::AccountDelivery);
    }

    /// Gives the account of a session what it is owed, before the session changes what it wants.
    pub(crate) fn deliver_pending_to_account_of(&mut self, slot: u32, now: Millis) {
        if let Some(account) = self.sessions[slot].account {
            self.deliver_pending_to_account(account, now);
        }
    }

    fn deliver_pending_to_account(&mut self, account: AccountId, now: Millis) {
        for number in 0..self.pending_deliveries.len() {
            let owed = &mut self.pending_deliveries[number];
            if owed.take(account) {
                let delivery = owed.delivery.clone();
                self.deliver_chat_to_account(account, &delivery, now);
            }
        }
    }

    /// Delivers the rest at once.
    pub(crate) fn finish_account_deliveries(&mut self, now: Millis) {
        while !self.pending_deliveries.is_empty() {
            self.continue_account_delivery(now);
        }
    }

    /// To the account's sessions here; false if there is none.
    fn deliver_chat_to_account(
        &mut self,
        account: AccountId,
        delivery: &Arc<ChatDelivery>,
        now: Millis,
    ) -> bool {
        let Some(slots) = self.accounts.get(&account) else {
            return false;
        };
        // Most accounts have one or two devices: a copy of the list is on the stack.
        for slot in slots.clone() {
            self.deliver_chat_to(slot, delivery, now);
        }
        self.deliver_chat_shared(account, delivery, now);
        true
    }
}
