//! What is said and who takes part: 256 partitions, each with its own conversations, log and timers, so that one of them can be
//! somebody else's without the others noticing. A conversation is read from the store when it is needed and forgotten when it was
//! not used for long. Must not know sessions.

mod author_lookup;
mod authors;
mod conversation;
mod ended;
pub(crate) mod forgotten;
mod groups;
mod load;
mod markers;
mod members;
mod moved;
mod partition;
mod positions;
mod promise;
pub(crate) mod reading;
mod send;
mod shared;

use std::sync::Arc;

use records::{ConversationId, Cursor, KeyRange, Millis, PartitionId};

use crate::accounts::Accounts;
use crate::command::Command;
use crate::counters::Counters;
use crate::io::{Owner, Ticket};
use crate::note::Note;
use crate::settings::Settings;
use crate::stored::source::{Source, Unreadable};
use crate::table::Tables;
use author_lookup::Authors;
use load::Loaded;
use partition::Partition;
use reading::{Finding, Reading};
use shared::{Context, Shared, Timer};

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Conversations {
    shared: Shared,
    /// By number; `None` until something is done in it.
    partitions: Vec<Option<Box<Partition>>>,
    tables: Tables,
}

/// Something that conversations want done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write this for a partition.
    Append {
        owner: Owner,
        ticket: Ticket,
        writes: Vec<records::Write>,
    },
    /// Read this.
    Read(Reading),
    /// For sessions.
    Note(Note),
    /// These keys are no longer needed.
    Trim(KeyRange),
}

impl Conversations {
    pub(crate) fn new(settings: Arc<Settings>, tables: &Tables) -> Self {
        Self {
            shared: Shared::new(settings),
            partitions: (0..PartitionId::COUNT).map(|_| None).collect(),
            tables: tables.clone(),
        }
    }

    pub(crate) fn reconfigure(&mut self, settings: Arc<Settings>) {
        self.shared.settings = settings;
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Bytes of the conversations that are in memory.
    pub(crate) fn loaded_bytes(&self) -> usize {
        self.shared.loaded.bytes()
    }

    /// How far an earlier run may have come with its positions.
    pub(crate) fn recover_positions(&mut self, tick: u64) {
        self.shared.positions.recover(tick);
        let start = self.shared.positions.start();
        self.shared.floor.begin_at(start);
    }

    /// Groups that were deleted in an earlier run, ascending: what a crash has left of them goes.
    pub(crate) fn finish_ended(
        &mut self,
        ended: &[ConversationId],
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        for some in ended.chunk_by(|one, other| one.partition() == other.partition()) {
            match some[0].partition() {
                Some(partition) => {
                    self.with(partition, accounts, source, now, |partition, context| {
                        partition.finish_ended(some, context);
                    });
                }
                None => self.shared.counters.strays += 1,
            }
        }
    }

    /// Every entry up to here is on disk, and none comes any more.
    pub(crate) fn stored(&self) -> &Cursor {
        self.shared.floor.stored()
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.shared.effects.pop_front()
    }

    pub(crate) fn next_timeout(&self) -> Option<Millis> {
        self.shared.timers.next()
    }

    /// Carries out a command, or reads first what it needs.
    pub(crate) fn command(
        &mut self,
        command: Command,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        match command.to.partition() {
            Some(partition) => self.with(partition, accounts, source, now, |partition, context| {
                partition.command(command, context);
            }),
            None => self.shared.counters.strays += 1,
        }
    }

    /// Something has been read.
    pub(crate) fn found(
        &mut self,
        finding: Finding,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        match finding {
            Finding::Conversation(loaded) => self.loaded(loaded, accounts, source, now),
            Finding::Authors(authors) => self.authors_found(authors, accounts, source, now),
        }
    }

    /// Rows of a conversation have been read.
    fn loaded(&mut self, loaded: Loaded, accounts: &Accounts, source: &dyn Source, now: Millis) {
        let number = loaded.partition;
        self.with(number, accounts, source, now, |partition, context| {
            partition.loaded(loaded, context);
        });
    }

    /// Authors have been read.
    fn authors_found(
        &mut self,
        found: Authors,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        let number = found.partition;
        self.with(number, accounts, source, now, |partition, context| {
            partition.authors_found(found, context);
        });
    }

    /// Every append of a partition up to this one is on disk.
    pub(crate) fn appended(
        &mut self,
        partition: PartitionId,
        ticket: Ticket,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        self.with(partition, accounts, source, now, |partition, context| {
            partition.appended(ticket, context);
        });
    }

    /// An append was refused because its partition is somebody else's: what is known of it is worth nothing, and whoever waits may try
    /// again. One that was dropped before says nothing.
    pub(crate) fn fenced(
        &mut self,
        partition: PartitionId,
        ticket: Ticket,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        self.with(partition, accounts, source, now, |partition, context| {
            if partition.is_under_way(ticket) {
                partition.fence(context);
            }
        });
    }

    /// A partition is somebody else's from here on, as the cluster says.
    pub(crate) fn hand_over(
        &mut self,
        partition: PartitionId,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        self.with(partition, accounts, source, now, |partition, context| {
            partition.fence(context);
        });
    }

    /// A partition is this node's from here on, which gives no position in it that is not above this tick.
    pub(crate) fn take_over(
        &mut self,
        partition: PartitionId,
        ceiling: u64,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
    ) {
        self.shared.positions.recover(ceiling);
        let ended = load::ended(source, partition);
        self.with(partition, accounts, source, now, |partition, context| {
            match ended {
                Ok(ended) if !ended.is_empty() => partition.finish_ended(&ended, context),
                Ok(_) => {}
                // They go with the next start.
                Err(Unreadable) => context.shared.counters.unreadable += 1,
            }
        });
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, accounts: &Accounts, source: &dyn Source, now: Millis) {
        while let Some(timer) = self.shared.timers.due(now) {
            match timer {
                Timer::Markers(partition) => {
                    self.with(partition, accounts, source, now, |partition, context| {
                        partition.markers_due(context);
                    });
                }
            }
        }
    }

    fn with(
        &mut self,
        number: PartitionId,
        accounts: &Accounts,
        source: &dyn Source,
        now: Millis,
        work: impl FnOnce(&mut Partition, &mut Context<'_>),
    ) {
        let place = usize::from(number.number());
        let partition = self.partitions[place]
            .get_or_insert_with(|| Box::new(Partition::new(number, &self.tables)));
        let mut context = Context {
            shared: &mut self.shared,
            accounts,
            source,
            now,
        };
        work(partition, &mut context);
        self.forget_surplus();
    }

    /// Forgets conversations as long as there are too many bytes of them and some were not used since the last look.
    fn forget_surplus(&mut self) {
        let most = self.shared.settings.loaded_bytes_max;
        for _ in 0..self.shared.loaded.looks() {
            if self.shared.loaded.bytes() <= most {
                return;
            }
            let Some(id) = self.shared.loaded.next() else {
                return;
            };
            let known = id.partition().map(|known| usize::from(known.number()));
            let Some(partition) = known.and_then(|at| self.partitions[at].as_mut()) else {
                continue;
            };
            match partition.try_forget(id) {
                Some(bytes) => {
                    self.shared.loaded.forget(bytes);
                    self.shared.counters.conversations_forgotten += 1;
                }
                None if partition.holds(id) => self.shared.loaded.keep(id),
                None => {}
            }
        }
    }
}
