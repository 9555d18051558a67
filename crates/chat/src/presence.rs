//! Who is there: derived from connected devices and what people say of themselves, told to those who may know and listen, and not
//! more often than the contract allows. Never written to disk.

use std::sync::Arc;

use records::{AccountId, Millis, SessionRef};
use serde::{Deserialize, Serialize};

use crate::address;
use crate::chat::Chat;
use crate::delivery::{self, Packet};
use crate::door::Publish;
use crate::json;
use crate::refusal::Refusal;
use crate::text;
use crate::timers::Timer;
use crate::topic;
use crate::wire;

/// How long after one change the next is told.
const INTERVAL_MILLIS: u64 = 10_000;
/// How long a device may be away without anybody being told.
const GRACE_MILLIS: u64 = 5_000;
/// How an account is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Online,
    Away,
    Busy,
    #[default]
    Offline,
}

/// How an account is, and what it says about that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    state: State,
    text: Box<str>,
}

/// What is known and was told of an account that has a device, or had one a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// What it said of itself.
    status: Option<Shown>,
    shown: Shown,
    since: Option<Millis>,
    told: Shown,
    /// Until when nothing more is told.
    quiet_until: Option<Millis>,
    /// When the grace ends, and when the last device went.
    gone: Option<(Millis, Millis)>,
}

#[derive(Serialize)]
struct Payload<'a> {
    state: State,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

#[derive(Deserialize)]
struct Status {
    state: State,
    #[serde(default)]
    text: Option<String>,
}

impl Chat {
    /// `im/me/status`.
    pub(crate) fn set_status(&mut self, publish: &Publish, now: Millis) -> Result<(), Refusal> {
        let status: Status =
            serde_json::from_slice(&publish.payload).map_err(|error| json::refusal(&error))?;
        if status.state == State::Offline {
            let sentence = "state must be online, away or busy: offline is who has no device";
            return Err(Refusal::payload(sentence));
        }
        let text = match status.text.as_deref().map(str::trim) {
            None | Some("") => String::new(),
            Some(given) => text::title("the text", given, self.settings.title_bytes_max)?,
        };
        if let Some(live) = self.live.account_mut(publish.account) {
            live.presence.status = Some(Shown {
                state: status.state,
                text: text.into(),
            });
            self.presence_changed(publish.account, now);
        }
        Ok(())
    }

    /// `im/me/active`.
    pub(crate) fn set_active(&mut self, publish: &Publish, now: Millis) -> Result<(), Refusal> {
        let inactive = match &publish.payload[..] {
            b"1" => false,
            b"0" => true,
            _ => return Err(Refusal::payload("the payload must be 1 or 0")),
        };
        let Some(session) = self.live.session_mut(publish.session) else {
            return Ok(());
        };
        if session.inactive == inactive {
            return Ok(());
        }
        if !inactive {
            // What was held back goes out, which is work like an answer.
            self.take_ask_quota(publish.account, 1, now)?;
        }
        if let Some(session) = self.live.session_mut(publish.session) {
            session.inactive = inactive;
        }
        self.presence_changed(publish.account, now);
        if !inactive && self.live.has_pending(publish.session) {
            self.release(publish.session, now);
        }
        Ok(())
    }

    /// Something an account's presence depends on has changed.
    pub(crate) fn presence_changed(&mut self, account: AccountId, now: Millis) {
        let all_inactive = self.live.all_inactive(account);
        let Some(live) = self.live.account_mut(account) else {
            return;
        };
        let presence = &mut live.presence;
        if live.sessions.is_empty() {
            if presence.gone.is_none() && presence.shown.state != State::Offline {
                let until = now.saturating_add(GRACE_MILLIS);
                presence.gone = Some((until, now));
                self.timers.set(until, Timer::Gone(account));
            }
            return;
        }
        if let Some((until, _)) = presence.gone.take() {
            self.timers.cancel(until, Timer::Gone(account));
        }
        let mut shown = presence.status.clone().unwrap_or(Shown {
            state: State::Online,
            text: "".into(),
        });
        if all_inactive && shown.state == State::Online {
            shown.state = State::Away;
        }
        if presence.shown != shown {
            if presence.shown.state != shown.state {
                presence.since = Some(now);
            }
            presence.shown = shown;
        }
        self.tell_presence_unless_quiet(account, now);
    }

    /// The grace is over and no device has come back.
    pub(crate) fn presence_gone(&mut self, account: AccountId, now: Millis) {
        let Some(live) = self.live.account_mut(account) else {
            return;
        };
        let presence = &mut live.presence;
        let Some((_, went)) = presence.gone.take() else {
            return;
        };
        presence.status = None;
        presence.shown = Shown::default();
        presence.since = Some(went);
        if let Some(state) = self.directory.find_mut(account) {
            state.last_seen = Some(went);
        }
        self.tell_presence_unless_quiet(account, now);
    }

    /// The quiet after a change is over.
    pub(crate) fn presence_due(&mut self, account: AccountId, now: Millis) {
        let Some(live) = self.live.account_mut(account) else {
            return;
        };
        let presence = &mut live.presence;
        presence.quiet_until = None;
        if presence.shown != presence.told {
            self.tell_presence_unless_quiet(account, now);
        } else if live.sessions.is_empty() && presence.gone.is_none() {
            self.live.forget_account(account);
        }
    }

    fn tell_presence_unless_quiet(&mut self, account: AccountId, now: Millis) {
        let Some(live) = self.live.account_mut(account) else {
            return;
        };
        let presence = &mut live.presence;
        if presence.quiet_until.is_some() || presence.shown == presence.told {
            return;
        }
        presence.told = presence.shown.clone();
        let until = now.saturating_add(INTERVAL_MILLIS);
        presence.quiet_until = Some(until);
        self.timers.set(until, Timer::Presence(account));
        let watchers = self.watchers(account);
        let packet = self.presence_packet(account);
        let (told, inactive) = self.tell_attentive(watchers.into_iter(), &packet);
        if told {
            self.counters.presence_told += 1;
        }
        for session in inactive {
            self.live.hold(session, |pending| {
                pending.presences.insert(account);
            });
        }
    }

    /// Who listens to an account's presence and may know it: a wildcard covers whom one talks to directly, a name everybody one
    /// shares a conversation with.
    fn watchers(&self, account: AccountId) -> Vec<AccountId> {
        let name = self.directory.name(account);
        let topic = format!("im/presence/{name}");
        // A peer that names the account instead is covered as well.
        let mut watchers: Vec<AccountId> = self
            .direct_peers(account)
            .filter(|peer| self.live.listens(*peer, &topic))
            .collect();
        let naming = self.live.naming(name);
        watchers.extend(naming.filter(|watcher| self.directory.acquainted(*watcher, account)));
        watchers.sort_unstable();
        watchers.dedup();
        watchers
    }

    /// Whom an account talks to directly, itself included if it talks to itself.
    pub(crate) fn direct_peers(&self, account: AccountId) -> impl Iterator<Item = AccountId> {
        self.directory
            .conversations(account)
            .iter()
            .filter_map(move |id| self.rooms.find(*id)?.peer(account))
    }

    /// A session has begun to listen: how everybody is whom its filter covers.
    pub(crate) fn tell_presences(&mut self, session: SessionRef, account: AccountId, filter: &str) {
        let mut covered: Vec<AccountId> = Vec::new();
        if topic::is_wildcard(filter) {
            let matching = |peer: &AccountId| {
                let Some(state) = self.directory.find(*peer) else {
                    return false;
                };
                let topic = format!("im/presence/{}", state.name());
                !state.record.removed && topic::matches(filter, &topic)
            };
            if topic::may_match(filter, "im/presence/") {
                covered.extend(self.direct_peers(account).filter(matching));
            }
        } else if let Some(named) = filter
            .strip_prefix("im/presence/")
            .and_then(|name| self.directory.named(name))
            && self.directory.acquainted(account, named)
        {
            covered.push(named);
        }
        let packets = covered
            .into_iter()
            .map(|peer| self.presence_packet(peer))
            .collect();
        self.tell_session(session, packets);
    }

    /// `one` has begun to talk to `other` and may know from here on how it is.
    pub(crate) fn introduce(&mut self, one: AccountId, other: AccountId) {
        let topic = format!("im/presence/{}", self.directory.name(other));
        if self.live.listens(one, &topic) {
            let packet = self.presence_packet(other);
            self.log
                .tell(address::to_accounts(Arc::from([one]), packet));
        }
    }

    pub(crate) fn presence_packet(&self, account: AccountId) -> Packet {
        let name = self.directory.name(account);
        let known = self.live.account(account).map(|live| &live.presence);
        let last_seen = self
            .directory
            .find(account)
            .and_then(|state| state.last_seen);
        let (shown, since) = match known {
            Some(presence) => (presence.shown.clone(), presence.since),
            None => (Shown::default(), last_seen),
        };
        let payload = wire::json(&Payload {
            state: shown.state,
            text: &shown.text,
            since: since.map(wire::millis),
        });
        delivery::live(format!("im/presence/{name}"), payload)
    }
}
