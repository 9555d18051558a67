//! The accounts and tokens as logins need them: what the messenger has on disk, told by the service thread, read by all.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chat::CredentialsChange;
use records::{Account, AccountId, Millis, Role, ScramVerifier};

/// An account as far as a login is concerned. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    id: AccountId,
    name: Arc<str>,
    password: Option<Arc<str>>,
    scram: Option<Arc<ScramVerifier>>,
    open: bool,
    removed: bool,
    admin: bool,
}

impl Known {
    pub(crate) fn new(id: AccountId, account: &Account) -> Self {
        Self {
            id,
            name: account.name.as_str().into(),
            password: account.password.as_deref().map(Into::into),
            scram: account.scram.clone().map(Arc::new),
            open: !account.disabled && !account.removed,
            removed: account.removed,
            admin: account.role == Role::Admin,
        }
    }

    pub(crate) fn id(&self) -> AccountId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
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
struct Tables {
    accounts: HashMap<AccountId, Known>,
    names: HashMap<Arc<str>, AccountId>,
    tokens: HashMap<[u8; 32], Opens>,
}

impl Directory {
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

    /// How many accounts there are, without those that were removed.
    pub(crate) fn accounts(&self) -> usize {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables
            .accounts
            .values()
            .filter(|known| !known.removed)
            .count()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Known> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.accounts.get(tables.names.get(name)?).cloned()
    }

    pub(crate) fn by_id(&self, id: AccountId) -> Option<Known> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.accounts.get(&id).cloned()
    }

    pub(crate) fn by_token(&self, sha256: &[u8; 32], now: Millis) -> Option<Known> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let opens = tables.tokens.get(sha256)?;
        if opens.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        tables.accounts.get(&opens.account).cloned()
    }
}
