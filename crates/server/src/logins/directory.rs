//! The accounts and tokens as logins need them: what the messenger has on disk, told by the service thread, read by all.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use chat::CredentialsChange;
use records::{Account, AccountId, Millis, Role, ScramVerifier};

use crate::handle::{AccountInfo, AccountRole};

/// An account as far as a login is concerned. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    id: AccountId,
    name: Arc<str>,
    display: Arc<str>,
    password: Option<Arc<str>>,
    scram: Option<Arc<ScramVerifier>>,
    open: bool,
    removed: bool,
    admin: bool,
    /// The SHA-256 of the token by which it was found.
    token: Option<Arc<[u8; 32]>>,
}

impl Known {
    pub(crate) fn new(id: AccountId, account: &Account) -> Self {
        Self {
            id,
            name: account.name.as_str().into(),
            display: account.display.as_str().into(),
            password: account.password.as_deref().map(Into::into),
            scram: account.scram.clone().map(Arc::new),
            open: !account.disabled && !account.removed,
            removed: account.removed,
            admin: account.role == Role::Admin,
            token: None,
        }
    }

    pub(crate) fn id(&self) -> AccountId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As it is listed, unless it is removed.
    pub(crate) fn info(&self) -> Option<AccountInfo> {
        (!self.removed).then(|| AccountInfo {
            name: self.name.to_string(),
            display: self.display.to_string(),
            role: if self.admin {
                AccountRole::Admin
            } else {
                AccountRole::Member
            },
            disabled: !self.open,
        })
    }

    pub(super) fn display(&self) -> &str {
        &self.display
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// The argon2 hash of its password; without one, tokens only.
    pub(crate) fn password(&self) -> Option<&Arc<str>> {
        self.password.as_ref()
    }

    /// Its password in the form of SCRAM, once that is known.
    pub(crate) fn scram(&self) -> Option<&ScramVerifier> {
        self.scram.as_deref()
    }

    pub(crate) fn may_log_in(&self) -> bool {
        self.open
    }

    /// The SHA-256 of the token by which it was found, if it was.
    pub(crate) fn token(&self) -> Option<&Arc<[u8; 32]>> {
        self.token.as_ref()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }
}

#[derive(Debug, Clone, Copy)]
struct Opens {
    account: AccountId,
    expires: Option<Millis>,
}

/// All accounts and tokens.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    accounts: HashMap<AccountId, Known>,
    /// Of removed accounts too.
    names: BTreeMap<Arc<str>, AccountId>,
    tokens: HashMap<[u8; 32], Opens>,
}

impl Directory {
    /// Whether no account has ever been made.
    pub(crate) fn is_empty(&self) -> bool {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.accounts.is_empty()
    }

    /// An account or token is new, has changed, or has ended.
    pub(crate) fn change(&self, change: CredentialsChange) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            CredentialsChange::Account { id, account } => {
                let known = Known::new(id, &account);
                tables.names.insert(known.shared_name(), id);
                tables.accounts.insert(id, known);
            }
            CredentialsChange::Token {
                sha256,
                account,
                expires,
            } => {
                tables.tokens.insert(sha256, Opens { account, expires });
            }
            CredentialsChange::TokenRevoked { sha256 } => {
                tables.tokens.remove(&sha256);
            }
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many accounts there are, without those that were removed.
    pub(crate) fn accounts(&self) -> usize {
        let tables = self.read();
        tables
            .accounts
            .values()
            .filter(|known| !known.removed)
            .count()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Known> {
        let tables = self.read();
        tables.accounts.get(tables.names.get(name)?).cloned()
    }

    pub(crate) fn by_id(&self, id: AccountId) -> Option<Known> {
        let tables = self.read();
        tables.accounts.get(&id).cloned()
    }

    pub(crate) fn by_token(&self, sha256: &[u8; 32], now: Millis) -> Option<Known> {
        let tables = self.read();
        let opens = tables.tokens.get(sha256)?;
        if opens.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let known = tables.accounts.get(&opens.account)?;
        Some(Known {
            token: Some(Arc::new(*sha256)),
            ..known.clone()
        })
    }

    /// A token was used: whether its end is to be put off to `end`, because it has none or would be put off by as much as `step`.
    /// For whoever asks next it is.
    pub(crate) fn renew(&self, sha256: &[u8; 32], end: Millis, step: Duration) -> bool {
        let is_due = |opens: &Opens| {
            opens
                .expires
                .is_none_or(|expires| u128::from(end.since(expires)) >= step.as_millis())
        };
        let tables = self.read();
        if !tables.tokens.get(sha256).is_some_and(is_due) {
            return false;
        }
        drop(tables);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        match tables.tokens.get_mut(sha256) {
            Some(opens) if is_due(opens) => opens.expires = Some(end),
            Some(_) | None => return false,
        }
        true
    }
}

impl Tables {
    /// The accounts behind a name, removed ones among them, by name.
    pub(super) fn behind<'a>(
        &'a self,
        name: Option<&str>,
    ) -> impl Iterator<Item = &'a Known> + use<'a> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range::<str, _>((from, Bound::Unbounded));
        names.filter_map(|(_, id)| self.accounts.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_used_lasts_longer_and_is_written_at_most_once_a_day() {
        const DAY: u64 = 24 * 3600 * 1000;
        let directory = Directory::default();
        let account = AccountId::new(1);
        let nobody = crate::logins::pool::nobody();
        directory.change(CredentialsChange::Account {
            id: account,
            account: nobody,
        });
        let token = [1; 32];
        directory.change(CredentialsChange::Token {
            sha256: token,
            account,
            expires: None,
        });
        let step = Duration::from_millis(DAY);
        let use_at = |at: u64| directory.renew(&token, Millis::new(at + 90 * DAY), step);
        assert!(use_at(0), "one that has no end gets it");
        assert!(!use_at(1) && !use_at(DAY - 1));
        assert!(use_at(DAY) && !use_at(DAY));
        assert!(!directory.renew(&[2; 32], Millis::MAX, step));
        let opens = |at| directory.by_token(&token, Millis::new(at)).is_some();
        assert!(opens(91 * DAY - 1) && !opens(91 * DAY));
    }
}
