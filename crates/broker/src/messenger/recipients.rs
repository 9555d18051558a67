//! Whom the messenger's deliveries reach: the sessions of accounts, in pieces where there are very many accounts. An account is
//! given what it is owed before anything that came later, and before its filters change. What one session gets is `deliver`'s
//! business.

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

impl Shard {
    /// The messenger delivers.
    pub(crate) fn deliver_chat(&mut self, delivery: &Arc<ChatDelivery>, now: Millis) {
        if let Some(pos) = delivery.pos {
            self.messenger.note_delivered(pos, delivery.floor);
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
                if many && !self.messenger.pending.is_full() {
                    self.messenger.pending.push(delivery, accounts);
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
            let Some((account, delivery)) = self.messenger.pending.next() else {
                return;
            };
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
        for number in 0..self.messenger.pending.len() {
            if let Some(delivery) = self.messenger.pending.take(number, account) {
                self.deliver_chat_to_account(account, &delivery, now);
            }
        }
    }

    /// Delivers the rest at once.
    pub(crate) fn finish_account_deliveries(&mut self, now: Millis) {
        while !self.messenger.pending.is_empty() {
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
        let Some(slots) = self.messenger.sessions_of(account) else {
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
