//! The messenger's state and its one door. Must not hold a rule: those are in the rooms behind it.

use records::{Account, AccountId, KeyRange, Millis, Pos};

use crate::counters::Counters;
use crate::dedup::{self, Mids};
use crate::directory::Directory;
use crate::door::{Input, ListedAccount, Output};
use crate::live::Live;
use crate::log::{Batch, Log};
use crate::markers::Receipts;
use crate::recent::Recent;
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use crate::settings::Settings;
use crate::source::{Source, Unreadable};
use crate::table::Tables;
use crate::timers::{Timer, Timers};
use crate::typing::Typing;

/// The whole state of the messenger except its messages.
#[derive(Debug)]
pub struct Chat {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    pub(crate) rooms: Rooms,
    pub(crate) log: Log,
    pub(crate) mids: Mids,
    pub(crate) recent: Recent,
    pub(crate) live: Live,
    pub(crate) receipts: Receipts,
    pub(crate) typing: Typing,
    pub(crate) about: crate::about::Gathered,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    /// Nothing is taken that would have to be stored.
    pub(crate) disk_full: bool,
    /// Bytes that may still be stored.
    pub(crate) disk_room: u64,
    /// The last week whose predecessors' mids were trimmed.
    trimmed: u32,
}

impl Chat {
    /// An empty messenger. `seeds` key its hash tables.
    pub fn new(settings: Settings, seeds: [u64; 4]) -> Self {
        let tables = Tables::new(seeds);
        Self {
            settings,
            directory: Directory::new(&tables),
            rooms: Rooms::new(&tables),
            log: Log::default(),
            mids: Mids::new(&tables),
            recent: Recent::new(&tables),
            live: Live::new(&tables),
            receipts: Receipts::default(),
            typing: Typing::new(&tables),
            about: crate::about::Gathered::default(),
            timers: Timers::default(),
            disk_full: false,
            disk_room: u64::MAX,
            counters: Counters::default(),
            trimmed: 0,
        }
    }

    /// An empty messenger begins, or everything is back.
    pub(crate) fn finish_recovery(&mut self, now: Millis) {
        // The caller trims what is stale at start itself.
        self.trimmed = dedup::week(now);
    }

    // The door.

    /// Something happened outside.
    pub fn handle(&mut self, input: Input, source: &dyn Source, now: Millis) {
        self.trim_mids(now);
        match input {
            Input::Publish(publish) => self.publish(*publish, source, now),
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
                self.subscribed(session, account, &filter, wanted, now);
            }
            Input::Unsubscribed {
                session, filter, ..
            } => self.unsubscribed(session, &filter),
            Input::SessionUp {
                session, account, ..
            } => self.session_up(session, account, now),
            Input::SessionDown { session, .. } => self.session_down(session, now),
            Input::Received {
                account,
                conversation,
                seq,
            } => self.received(account, conversation, seq, source, now),
            Input::CatchUp {
                session,
                account,
                since,
            } => self.catch_up(session, account, since, now),
            Input::ReadDone { session } => self.read_done(session, now),
            Input::Appended(ticket) => {
                for settled in self.log.appended(ticket) {
                    self.mids.settle(&settled);
                }
            }
            Input::Account { request, command } => {
                self.account_command(request, command, source, now);
            }
            Input::DeleteGroup { request, slug } => {
                self.delete_group_of_server(request, &slug, now);
            }
            Input::Reconfigure(settings) => self.settings = settings,
            Input::DiskFull(full) => self.disk_full = full,
            Input::DiskRoom(bytes) => self.disk_room = bytes,
        }
    }

    /// What has to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.log.poll()
    }

    /// When [`Chat::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, source: &dyn Source, now: Millis) {
        self.trim_mids(now);
        while let Some(timer) = self.timers.due(now) {
            self.timer(timer, source, now);
        }
    }

    // For the outer doors.

    /// The newest position on disk.
    pub fn committed_pos(&self) -> Pos {
        self.log.committed()
    }

    /// Whether there is no account yet.
    pub fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    /// Accounts that are not removed, by name.
    pub fn accounts(&self) -> Vec<ListedAccount> {
        self.directory
            .listed()
            .into_iter()
            .map(|(id, account)| listed(id, account))
            .collect()
    }

    /// Dedup records that are too old to be asked for, for the caller to trim at start.
    pub fn stale_dedups(&self, now: Millis) -> KeyRange {
        // A mid of the week before last is at least seven days old.
        records::key::dedups_before(dedup::week(now).saturating_sub(1))
    }

    /// What has been done and refused so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    // For the rooms.

    /// Appends what a command came to, and what follows from it.
    pub(crate) fn commit(&mut self, batch: Batch, now: Millis) {
        let Batch {
            writes,
            effects,
            mid,
            about,
            acquainted,
            message,
        } = batch;
        self.log.commit(writes, effects, mid);
        for (conversation, account) in about {
            self.about_changed(conversation, account, now);
        }
        if let Some(conversation) = message {
            self.release_members(conversation, now);
        }
        if let Some((one, other)) = acquainted {
            self.introduce(one, other);
            self.introduce(other, one);
        }
    }

    /// A look-up's result, or the refusal that a silent store deserves.
    pub(crate) fn readable<T>(&mut self, found: Result<T, Unreadable>) -> Result<T, Refusal> {
        found.map_err(|Unreadable| {
            self.counters.unreadable += 1;
            Refusal::unavailable()
        })
    }

    fn timer(&mut self, timer: Timer, source: &dyn Source, now: Millis) {
        match timer {
            Timer::Gone(account) => self.presence_gone(account, now),
            Timer::Presence(account) => self.presence_due(account, now),
            Timer::Receipts => self.receipts_due(source, now),
            Timer::About(conversation) => self.about_due(conversation, now),
            Timer::CatchUp(session) => self.catch_up_due(session, now),
        }
    }

    fn trim_mids(&mut self, now: Millis) {
        let week = dedup::week(now);
        if week > self.trimmed {
            self.trimmed = week;
            let stale = self.stale_dedups(now);
            self.log.tell(Output::Trim(stale));
        }
    }
}

fn listed(id: AccountId, account: &Account) -> ListedAccount {
    ListedAccount {
        id,
        name: account.name.clone(),
        display: account.display.clone(),
        role: account.role,
        disabled: account.disabled,
    }
}
