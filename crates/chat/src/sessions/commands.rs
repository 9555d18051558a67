//! Commands under way, and who waits for each.

use std::collections::{BTreeSet, VecDeque};

use records::{AccountId, ConversationId, GroupSlug, Seq, SessionRef};

use crate::command::{Address, Command, CommandId, Speaker, To, What};
use crate::format::device::DeviceId;
use crate::io::{AccountAnswer, AccountError, Output, Publish, RequestId};
use crate::nodes::view::Incarnation;
use crate::note::Outcome;
use crate::refusal::Refusal;
use crate::sessions::reply::ReplyTo;
use crate::sessions::{Context, Effect, Sessions};
use crate::table::{Table, Tables};

/// Commands that may be under way; then publishes are refused until some are done.
const COMMANDS_MAX: usize = 65_536;
/// Questions of an account that may wait for its commands; further ones are refused.
const BEHIND_MAX: usize = 64;

/// See the file's header.
#[derive(Debug)]
pub(super) struct InFlight {
    waiting: Table<CommandId, Waiting>,
    by_account: Table<AccountId, OfAccount>,
    /// Who numbers them.
    own: Incarnation,
    last: u64,
}

/// What an account has under way.
#[derive(Debug, Default)]
struct OfAccount {
    commands: BTreeSet<CommandId>,
    /// Questions about what is stored, each behind the commands up to this one: whoever says something and asks then, without
    /// waiting for the word on it, finds it.
    behind: VecDeque<(CommandId, Box<Publish>)>,
}

/// Who waits for a command.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) account: AccountId,
    pub(super) who: Who,
}

#[derive(Debug)]
pub(super) enum Who {
    /// Who published a message to this conversation.
    Sender {
        session: SessionRef,
        ack: Option<u64>,
        topic: Box<str>,
    },
    /// Who published something else.
    Publisher {
        session: SessionRef,
        ack: Option<u64>,
        topic: Box<str>,
        mid: Option<Box<str>>,
    },
    /// Who types: at QoS 0 nobody waits.
    Typer { session: SessionRef, ack: u64 },
    /// Who asked a question.
    Asker {
        to: ReplyTo,
        ack: Option<u64>,
        conv: Box<str>,
    },
    /// Who runs the server.
    Server { request: RequestId, slug: String },
}

/// What becomes of a publish that is not refused.
pub(super) enum Accepted {
    /// It is done.
    Now,
    /// It is answered when its command is done.
    Later,
}

/// What a question waits for.
pub(super) enum Behind {
    /// Nothing: it is given back to be dealt with.
    Nothing(Box<Publish>),
    Waits,
    /// Too many wait already: it is given back to be refused.
    TooMany(Box<Publish>),
}

impl InFlight {
    pub(super) fn new(own: Incarnation, tables: &Tables) -> Self {
        Self {
            waiting: tables.table(),
            by_account: tables.table(),
            own,
            last: 0,
        }
    }

    /// Whether no more should be begun.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= COMMANDS_MAX
    }

    /// Whether an account waits for one.
    pub(super) fn has_any(&self, account: AccountId) -> bool {
        self.by_account.contains_key(&account)
    }

    /// The number of a command that somebody waits for.
    pub(super) fn begin(&mut self, waiting: Waiting) -> CommandId {
        self.last += 1;
        let id = CommandId {
            sender: self.own,
            number: self.last,
        };
        let of = self.by_account.entry(waiting.account).or_default();
        of.commands.insert(id);
        self.waiting.insert(id, waiting);
        id
    }

    /// Who waited for one that is done.
    pub(super) fn end(&mut self, id: CommandId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if let Some(of) = self.by_account.get_mut(&waiting.account) {
            of.commands.remove(&id);
        }
        Some(waiting)
    }

    /// Lets a question wait for the commands of its account, if there are any.
    pub(super) fn put_behind(&mut self, publish: Box<Publish>) -> Behind {
        let Some(of) = self.by_account.get_mut(&publish.account) else {
            return Behind::Nothing(publish);
        };
        match of.commands.last() {
            Some(_) if of.behind.len() >= BEHIND_MAX => Behind::TooMany(publish),
            Some(last) => {
                of.behind.push_back((*last, publish));
                Behind::Waits
            }
            None => Behind::Nothing(publish),
        }
    }

    /// Questions of an account whose turn has come.
    fn take_ready(&mut self, account: AccountId) -> VecDeque<Box<Publish>> {
        let mut ready = VecDeque::new();
        let Some(of) = self.by_account.get_mut(&account) else {
            return ready;
        };
        while let Some((last, _)) = of.behind.front()
            && of.commands.first().is_none_or(|first| first > last)
        {
            ready.extend(of.behind.pop_front().map(|(_, publish)| publish));
        }
        if of.commands.is_empty() && of.behind.is_empty() {
            self.by_account.remove(&account);
        }
        ready
    }
}

impl Sessions {
    /// Sends a command.
    pub(super) fn command(&mut self, speaker: Speaker, to: To, what: What, who: Option<Who>) {
        let account = speaker.account;
        let id = who.map(|who| self.in_flight.begin(Waiting { account, who }));
        self.effects.push_back(Effect::Command(Command {
            id,
            speaker,
            to,
            what,
        }));
    }

    /// A device acknowledged a message.
    pub(crate) fn received(&mut self, account: AccountId, conversation: ConversationId, seq: Seq) {
        let speaker = Speaker {
            account,
            device: DeviceId::NONE,
        };
        let to = To::Conversation(conversation);
        self.command(speaker, to, What::Received { seq }, None);
    }

    /// A command is done, or was refused.
    pub(super) fn command_done(
        &mut self,
        id: CommandId,
        mid: Option<&str>,
        outcome: Result<Outcome, Refusal>,
        context: Context<'_>,
    ) {
        let Some(Waiting { account, who }) = self.in_flight.end(id) else {
            return;
        };
        match who {
            Who::Sender {
                session,
                ack,
                topic,
            } => self.message_done(account, session, ack, &topic, mid, outcome, context),
            Who::Publisher {
                session,
                ack,
                topic,
                mid,
            } => {
                let told = (&*topic, mid.as_deref());
                self.publish_done(session, ack, told, outcome.map(drop));
            }
            Who::Typer { session, ack } => {
                let outcome = self.counted(outcome.map(drop));
                self.acknowledge(session, Some(ack), outcome);
            }
            Who::Asker { to, ack, conv } => {
                self.acknowledge(to.session, ack, Ok(()));
                self.asked(account, to, &conv, outcome, context);
            }
            Who::Server { request, slug } => {
                let outcome = match outcome {
                    Ok(_) => Ok(AccountAnswer::Done),
                    Err(refusal) if refusal.code == "no_such_conversation" => {
                        Err(AccountError::NoSuchGroup(slug))
                    }
                    Err(refusal) => Err(AccountError::Limit(refusal.sentence.into())),
                };
                self.output(Output::Answered { request, outcome });
            }
        }
        self.go_on(account, context);
    }

    /// A command of an account is over: questions that waited for it are dealt with.
    pub(super) fn go_on(&mut self, account: AccountId, context: Context<'_>) {
        for publish in self.in_flight.take_ready(account) {
            self.route(&publish, context);
        }
    }

    /// A refusal of a publish counts.
    pub(super) fn counted(&mut self, outcome: Result<(), Refusal>) -> Result<(), Refusal> {
        self.counters.publishes_refused += u64::from(outcome.is_err());
        outcome
    }

    /// The word on a publish that asked for one.
    pub(super) fn acknowledge(
        &mut self,
        session: SessionRef,
        ack: Option<u64>,
        outcome: Result<(), Refusal>,
    ) {
        if let Some(ack) = ack {
            self.output(Output::Acknowledge {
                session,
                ack,
                outcome,
            });
        }
    }

    /// Who has published, with which device.
    pub(super) fn speaker(&self, publish: &Publish) -> Speaker {
        Speaker {
            account: publish.account,
            device: self.device_of(publish),
        }
    }

    /// A connected device is known; what a will names is not any more.
    pub(super) fn device_of(&self, publish: &Publish) -> DeviceId {
        let known = self.devices.find(publish.session);
        known.map_or_else(
            || DeviceId::of(publish.account, &publish.device),
            |known| known.id,
        )
    }
}

/// The group of this address; what cannot be one does not exist.
pub(super) fn group(conv: &str) -> Result<Address, Refusal> {
    match GroupSlug::parse(conv) {
        Ok(slug) => Ok(Address::Group(slug)),
        Err(_) => Err(Refusal::no_such_conversation(conv)),
    }
}
