//! Who there is: accounts, names, tokens. Read by everybody, changed here. Must not know conversations nor sessions.

mod commands;
mod directory;
pub(crate) mod shown;

use std::collections::VecDeque;
use std::sync::Arc;

use records::{Account, AccountId, Token};

use crate::counters::Counters;
use crate::io::{ListedAccount, Output, Owner, Ticket};
use crate::log::Log;
use crate::settings::Settings;
use crate::table::Tables;
pub(crate) use commands::ProfileChange;
use directory::Directory;
use shown::Shown;

/// Ids that a server can have counted to: JavaScript's numbers are exact up to twice as many.
const COUNT_MAX: u64 = 1 << 52;

/// A number that was counted from one on.
pub(crate) fn is_count(number: u64) -> bool {
    (1..=COUNT_MAX).contains(&number)
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Accounts {
    settings: Arc<Settings>,
    directory: Directory,
    log: Log<Effect>,
    effects: VecDeque<Effect>,
    counters: Counters,
}

/// What follows from a change once it is on disk.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Something to be done outside.
    Output(Output),
    /// An account has ended: what it takes part in is to be left.
    Removed(AccountId),
    /// A profile was changed as somebody asked who waits for it.
    Profiled(ProfileChange),
}

impl Accounts {
    pub(crate) fn new(settings: Arc<Settings>, tables: &Tables) -> Self {
        Self {
            settings,
            directory: Directory::new(tables),
            log: Log::default(),
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn reconfigure(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Every append up to this one is on disk.
    pub(crate) fn appended(&mut self, ticket: Ticket) {
        self.effects.extend(self.log.appended(ticket));
    }

    // Rows of an earlier run.

    /// Takes back an account; false if another has its name.
    pub(crate) fn recover(&mut self, id: AccountId, account: Account) -> bool {
        let is_free = !self.directory.is_taken(account.name.as_str());
        if is_free {
            self.directory.insert(id, account);
        }
        is_free
    }

    /// Takes back a token; false if its account does not exist.
    pub(crate) fn recover_token(&mut self, sha256: [u8; 32], token: &Token) -> bool {
        self.directory.insert_token(sha256, token)
    }

    /// So many rows belong to nothing.
    pub(crate) fn count_strays(&mut self, strays: u64) {
        self.counters.strays += strays;
    }

    /// This id is not given to a new account.
    pub(crate) fn reserve(&mut self, id: AccountId) {
        self.directory.reserve(id);
    }

    /// Accounts that were removed, which take part in nothing any more.
    pub(crate) fn removed(&self) -> Vec<AccountId> {
        self.directory.removed()
    }

    // Who there is.

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    /// Accounts that are not removed, by name.
    pub(crate) fn listed(&self) -> Vec<ListedAccount> {
        let listed = self.directory.listed().into_iter();
        listed
            .map(|(id, account)| ListedAccount {
                id,
                name: account.name.clone(),
                display: account.display.clone(),
                role: account.role,
                disabled: account.disabled,
            })
            .collect()
    }

    /// An account's record.
    pub(crate) fn find(&self, id: AccountId) -> Option<&Account> {
        self.directory.find(id).map(|account| &account.record)
    }

    /// What people see of an account.
    pub(crate) fn shown(&self, id: AccountId) -> Option<&Arc<Shown>> {
        self.directory.find(id).map(|account| &account.shown)
    }

    /// The account of that name, unless it is removed.
    pub(crate) fn named(&self, name: &str) -> Option<AccountId> {
        self.directory.named(name)
    }

    /// The account of that name, removed or not: what it wrote can still be read.
    pub(crate) fn named_ever(&self, name: &str) -> Option<AccountId> {
        self.directory.named_ever(name)
    }

    /// The login name; empty for an account that does not exist.
    pub(crate) fn name(&self, id: AccountId) -> &str {
        self.directory.name(id)
    }

    /// Whether this account administers the server.
    pub(crate) fn is_administrator(&self, id: AccountId) -> bool {
        self.directory.is_administrator(id)
    }
}

/// What a command comes to: writes that belong together, and what follows once they are on disk.
#[derive(Debug, Default)]
struct Batch {
    writes: Vec<records::Write>,
    effects: Vec<Effect>,
}

impl Batch {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(records::Write::Put { key, value });
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.writes.push(records::Write::Delete { key });
    }

    fn tell(&mut self, output: Output) {
        self.effects.push(Effect::Output(output));
    }
}

impl Accounts {
    fn commit(&mut self, batch: Batch) {
        let Batch { writes, effects } = batch;
        if writes.is_empty() {
            for effect in effects {
                if let Some(effect) = self.log.follow(effect) {
                    self.effects.push_back(effect);
                }
            }
            return;
        }
        let ticket = self.log.append(effects);
        self.effects.push_back(Effect::Output(Output::Append {
            owner: Owner::Accounts,
            term: 0,
            ticket,
            writes,
        }));
    }
}
