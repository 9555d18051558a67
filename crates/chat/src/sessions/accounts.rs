//! Accounts that do something on this node: their devices, what they may do how often, and, once it was read, whom they talk to and
//! what they have stored. Read when first needed, forgotten a while after the last device has gone.

use std::collections::VecDeque;
use std::sync::Arc;

use records::{AccountId, ConversationId, Millis, Place, SessionRef};
use smallvec::SmallVec;

use crate::accounts::shown::Shown;
use crate::io::Publish;
use crate::sessions::presence_state::Presence;
use crate::sessions::queries::Reading;
use crate::sessions::queries::listing::{Conversations, Listed, Listing};
use crate::sessions::queries::names::Names;
use crate::sessions::quota::Bucket;
use crate::sessions::{Context, Sessions, Timer};
use crate::stored::source::Unreadable;
use crate::table::{Table, Tables};

/// How long an account without devices is remembered: by then what it has used up of its quotas is full again.
const REMEMBERED_MILLIS: u64 = 5 * 60 * 1_000;
/// How long a list that could not be read is left alone.
const AGAIN_MILLIS: u64 = 5_000;
/// What may wait for an account's conversations to be read.
const WAITING_MAX: usize = 1_024;

/// An account on this node.
#[derive(Debug, Default)]
pub(super) struct AccountState {
    pub(super) sessions: SmallVec<[SessionRef; 2]>,
    pub(super) presence: Presence,
    pub(super) messages: Bucket,
    pub(super) asks: Bucket,
    /// Filters that were answered.
    pub(super) listens: Bucket,
    /// Groups that were made.
    pub(super) groups: Bucket,
    /// When its last device went, as far as this run of the server knows.
    pub(super) last_seen: Option<Millis>,
    list: List,
    /// Whether a timer runs that will look whether it can be forgotten.
    forget_timed: bool,
}

/// What is known of an account's conversations.
#[derive(Debug, Default)]
enum List {
    #[default]
    Unknown,
    /// They are being read. What happens meanwhile is applied to what will have been read.
    Loading {
        waiting: VecDeque<Deferred>,
        changes: Vec<Change>,
        /// What is stored and what of it is written down, if that was known before.
        usage: Option<(u64, u64)>,
        /// What is being read may be older than what was missed meanwhile.
        again: bool,
    },
    Known(Box<Known>),
}

/// An account's conversations.
#[derive(Debug, Default)]
pub(super) struct Known {
    conversations: Conversations,
    /// Bytes that were written down as stored.
    pub(super) written_bytes: u64,
}

/// Something that needs to know an account's conversations.
#[derive(Debug)]
pub(super) enum Deferred {
    Publish(Box<Publish>),
    /// Tell a session how the presences and conversations are that its filter covers.
    Listen {
        session: SessionRef,
        filter: Box<str>,
        resumed: bool,
    },
    /// Tell a session how an account is whose presence it has named, if the two share a conversation.
    Acquaint {
        session: SessionRef,
        named: AccountId,
    },
    /// Tell of a changed presence.
    TellPresence,
    /// Tell of a changed profile.
    TellProfile {
        renamed: bool,
    },
    /// Leave every group.
    LeaveAll,
    /// So many bytes of messages are gone.
    GiveBack(u64),
}

/// What an account takes part in has changed.
#[derive(Debug)]
pub(super) enum Change {
    Joined(ConversationId, Place, bool),
    Left(ConversationId),
    Abandoned(ConversationId, bool),
}

impl Known {
    /// How many conversations it began or joined itself, and groups it made that all have left.
    pub(super) fn own_count(&self) -> usize {
        let own = self.conversations.joined.iter().filter(|(_, _, own)| *own);
        own.count() + self.conversations.abandoned.len()
    }

    pub(super) fn len(&self) -> usize {
        self.conversations.joined.len()
    }

    /// Conversations, each with whom or what it was joined.
    pub(super) fn places(&self) -> impl Iterator<Item = (ConversationId, &Place)> {
        let joined = self.conversations.joined.iter();
        joined.map(|(id, place, _)| (*id, place))
    }

    /// Whom it talks to directly.
    pub(super) fn peers(&self) -> impl Iterator<Item = AccountId> {
        self.places().filter_map(|(_, place)| match place {
            Place::Direct { peer } => Some(*peer),
            Place::Group { .. } => None,
        })
    }

    /// Groups that it is in.
    pub(super) fn groups(&self) -> impl Iterator<Item = ConversationId> {
        let is_group = |place: &Place| matches!(place, Place::Group { .. });
        self.places()
            .filter(move |(_, place)| is_group(place))
            .map(|(id, _)| id)
    }

    pub(super) fn holds(&self, id: ConversationId) -> bool {
        let joined = &self.conversations.joined;
        joined
            .binary_search_by_key(&id, |(known, _, _)| *known)
            .is_ok()
    }

    /// Bytes of messages that it has stored.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.conversations.stored_bytes
    }

    pub(super) fn add_bytes(&mut self, bytes: u64) {
        let stored = &mut self.conversations.stored_bytes;
        *stored = stored.saturating_add(bytes);
    }

    pub(super) fn remove_bytes(&mut self, bytes: u64) {
        let stored = &mut self.conversations.stored_bytes;
        *stored = stored.saturating_sub(bytes);
    }

    fn apply(&mut self, change: Change) {
        let Conversations {
            joined, abandoned, ..
        } = &mut self.conversations;
        match change {
            Change::Joined(id, place, own) => {
                match joined.binary_search_by_key(&id, |(known, _, _)| *known) {
                    Ok(at) => joined[at] = (id, place, own),
                    Err(at) => joined.insert(at, (id, place, own)),
                }
            }
            Change::Left(id) => joined.retain(|(known, _, _)| *known != id),
            Change::Abandoned(id, is_abandoned) => {
                abandoned.retain(|known| *known != id);
                if is_abandoned {
                    abandoned.push(id);
                }
            }
        }
    }
}

impl AccountState {
    /// Its conversations, if they are known.
    pub(super) fn known(&self) -> Option<&Known> {
        match &self.list {
            List::Known(known) => Some(known),
            List::Unknown | List::Loading { .. } => None,
        }
    }

    pub(super) fn known_mut(&mut self) -> Option<&mut Known> {
        match &mut self.list {
            List::Known(known) => Some(known),
            List::Unknown | List::Loading { .. } => None,
        }
    }

    /// Whether a publish of it waits, behind which others have to.
    pub(super) fn has_waiting_publishes(&self) -> bool {
        match &self.list {
            List::Loading { waiting, .. } => waiting
                .iter()
                .any(|deferred| matches!(deferred, Deferred::Publish(_))),
            List::Unknown | List::Known(_) => false,
        }
    }
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct AccountStates {
    states: Table<AccountId, AccountState>,
}

impl AccountStates {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            states: tables.table(),
        }
    }

    pub(super) fn find(&self, account: AccountId) -> Option<&AccountState> {
        self.states.get(&account)
    }

    pub(super) fn find_mut(&mut self, account: AccountId) -> Option<&mut AccountState> {
        self.states.get_mut(&account)
    }

    /// In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (AccountId, &AccountState)> {
        self.states.iter().map(|(account, state)| (*account, state))
    }

    /// Its conversations, if they are known.
    pub(super) fn known(&self, account: AccountId) -> Option<&Known> {
        self.states.get(&account)?.known()
    }

    /// Whether the account has a device.
    pub(super) fn is_connected(&self, account: AccountId) -> bool {
        let state = self.states.get(&account);
        state.is_some_and(|state| !state.sessions.is_empty())
    }

    /// What accounts take part in may have changed unnoticed. Yields those whose lists are to be read.
    pub(super) fn forget_lists(&mut self) -> Vec<AccountId> {
        let mut unknown = Vec::new();
        for (account, state) in &mut self.states {
            match &mut state.list {
                List::Unknown => {}
                List::Loading { again, .. } => *again = true,
                List::Known(known) => {
                    unknown.push(*account);
                    let usage = (known.stored_bytes(), known.written_bytes);
                    state.list = List::Loading {
                        waiting: VecDeque::new(),
                        changes: Vec::new(),
                        usage: Some(usage),
                        again: false,
                    };
                }
            }
        }
        // Not in the order of a hash table.
        unknown.sort_unstable();
        unknown
    }

    /// An account's devices.
    pub(super) fn sessions(&self, account: AccountId) -> &[SessionRef] {
        let state = self.states.get(&account);
        state.map_or(&[], |state| &state.sessions)
    }
}

impl Sessions {
    /// An account's state, made if there is none; it is forgotten a while after its last device has gone.
    pub(super) fn state_of(&mut self, account: AccountId, now: Millis) -> &mut AccountState {
        let state = self.accounts.states.entry(account).or_default();
        if !state.forget_timed && state.sessions.is_empty() {
            state.forget_timed = true;
            let due = now.saturating_add(REMEMBERED_MILLIS);
            self.timers.set(due, Timer::Forget(account));
        }
        state
    }

    /// An account may have done nothing for a while.
    pub(super) fn forget_due(&mut self, account: AccountId, now: Millis) {
        let Some(state) = self.accounts.states.get_mut(&account) else {
            return;
        };
        state.forget_timed = false;
        if !state.sessions.is_empty() {
            return;
        }
        let is_busy = matches!(state.list, List::Loading { .. })
            || !state.presence.elsewhere.is_empty()
            || !state.presence.is_settled()
            || self.in_flight.has_any(account);
        if is_busy {
            self.state_of(account, now);
            return;
        }
        self.write_usage(account, 0);
        if let Some(state) = self.accounts.states.get_mut(&account) {
            // When somebody went is shown for as long as the server runs.
            let last_seen = state.last_seen;
            *state = AccountState {
                last_seen,
                ..AccountState::default()
            };
            if last_seen.is_none() {
                self.accounts.states.remove(&account);
            }
        }
    }

    /// Does something now if the account's conversations are known; otherwise once they were read.
    pub(super) fn with_list(
        &mut self,
        account: AccountId,
        deferred: Deferred,
        context: Context<'_>,
    ) {
        let state = self.state_of(account, context.now);
        match &mut state.list {
            List::Known(_) => self.undefer(account, deferred, context),
            List::Loading { waiting, .. } if waiting.len() < WAITING_MAX => {
                waiting.push_back(deferred);
            }
            List::Loading { .. } => self.give_up(deferred),
            list @ List::Unknown => {
                *list = List::Loading {
                    waiting: VecDeque::from([deferred]),
                    changes: Vec::new(),
                    usage: None,
                    again: false,
                };
                self.read_list(account);
            }
        }
    }

    pub(super) fn read_list(&mut self, account: AccountId) {
        self.read(Reading::Account(Listing { account }));
    }

    /// An account's conversations have been read.
    pub(super) fn listed(&mut self, listed: Listed, context: Context<'_>) {
        let account = listed.account;
        let Some(state) = self.accounts.states.get_mut(&account) else {
            return;
        };
        let List::Loading {
            waiting,
            changes,
            usage,
            again,
        } = std::mem::take(&mut state.list)
        else {
            return;
        };
        if again {
            state.list = List::Loading {
                waiting,
                changes: Vec::new(),
                usage,
                again: false,
            };
            self.read_list(account);
            return;
        }
        match listed.outcome {
            Ok(mut conversations) => {
                let read = conversations.stored_bytes;
                let (stored_bytes, written_bytes) = usage.unwrap_or((read, read));
                conversations.stored_bytes = stored_bytes;
                let mut known = Known {
                    conversations,
                    written_bytes,
                };
                for change in changes {
                    known.apply(change);
                }
                state.list = List::Known(Box::new(known));
                for deferred in waiting {
                    self.undefer(account, deferred, context);
                }
            }
            Err(Unreadable) => {
                self.counters.unreadable += 1;
                // Whoever waits for an answer may try again; the rest is done later.
                let (publishes, waiting): (VecDeque<_>, VecDeque<_>) = waiting
                    .into_iter()
                    .partition(|deferred| matches!(deferred, Deferred::Publish(_)));
                if !waiting.is_empty() || usage.is_some() {
                    state.list = List::Loading {
                        waiting,
                        changes: Vec::new(),
                        usage,
                        again: false,
                    };
                    let due = context.now.saturating_add(AGAIN_MILLIS);
                    self.timers.set(due, Timer::List(account));
                }
                for deferred in publishes {
                    self.give_up(deferred);
                }
            }
        }
    }

    /// What an account takes part in has changed.
    pub(super) fn change_list(&mut self, account: AccountId, change: Change) {
        let state = self.accounts.states.get_mut(&account);
        match state.map(|state| &mut state.list) {
            Some(List::Known(known)) => known.apply(change),
            Some(List::Loading { changes, .. }) => changes.push(change),
            Some(List::Unknown) | None => {}
        }
    }

    fn undefer(&mut self, account: AccountId, deferred: Deferred, context: Context<'_>) {
        match deferred {
            Deferred::Publish(publish) => self.proceed(publish, context),
            Deferred::Listen {
                session,
                filter,
                resumed,
            } => {
                self.tell_presences(session, account, &filter, context);
                self.tell_abouts(session, account, &filter, resumed, context);
            }
            Deferred::Acquaint { session, named } => self.acquaint(session, named, context),
            Deferred::TellPresence => self.tell_presence_unless_quiet(account, context),
            Deferred::TellProfile { renamed } => self.tell_profile(account, renamed, context),
            Deferred::LeaveAll => self.leave_all(account, context),
            Deferred::GiveBack(bytes) => self.give_back(account, bytes),
        }
    }

    /// The store cannot be read: whoever waits for an answer hears it.
    fn give_up(&mut self, deferred: Deferred) {
        if let Deferred::Publish(publish) = deferred {
            self.refuse_publish(&publish, crate::refusal::Refusal::unavailable());
        }
    }

    /// What people see of those an account talks to, as far as that is known.
    pub(super) fn names_for(&self, account: AccountId, context: Context<'_>) -> Names {
        let shown = |id: AccountId| -> Option<(AccountId, Arc<Shown>)> {
            Some((id, context.accounts.shown(id)?.clone()))
        };
        match self.accounts.known(account) {
            Some(known) => Names::of(known.peers().filter_map(shown)),
            None => Names::default(),
        }
    }
}
