//! `im/about/<conv>`: how a conversation is for each member, told to those who listen, on subscribing and on change, at most once
//! a second per conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use records::{AccountId, ConversationId, Millis, SessionRef};

use crate::address;
use crate::chat::Chat;
use crate::delivery;
use crate::timers::Timer;
use crate::topic;

/// How long changes are gathered after one was told.
const INTERVAL_MILLIS: u64 = 1_000;
/// Members among whom listeners are looked for with every change, if there was none before.
const SEARCHED_MAX: usize = 64;
/// Members told in one piece, which takes a fraction of a millisecond.
const PIECE_MAX: usize = 256;
/// How long everybody else is served before the next piece.
const PIECE_MILLIS: u64 = 1;

/// Whose view has changed since a conversation was last described.
#[derive(Debug, Default)]
struct Changed {
    everybody: bool,
    accounts: BTreeSet<AccountId>,
    /// The last member that was told, while others of a large group have still to be.
    told_upto: Option<AccountId>,
}

/// How far telling every member has come.
#[derive(Clone, Copy)]
enum Told {
    Nobody,
    Everybody,
    UpTo(AccountId),
}

/// Conversations that were described within the last second.
#[derive(Debug, Default)]
pub(crate) struct Gathered(BTreeMap<ConversationId, Changed>);

impl Chat {
    /// A conversation has changed for one account or for every member. Call after the change was committed.
    pub(crate) fn about_changed(
        &mut self,
        id: ConversationId,
        account: Option<AccountId>,
        now: Millis,
    ) {
        if let Some(changed) = self.about.0.get_mut(&id) {
            match account {
                None => changed.everybody = true,
                Some(account) => {
                    changed.accounts.insert(account);
                }
            }
            return;
        }
        let told = match account {
            None => self.tell_about_to_all(id, None, now),
            Some(account) if self.tell_about(id, account, now) => Told::Everybody,
            Some(_) => Told::Nobody,
        };
        self.gather_abouts(id, told, Changed::default(), now);
    }

    /// A second has passed since a conversation was described, or a moment since a piece of its members was told.
    pub(crate) fn about_due(&mut self, id: ConversationId, now: Millis) {
        let Some(changed) = self.about.0.remove(&id) else {
            return;
        };
        if changed.told_upto.is_some() {
            let told = self.tell_about_to_all(id, changed.told_upto, now);
            // What has changed meanwhile waits for its second.
            self.gather_abouts(id, told, changed, now);
            return;
        }
        let mut told = Told::Nobody;
        if changed.everybody {
            told = self.tell_about_to_all(id, None, now);
        } else {
            for account in changed.accounts {
                if self.tell_about(id, account, now) {
                    told = Told::Everybody;
                }
            }
        }
        self.gather_abouts(id, told, Changed::default(), now);
    }

    /// From here on changes are gathered, if anybody was told, beside those that there are.
    fn gather_abouts(&mut self, id: ConversationId, told: Told, changed: Changed, now: Millis) {
        let (told_upto, pause) = match told {
            Told::Nobody => return,
            Told::Everybody => (None, INTERVAL_MILLIS),
            Told::UpTo(last) => (Some(last), PIECE_MILLIS),
        };
        self.about.0.insert(
            id,
            Changed {
                told_upto,
                ..changed
            },
        );
        let due = now.saturating_add(pause);
        self.timers.set(due, Timer::About(id));
    }

    /// Tells every member, or the first behind `told_upto`: so many as one piece has.
    fn tell_about_to_all(
        &mut self,
        id: ConversationId,
        told_upto: Option<AccountId>,
        now: Millis,
    ) -> Told {
        let Some(room) = self.rooms.find_mut(id) else {
            return Told::Nobody;
        };
        // Looking for listeners is work too, and then not done with every message.
        let mut told = room.members().len() > SEARCHED_MAX;
        let audience = room.audience();
        let first = told_upto.map_or(0, |last| audience.partition_point(|known| *known <= last));
        let end = audience.len().min(first + PIECE_MAX);
        for account in &audience[first..end] {
            told |= self.tell_about(id, *account, now);
        }
        match audience[first..end].last() {
            Some(last) if end < audience.len() => Told::UpTo(*last),
            Some(_) | None if told => Told::Everybody,
            Some(_) | None => Told::Nobody,
        }
    }

    /// Each device that listens is told at once, or when somebody looks at it, or when the newest message has been read.
    fn tell_about(&mut self, id: ConversationId, account: AccountId, now: Millis) -> bool {
        if !self.live.is_connected(account) {
            return false;
        }
        let topic = format!("im/about/{}", self.conv_name(id, account));
        let listeners = self.live.listeners(account, &topic);
        if listeners.is_empty() {
            return false;
        }
        let Some(row) = self.row(id, account) else {
            return false;
        };
        let ready = !row.lacks_head();
        let at_once = |chat: &Self, (session, inactive): &(SessionRef, bool)| {
            ready && !inactive && !chat.live.has_pending(*session)
        };
        if listeners.iter().all(|known| at_once(self, known)) {
            let packet = delivery::packet(topic, row.json());
            self.log
                .tell(address::to_accounts(Arc::from([account]), packet));
            return true;
        }
        for (session, inactive) in listeners {
            if inactive {
                self.live.hold(session, |pending| {
                    pending.abouts.insert(id);
                });
                continue;
            }
            // What is being read of it is old by now: it is told again then.
            if let Some(pending) = self.live.pending(session) {
                pending.due.insert(id);
            }
            self.pump(session, now);
        }
        true
    }

    /// A session has begun to listen: how every conversation is that its filter covers. The newest message of one that has
    /// been silent is read from the store, elsewhere.
    pub(crate) fn tell_abouts(
        &mut self,
        session: SessionRef,
        account: AccountId,
        filter: &str,
        now: Millis,
    ) {
        let covered: Vec<ConversationId> = if !topic::is_wildcard(filter) {
            let named = filter.strip_prefix("im/about/");
            named
                .and_then(|conv| self.room_of(account, conv).ok())
                .into_iter()
                .collect()
        } else if topic::covers_all(filter, "im/about/") {
            self.directory.conversations(account).to_vec()
        } else if topic::may_match(filter, "im/about/") {
            let matching = |id: &&ConversationId| {
                let topic = format!("im/about/{}", self.conv_name(**id, account));
                topic::matches(filter, &topic)
            };
            let all = self.directory.conversations(account).iter();
            all.filter(matching).copied().collect()
        } else {
            return;
        };
        if covered.is_empty() {
            return;
        }
        if let Some(pending) = self.live.pending(session) {
            pending.due.extend(covered);
        }
        self.pump(session, now);
    }
}
