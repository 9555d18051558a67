//! What commits, readers and the threads behind them hold together.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use tracing::warn;

use super::Background;
use super::counters::Counters;
use super::scale::Scale;
use super::state::State;
use super::wakeup::Wakeup;
use crate::disk::Disk;
use crate::journal::{JournalId, JournalWriter};
use crate::table::{Blocks, Damage, TableId};
use crate::watermark::{Mark, Watermark};

/// The store, but for its threads.
///
/// Locks are taken in this order: `flushing`, `installing`, what `wakeup` holds, `journal`, `state`. No commit waits for one of the first two.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    /// Where journal, tables and manifest are.
    pub(super) folder: PathBuf,
    pub(super) blocks: Arc<Blocks>,
    pub(super) state: RwLock<State>,
    pub(super) journal: Mutex<JournalWriter>,
    /// Held by whoever flushes: memtables of a family have an order.
    pub(super) flushing: Mutex<()>,
    /// Held by whoever changes what the manifest lists: the oldest journal file that it names.
    pub(super) installing: Mutex<JournalId>,
    pub(super) next_table: AtomicU64,
    pub(super) watermark: Watermark,
    /// Number of the last commit.
    pub(super) committed: AtomicU64,
    pub(super) poisoned: AtomicBool,
    pub(super) each_synced: bool,
    pub(super) accept_loss: bool,
    pub(super) scale: Scale,
    pub(super) background: Background,
    pub(super) wakeup: Wakeup,
    pub(super) counters: Counters,
    /// Damage that was told of.
    damages: Mutex<HashSet<(PathBuf, u64)>>,
}

/// What `Shared` is made of.
pub(super) struct Parts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) blocks: Arc<Blocks>,
    pub(super) state: State,
    pub(super) journal: JournalWriter,
    pub(super) first_journal: JournalId,
    pub(super) next_table: TableId,
    pub(super) watermark: Watermark,
    pub(super) committed: u64,
    pub(super) each_synced: bool,
    pub(super) accept_loss: bool,
    pub(super) scale: Scale,
    pub(super) background: Background,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            disk: parts.disk,
            folder: parts.folder,
            blocks: parts.blocks,
            state: RwLock::new(parts.state),
            journal: Mutex::new(parts.journal),
            flushing: Mutex::new(()),
            installing: Mutex::new(parts.first_journal),
            next_table: AtomicU64::new(parts.next_table.0),
            watermark: parts.watermark,
            committed: AtomicU64::new(parts.committed),
            poisoned: AtomicBool::new(false),
            each_synced: parts.each_synced,
            accept_loss: parts.accept_loss,
            scale: parts.scale,
            background: parts.background,
            wakeup: Wakeup::default(),
            counters: Counters::new(),
            damages: Mutex::default(),
        }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(super) fn new_table_id(&self) -> TableId {
        TableId(self.next_table.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that the next table gets.
    pub(super) fn next_table_id(&self) -> TableId {
        TableId(self.next_table.load(Ordering::Relaxed))
    }

    // What is under these locks is changed in steps that do not panic half-way.

    pub(super) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, JournalWriter> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every commit so far durable and notes it, which itself is durable. If that fails the store is poisoned: a second
    /// sync would succeed without having written what the first one did not.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.is_poisoned() {
            return Err(io::Error::other(
                "the store stopped writing after a failure",
            ));
        }
        let outcome = self.try_sync();
        if outcome.is_err() {
            self.poison();
        }
        outcome
    }

    /// No commit is taken any more.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.wakeup.ring();
    }

    fn try_sync(&self) -> io::Result<()> {
        let commit = self.committed();
        if !self.each_synced {
            let file = self.journal().file();
            file.sync()?;
            self.watermark.advance(Mark {
                commit,
                each_synced: false,
            })?;
        }
        self.watermark.sync()
    }

    /// Begins new memtables, so that what is in those of now can be flushed.
    pub(super) fn seal_all(&self) {
        let now = Instant::now();
        let mut state = self.write_state();
        for family in &mut state.families {
            if !family.active.is_empty() {
                family.seal(now);
            }
        }
        drop(state);
        self.wakeup.ring();
    }

    /// Says, once, which rows cannot be read.
    pub(super) fn note_damage(&self, damage: &Damage) {
        let place = (damage.file.clone(), damage.offset);
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        if damages.insert(place) {
            warn!(%damage, "rows cannot be read");
            self.counters.damaged();
        }
    }
}
