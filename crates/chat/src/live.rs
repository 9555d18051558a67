//! Connected devices: which account each belongs to, whether it is in the foreground, and which filters it holds for what the
//! messenger tells only to those who listen. Must not decide who is told.

use records::{AccountId, Millis, SessionRef};
use smallvec::SmallVec;

use crate::chat::Chat;
use crate::presence::Presence;
use crate::table::{Table, Tables};
use crate::topic;

/// Filters kept per session; further ones get what is told to accounts, but nothing on subscribing.
const FILTERS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) account: AccountId,
    pub(crate) inactive: bool,
    /// Those that may cover `im/about/…` or `im/presence/…`.
    filters: Vec<Box<str>>,
}

/// An account with a device, or one that had one a moment ago.
#[derive(Debug, Default)]
pub(crate) struct LiveAccount {
    pub(crate) sessions: SmallVec<[SessionRef; 2]>,
    pub(crate) presence: Presence,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Live {
    sessions: Table<SessionRef, LiveSession>,
    accounts: Table<AccountId, LiveAccount>,
    /// Sessions that hold `im/presence/<name>` itself.
    named: Table<Box<str>, Vec<SessionRef>>,
}

const PRESENCE: &str = "im/presence/";

impl Live {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            sessions: tables.table(),
            accounts: tables.table(),
            named: tables.table(),
        }
    }

    pub(crate) fn session_mut(&mut self, session: SessionRef) -> Option<&mut LiveSession> {
        self.sessions.get_mut(&session)
    }

    pub(crate) fn account(&self, account: AccountId) -> Option<&LiveAccount> {
        self.accounts.get(&account)
    }

    pub(crate) fn account_mut(&mut self, account: AccountId) -> Option<&mut LiveAccount> {
        self.accounts.get_mut(&account)
    }

    pub(crate) fn open_account(&mut self, account: AccountId) -> &mut LiveAccount {
        self.accounts.entry(account).or_default()
    }

    pub(crate) fn forget_account(&mut self, account: AccountId) {
        self.accounts.remove(&account);
    }

    /// Whether the account has a device.
    pub(crate) fn is_connected(&self, account: AccountId) -> bool {
        self.accounts
            .get(&account)
            .is_some_and(|live| !live.sessions.is_empty())
    }

    /// Whether all devices of an account say that nobody looks at them.
    pub(crate) fn all_inactive(&self, account: AccountId) -> bool {
        self.sessions_of(account).next().is_some()
            && self.sessions_of(account).all(|session| session.inactive)
    }

    /// Where something goes that is held back from devices nobody looks at: accounts none of whose devices is such a one, and the
    /// other devices of the other accounts.
    pub(crate) fn attentive(
        &self,
        accounts: impl Iterator<Item = AccountId>,
    ) -> (Vec<AccountId>, Vec<SessionRef>) {
        let (mut whole, mut single) = (Vec::new(), Vec::new());
        for account in accounts {
            let Some(live) = self.accounts.get(&account) else {
                continue;
            };
            let is_active = |session: &&SessionRef| {
                self.sessions
                    .get(*session)
                    .is_some_and(|session| !session.inactive)
            };
            let active = live.sessions.iter().filter(is_active);
            if active.clone().count() == live.sessions.len() {
                whole.push(account);
            } else {
                single.extend(active);
            }
        }
        (whole, single)
    }

    /// The filters a device holds for what is told only to those who listen.
    pub(crate) fn filters(&self, session: SessionRef) -> &[Box<str>] {
        self.sessions
            .get(&session)
            .map_or(&[], |session| session.filters.as_slice())
    }

    /// Whether some device of the account listens to a topic.
    pub(crate) fn listens(&self, account: AccountId, topic: &str) -> bool {
        self.sessions_of(account)
            .flat_map(|session| &session.filters)
            .any(|filter| topic::matches(filter, topic))
    }

    /// Accounts that named somebody's presence.
    pub(crate) fn naming(&self, name: &str) -> impl Iterator<Item = AccountId> {
        self.named
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|session| self.sessions.get(session))
            .map(|session| session.account)
    }

    fn sessions_of(&self, account: AccountId) -> impl Iterator<Item = &LiveSession> {
        self.accounts
            .get(&account)
            .into_iter()
            .flat_map(|live| &live.sessions)
            .filter_map(|session| self.sessions.get(session))
    }

    fn close(&mut self, session: SessionRef) -> Option<AccountId> {
        let closed = self.sessions.remove(&session)?;
        for filter in &closed.filters {
            self.unname(session, filter);
        }
        if let Some(live) = self.accounts.get_mut(&closed.account) {
            live.sessions.retain(|known| *known != session);
        }
        Some(closed.account)
    }

    fn unname(&mut self, session: SessionRef, filter: &str) {
        let Some(name) = filter.strip_prefix(PRESENCE) else {
            return;
        };
        if let Some(sessions) = self.named.get_mut(name) {
            sessions.retain(|known| *known != session);
            if sessions.is_empty() {
                self.named.remove(name);
            }
        }
    }
}

/// Whether a filter may cover something that is told only to those who listen.
fn is_listened_for(filter: &str) -> bool {
    let second = filter
        .strip_prefix("im/")
        .and_then(|rest| rest.split('/').next());
    matches!(second, Some("about" | "presence" | "+" | "#"))
}

impl Chat {
    /// A device connected.
    pub(crate) fn session_up(&mut self, session: SessionRef, account: AccountId, now: Millis) {
        if self.directory.find(account).is_none() {
            self.counters.strays += 1;
            return;
        }
        // Taken over or announced twice: what it held then is announced again.
        if let Some(before) = self.live.close(session)
            && before != account
        {
            self.presence_changed(before, now);
        }
        let opened = LiveSession {
            account,
            inactive: false,
            filters: Vec::new(),
        };
        self.live.sessions.insert(session, opened);
        self.live.open_account(account).sessions.push(session);
        self.presence_changed(account, now);
    }

    /// A device's connection ended.
    pub(crate) fn session_down(&mut self, session: SessionRef, now: Millis) {
        match self.live.close(session) {
            Some(account) => self.presence_changed(account, now),
            None => self.counters.strays += 1,
        }
    }

    /// A session holds a filter; `wanted` when it is to be told how things are.
    pub(crate) fn subscribed(
        &mut self,
        reference: SessionRef,
        account: AccountId,
        filter: &str,
        wanted: bool,
        now: Millis,
    ) {
        if !is_listened_for(filter) {
            return;
        }
        let Some(session) = self.live.sessions.get_mut(&reference) else {
            self.counters.strays += 1;
            return;
        };
        if session.account != account {
            self.counters.strays += 1;
            return;
        }
        if !session.filters.iter().any(|known| **known == *filter) {
            if session.filters.len() == FILTERS_MAX {
                self.counters.filters_dropped += 1;
                return;
            }
            session.filters.push(filter.into());
            if let Some(name) = filter.strip_prefix(PRESENCE)
                && !topic::is_wildcard(name)
            {
                self.live
                    .named
                    .entry(name.into())
                    .or_default()
                    .push(reference);
            }
        }
        // A wildcard may cover thousands of conversations, and can be subscribed to again and again.
        if wanted && (!topic::is_wildcard(filter) || self.take_ask_quota(account, now).is_ok()) {
            self.tell_presences(reference, account, filter);
            self.tell_abouts(reference, account, filter);
        }
    }

    /// A session gave up a filter.
    pub(crate) fn unsubscribed(&mut self, reference: SessionRef, filter: &str) {
        let Some(session) = self.live.sessions.get_mut(&reference) else {
            return;
        };
        session.filters.retain(|known| **known != *filter);
        self.live.unname(reference, filter);
    }
}
