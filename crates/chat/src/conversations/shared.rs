//! What the partitions of one node have in common: settings, the clock of positions, what they want done, and the order in which
//! their conversations are forgotten. Must not know a rule.

use std::collections::VecDeque;
use std::sync::Arc;

use records::{ConversationId, Millis, PartitionId};

use crate::accounts::Accounts;
use crate::conversations::Effect;
use crate::conversations::positions::{Floor, Positions};
use crate::conversations::promise::Promise;
use crate::counters::Counters;
use crate::settings::Settings;
use crate::stored::source::Source;
use crate::timers::Timers;

/// Conversations looked at in one call.
const LOOKS_MAX: usize = 64;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Markers of a partition that were gathered are written and told.
    Markers(PartitionId),
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) positions: Positions,
    pub(super) floor: Floor,
    pub(super) promise: Promise,
    pub(super) effects: VecDeque<Effect>,
    pub(super) timers: Timers<Timer>,
    pub(super) counters: Counters,
    pub(super) loaded: LoadedOrder,
    pub(super) author_readings: AuthorReadings,
}

/// What a partition works with.
pub(super) struct Context<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) accounts: &'a Accounts,
    /// For bounded look-ups only.
    pub(super) source: &'a dyn Source,
    pub(super) now: Millis,
}

impl Shared {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            positions: Positions::default(),
            floor: Floor::default(),
            promise: Promise::default(),
            effects: VecDeque::new(),
            timers: Timers::default(),
            counters: Counters::default(),
            loaded: LoadedOrder::default(),
            author_readings: AuthorReadings::default(),
        }
    }
}

/// How many readings of authors may still be begun: so many a second, so many at once.
#[derive(Debug, Default)]
pub(super) struct AuthorReadings {
    under_way: usize,
    second: u64,
    begun: usize,
}

impl AuthorReadings {
    /// Readings that are begun in a second; until it is over, authors who are not remembered are not told.
    const MAX: usize = 16;

    /// Whether one more may begin, which is then under way.
    pub(super) fn begin(&mut self, now: Millis) -> bool {
        let second = now.value() / 1_000;
        if second != self.second {
            self.second = second;
            self.begun = 0;
        }
        let may = self.under_way < Self::MAX && self.begun < Self::MAX;
        if may {
            self.under_way += 1;
            self.begun += 1;
        }
        may
    }

    /// One is over.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

/// Conversations in memory in the order in which they are looked at: whichever was used since its last look stays.
#[derive(Debug, Default)]
pub(super) struct LoadedOrder {
    order: VecDeque<ConversationId>,
    bytes: usize,
}

impl LoadedOrder {
    /// A conversation is in memory from here on.
    pub(super) fn insert(&mut self, id: ConversationId, bytes: usize) {
        self.order.push_back(id);
        self.bytes += bytes;
    }

    /// One has grown or shrunk.
    pub(super) fn resize(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes.saturating_sub(before) + after;
    }

    /// One that was taken out by [`LoadedOrder::next`] is forgotten.
    pub(super) fn forget(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many may be looked at in one call, each once.
    pub(super) fn looks(&self) -> usize {
        self.order.len().min(LOOKS_MAX)
    }

    /// One is no longer in memory, and never will be again.
    pub(super) fn remove(&mut self, id: ConversationId, bytes: usize) {
        self.forget(bytes);
        self.order.retain(|known| *known != id);
    }

    /// Those of a partition are no longer in memory.
    pub(super) fn remove_partition(&mut self, partition: PartitionId, bytes: usize) {
        self.forget(bytes);
        self.order
            .retain(|known| known.partition() != Some(partition));
    }

    /// The one whose turn it is.
    pub(super) fn next(&mut self) -> Option<ConversationId> {
        self.order.pop_front()
    }

    /// It is looked at again when all others were.
    pub(super) fn keep(&mut self, id: ConversationId) {
        self.order.push_back(id);
    }
}
