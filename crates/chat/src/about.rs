//! `im/about/<conv>`: how a conversation is for each member, told to those who listen, on subscribing and on change, at most once
//! a second per conversation.

use std::collections::BTreeMap;
use std::sync::Arc;

use records::{AccountId, ConversationId, Millis, SessionRef};
use smallvec::SmallVec;

use crate::address;
use crate::chat::Chat;
use crate::delivery::{self, Audience, Delivery};
use crate::door::Output;
use crate::query::Query;
use crate::source::Source;
use crate::timers::Timer;
use crate::topic;

/// How long changes are gathered after one was told.
const INTERVAL_MILLIS: u64 = 1_000;
/// Members among whom listeners are looked for with every change, if there was none before.
const SEARCHED_MAX: usize = 64;
/// Conversations in one delivery.
const ROWS_MAX: usize = 4;

/// Whose view has changed since a conversation was last described.
#[derive(Debug, Default)]
struct Changed {
    everybody: bool,
    accounts: SmallVec<[AccountId; 4]>,
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
        source: &dyn Source,
        now: Millis,
    ) {
        if let Some(changed) = self.about.0.get_mut(&id) {
            match account {
                None => changed.everybody = true,
                Some(account) if !changed.accounts.contains(&account) => {
                    changed.accounts.push(account);
                }
                Some(_) => {}
            }
            return;
        }
        let told = match account {
            None => self.tell_about_to_all(id, source),
            Some(account) => self.tell_about(id, account, source),
        };
        if told {
            self.about.0.insert(id, Changed::default());
            let due = now.saturating_add(INTERVAL_MILLIS);
            self.timers.set(due, Timer::About(id));
        }
    }

    /// A second has passed since a conversation was described.
    pub(crate) fn about_due(&mut self, id: ConversationId, source: &dyn Source, now: Millis) {
        let Some(changed) = self.about.0.remove(&id) else {
            return;
        };
        let mut told = false;
        if changed.everybody {
            told = self.tell_about_to_all(id, source);
        } else {
            for account in changed.accounts {
                told |= self.tell_about(id, account, source);
            }
        }
        if told {
            self.about.0.insert(id, Changed::default());
            let due = now.saturating_add(INTERVAL_MILLIS);
            self.timers.set(due, Timer::About(id));
        }
    }

    /// True if changes are to be gathered from here on.
    fn tell_about_to_all(&mut self, id: ConversationId, source: &dyn Source) -> bool {
        let Some(room) = self.rooms.find_mut(id) else {
            return false;
        };
        // Looking for listeners is work too, and then not done with every message.
        let mut told = room.members().len() > SEARCHED_MAX;
        for account in room.audience().iter() {
            told |= self.tell_about(id, *account, source);
        }
        told
    }

    fn tell_about(&mut self, id: ConversationId, account: AccountId, source: &dyn Source) -> bool {
        if !self.live.is_connected(account) {
            return false;
        }
        let topic = format!("im/about/{}", self.conv_name(id, account));
        if !self.live.listens(account, &topic) {
            return false;
        }
        self.find_head(id, source);
        let Some(row) = self.row(id, account) else {
            return false;
        };
        let packet = delivery::packet(topic, row.json());
        self.log
            .tell(address::to_accounts(Arc::from([account]), packet));
        true
    }

    /// A session has begun to listen: how every conversation is that its filter covers. The newest message of one that has
    /// been silent is read from the store, elsewhere.
    pub(crate) fn tell_abouts(&mut self, session: SessionRef, account: AccountId, filter: &str) {
        if !topic::may_match(filter, "im/about/") {
            return;
        }
        let covered: Vec<_> = self
            .directory
            .conversations(account)
            .iter()
            .filter(|id| {
                let topic = format!("im/about/{}", self.conv_name(**id, account));
                topic::matches(filter, &topic)
            })
            .filter_map(|id| self.row(*id, account))
            .collect();
        let (known, unknown): (Vec<_>, Vec<_>) =
            covered.into_iter().partition(|row| !row.lacks_head());
        for rows in known.chunks(ROWS_MAX) {
            let packets = rows
                .iter()
                .map(|row| delivery::packet(format!("im/about/{}", row.conv), row.json()))
                .collect();
            self.log.tell(Output::Deliver(Delivery {
                audience: Audience::Session(session),
                packets,
                pos: None,
                receipt: None,
            }));
        }
        let mut unknown = unknown.into_iter().peekable();
        while unknown.peek().is_some() {
            let rows = unknown.by_ref().take(ROWS_MAX).collect();
            self.log.tell(Output::Read(Query::about(session, rows)));
        }
    }
}
