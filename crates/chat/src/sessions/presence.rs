//! Who is there: derived from connected devices and what people say of themselves, told to those who may know and listen, and not
//! more often than the contract allows. Never written to disk.

use std::sync::Arc;

use records::{AccountId, Millis, SessionRef};
use serde::{Deserialize, Serialize};

use crate::format::{json, text, topic, wire};
use crate::io::Publish;
use crate::refusal::Refusal;
use crate::sessions::accounts::Deferred;
use crate::sessions::delivery::{self, Packet};
use crate::sessions::presence_state::{Devices, Shown, State};
use crate::sessions::publish::fit;
use crate::sessions::{Context, Sessions, Timer};

/// How long after one change the next is told.
const INTERVAL_MILLIS: u64 = 10_000;
/// How long a device may be away without anybody being told.
const GRACE_MILLIS: u64 = 5_000;

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
    #[serde(default)]
    mid: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Active {
    active: bool,
    #[serde(default)]
    mid: Option<Box<str>>,
}

impl Sessions {
    /// `im/me/status`.
    pub(super) fn set_status(
        &mut self,
        publish: &Publish,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let status: Status = json::read(&publish.payload)?;
        let mid = fit(status.mid)?;
        if status.state == State::Offline {
            let sentence = "state must be online, away or busy: offline is who has no device";
            return Err(Refusal::payload(sentence).in_field("state"));
        }
        let text = match status.text.as_deref().map(str::trim) {
            None | Some("") => String::new(),
            Some(given) => text::title("the text", given, self.settings.title_bytes_max)
                .map_err(|refusal| refusal.in_field("text"))?,
        };
        // Who has no device has no status: a will cannot set one.
        if let Some(state) = self.accounts.find_mut(publish.account)
            && !state.sessions.is_empty()
        {
            let shown = Shown {
                state: status.state,
                text: text.into(),
            };
            state.presence.status = Some((context.now, shown));
            self.presence_changed(publish.account, context);
        }
        self.tell_done(publish.session, mid.as_deref());
        Ok(())
    }

    /// `im/me/active`.
    pub(super) fn set_active(
        &mut self,
        publish: &Publish,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let (inactive, mid) = match &publish.payload[..] {
            b"1" => (false, None),
            b"0" => (true, None),
            payload if payload.trim_ascii_start().first() == Some(&b'{') => {
                let active: Active = json::read(payload)?;
                (!active.active, fit(active.mid)?)
            }
            _ => {
                return Err(Refusal::payload(
                    "the payload must be 1 or 0, or a JSON object",
                ));
            }
        };
        self.set_inactive(publish, inactive, context)?;
        self.tell_done(publish.session, mid.as_deref());
        Ok(())
    }

    fn set_inactive(
        &mut self,
        publish: &Publish,
        inactive: bool,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let Some(device) = self.devices.find(publish.session) else {
            return Ok(());
        };
        if device.inactive == inactive {
            return Ok(());
        }
        if !inactive {
            // What was held back goes out, which is work like an answer.
            self.take_ask_quota(publish.account, 1, context.now)?;
        }
        if let Some(device) = self.devices.find_mut(publish.session) {
            device.inactive = inactive;
        }
        self.presence_changed(publish.account, context);
        if !inactive && self.devices.has_pending(publish.session) {
            self.release(publish.session, context);
        }
        Ok(())
    }

    /// Something an account's presence depends on has changed.
    pub(super) fn presence_changed(&mut self, account: AccountId, context: Context<'_>) {
        self.tell_nodes(account);
        self.presence_heard(account, context);
    }

    /// The same, of which other nodes need not hear.
    pub(super) fn presence_heard(&mut self, account: AccountId, context: Context<'_>) {
        let now = context.now;
        let here = self.devices_here(account);
        let Some(state) = self.accounts.find_mut(account) else {
            return;
        };
        let presence = &mut state.presence;
        let devices = here.max(presence.devices_elsewhere());
        if devices == Devices::None {
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
        let mut shown = presence.newest_status().cloned().unwrap_or(Shown {
            state: State::Online,
            text: "".into(),
        });
        if devices == Devices::Inactive && shown.state == State::Online {
            shown.state = State::Away;
        }
        if presence.shown != shown {
            if presence.shown.state != shown.state {
                presence.since = Some(now);
            }
            presence.shown = shown;
        }
        self.tell_presence(account, context);
    }

    /// The grace is over and no device has come back.
    pub(super) fn presence_gone(&mut self, account: AccountId, context: Context<'_>) {
        let Some(state) = self.accounts.find_mut(account) else {
            return;
        };
        let presence = &mut state.presence;
        let Some((_, went)) = presence.gone.take() else {
            return;
        };
        presence.status = None;
        presence.shown = Shown::default();
        presence.since = Some(went);
        state.last_seen = Some(went);
        self.tell_nodes(account);
        self.tell_presence(account, context);
    }

    /// Devices of an account on this node.
    pub(super) fn devices_here(&self, account: AccountId) -> Devices {
        let sessions = self.accounts.sessions(account).iter();
        let devices = sessions.map(|known| match self.devices.is_inactive(*known) {
            true => Devices::Inactive,
            false => Devices::Active,
        });
        devices.max().unwrap_or_default()
    }

    /// The quiet after a change is over.
    pub(super) fn presence_due(&mut self, account: AccountId, context: Context<'_>) {
        let Some(state) = self.accounts.find_mut(account) else {
            return;
        };
        let presence = &mut state.presence;
        presence.quiet_until = None;
        if !presence.is_told() {
            self.tell_presence(account, context);
        }
    }

    /// Tells of a change, if anybody may want to hear of it, once it is known who may.
    fn tell_presence(&mut self, account: AccountId, context: Context<'_>) {
        let Some(state) = self.accounts.find_mut(account) else {
            return;
        };
        let presence = &mut state.presence;
        if presence.quiet_until.is_some() || presence.is_told() {
            return;
        }
        if self
            .devices
            .may_hear_presence(context.accounts.name(account))
        {
            self.with_list(account, Deferred::TellPresence, context);
        } else {
            self.begin_quiet(account, context.now);
        }
    }

    fn begin_quiet(&mut self, account: AccountId, now: Millis) {
        if let Some(state) = self.accounts.find_mut(account) {
            state.presence.told = state.presence.shown.clone();
            state.presence.is_told_otherwise = false;
            let until = now.saturating_add(INTERVAL_MILLIS);
            state.presence.quiet_until = Some(until);
            self.timers.set(until, Timer::Presence(account));
        }
    }

    pub(super) fn tell_presence_unless_quiet(&mut self, account: AccountId, context: Context<'_>) {
        let Some(state) = self.accounts.find(account) else {
            return;
        };
        let presence = &state.presence;
        if presence.quiet_until.is_some() || presence.is_told() {
            return;
        }
        self.begin_quiet(account, context.now);
        let watchers = self.watchers(account, context);
        let packet = self.presence_packet(account, context);
        let (told, inactive) = self.tell_attentive(watchers.into_iter(), &packet);
        if told {
            self.counters.presence_told += 1;
        }
        for session in inactive {
            self.devices.hold(session, |pending| {
                pending.presences.insert(account);
            });
        }
    }

    /// Who listens to an account's presence and may know it: a wildcard covers whom one talks to directly, a name everybody one
    /// shares a conversation with.
    fn watchers(&self, account: AccountId, context: Context<'_>) -> Vec<AccountId> {
        let name = context.accounts.name(account);
        let topic = format!("im/presence/{name}");
        // A peer that names the account instead is covered as well.
        let peers = self.accounts.known(account).into_iter();
        let peers = peers.flat_map(|known| known.peers());
        let mut watchers: Vec<AccountId> =
            peers.filter(|peer| self.listens(*peer, &topic)).collect();
        let naming = self.devices.naming(name);
        watchers.extend(naming.filter(|watcher| self.acquainted(*watcher, account)));
        watchers.sort_unstable();
        watchers.dedup();
        watchers
    }

    /// Whether some device of the account listens to a topic.
    fn listens(&self, account: AccountId, topic: &str) -> bool {
        let mut sessions = self.accounts.sessions(account).iter();
        sessions.any(|session| self.devices.listens(*session, topic))
    }

    /// Whether two accounts share a conversation, as far as their conversations are known; everybody shares with himself.
    fn acquainted(&self, one: AccountId, other: AccountId) -> bool {
        if one == other {
            return true;
        }
        let (Some(one), Some(others)) = (self.accounts.known(one), self.accounts.known(other))
        else {
            return false;
        };
        one.peers().any(|peer| peer == other) || one.groups().any(|group| others.holds(group))
    }

    /// A session has begun to listen: how everybody is whom its filter covers.
    pub(super) fn tell_presences(
        &mut self,
        session: SessionRef,
        account: AccountId,
        filter: &str,
        context: Context<'_>,
    ) {
        if !topic::is_wildcard(filter) {
            let named = filter.strip_prefix("im/presence/");
            if let Some(named) = named.and_then(|name| context.accounts.named(name)) {
                let deferred = Deferred::Acquaint { session, named };
                // Whose it is does not matter to whom it is told.
                self.with_list(named, deferred, context);
            }
            return;
        }
        if !topic::may_match(filter, "im/presence/") {
            return;
        }
        let matching = |peer: &AccountId| {
            let Some(record) = context.accounts.find(*peer) else {
                return false;
            };
            let topic = format!("im/presence/{}", record.name);
            !record.removed && topic::matches(filter, &topic)
        };
        let known = self.accounts.known(account).into_iter();
        let covered = known.flat_map(|known| known.peers()).filter(matching);
        let covered: Vec<AccountId> = covered.collect();
        let packets = covered
            .into_iter()
            .map(|peer| self.presence_packet(peer, context))
            .collect();
        self.deliver_all(delivery::to_session(session, packets));
    }

    /// A session has named an account: how it is, if the two share a conversation.
    pub(super) fn acquaint(&mut self, session: SessionRef, named: AccountId, context: Context<'_>) {
        let account = self.devices.account_of(session);
        if account.is_some_and(|account| self.acquainted(account, named)) {
            let packet = self.presence_packet(named, context);
            self.deliver_all(delivery::to_session(session, vec![packet]));
        }
    }

    /// `one` has begun to talk to `other` and may know from here on how it is.
    pub(super) fn introduce(&mut self, one: AccountId, other: AccountId, context: Context<'_>) {
        let topic = format!("im/presence/{}", context.accounts.name(other));
        if self.listens(one, &topic) {
            let packet = self.presence_packet(other, context);
            self.deliver(delivery::to_accounts(Arc::from([one]), packet));
        }
    }

    /// How an account is. Whoever gets this before the others do is told of the next change, even if the others know nothing else.
    pub(super) fn presence_packet(&mut self, account: AccountId, context: Context<'_>) -> Packet {
        let name = context.accounts.name(account);
        if let Some(state) = self.accounts.find_mut(account) {
            let presence = &mut state.presence;
            presence.is_told_otherwise |= presence.shown != presence.told;
        }
        let state = self.accounts.find(account);
        let (shown, since) = match state.map(|state| (&state.presence, state.last_seen)) {
            Some((presence, _)) if presence.since.is_some() => {
                (presence.shown.clone(), presence.since)
            }
            Some((presence, last_seen)) => (presence.shown.clone(), last_seen),
            None => (Shown::default(), None),
        };
        let payload = wire::json(&Payload {
            state: shown.state,
            text: &shown.text,
            since: since.map(wire::millis),
        });
        delivery::live(format!("im/presence/{name}"), payload)
    }
}
