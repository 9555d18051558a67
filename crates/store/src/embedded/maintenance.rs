//! The threads that flush and merge: they look what is to be done, do one piece of it, and look again. No thread waits for another
//! here, and no work stands in a queue: what is to be done follows from the state.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::error;

use super::family::Family;
use super::flush;
use super::merging::Merging;
use super::policy::{self, Allowed};
use super::shared::Shared;
use super::work_error::WorkError;
use crate::table::TableError;

/// For each thread that merges, the bytes of the tables that it may make one: while large ones are merged, which takes minutes,
/// smaller ones are not left to pile up.
const MERGE_BYTES_MAX: [u64; 3] = [u64::MAX, 1024 * 1024 * 1024, 64 * 1024 * 1024];

/// Merges can wait longer than commits and than whoever serves clients: how much nicer they are.
const MERGE_NICE: i32 = 5;

/// How often it is looked for what time alone brings.
const LOOK: Duration = Duration::from_secs(1);

/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// A memtable of a family that nobody has written to for so long is flushed, …
const IDLE: Duration = Duration::from_secs(3);

/// … and one that was begun so long ago, so that deletions come to the tables, …
const OLD: Duration = Duration::from_secs(30);

/// … if it is at least as large as this: less is not worth a table.
const WORTH_A_TABLE_BYTES: usize = 256 * 1024;

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Maintenance {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let mut maintenance = Self {
            shared: shared.clone(),
            threads: Vec::new(),
        };
        maintenance.spawn("store-flush", 0, |shared| flush_one(shared, true))?;
        for bytes_max in MERGE_BYTES_MAX {
            let work = move |shared: &Shared| merge_one(shared, bytes_max);
            maintenance.spawn("store-merge", MERGE_NICE, work)?;
        }
        Ok(maintenance)
    }

    fn spawn(
        &mut self,
        name: &str,
        nice: i32,
        work: impl Fn(&Shared) -> Result<bool, WorkError> + Send + 'static,
    ) -> io::Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                lower_priority(nice);
                // Whoever waits for what this thread does would wait for ever.
                let poisoning = PoisonOnPanic(&shared);
                let mut told = None;
                while !shared.wakeup.is_stopping() {
                    let rings = shared.wakeup.rings();
                    match work(&shared) {
                        Ok(true) => {}
                        Ok(false) => shared.wakeup.wait_beyond(rings, LOOK),
                        Err(WorkError::Stopped) => {}
                        Err(failure) => {
                            // Once for each fault, not once for each try.
                            let text = failure.to_string();
                            shared.counters.work_failed();
                            if told.as_ref() != Some(&text) {
                                error!(error = %text, "the store cannot write its tables; it tries again");
                                told = Some(text);
                            }
                            std::thread::sleep(AGAIN);
                        }
                    }
                }
                std::mem::forget(poisoning);
            })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Lets other threads of this machine have a processor that both want. A thread has its own niceness on Linux alone.
fn lower_priority(nice: i32) {
    #[cfg(target_os = "linux")]
    if nice > 0
        && let Err(error) = rustix::process::nice(nice)
    {
        tracing::debug!(%error, "merges are as urgent as everything else");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// Poisons the store unless forgotten.
struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.poison();
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.shared.wakeup.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a thread of the store panicked");
            }
        }
    }
}

/// One flush or merge, for a caller that is all the threads there are.
pub(super) fn step(shared: &Shared) -> Result<bool, WorkError> {
    Ok(flush_one(shared, false)? || merge_one(shared, u64::MAX)?)
}

/// Flushes what is sealed.
pub(super) fn flush_all(shared: &Shared) -> Result<(), WorkError> {
    while flush_one(shared, false)? {}
    Ok(())
}

/// Flushes the memtable that has waited longest. `aged` seals what has lain for long as well.
fn flush_one(shared: &Shared, aged: bool) -> Result<bool, WorkError> {
    let _flushing = shared
        .flushing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if aged {
        seal_aged(shared);
    }
    let family = {
        let state = shared.read_state();
        let waiting = state.families.iter().filter_map(|family| {
            let oldest = family.sealed.last()?;
            Some((oldest.first_commit(), family.family))
        });
        waiting.min_by_key(|(first_commit, _)| *first_commit)
    };
    let Some((_, family)) = family else {
        return Ok(false);
    };
    let outcome = flush::flush(shared, family);
    shared.counters.flush_ended(outcome.is_err());
    if outcome.is_err() {
        let state = shared.read_state();
        state.of(family).flush_progress.store(0, Ordering::Relaxed);
    }
    outcome.map(|()| true)
}

fn seal_aged(shared: &Shared) {
    let now = Instant::now();
    let is_due = |family: &super::state::FamilyState| {
        let idle = now.duration_since(family.written_at) > IDLE;
        let old = now.duration_since(family.active_since) > OLD;
        // A range deletion gives disk back only when the tables know of it.
        let is_worth_it = family.active.bytes() >= WORTH_A_TABLE_BYTES
            || !family.active.range_deletions().is_empty();
        (idle || old) && is_worth_it && family.sealed.is_empty()
    };
    if !shared.read_state().families.iter().any(is_due) {
        return;
    }
    let mut state = shared.write_state();
    for family in &mut state.families {
        if is_due(family) {
            family.seal(now);
        }
    }
}

/// Merges tables of a family, if that is called for.
fn merge_one(shared: &Shared, bytes_max: u64) -> Result<bool, WorkError> {
    let merging = {
        // No change of the tables is half made meanwhile: what is counted as dead is what they and the range deletions say.
        let _installing = shared
            .installing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut awake = shared.wakeup.lock();
        let allowed = Allowed {
            busy: &awake.merging,
            bytes_max,
        };
        let chosen = Family::ALL.into_iter().find_map(|family| {
            let state = shared.read_state();
            let state = state.of(family);
            let choice = policy::choose(state, allowed)?;
            Some(Merging::new(state, &choice))
        });
        let Some(merging) = chosen else {
            return Ok(false);
        };
        awake.merging.extend(merging.tables());
        merging
    };
    let outcome = merging.run(shared);
    {
        let mut awake = shared.wakeup.lock();
        for table in merging.tables() {
            awake.merging.remove(&table);
        }
    }
    if let Err(WorkError::Table(TableError::Damaged(damage))) = &outcome {
        shared.note_damage(damage);
    }
    outcome.map(|()| true)
}
