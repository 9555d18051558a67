//! What a client published, to whoever deals with it, and the word on it.

use bytes::Bytes;
use records::{AccountId, SessionRef};
use serde::Deserialize;

use crate::command::{Address, Sending, To, What, given_bytes};
use crate::format::topic::{self, Topic, Verb};
use crate::format::{draft, json, wire};
use crate::io::Publish;
use crate::note::Outcome;
use crate::refusal::Refusal;
use crate::sessions::accounts::Deferred;
use crate::sessions::commands::{Accepted, Behind, Who, group};
use crate::sessions::{Context, Sessions, delivery};

#[derive(Deserialize)]
struct ReadBody {
    seq: u64,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    mid: Option<Box<str>>,
}

#[derive(Deserialize)]
struct ReceivedBody {
    seq: u64,
    #[serde(default)]
    mid: Option<Box<str>>,
}

impl Sessions {
    /// A client published under `im/`.
    pub(crate) fn publish(&mut self, publish: Box<Publish>, context: Context<'_>) {
        let account = publish.account;
        let waits = match topic::parse(&publish.topic) {
            Some(Topic::Send { .. } | Topic::Device { .. }) => true,
            Some(Topic::Ask { method, .. }) => matches!(method, "group.create" | "group.join"),
            Some(Topic::Verb { .. } | Topic::Status | Topic::Active) | None => false,
        };
        let state = self.accounts.find(account);
        let behind_others = state.is_some_and(|state| state.has_waiting_publishes());
        // Of an account that does not exist nothing is read.
        let exists = context.accounts.find(account).is_some();
        if exists && (waits || behind_others) {
            let deferred = Deferred::Publish(publish);
            self.with_list(account, deferred, context);
            return;
        }
        self.proceed(publish, context);
    }

    /// Deals with a publish now, or, if it asks for what is stored, once what its account has said before is on disk.
    pub(super) fn proceed(&mut self, publish: Box<Publish>, context: Context<'_>) {
        let reads = match topic::parse(&publish.topic) {
            Some(Topic::Ask { method, .. }) => topic::reads_store(method),
            Some(
                Topic::Send { .. }
                | Topic::Verb { .. }
                | Topic::Device { .. }
                | Topic::Status
                | Topic::Active,
            )
            | None => false,
        };
        if !reads {
            return self.route(&publish, context);
        }
        match self.in_flight.put_behind(publish) {
            Behind::Nothing(publish) => self.route(&publish, context),
            Behind::Waits => {}
            Behind::TooMany(publish) => {
                self.counters.reads_refused += 1;
                self.refuse_publish(&publish, Refusal::unavailable());
            }
        }
    }

    /// Deals with a publish whose account's conversations are known if that is needed.
    pub(super) fn route(&mut self, publish: &Publish, context: Context<'_>) {
        match self.dispatch(publish, context) {
            Ok(Accepted::Now) => self.acknowledge(publish.session, publish.ack, Ok(())),
            Ok(Accepted::Later) => {}
            Err(refusal) => self.refuse_publish(publish, refusal),
        }
    }

    /// Nothing is refused without a word, whatever the version and the QoS, but that somebody types.
    pub(super) fn refuse_publish(&mut self, publish: &Publish, refusal: Refusal) {
        let topic = topic::parse(&publish.topic);
        let mid = match topic {
            Some(
                Topic::Send { is_text: false, .. }
                | Topic::Verb { .. }
                | Topic::Status
                | Topic::Active,
            ) => draft::mid(publish.payload.trim_ascii_start()),
            Some(Topic::Ask { method, rid }) => {
                if self.ask_refused(publish, (method, rid), &refusal) {
                    return;
                }
                None
            }
            Some(Topic::Send { is_text: true, .. } | Topic::Device { .. }) | None => None,
        };
        let types = matches!(
            topic,
            Some(Topic::Verb {
                verb: Verb::Typing,
                ..
            })
        );
        if !types {
            self.tell_refused(publish.session, &publish.topic, mid.as_deref(), &refusal);
        }
        let outcome = self.counted(Err(refusal));
        self.acknowledge(publish.session, publish.ack, outcome);
    }

    /// A refusal changes nothing: everything is checked before anything is touched.
    fn dispatch(&mut self, publish: &Publish, context: Context<'_>) -> Result<Accepted, Refusal> {
        self.admit(publish.account, context)?;
        let topic = topic::parse(&publish.topic).ok_or_else(Refusal::unknown_topic)?;
        match topic {
            Topic::Send { conv, is_text } => self.send(publish, (conv, is_text), context),
            Topic::Verb { conv, verb } => match verb {
                Verb::Read => self.read_marker(publish, conv, context),
                Verb::Received => self.received_marker(publish, conv, context),
                Verb::Typing => self.typing(publish, conv, context),
                Verb::Edit | Verb::Delete | Verb::React | Verb::Pin => {
                    Err(Refusal::not_supported(&publish.topic))
                }
            },
            Topic::Device { conv, id } => self
                .send_to_device(publish, (conv, id), context)
                .map(|()| Accepted::Now),
            Topic::Status => self.set_status(publish, context).map(|()| Accepted::Now),
            Topic::Active => self.set_active(publish, context).map(|()| Accepted::Now),
            Topic::Ask { method, rid } => self.ask(publish, method, rid, context),
        }
    }

    /// Whether anything can be taken from an account at all.
    fn admit(&mut self, account: AccountId, context: Context<'_>) -> Result<(), Refusal> {
        let Some(record) = context.accounts.find(account) else {
            self.counters.strays += 1;
            return Err(Refusal::not_allowed("this account does not exist"));
        };
        if record.removed || record.disabled {
            return Err(Refusal::not_allowed("this account is closed"));
        }
        if self.in_flight.is_full() {
            self.counters.appends_refused += 1;
            return Err(Refusal::unavailable());
        }
        Ok(())
    }

    /// `im/to/<conv>` and `im/to/<conv>/text`.
    fn send(
        &mut self,
        publish: &Publish,
        (conv, is_text): (&str, bool),
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let account = publish.account;
        if self.disk.is_full {
            self.counters.disk_full_refused += 1;
            return Err(Refusal::disk_full());
        }
        let address = match conv.strip_prefix('@') {
            Some(name) => match context.accounts.named(name) {
                Some(peer) => Address::pair(account, peer),
                None => return Err(Refusal::no_such_account(name)),
            },
            None => group(conv)?,
        };
        let bytes = given_bytes(&publish.payload, publish.properties.as_deref());
        self.check_stored_bytes(account, bytes)?;
        self.take_message_quota(account, 1, context.now)?;
        let what = What::Send(Sending {
            payload: publish.payload.clone(),
            is_text,
            properties: publish.properties.clone(),
            session_mid: publish.session_mid.clone(),
            may_begin: self.check_conversations_max(account).is_ok(),
            read_at: publish.read_at,
        });
        let who = Who::Sender {
            session: publish.session,
            ack: publish.ack,
            topic: publish.topic.clone(),
        };
        let speaker = self.speaker(publish);
        self.command(speaker, To::Address(address), what, Some(who));
        Ok(Accepted::Later)
    }

    /// What became of a message.
    #[expect(
        clippy::too_many_arguments,
        reason = "what became of it, and who waits for it"
    )]
    pub(super) fn message_done(
        &mut self,
        account: AccountId,
        session: SessionRef,
        ack: Option<u64>,
        topic: &str,
        mid: Option<&str>,
        outcome: Result<Outcome, Refusal>,
        context: Context<'_>,
    ) {
        match outcome {
            Ok(Outcome::Stored {
                seq,
                pos,
                repeated,
                bytes,
            }) => {
                if repeated {
                    self.give_back_message(account, context.now);
                } else {
                    self.charge(account, bytes);
                }
                self.acknowledge(session, ack, Ok(()));
                if let (Some(mid), Some(Topic::Send { conv, .. })) = (mid, topic::parse(topic)) {
                    self.tell(session, mid, wire::stored(conv, seq, pos));
                }
            }
            Ok(_) => self.acknowledge(session, ack, Ok(())),
            Err(refusal) => {
                self.tell_refused(session, topic, mid, &refusal);
                let outcome = self.counted(Err(refusal));
                self.acknowledge(session, ack, outcome);
            }
        }
    }

    /// Something else than a message is done, or was refused.
    pub(super) fn publish_done(
        &mut self,
        session: SessionRef,
        ack: Option<u64>,
        (topic, mid): (&str, Option<&str>),
        outcome: Result<(), Refusal>,
    ) {
        match &outcome {
            Ok(()) => self.tell_done(session, mid),
            Err(refusal) => self.tell_refused(session, topic, mid, refusal),
        }
        let outcome = self.counted(outcome);
        self.acknowledge(session, ack, outcome);
    }

    /// Who has named a mid is told that it is done.
    pub(super) fn tell_done(&mut self, session: SessionRef, mid: Option<&str>) {
        if let Some(mid) = mid {
            self.tell(session, mid, wire::done());
        }
    }

    /// Under its mid, or, where there is none, as an event.
    fn tell_refused(
        &mut self,
        session: SessionRef,
        topic: &str,
        mid: Option<&str>,
        refusal: &Refusal,
    ) {
        match mid {
            Some(mid) => self.tell(session, mid, wire::refused(refusal)),
            None => {
                let payload = wire::refused_event(topic, refusal);
                let packet = delivery::packet("im/me/event".to_owned(), payload);
                self.deliver_all(delivery::to_session(session, vec![packet]));
            }
        }
    }

    fn tell(&mut self, session: SessionRef, mid: &str, payload: Bytes) {
        let packet = delivery::packet(format!("im/ack/{mid}"), payload);
        self.deliver_all(delivery::to_session(session, vec![packet]));
    }

    /// `im/to/<conv>/read`.
    fn read_marker(
        &mut self,
        publish: &Publish,
        conv: &str,
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let body: ReadBody = json::read(&publish.payload)?;
        let what = What::Read {
            seq: body.seq,
            is_private: body.private,
        };
        self.move_marker(publish, conv, (what, body.mid), context)
    }

    /// `im/to/<conv>/received`.
    fn received_marker(
        &mut self,
        publish: &Publish,
        conv: &str,
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let body: ReceivedBody = json::read(&publish.payload)?;
        let what = What::MarkReceived { seq: body.seq };
        self.move_marker(publish, conv, (what, body.mid), context)
    }

    fn move_marker(
        &mut self,
        publish: &Publish,
        conv: &str,
        (what, mid): (What, Option<Box<str>>),
        context: Context<'_>,
    ) -> Result<Accepted, Refusal> {
        let mid = fit(mid)?;
        // It is written, and told to all of one's own devices.
        self.take_ask_quota(publish.account, 1, context.now)?;
        let address = self.address(publish.account, conv, context)?;
        let who = Who::Publisher {
            session: publish.session,
            ack: publish.ack,
            topic: publish.topic.clone(),
            mid,
        };
        let speaker = self.speaker(publish);
        self.command(speaker, To::Address(address), what, Some(who));
        Ok(Accepted::Later)
    }

    /// The conversation that an account means.
    pub(super) fn address(
        &self,
        account: AccountId,
        conv: &str,
        context: Context<'_>,
    ) -> Result<Address, Refusal> {
        let Some(name) = conv.strip_prefix('@') else {
            return group(conv);
        };
        match context.accounts.named_ever(name) {
            Some(peer) => Ok(Address::pair(account, peer)),
            None => Err(Refusal::no_such_account(name)),
        }
    }
}

/// A mid as a client gives it, if it can be one.
pub(super) fn fit(mid: Option<Box<str>>) -> Result<Option<Box<str>>, Refusal> {
    if let Some(mid) = &mid {
        draft::check_mid(mid)?;
    }
    Ok(mid)
}
