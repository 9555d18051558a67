//! What the messenger delivers to very many accounts, as far as it has not got to all of them. It keeps the order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use records::AccountId;

use crate::io::ChatDelivery;

/// Deliveries that are on their way in pieces; one more goes to all its recipients at once, so that whoever sends more of them
/// than there is time for fills the shard's mailbox, and not this list.
const PENDING_MAX: usize = 8;

/// Deliveries that have not got to all their accounts yet, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct PendingDeliveries(VecDeque<PendingDelivery>);

/// A delivery, and who has still to get it.
#[derive(Debug)]
struct PendingDelivery {
    delivery: Arc<ChatDelivery>,
    /// In ascending order.
    accounts: Arc<[AccountId]>,
    /// The place of the account that is next.
    next: usize,
    /// Accounts behind it that have had their turn.
    done: BTreeSet<AccountId>,
}

impl PendingDeliveries {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no other delivery can go in pieces.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= PENDING_MAX
    }

    /// A delivery goes to these accounts, piece by piece.
    pub(crate) fn push(&mut self, delivery: &Arc<ChatDelivery>, accounts: &Arc<[AccountId]>) {
        // The members of a group are in this order already.
        let accounts = if accounts.is_sorted() {
            accounts.clone()
        } else {
            let mut sorted = accounts.to_vec();
            sorted.sort_unstable();
            sorted.into()
        };
        self.0.push_back(PendingDelivery {
            delivery: delivery.clone(),
            accounts,
            next: 0,
            done: BTreeSet::new(),
        });
    }

    /// The next account of the oldest delivery; `None` when it is over, or there is none.
    pub(crate) fn next(&mut self) -> Option<(AccountId, Arc<ChatDelivery>)> {
        let oldest = self.0.front_mut()?;
        match oldest.next() {
            Some(account) => Some((account, oldest.delivery.clone())),
            None => {
                self.0.pop_front();
                None
            }
        }
    }

    /// Gives an account its turn now with one of the deliveries, by its place in their order, if it has not had it.
    pub(crate) fn take(&mut self, number: usize, account: AccountId) -> Option<Arc<ChatDelivery>> {
        let pending = self.0.get_mut(number)?;
        pending.take(account).then(|| pending.delivery.clone())
    }
}

impl PendingDelivery {
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

#[cfg(test)]
mod tests {
    use super::*;
    use records::Pos;

    use crate::io::Recipients;

    #[test]
    fn every_account_has_one_turn() {
        let accounts: Arc<[AccountId]> = [3, 1, 2].map(AccountId::new).into();
        let delivery = Arc::new(ChatDelivery {
            recipients: Recipients::Accounts(accounts.clone()),
            packets: Vec::new(),
            pos: None,
            floor: Pos::ZERO,
            publisher: None,
            receipt: None,
        });
        let mut pending = PendingDeliveries::default();
        pending.push(&delivery, &accounts);
        assert!(pending.take(0, AccountId::new(2)).is_some());
        assert!(pending.take(0, AccountId::new(2)).is_none());
        assert!(pending.take(0, AccountId::new(9)).is_none());
        let next = std::iter::from_fn(|| pending.next());
        let left: Vec<u64> = next.map(|(account, _)| account.value()).collect();
        assert_eq!(left, [1, 3]);
        assert!(pending.is_empty());
    }
}
