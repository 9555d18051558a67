//! Who there is: accounts by id and by name, their tokens, and which conversations each takes part in.
//! Must not know what a command may do; it keeps the tables in step.

use records::{Account, AccountId, ConversationId, Member, Millis, Role, Token};

use crate::names;
use crate::quota::Bucket;
use crate::table::{Table, Tables};

/// An account and what belongs to it.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) record: Account,
    /// Oldest first.
    pub(crate) tokens: Vec<(Millis, [u8; 32])>,
    /// Ascending.
    pub(crate) conversations: Vec<ConversationId>,
    /// How many of them it began or joined itself.
    pub(crate) own: usize,
    /// Bytes of messages that it has stored in conversations, those it has left among them.
    pub(crate) stored_bytes: u64,
    /// Groups that it made and everybody has left.
    pub(crate) abandoned: usize,
    pub(crate) messages: Bucket,
    pub(crate) asks: Bucket,
    /// Filters that were answered.
    pub(crate) listens: Bucket,
    /// Groups that were made.
    pub(crate) groups: Bucket,
    /// When its last device went, as far as this run of the server knows.
    pub(crate) last_seen: Option<Millis>,
}

impl AccountState {
    fn new(record: Account) -> Self {
        Self {
            stored_bytes: record.departed_bytes,
            record,
            tokens: Vec::new(),
            conversations: Vec::new(),
            own: 0,
            abandoned: 0,
            messages: Bucket::default(),
            asks: Bucket::default(),
            listens: Bucket::default(),
            groups: Bucket::default(),
            last_seen: None,
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

    /// The account takes part in a conversation.
    pub(crate) fn join(&mut self, id: AccountId, conversation: ConversationId, member: &Member) {
        if let Some(account) = self.by_id.get_mut(&id)
            && let Err(at) = account.conversations.binary_search(&conversation)
        {
            account.conversations.insert(at, conversation);
            account.own += usize::from(member.own);
            account.stored_bytes = account.stored_bytes.saturating_add(member.stored_bytes);
        }
    }

    /// The account no longer takes part in a conversation.
    pub(crate) fn leave(&mut self, id: AccountId, conversation: ConversationId, member: &Member) {
        if let Some(account) = self.by_id.get_mut(&id)
            && let Ok(at) = account.conversations.binary_search(&conversation)
        {
            account.conversations.remove(at);
            account.own = account.own.saturating_sub(usize::from(member.own));
            account.stored_bytes = account.stored_bytes.saturating_sub(member.stored_bytes);
        }
    }

    /// The conversations an account takes part in, ascending.
    pub(crate) fn conversations(&self, id: AccountId) -> &[ConversationId] {
        self.by_id
            .get(&id)
            .map_or(&[], |account| account.conversations.as_slice())
    }

    /// Whether two accounts share a conversation; everybody shares with himself.
    pub(crate) fn acquainted(&self, one: AccountId, other: AccountId) -> bool {
        if one == other {
            return true;
        }
        let (one, other) = (self.conversations(one), self.conversations(other));
        let (few, many) = if one.len() < other.len() {
            (one, other)
        } else {
            (other, one)
        };
        few.iter().any(|shared| many.binary_search(shared).is_ok())
    }
}
