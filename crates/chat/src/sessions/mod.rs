//! This node's devices: who is connected, what each is told, presence, typing, catching up, questions, quotas. What changes a
//! conversation goes to conversations as a command; what has happened there comes back as a note. Must not change a conversation.

mod about;
mod accounts;
mod ask;
mod catch_up;
mod commands;
pub(crate) mod delivery;
mod device_messages;
mod devices;
mod group_questions;
mod inactive;
mod missed;
mod notes;
mod pending;
mod presence;
mod presence_elsewhere;
pub(crate) mod presence_state;
mod profile;
mod publish;
pub(crate) mod queries;
mod quota;
mod reading;
pub(crate) mod reply;
mod server;
mod typing;
mod usage;

use std::collections::VecDeque;
use std::sync::Arc;

use records::{AccountId, ConversationId, Cursor, Millis, Pos, SessionRef};

use crate::accounts::{Accounts, ProfileChange};
use crate::command::Command;
use crate::counters::Counters;
use crate::io::{Output, Ticket};
use crate::log::Log;
use crate::nodes::Nodes;
use crate::settings::Settings;
use crate::table::Tables;
use crate::timers::Timers;
use about::Abouts;
use accounts::AccountStates;
use catch_up::CatchUps;
use commands::InFlight;
use delivery::Delivery;
use devices::Devices;
use presence_state::PresenceRow;
use queries::{Finding, Reading};
use typing::Typing;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Whether there are no other nodes.
    is_alone: bool,
    settings: Arc<Settings>,
    devices: Devices,
    accounts: AccountStates,
    in_flight: InFlight,
    abouts: Abouts,
    catch_ups: CatchUps,
    typing: Typing,
    disk: Disk,
    /// Everything up to here is in the store.
    stored: Cursor,
    /// Everything up to here was told as well, but for what is being told.
    told: Pos,
    timers: Timers<Timer>,
    log: Log<()>,
    effects: VecDeque<Effect>,
    counters: Counters,
}

/// Room on the disk.
#[derive(Debug)]
struct Disk {
    /// Nothing is taken that would have to be stored.
    is_full: bool,
    /// Bytes that may still be stored.
    room: u64,
}

/// Something that sessions want done.
#[derive(Debug)]
pub(crate) enum Effect {
    Output(Output),
    /// Read this.
    Read(Reading),
    /// For conversations.
    Command(Command),
    /// For accounts.
    Profile(ProfileChange),
    /// For other nodes: what an account has here.
    Presence(AccountId, PresenceRow),
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The grace of an account without a device ends.
    Gone(AccountId),
    /// An account's presence may be told again.
    Presence(AccountId),
    /// A conversation may be described again.
    About(ConversationId),
    /// A session that asked again may catch up.
    CatchUp(SessionRef),
    /// What could not be described for a session is tried again.
    Describe(SessionRef),
    /// An account's list, which could not be read, is read again.
    List(AccountId),
    /// An account that does nothing may be forgotten.
    Forget(AccountId),
}

/// What most of it works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) accounts: &'a Accounts,
    pub(crate) now: Millis,
}

impl Sessions {
    pub(crate) fn new(settings: Arc<Settings>, nodes: &Nodes, tables: &Tables) -> Self {
        Self {
            is_alone: nodes.is_alone(),
            settings,
            devices: Devices::new(tables),
            accounts: AccountStates::new(tables),
            in_flight: InFlight::new(nodes.own(), tables),
            abouts: Abouts::default(),
            catch_ups: CatchUps::new(tables),
            typing: Typing::new(tables),
            disk: Disk {
                is_full: false,
                room: u64::MAX,
            },
            stored: Cursor::default(),
            told: Pos::ZERO,
            timers: Timers::default(),
            log: Log::default(),
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn reconfigure(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn next_timeout(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// Whether the disk has so little room left that nothing is taken that would have to be stored.
    pub(crate) fn set_disk_full(&mut self, is_full: bool) {
        self.disk.is_full = is_full;
    }

    /// So many bytes may still be stored.
    pub(crate) fn set_disk_room(&mut self, room: u64) {
        self.disk.room = room;
    }

    /// Everything up to here is in the store, and nothing older comes.
    pub(crate) fn set_stored(&mut self, stored: &Cursor, told: Pos) {
        self.told = told;
        if self.stored != *stored {
            self.stored.clone_from(stored);
        }
    }

    /// Every append up to this one is on disk.
    pub(crate) fn appended(&mut self, ticket: Ticket) {
        self.log.appended(ticket);
    }

    /// Something was read for sessions.
    pub(crate) fn found(&mut self, finding: Finding, context: Context<'_>) {
        match finding {
            Finding::Account(listed) => self.listed(listed, context),
            Finding::Session { session, again } => self.read_done(session, again, context),
            Finding::CaughtUp { session, answered } => self.caught_up(session, answered),
            Finding::Described {
                conversation,
                again,
            } => self.described(conversation, again, context),
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, context: Context<'_>) {
        while let Some(timer) = self.timers.due(context.now) {
            match timer {
                Timer::Gone(account) => self.presence_gone(account, context),
                Timer::Presence(account) => self.presence_due(account, context),
                Timer::About(conversation) => self.about_due(conversation, context),
                Timer::CatchUp(session) => self.catch_up_due(session, context),
                Timer::Describe(session) => self.describe_due(session, context),
                Timer::List(account) => self.read_list(account),
                Timer::Forget(account) => self.forget_due(account, context.now),
            }
        }
    }

    fn output(&mut self, output: Output) {
        self.effects.push_back(Effect::Output(output));
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.output(Output::Deliver(delivery));
    }

    fn deliver_all(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            self.deliver(delivery);
        }
    }

    fn read(&mut self, reading: Reading) {
        self.effects.push_back(Effect::Read(reading));
    }
}
