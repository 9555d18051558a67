//! Connected devices: which account each belongs to, whether it is in the foreground, and which filters it holds for what the
//! messenger tells only to those who listen. Must not decide who is told.

use std::collections::BTreeSet;

use records::{AccountId, Millis, SessionRef};
use smallvec::SmallVec;

use crate::catch_ups::CatchUps;
use crate::chat::Chat;
use crate::pending::Pending;
use crate::presence::Presence;
use crate::refusal::Refusal;
use crate::table::{Table, Tables};
use crate::topic;

/// Conversations that are looked at for a wildcard at the cost of one question.
const LOOKED_AT: usize = 256;

#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) account: AccountId,
    pub(crate) inactive: bool,
    /// Those that may cover `im/about/…` or `im/presence/…`.
    filters: Vec<Box<str>>,
    /// Most sessions have nothing pending most of the time.
    pending: Option<Box<Pending>>,
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
    /// Accounts with a device from which something is held back.
    held: BTreeSet<AccountId>,
    pub(crate) catch_ups: CatchUps,
}

/// Devices of some accounts by whether somebody looks at them.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Accounts whose devices are all looked at.
    pub(crate) whole: Vec<AccountId>,
    /// Such devices of other accounts.
    pub(crate) active: Vec<SessionRef>,
    pub(crate) inactive: Vec<SessionRef>,
}

const PRESENCE: &str = "im/presence/";

impl Live {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            sessions: tables.table(),
            accounts: tables.table(),
            named: tables.table(),
            held: BTreeSet::new(),
            catch_ups: CatchUps::new(tables),
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

    /// Where something goes that is held back from devices nobody looks at.
    pub(crate) fn split(&self, accounts: impl Iterator<Item = AccountId>) -> Split {
        let mut split = Split::default();
        for account in accounts {
            let Some(live) = self.accounts.get(&account) else {
                continue;
            };
            let is_inactive = |session: &&SessionRef| {
                let known = self.sessions.get(*session);
                known.is_some_and(|session| session.inactive)
            };
            if !live.sessions.iter().any(|session| is_inactive(&session)) {
                split.whole.push(account);
                continue;
            }
            let (inactive, active): (Vec<_>, Vec<_>) = live
                .sessions
                .iter()
                .copied()
                .partition(|session| is_inactive(&session));
            split.inactive.extend(inactive);
            split.active.extend(active);
        }
        split
    }

    /// Whose session it is.
    pub(crate) fn account_of(&self, session: SessionRef) -> Option<AccountId> {
        Some(self.sessions.get(&session)?.account)
    }

    /// What is pending for a session, to be added to.
    pub(crate) fn pending(&mut self, session: SessionRef) -> Option<&mut Pending> {
        let session = self.sessions.get_mut(&session)?;
        Some(session.pending.get_or_insert_default())
    }

    /// Whether something is pending for a session.
    pub(crate) fn has_pending(&self, session: SessionRef) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| session.pending.is_some())
    }

    /// Gives back the memory of a session for which nothing is pending.
    pub(crate) fn tidy(&mut self, session: SessionRef) {
        if let Some(session) = self.sessions.get_mut(&session)
            && session
                .pending
                .as_ref()
                .is_some_and(|pending| pending.is_empty())
        {
            session.pending = None;
        }
    }

    /// Holds something back from a session; the change says what.
    pub(crate) fn hold(&mut self, session: SessionRef, change: impl FnOnce(&mut Pending)) {
        let Some(account) = self.account_of(session) else {
            return;
        };
        if let Some(pending) = self.pending(session) {
            change(pending);
            self.held.insert(account);
        }
    }

    /// Accounts with a device from which something is held back.
    pub(crate) fn held(&self) -> &BTreeSet<AccountId> {
        &self.held
    }

    /// An account's devices from which something is held back, which it is no longer.
    pub(crate) fn take_held(&mut self, account: AccountId) -> Vec<SessionRef> {
        self.held.remove(&account);
        let holds = |session: &&SessionRef| {
            let pending = self.sessions.get(*session).map(|known| &known.pending);
            pending.is_some_and(|pending| pending.as_ref().is_some_and(|held| held.holds()))
        };
        let live = self.accounts.get(&account).into_iter();
        live.flat_map(|live| &live.sessions)
            .filter(holds)
            .copied()
            .collect()
    }

    /// The devices of an account that listen to a topic, and for each whether nobody looks at it.
    pub(crate) fn listeners(
        &self,
        account: AccountId,
        topic: &str,
    ) -> SmallVec<[(SessionRef, bool); 2]> {
        let live = self.accounts.get(&account).into_iter();
        live.flat_map(|live| &live.sessions)
            .filter_map(|session| Some((*session, self.sessions.get(session)?)))
            .filter(|(_, known)| {
                known
                    .filters
                    .iter()
                    .any(|filter| topic::matches(filter, topic))
            })
            .map(|(session, known)| (session, known.inactive))
            .collect()
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
        self.catch_ups.forget(session);
        let closed = self.sessions.remove(&session)?;
        for filter in &closed.filters {
            self.unname(session, filter);
        }
        if let Some(live) = self.accounts.get_mut(&closed.account) {
            live.sessions.retain(|known| *known != session);
            if live.sessions.is_empty() {
                self.held.remove(&closed.account);
            }
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
            pending: None,
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
            // A further one gets what is told to accounts, but nothing on subscribing.
            if session.filters.len() >= self.settings.filters_max {
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
        if wanted && self.take_listen_quota(account, filter, now).is_ok() {
            self.tell_presences(reference, account, filter);
            self.tell_abouts(reference, account, filter, now);
        }
    }

    /// Every filter that is answered costs something, the same one again included. A wildcard may cover thousands of conversations
    /// and costs questions; a name is looked up.
    fn take_listen_quota(
        &mut self,
        account: AccountId,
        filter: &str,
        now: Millis,
    ) -> Result<(), Refusal> {
        if topic::is_wildcard(filter) {
            let covered = self.directory.conversations(account).len();
            return self.take_ask_quota(account, 1 + covered / LOOKED_AT, now);
        }
        let rate = self.settings.messages_per_second_max;
        let burst = self
            .settings
            .messages_burst_max
            .max(self.settings.filters_max as u32);
        let taken = self
            .directory
            .find_mut(account)
            .is_some_and(|state| state.listens.take(1, rate, burst, now));
        if taken {
            return Ok(());
        }
        self.counters.quota_refused += 1;
        Err(Refusal::quota("too many filters at once"))
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
