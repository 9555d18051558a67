//! Accounts by id and by name, and their tokens. Must not know what a command may do; it keeps the tables in step.

use std::sync::Arc;

use records::{Account, AccountId, Millis, Role, Token};

use crate::accounts::shown::Shown;
use crate::format::names;
use crate::table::{Table, Tables};

/// An account and what belongs to it.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) record: Account,
    /// Oldest first.
    pub(crate) tokens: Vec<(Millis, [u8; 32])>,
    pub(crate) shown: Arc<Shown>,
}

impl AccountState {
    fn new(record: Account) -> Self {
        Self {
            shown: Arc::new(Shown::of(&record)),
            record,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.record.name.as_str()
    }

    /// An administrator who can log in.
    fn reigns(&self) -> bool {
        self.record.role == Role::Admin && !self.record.disabled && !self.record.removed
    }
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Directory {
    by_id: Table<AccountId, AccountState>,
    by_name: Table<Box<str>, AccountId>,
    /// Names that are not their own skeleton, by their skeletons; of those that look alike, one.
    by_skeleton: Table<Box<str>, AccountId>,
    tokens: Table<[u8; 32], AccountId>,
    last: AccountId,
}

impl Directory {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            by_id: tables.table(),
            by_name: tables.table(),
            by_skeleton: tables.table(),
            tokens: tables.table(),
            last: AccountId::ZERO,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The id of the next account.
    pub(crate) fn next_id(&self) -> AccountId {
        self.last.next()
    }

    /// This id is not given to a new account.
    pub(crate) fn reserve(&mut self, id: AccountId) {
        self.last = self.last.max(id);
    }

    pub(crate) fn insert(&mut self, id: AccountId, record: Account) {
        self.last = self.last.max(id);
        let name = record.name.as_str();
        self.by_name.insert(name.into(), id);
        let skeleton = names::skeleton(name);
        if skeleton != name {
            self.by_skeleton.insert(skeleton.into(), id);
        }
        self.by_id.insert(id, AccountState::new(record));
    }

    pub(crate) fn find(&self, id: AccountId) -> Option<&AccountState> {
        self.by_id.get(&id)
    }

    pub(crate) fn find_mut(&mut self, id: AccountId) -> Option<&mut AccountState> {
        self.by_id.get_mut(&id)
    }

    /// Whether the name belongs to an account, or once did.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Another account, removed or not, whose name looks like this one.
    pub(crate) fn lookalike(&self, name: &str) -> Option<&str> {
        let skeleton = names::skeleton(name);
        let alike = |table: &Table<Box<str>, AccountId>| table.get(skeleton.as_str()).copied();
        alike(&self.by_name)
            .or_else(|| alike(&self.by_skeleton))
            .map(|id| self.name(id))
    }

    /// The account of that name, unless it is removed.
    pub(crate) fn named(&self, name: &str) -> Option<AccountId> {
        let id = *self.by_name.get(name)?;
        let account = self.by_id.get(&id)?;
        (!account.record.removed).then_some(id)
    }

    /// The account of that name, removed or not: what it wrote can still be read.
    pub(crate) fn named_ever(&self, name: &str) -> Option<AccountId> {
        self.by_name.get(name).copied()
    }

    /// The login name; empty for an account that does not exist.
    pub(crate) fn name(&self, id: AccountId) -> &str {
        self.by_id.get(&id).map_or("", AccountState::name)
    }

    /// Whether this account administers the server.
    pub(crate) fn is_administrator(&self, id: AccountId) -> bool {
        self.by_id.get(&id).is_some_and(AccountState::reigns)
    }

    /// Whether nobody but this account can administer the server.
    pub(crate) fn is_last_administrator(&self, id: AccountId) -> bool {
        self.by_id.get(&id).is_some_and(AccountState::reigns)
            && !self
                .by_id
                .iter()
                .any(|(other, account)| *other != id && account.reigns())
    }

    /// Accounts that are not removed, by name.
    pub(crate) fn listed(&self) -> Vec<(AccountId, &Account)> {
        let mut listed: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, account)| !account.record.removed)
            .map(|(id, account)| (*id, &account.record))
            .collect();
        listed.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
        listed
    }

    /// Adds a token; false if there is no such account.
    pub(crate) fn insert_token(&mut self, sha256: [u8; 32], token: &Token) -> bool {
        let Some(account) = self.by_id.get_mut(&token.account) else {
            return false;
        };
        if self.tokens.insert(sha256, token.account).is_some() {
            return true;
        }
        let entry = (token.created, sha256);
        let at = account.tokens.partition_point(|known| *known <= entry);
        account.tokens.insert(at, entry);
        true
    }

    /// Whether there is this token.
    pub(crate) fn has_token(&self, sha256: &[u8; 32]) -> bool {
        self.tokens.get(sha256).is_some()
    }

    /// Ends a token and says whose it was.
    pub(crate) fn remove_token(&mut self, sha256: &[u8; 32]) -> Option<AccountId> {
        let owner = self.tokens.remove(sha256)?;
        if let Some(account) = self.by_id.get_mut(&owner) {
            account.tokens.retain(|(_, known)| known != sha256);
        }
        Some(owner)
    }

    /// Ends all tokens of an account and says which they were, oldest first.
    pub(crate) fn remove_tokens(&mut self, id: AccountId) -> Vec<[u8; 32]> {
        let Some(account) = self.by_id.get_mut(&id) else {
            return Vec::new();
        };
        let ended: Vec<_> = std::mem::take(&mut account.tokens)
            .into_iter()
            .map(|(_, sha256)| sha256)
            .collect();
        for sha256 in &ended {
            self.tokens.remove(sha256);
        }
        ended
    }

    /// The tokens that a further one of this account, which may have so many, would displace.
    pub(crate) fn displaced_tokens(&self, id: AccountId, tokens_max: usize) -> Vec<[u8; 32]> {
        let tokens = self.by_id.get(&id).map_or(&[][..], |known| &known.tokens);
        let displaced = (tokens.len() + 1).saturating_sub(tokens_max);
        let oldest = tokens.iter().take(displaced);
        oldest.map(|(_, sha256)| *sha256).collect()
    }

    /// Changes what people see of an account.
    pub(crate) fn set_profile(&mut self, id: AccountId, display: String, text: String) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.record.display = display;
            account.record.profile_text = text;
            account.shown = Arc::new(Shown::of(&account.record));
        }
    }

    /// Accounts that were removed, ascending.
    pub(crate) fn removed(&self) -> Vec<AccountId> {
        let removed = self
            .by_id
            .iter()
            .filter(|(_, account)| account.record.removed);
        let mut removed: Vec<_> = removed.map(|(id, _)| *id).collect();
        removed.sort_unstable();
        removed
    }
}
