//! The messenger: accounts, conversations and sessions, and what goes between them and to other nodes. Must not hold a rule: those are in the three.

use std::collections::VecDeque;
use std::sync::Arc;

use records::{AccountId, ConversationId, KeyRange, Millis, Pos};

use crate::accounts::{self, Accounts};
use crate::conversations::{self, Conversations};
use crate::counters::Counters;
use crate::io::{Input, ListedAccount, Output, Owner, Ticket};
use crate::nodes::view::Incarnation;
use crate::nodes::{LinkLimits, Nodes, Route};
use crate::note::Note;
use crate::query::{Finding, Found, Query};
use crate::refusal::Refusal;
use crate::sessions::{self, Context, Sessions};
use crate::settings::Settings;
use crate::stored::mids;
use crate::stored::source::Source;
use crate::table::Tables;

/// The whole state of the messenger, as far as it is in memory.
#[derive(Debug)]
pub struct Chat {
    pub(crate) accounts: Accounts,
    pub(crate) conversations: Conversations,
    pub(crate) sessions: Sessions,
    pub(crate) nodes: Nodes,
    outputs: VecDeque<Output>,
    /// The last week whose predecessors' mids were trimmed.
    trimmed: u32,
}

impl Chat {
    /// An empty messenger that is alone on its store. `seeds` key its hash tables.
    pub fn new(settings: Settings, seeds: [u64; 4]) -> Self {
        Self::of(settings, Nodes::alone(), seeds)
    }

    /// The same of one of several nodes: it owns what [`Input::Cluster`] says.
    pub fn one_of_several(
        settings: Settings,
        own: Incarnation,
        links: LinkLimits,
        seeds: [u64; 4],
    ) -> Self {
        Self::of(settings, Nodes::one_of_several(own, links), seeds)
    }

    fn of(settings: Settings, nodes: Nodes, seeds: [u64; 4]) -> Self {
        let tables = Tables::new(seeds);
        let settings = Arc::new(settings);
        Self {
            accounts: Accounts::new(settings.clone(), &tables),
            conversations: Conversations::new(settings.clone(), &tables),
            sessions: Sessions::new(settings, &nodes, &tables),
            nodes,
            outputs: VecDeque::new(),
            trimmed: 0,
        }
    }

    /// An empty messenger begins, or everything is back. These groups were deleted, of which a crash may have left something.
    pub(crate) fn finish_recovery(
        &mut self,
        ended: &[ConversationId],
        source: &dyn Source,
        now: Millis,
    ) {
        // The caller trims what is stale at start itself.
        self.trimmed = mids::week(now);
        self.update_stored();
        if self.nodes.is_alone() {
            self.conversations
                .finish_ended(ended, &self.accounts, source, now);
        }
        // What a crash has left of leaving.
        for account in self.accounts.removed() {
            let context = Context {
                accounts: &self.accounts,
                now,
            };
            self.sessions.account_removed(account, context);
        }
        self.settle(source, now);
    }

    /// Something happened outside.
    pub fn handle(&mut self, input: Input, source: &dyn Source, now: Millis) {
        self.trim_mids(now);
        self.dispatch(input, source, now);
        self.settle(source, now);
    }

    /// What has to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Chat::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let timers = [
            self.conversations.next_timeout(),
            self.sessions.next_timeout(),
            self.nodes.next_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, source: &dyn Source, now: Millis) {
        self.trim_mids(now);
        self.conversations
            .handle_timeout(&self.accounts, source, now);
        let context = Context {
            accounts: &self.accounts,
            now,
        };
        self.sessions.handle_timeout(context);
        self.beat(now);
        self.settle(source, now);
    }

    /// Every entry up to this position is on disk, and what comes is newer.
    pub fn committed_pos(&self) -> Pos {
        self.nodes.stored(self.conversations.stored()).floor()
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Accounts that are not removed, by name.
    pub fn accounts(&self) -> Vec<ListedAccount> {
        self.accounts.listed()
    }

    /// An account that something outside of the messenger belongs to, though it may not exist any more: its id is not given to
    /// somebody else.
    pub fn reserve_account(&mut self, id: AccountId) {
        if accounts::is_count(id.value()) {
            self.accounts.reserve(id);
        }
    }

    /// Dedup records that are too old to be asked for, for the caller to trim at start.
    pub fn stale_dedups(&self, now: Millis) -> KeyRange {
        mids::stale(now)
    }

    /// What has been done and refused so far.
    pub fn counters(&self) -> Counters {
        let counters = self.accounts.counters().plus(self.conversations.counters());
        counters.plus(self.sessions.counters())
    }

    /// Bytes of the conversations that are in memory, without their messages.
    pub fn loaded_bytes(&self) -> usize {
        self.conversations.loaded_bytes()
    }

    fn dispatch(&mut self, input: Input, source: &dyn Source, now: Millis) {
        let context = Context {
            accounts: &self.accounts,
            now,
        };
        match input {
            Input::Publish(publish) => self.sessions.publish(publish, context),
            Input::Subscribed {
                session,
                account,
                filter,
                existed,
                retain_handling,
                resumed,
            } => {
                // [5 MQTT-3.3.1-9] to [5 MQTT-3.3.1-11], for what is like a retained message.
                let wanted = match retain_handling {
                    0 => true,
                    1 => !existed || resumed,
                    _ => resumed,
                };
                let told = (wanted, resumed);
                self.sessions
                    .subscribed(session, account, &filter, told, context);
            }
            Input::Unsubscribed {
                session, filter, ..
            } => self.sessions.unsubscribed(session, &filter),
            Input::SessionUp {
                session,
                account,
                device,
                since,
            } => {
                let whose = (account, &*device);
                self.sessions.session_up(session, whose, since, context);
            }
            Input::SessionDown { session, .. } => self.sessions.session_down(session, context),
            Input::Received {
                account,
                conversation,
                seq,
            } => self.sessions.received(account, conversation, seq),
            Input::CatchUp {
                session,
                account,
                since,
            } => self.sessions.catch_up(session, account, since, context),
            Input::Found(Found(finding)) => self.found(finding, source, now),
            Input::Appended { owner, ticket } => self.appended(owner, ticket, source, now),
            Input::Fenced { owner, ticket } => self.fenced(owner, ticket, source, now),
            Input::Cluster(view) => self.cluster(view, source, now),
            Input::Frame(frame) => self.frame(&frame, source, now),
            Input::Account { request, command } => {
                self.accounts.command(request, command, source, now);
            }
            Input::DeleteGroup { request, slug } => {
                self.sessions.delete_group_of_server(request, slug);
            }
            Input::Reconfigure(settings) => {
                let settings = Arc::new(settings);
                self.accounts.reconfigure(settings.clone());
                self.conversations.reconfigure(settings.clone());
                self.sessions.reconfigure(settings);
            }
            Input::DiskFull(full) => self.sessions.set_disk_full(full),
            Input::DiskRoom(bytes) => self.sessions.set_disk_room(bytes),
        }
    }

    /// Appends of an owner up to this one are on disk.
    fn appended(&mut self, owner: Owner, ticket: Ticket, source: &dyn Source, now: Millis) {
        match owner {
            Owner::Partition(partition) => {
                self.conversations
                    .appended(partition, ticket, &self.accounts, source, now);
            }
            Owner::Accounts => self.accounts.appended(ticket),
            Owner::Sessions => self.sessions.appended(ticket),
            Owner::Node => self.conversations.promise_stored(ticket),
        }
    }

    /// From this append on those of an owner were refused.
    fn fenced(&mut self, owner: Owner, ticket: Ticket, source: &dyn Source, now: Millis) {
        match owner {
            Owner::Partition(partition) => {
                self.conversations
                    .fenced(partition, ticket, &self.accounts, source, now);
            }
            Owner::Node => self.conversations.promise_refused(ticket),
            // Nobody else owns those of this node.
            Owner::Accounts | Owner::Sessions => {}
        }
    }

    fn found(&mut self, finding: Finding, source: &dyn Source, now: Millis) {
        match finding {
            Finding::Conversations(finding) => {
                self.conversations
                    .found(finding, &self.accounts, source, now);
            }
            Finding::Sessions(finding) => {
                let context = Context {
                    accounts: &self.accounts,
                    now,
                };
                self.sessions.found(finding, context);
            }
        }
    }

    /// Carries what the three want of each other, until none wants anything, and what other nodes want or are told.
    fn settle(&mut self, source: &dyn Source, now: Millis) {
        self.carry(source, now);
        if self.nodes.is_alone() {
            return;
        }
        self.update_stored();
        self.introduce_sessions();
        for note in self.nodes.close_batches() {
            self.note(note, now);
        }
        if self.nodes.take_readable(now) {
            let context = Context {
                accounts: &self.accounts,
                now,
            };
            self.sessions.missed(context);
        }
        self.carry(source, now);
        while let Some(frame) = self.nodes.poll_frame(now) {
            self.outputs.push_back(Output::Frame(frame));
        }
    }

    pub(crate) fn carry(&mut self, source: &dyn Source, now: Millis) {
        loop {
            if let Some(effect) = self.conversations.poll() {
                self.of_conversations(effect, now);
            } else if let Some(effect) = self.accounts.poll() {
                self.of_accounts(effect, now);
            } else if let Some(effect) = self.sessions.poll() {
                self.of_sessions(effect, source, now);
            } else {
                return;
            }
        }
    }

    fn of_conversations(&mut self, effect: conversations::Effect, now: Millis) {
        match effect {
            conversations::Effect::Note(note) => {
                let note = self.nodes.tell(note);
                self.update_stored();
                if let Some(note) = note {
                    self.note(note, now);
                }
            }
            conversations::Effect::Append {
                owner,
                ticket,
                writes,
            } => {
                let term = match owner {
                    Owner::Partition(partition) => self.nodes.term(partition),
                    Owner::Node => self.nodes.version(),
                    Owner::Accounts | Owner::Sessions => 0,
                };
                self.outputs.push_back(Output::Append {
                    owner,
                    term,
                    ticket,
                    writes,
                });
            }
            conversations::Effect::Read(reading) => {
                let query = Query::of_conversations(reading);
                self.outputs.push_back(Output::Read(query));
            }
            conversations::Effect::Trim(range) => self.outputs.push_back(Output::Trim(range)),
        }
    }

    fn of_accounts(&mut self, effect: accounts::Effect, now: Millis) {
        let context = Context {
            accounts: &self.accounts,
            now,
        };
        match effect {
            accounts::Effect::Output(output) => self.outputs.push_back(output),
            accounts::Effect::Removed(account) => self.sessions.account_removed(account, context),
            accounts::Effect::Profiled(change) => self.sessions.profiled(&change, context),
        }
    }

    fn of_sessions(&mut self, effect: sessions::Effect, source: &dyn Source, now: Millis) {
        match effect {
            sessions::Effect::Output(output) => self.outputs.push_back(output),
            sessions::Effect::Read(reading) => {
                let query = Query::of_sessions(reading);
                self.outputs.push_back(Output::Read(query));
            }
            sessions::Effect::Command(command) => match self.nodes.route(command) {
                Route::Here(command) => {
                    self.conversations
                        .command(command, &self.accounts, source, now);
                }
                Route::Elsewhere => {}
                Route::Nowhere(command) => {
                    if let Some(note) = Note::refused(&command, Refusal::unavailable()) {
                        self.note(note, now);
                    }
                }
            },
            sessions::Effect::Profile(change) => self.accounts.set_profile(change),
            sessions::Effect::Presence(account, row) => self.nodes.tell_presence(account, &row),
        }
    }

    /// Something has happened in a conversation, for this node's sessions.
    pub(crate) fn note(&mut self, note: Note, now: Millis) {
        let context = Context {
            accounts: &self.accounts,
            now,
        };
        self.sessions.note(note, context);
    }

    /// What is in the store, so that sessions know it before they hear of it.
    pub(crate) fn update_stored(&mut self) {
        let own = self.conversations.stored();
        self.nodes
            .set_own_stored(own, self.conversations.promised());
        let stored = self.nodes.stored(own);
        self.sessions.set_stored(stored, self.nodes.told(own));
    }

    fn trim_mids(&mut self, now: Millis) {
        let week = mids::week(now);
        if week > self.trimmed {
            self.trimmed = week;
            self.outputs.push_back(Output::Trim(mids::stale(now)));
        }
    }
}
