//! What people see of accounts, where a disk may be waited for: given along by whoever asks, or read.

use std::sync::Arc;

use records::{Account, AccountId, key};

use crate::accounts::shown::Shown;
use crate::stored::damaged::Damaged;
use crate::stored::source::{Source, Unreadable};

/// See the file's header.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// By account.
    known: Vec<(AccountId, Arc<Shown>)>,
}

impl Names {
    /// These are known, in whatever order.
    pub(crate) fn of(known: impl Iterator<Item = (AccountId, Arc<Shown>)>) -> Self {
        let mut known: Vec<_> = known.collect();
        known.sort_unstable_by_key(|(id, _)| *id);
        Self { known }
    }

    /// What people see of an account; `None` if there is none.
    pub(crate) fn find(
        &self,
        id: AccountId,
        source: &dyn Source,
    ) -> Result<Option<Arc<Shown>>, Unreadable> {
        if let Ok(at) = self.known.binary_search_by_key(&id, |(known, _)| *known) {
            return Ok(Some(self.known[at].1.clone()));
        }
        let at = key::account(id);
        let Some(value) = source.value(&at)? else {
            return Ok(None);
        };
        match Account::decode(&value) {
            Ok(record) => Ok(Some(Arc::new(Shown::of(&record)))),
            Err(error) => {
                source.damaged(&Damaged::new(&at, error));
                Err(Unreadable)
            }
        }
    }
}
