//! `im/about/<conv>`: how a conversation is for each member, told to those who listen, on subscribing and on change, at most once
//! a second per conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use records::{AccountId, ConversationId, Place, SessionRef};

use crate::accounts::shown::Shown;
use crate::command::Address;
use crate::format::topic;
use crate::sessions::delivery::Audience;
use crate::sessions::queries::Reading;
use crate::sessions::queries::names::Names;
use crate::sessions::{Context, Sessions, Timer, notes};

/// How long changes are gathered after one was told.
const INTERVAL_MILLIS: u64 = 1_000;
/// Members among whom listeners are looked for with every change, if there was none before.
const SEARCHED_MAX: usize = 64;
/// Members told in one piece.
const PIECE_MAX: usize = 256;
/// How long everybody else is served before the next piece.
const PIECE_MILLIS: u64 = 1;

/// A conversation that was described within the last second, and whose view of it has changed since.
#[derive(Debug)]
struct Changed {
    address: Address,
    /// Every member, of whom those behind `told_upto` have still to be told.
    everybody: Option<Arc<[AccountId]>>,
    accounts: BTreeSet<AccountId>,
    /// While a large group is told in pieces: its members, and the last of them that was told.
    pieces: Option<(Arc<[AccountId]>, AccountId)>,
    /// It is being described: what is told next is read after that.
    is_reading: bool,
    /// Its time came while it was being described.
    is_due: bool,
}

/// See [`Changed`].
#[derive(Debug, Default)]
pub(super) struct Abouts(BTreeMap<ConversationId, Changed>);

/// How far telling members has come.
enum Told {
    Nobody,
    Everybody,
    UpTo(AccountId),
}

impl Sessions {
    /// A conversation has changed for one account or for every member.
    pub(super) fn about_changed(
        &mut self,
        id: ConversationId,
        address: &Address,
        account: Option<AccountId>,
        audience: Option<&Arc<[AccountId]>>,
        context: Context<'_>,
    ) {
        if let Some(changed) = self.abouts.0.get_mut(&id) {
            if let Some(audience) = audience {
                changed.everybody = Some(audience.clone());
            }
            changed.accounts.extend(account);
            return;
        }
        let one = account.map(|account| Arc::from([account]));
        let Some(audience) = audience.cloned().or(one) else {
            return;
        };
        let changed = Changed {
            address: address.clone(),
            everybody: None,
            accounts: BTreeSet::new(),
            pieces: None,
            is_reading: false,
            is_due: false,
        };
        self.tell_about(id, changed, audience, None, context);
    }

    /// A second has passed since a conversation was described, or a moment since a piece of its members was told.
    pub(super) fn about_due(&mut self, id: ConversationId, context: Context<'_>) {
        let Some(mut changed) = self.abouts.0.remove(&id) else {
            return;
        };
        if changed.is_reading {
            changed.is_due = true;
            self.abouts.0.insert(id, changed);
            return;
        }
        if let Some((audience, upto)) = changed.pieces.take() {
            self.tell_about(id, changed, audience, Some(upto), context);
            return;
        }
        let accounts = std::mem::take(&mut changed.accounts);
        let audience = match changed.everybody.take() {
            Some(everybody) => everybody,
            None if accounts.is_empty() => return,
            None => accounts.into_iter().collect(),
        };
        self.tell_about(id, changed, audience, None, context);
    }

    /// Members have been told how a conversation is, but for these, who are told later.
    pub(super) fn described(
        &mut self,
        id: ConversationId,
        again: Vec<AccountId>,
        context: Context<'_>,
    ) {
        let Some(changed) = self.abouts.0.get_mut(&id) else {
            return;
        };
        changed.is_reading = false;
        let address = changed.address.clone();
        for account in again {
            for session in self.listening(account, &address, context) {
                self.describe_again(session, vec![id], context);
            }
        }
        let Some(changed) = self.abouts.0.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut changed.is_due) {
            self.about_due(id, context);
        }
    }

    /// Tells the members behind `upto`, so many as one piece has. From here on changes are gathered, if anybody was told.
    fn tell_about(
        &mut self,
        id: ConversationId,
        mut changed: Changed,
        audience: Arc<[AccountId]>,
        upto: Option<AccountId>,
        context: Context<'_>,
    ) {
        let first = upto.map_or(0, |last| audience.partition_point(|known| *known <= last));
        let end = audience.len().min(first + PIECE_MAX);
        let mut listeners = Vec::new();
        for account in &audience[first..end] {
            self.listeners(id, *account, &changed.address, &mut listeners, context);
        }
        // Looking for listeners is work too, and then not done with every message.
        let was_told = !listeners.is_empty() || audience.len() > SEARCHED_MAX;
        let told = match audience[first..end].last() {
            Some(last) if end < audience.len() => Told::UpTo(*last),
            Some(_) | None if was_told => Told::Everybody,
            Some(_) | None => Told::Nobody,
        };
        if !listeners.is_empty() {
            changed.is_reading = true;
            let names = self.names_of(&changed.address, context);
            self.read(Reading::Described {
                conversation: id,
                members: listeners,
                names,
            });
        }
        let pause = match told {
            Told::Nobody => return,
            Told::Everybody => INTERVAL_MILLIS,
            Told::UpTo(last) => {
                changed.pieces = Some((audience, last));
                PIECE_MILLIS
            }
        };
        self.abouts.0.insert(id, changed);
        let due = context.now.saturating_add(pause);
        self.timers.set(due, Timer::About(id));
    }

    /// Where a member listens: each device is told at once, or when somebody looks at it, or when what is being read for it has been.
    fn listeners(
        &mut self,
        id: ConversationId,
        account: AccountId,
        address: &Address,
        listeners: &mut Vec<(AccountId, Audience)>,
        context: Context<'_>,
    ) {
        let listening = self.listening(account, address, context);
        let at_once = |session: &SessionRef| {
            !self.devices.is_inactive(*session) && !self.devices.has_pending(*session)
        };
        if !listening.is_empty() && listening.iter().all(at_once) {
            let audience = Audience::Accounts(Arc::from([account]));
            listeners.push((account, audience));
            return;
        }
        for session in listening {
            if self.devices.is_inactive(session) {
                self.devices.hold(session, |pending| {
                    pending.abouts.insert(id);
                });
                continue;
            }
            // What is being read of it is old by now: it is told again then.
            if let Some(pending) = self.devices.pending(session) {
                pending.due.insert(id);
            }
            self.pump(session, context);
        }
    }

    /// Devices of a member that listen to how a conversation is.
    fn listening(
        &self,
        account: AccountId,
        address: &Address,
        context: Context<'_>,
    ) -> Vec<SessionRef> {
        let sessions = self.accounts.sessions(account);
        if sessions.is_empty() {
            return Vec::new();
        }
        let topic = format!("im/about/{}", notes::conv(address, account, context));
        let listens = |session: &&SessionRef| self.devices.listens(**session, &topic);
        sessions.iter().filter(listens).copied().collect()
    }

    /// A member has left, and what it has kept of the conversation is emptied. What is being read for it may still tell how it was:
    /// then it is emptied once more.
    pub(super) fn about_left(&mut self, id: ConversationId, account: AccountId) {
        if let Some(changed) = self.abouts.0.get_mut(&id)
            && changed.is_reading
        {
            changed.accounts.insert(account);
        }
        let sessions = self.accounts.sessions(account).iter().copied();
        let busy: Vec<SessionRef> = sessions
            .filter(|session| self.devices.has_pending(*session))
            .collect();
        for session in busy {
            if let Some(pending) = self.devices.pending(session)
                && pending.is_reading()
            {
                pending.due.insert(id);
            }
        }
    }

    /// What people see of the two of a direct chat.
    fn names_of(&self, address: &Address, context: Context<'_>) -> Names {
        let accounts = match *address {
            Address::Pair { low, high } => vec![low, high],
            Address::Group(_) => Vec::new(),
        };
        let shown = |id: AccountId| -> Option<(AccountId, Arc<Shown>)> {
            Some((id, context.accounts.shown(id)?.clone()))
        };
        Names::of(accounts.into_iter().filter_map(shown))
    }

    /// A session has begun to listen: how every conversation is that its filter covers. They are read from the store, elsewhere.
    pub(super) fn tell_abouts(
        &mut self,
        session: SessionRef,
        account: AccountId,
        filter: &str,
        resumed: bool,
        context: Context<'_>,
    ) {
        let Some(known) = self.accounts.known(account) else {
            return;
        };
        if !topic::may_match(filter, "im/about/") {
            return;
        }
        let covers_all = topic::covers_all(filter, "im/about/");
        let is_covered = |place: &Place| {
            covers_all
                || match place {
                    Place::Group { slug } => topic::matches(filter, &format!("im/about/{slug}")),
                    Place::Direct { peer } => {
                        let name = context.accounts.name(*peer);
                        topic::matches(filter, &format!("im/about/@{name}"))
                    }
                }
        };
        let covered = known.places().filter(|(_, place)| is_covered(place));
        let covered: Vec<ConversationId> = covered.map(|(id, _)| id).collect();
        if covered.is_empty() {
            return;
        }
        if let Some(pending) = self.devices.pending(session) {
            if resumed {
                pending.resumed.extend(covered);
            } else {
                pending.due.extend(covered);
            }
        }
        self.pump(session, context);
    }
}
