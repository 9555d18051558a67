//! Connected devices: which account each belongs to, whether it is in the foreground, and which filters it holds for what the
//! messenger tells only to those who listen. Must not decide who is told.

use std::collections::BTreeSet;

use records::{AccountId, Cursor, SessionRef};

use crate::format::device::DeviceId;
use crate::format::topic;
use crate::refusal::Refusal;
use crate::sessions::accounts::Deferred;
use crate::sessions::pending::Pending;
use crate::sessions::{Context, Sessions};
use crate::table::{Table, Tables};

/// Conversations that are looked at for a wildcard at the cost of one question.
const LOOKED_AT: usize = 256;

const PRESENCE: &str = "im/presence/";

#[derive(Debug)]
pub(super) struct Device {
    pub(super) account: AccountId,
    pub(super) id: DeviceId,
    pub(super) inactive: bool,
    /// How far it had come when it came back, if it has been here before.
    since: Option<Cursor>,
    /// Those that may cover `im/about/…` or `im/presence/…`.
    filters: Vec<Box<str>>,
    /// Most sessions have nothing pending most of the time.
    pending: Option<Box<Pending>>,
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct Devices {
    sessions: Table<SessionRef, Device>,
    /// Sessions that hold `im/presence/<name>` itself.
    named: Table<Box<str>, Vec<SessionRef>>,
    /// How many filters with wildcards may cover `im/presence/…`.
    presence_wildcards: usize,
    /// Accounts with a device from which something is held back.
    held: BTreeSet<AccountId>,
}

impl Devices {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            sessions: tables.table(),
            named: tables.table(),
            presence_wildcards: 0,
            held: BTreeSet::new(),
        }
    }

    pub(super) fn find(&self, session: SessionRef) -> Option<&Device> {
        self.sessions.get(&session)
    }

    pub(super) fn find_mut(&mut self, session: SessionRef) -> Option<&mut Device> {
        self.sessions.get_mut(&session)
    }

    /// Which of an account's sessions is that of a device.
    pub(super) fn of_id(&self, sessions: &[SessionRef], id: DeviceId) -> Option<SessionRef> {
        let is_of =
            |session: &&SessionRef| self.find(**session).is_some_and(|known| known.id == id);
        sessions.iter().find(is_of).copied()
    }

    /// Whose session it is.
    pub(super) fn account_of(&self, session: SessionRef) -> Option<AccountId> {
        Some(self.sessions.get(&session)?.account)
    }

    /// Whose session it is, and how far it had come when it came back.
    pub(super) fn account_and_since(
        &self,
        session: SessionRef,
    ) -> Option<(AccountId, Option<Cursor>)> {
        let device = self.sessions.get(&session)?;
        Some((device.account, device.since.clone()))
    }

    /// Whether nobody looks at a device.
    pub(super) fn is_inactive(&self, session: SessionRef) -> bool {
        let device = self.sessions.get(&session);
        device.is_some_and(|device| device.inactive)
    }

    /// What is pending for a session, to be added to.
    pub(super) fn pending(&mut self, session: SessionRef) -> Option<&mut Pending> {
        let session = self.sessions.get_mut(&session)?;
        Some(session.pending.get_or_insert_default())
    }

    /// Whether something is pending for a session.
    pub(super) fn has_pending(&self, session: SessionRef) -> bool {
        let device = self.sessions.get(&session);
        device.is_some_and(|device| device.pending.is_some())
    }

    /// Gives back the memory of a session for which nothing is pending.
    pub(super) fn tidy(&mut self, session: SessionRef) {
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
    pub(super) fn hold(&mut self, session: SessionRef, change: impl FnOnce(&mut Pending)) {
        let Some(account) = self.account_of(session) else {
            return;
        };
        if let Some(pending) = self.pending(session) {
            change(pending);
            self.held.insert(account);
        }
    }

    /// Accounts with a device from which something is held back.
    pub(super) fn held(&self) -> &BTreeSet<AccountId> {
        &self.held
    }

    /// Those of an account's devices from which something is held back, which it is no longer.
    pub(super) fn take_held(
        &mut self,
        account: AccountId,
        sessions: &[SessionRef],
    ) -> Vec<SessionRef> {
        self.held.remove(&account);
        let holds = |session: &&SessionRef| {
            let pending = self.sessions.get(*session).map(|known| &known.pending);
            pending.is_some_and(|pending| pending.as_ref().is_some_and(|held| held.holds()))
        };
        sessions.iter().filter(holds).copied().collect()
    }

    /// Whether a device listens to a topic.
    pub(super) fn listens(&self, session: SessionRef, topic: &str) -> bool {
        let filters = self.sessions.get(&session).into_iter();
        filters
            .flat_map(|device| &device.filters)
            .any(|filter| topic::matches(filter, topic))
    }

    /// Every filter for what is told only to those who listen.
    pub(super) fn filters(&self) -> Vec<(SessionRef, AccountId, Box<str>)> {
        let sessions = self.sessions.iter();
        let mut filters: Vec<_> = sessions
            .flat_map(|(session, device)| {
                let filters = device.filters.iter();
                filters.map(|filter| (*session, device.account, filter.clone()))
            })
            .collect();
        // Not in the order of a hash table.
        filters.sort_unstable();
        filters
    }

    /// Whether anybody may listen to an account's presence.
    pub(super) fn may_hear_presence(&self, name: &str) -> bool {
        self.presence_wildcards > 0 || self.named.contains_key(name)
    }

    /// Accounts that named somebody's presence.
    pub(super) fn naming(&self, name: &str) -> impl Iterator<Item = AccountId> {
        self.named
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|session| self.sessions.get(session))
            .map(|session| session.account)
    }

    /// A device has connected.
    fn open(
        &mut self,
        session: SessionRef,
        (account, id): (AccountId, DeviceId),
        since: Option<Cursor>,
    ) {
        let device = Device {
            account,
            id,
            inactive: false,
            since,
            filters: Vec::new(),
            pending: None,
        };
        self.sessions.insert(session, device);
    }

    /// A device has gone; says whose it was.
    fn close(&mut self, session: SessionRef) -> Option<AccountId> {
        let closed = self.sessions.remove(&session)?;
        for filter in &closed.filters {
            self.filter_ended(session, filter);
        }
        Some(closed.account)
    }

    fn add_filter(&mut self, session: SessionRef, filter: &str) {
        let Some(device) = self.sessions.get_mut(&session) else {
            return;
        };
        device.filters.push(filter.into());
        match filter.strip_prefix(PRESENCE) {
            Some(name) if !topic::is_wildcard(name) => {
                self.named.entry(name.into()).or_default().push(session);
            }
            _ if topic::may_match(filter, PRESENCE) => self.presence_wildcards += 1,
            _ => {}
        }
    }

    fn remove_filter(&mut self, session: SessionRef, filter: &str) {
        let Some(device) = self.sessions.get_mut(&session) else {
            return;
        };
        let before = device.filters.len();
        device.filters.retain(|known| **known != *filter);
        if device.filters.len() < before {
            self.filter_ended(session, filter);
        }
    }

    fn filter_ended(&mut self, session: SessionRef, filter: &str) {
        match filter.strip_prefix(PRESENCE) {
            Some(name) if !topic::is_wildcard(name) => {
                if let Some(sessions) = self.named.get_mut(name) {
                    sessions.retain(|known| *known != session);
                    if sessions.is_empty() {
                        self.named.remove(name);
                    }
                }
            }
            _ if topic::may_match(filter, PRESENCE) => self.presence_wildcards -= 1,
            _ => {}
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

impl Sessions {
    /// A device connected; `since` is how far it had come if it comes back.
    pub(crate) fn session_up(
        &mut self,
        session: SessionRef,
        (account, client_id): (AccountId, &str),
        since: Option<Cursor>,
        context: Context<'_>,
    ) {
        if context.accounts.find(account).is_none() {
            self.counters.strays += 1;
            return;
        }
        // Taken over or announced twice: what it held then is announced again.
        if let Some(before) = self.close_session(session)
            && before != account
        {
            self.presence_changed(before, context);
        }
        let id = DeviceId::of(account, client_id);
        self.devices.open(session, (account, id), since);
        self.state_of(account, context.now).sessions.push(session);
        self.presence_changed(account, context);
    }

    /// A device's connection ended.
    pub(crate) fn session_down(&mut self, session: SessionRef, context: Context<'_>) {
        match self.close_session(session) {
            Some(account) => {
                self.presence_changed(account, context);
                // Once it has none left, it is forgotten after a while.
                if self.state_of(account, context.now).sessions.is_empty() {
                    self.write_usage(account, 0);
                }
            }
            None => self.counters.strays += 1,
        }
    }

    fn close_session(&mut self, session: SessionRef) -> Option<AccountId> {
        self.catch_ups.forget(session);
        let account = self.devices.close(session)?;
        if let Some(state) = self.accounts.find_mut(account) {
            state.sessions.retain(|known| *known != session);
            if state.sessions.is_empty() {
                self.devices.held.remove(&account);
            }
        }
        Some(account)
    }

    /// A session holds a filter; `wanted` when it is to be told how things are, `resumed` when it has come back with it.
    pub(crate) fn subscribed(
        &mut self,
        reference: SessionRef,
        account: AccountId,
        filter: &str,
        (wanted, resumed): (bool, bool),
        context: Context<'_>,
    ) {
        if !is_listened_for(filter) {
            return;
        }
        let Some(device) = self.devices.find(reference) else {
            self.counters.strays += 1;
            return;
        };
        if device.account != account {
            self.counters.strays += 1;
            return;
        }
        if !device.filters.iter().any(|known| **known == *filter) {
            // A further one gets what is told to accounts, but nothing on subscribing.
            if device.filters.len() >= self.settings.filters_max {
                self.counters.filters_dropped += 1;
                return;
            }
            self.devices.add_filter(reference, filter);
        }
        if !wanted || self.take_listen_quota(account, filter, context).is_err() {
            return;
        }
        let deferred = Deferred::Listen {
            session: reference,
            filter: filter.into(),
            resumed,
        };
        self.with_list(account, deferred, context);
    }

    /// Every filter that is answered costs something, the same one again included. A wildcard may cover thousands of conversations
    /// and costs questions; a name is looked up.
    fn take_listen_quota(
        &mut self,
        account: AccountId,
        filter: &str,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        if topic::is_wildcard(filter) {
            let known = self.accounts.known(account);
            let covered = known.map_or(0, |known| known.len());
            return self.take_ask_quota(account, 1 + covered / LOOKED_AT, context.now);
        }
        let rate = self.settings.messages_per_second_max;
        let burst = self
            .settings
            .messages_burst_max
            .max(self.settings.filters_max as u32);
        let state = self.state_of(account, context.now);
        let Err(millis) = state.listens.take(1, rate, burst, context.now) else {
            return Ok(());
        };
        self.counters.quota_refused += 1;
        Err(Refusal::rate(millis, "too many filters at once"))
    }

    /// A session gave up a filter.
    pub(crate) fn unsubscribed(&mut self, reference: SessionRef, filter: &str) {
        self.devices.remove_filter(reference, filter);
    }
}
