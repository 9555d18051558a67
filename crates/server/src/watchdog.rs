//! Looks once a second whether what waits for the disk advances, and tells the metrics what the store does and how much room is
//! left. A thread of its own: it must see when others stand still.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use store::{CommitterHandle, EmbeddedStore, StoreStatistics};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::handle::Health;
use crate::metric::{counter, gauge};

const LOOK: Duration = Duration::from_secs(1);

/// What waits and has not advanced for so long is an alarm.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How fast the disk fills is judged over so long.
const FILLING_OVER: Duration = Duration::from_secs(300);

/// A look at the disk's free space is kept every so often for that.
const FREE_LOOK: Duration = Duration::from_secs(10);

/// What it looks at.
pub(crate) struct Parts {
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) committer: CommitterHandle,
    pub(crate) data_dir: PathBuf,
    pub(crate) health: watch::Sender<Health>,
}

/// The thread. Ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(parts: Parts) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let gauges = StoreGauges::new();
        let mut look = Look {
            alarm: Alarm::new(parts.health),
            filling: Filling::default(),
            store: parts.store,
            committer: parts.committer,
            data_dir: parts.data_dir,
            gauges,
        };
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    look.once();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Dropping the sender ends the wait.
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("watchdog panicked");
        }
    }
}

struct Look {
    store: Arc<EmbeddedStore>,
    committer: CommitterHandle,
    data_dir: PathBuf,
    alarm: Alarm,
    filling: Filling,
    gauges: StoreGauges,
}

impl Look {
    fn once(&mut self) {
        // The committer first: what the store is asked may have to wait for a lock that a stuck commit holds.
        let under_way = self.committer.counters().under_way;
        self.alarm.look(standstill(under_way, Duration::ZERO));
        let statistics = self.store.statistics();
        self.alarm.look(standstill(under_way, statistics.stalled));
        self.gauges.tell(&statistics);
        match rustix::fs::statvfs(&self.data_dir) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let full_in = self.filling.full_in(free, Instant::now());
                self.gauges.tell_free(free, full_in);
            }
            Err(error) => warn!(%error, path = %self.data_dir.display(), "free space is unknown"),
        }
    }
}

/// What stands still, in words; `None` if nothing does.
fn standstill(commit: Duration, tables: Duration) -> Option<String> {
    if commit >= STALLED_AFTER {
        let seconds = commit.as_secs();
        return Some(format!("a commit has not returned for {seconds} s"));
    }
    if tables >= STALLED_AFTER {
        let seconds = tables.as_secs();
        return Some(format!(
            "the store's tables have not been written for {seconds} s"
        ));
    }
    None
}

/// Says when something stands still, and when it no longer does.
struct Alarm {
    health: watch::Sender<Health>,
    raised: bool,
    total: Counter,
    now: Gauge,
}

impl Alarm {
    fn new(health: watch::Sender<Health>) -> Self {
        Self {
            health,
            raised: false,
            total: counter(
                "magpie_stalls_total",
                "Times that something waited for the disk and did not advance for 10 s.",
            ),
            now: gauge("magpie_stalled", "1 while that is so."),
        }
    }

    fn look(&mut self, standstill: Option<String>) {
        match standstill {
            Some(what) => {
                if !self.raised {
                    error!(
                        what,
                        "the disk does not answer; nothing is acknowledged meanwhile"
                    );
                    self.total.increment(1);
                }
                self.raised = true;
                self.set(
                    |health| matches!(health, Health::Ready | Health::Stalled(_)),
                    Health::Stalled(what),
                );
            }
            None if self.raised => {
                info!("what waited for the disk goes on");
                self.raised = false;
                self.set(|health| matches!(health, Health::Stalled(_)), Health::Ready);
            }
            None => {}
        }
        self.now.set(f64::from(u8::from(self.raised)));
    }

    /// Whoever drains or has failed stays so.
    fn set(&self, from: impl Fn(&Health) -> bool, to: Health) {
        self.health.send_if_modified(|health| {
            let changes = from(health) && *health != to;
            if changes {
                *health = to;
            }
            changes
        });
    }
}

/// How fast the disk fills.
#[derive(Debug, Default)]
struct Filling {
    /// Free bytes, and when; oldest first.
    looks: VecDeque<(Instant, u64)>,
}

impl Filling {
    /// Seconds until the disk is full if it goes on like this; infinite if it does not fill.
    fn full_in(&mut self, free: u64, now: Instant) -> f64 {
        while let Some((at, _)) = self.looks.front()
            && now.duration_since(*at) > FILLING_OVER
        {
            self.looks.pop_front();
        }
        let due = |(at, _): &(Instant, u64)| now.duration_since(*at) >= FREE_LOOK;
        if self.looks.back().is_none_or(due) {
            self.looks.push_back((now, free));
        }
        let Some((at, before)) = self.looks.front() else {
            return f64::INFINITY;
        };
        let seconds = now.duration_since(*at).as_secs_f64();
        let filled = before.saturating_sub(free);
        if filled == 0 || seconds <= 0.0 {
            return f64::INFINITY;
        }
        free as f64 / (filled as f64 / seconds)
    }
}

/// The store's metrics.
struct StoreGauges {
    journal: Counter,
    tables: Counter,
    waits: Counter,
    wait_micros: Counter,
    failures: Counter,
    damages: Counter,
    disk_bytes: Gauge,
    journal_bytes: Gauge,
    memtable_bytes: Gauge,
    waiting_bytes: Gauge,
    cached_bytes: Gauge,
    dead_bytes: Gauge,
    range_deletion_bytes: Gauge,
    table_count: Gauge,
    open_files: Gauge,
    amplification: Gauge,
    free_bytes: Gauge,
    full_seconds: Gauge,
}

impl StoreGauges {
    fn new() -> Self {
        Self {
            journal: counter(
                "magpie_store_journal_written_bytes_total",
                "Bytes written to the journal.",
            ),
            tables: counter(
                "magpie_store_table_written_bytes_total",
                "Bytes written to tables, by flushes and merges.",
            ),
            waits: counter(
                "magpie_store_waits_total",
                "Commits that were held up because the disk was behind.",
            ),
            wait_micros: counter(
                "magpie_store_wait_microseconds_total",
                "Time for which they were.",
            ),
            failures: counter(
                "magpie_store_work_failures_total",
                "Flushes and merges that failed and were tried again.",
            ),
            damages: counter(
                "magpie_store_damaged_blocks_total",
                "Damaged stretches of tables that were come upon.",
            ),
            disk_bytes: gauge("magpie_store_disk_bytes", "Bytes of the store's files."),
            journal_bytes: gauge("magpie_store_journal_bytes", "Bytes of the journal."),
            memtable_bytes: gauge(
                "magpie_store_memtable_bytes",
                "Memory of rows that are in no table yet.",
            ),
            waiting_bytes: gauge(
                "magpie_store_waiting_bytes",
                "Of it, what waits to be written.",
            ),
            cached_bytes: gauge("magpie_store_cached_bytes", "Memory of cached blocks."),
            dead_bytes: gauge(
                "magpie_store_dead_bytes",
                "Bytes of rows that are thought to be overwritten or deleted and not yet merged away.",
            ),
            range_deletion_bytes: gauge(
                "magpie_store_range_deletion_bytes",
                "Memory of deleted ranges that are not yet merged away, of the family that has most; from 16 MiB on keys are deleted in their place.",
            ),
            table_count: gauge("magpie_store_tables", "Tables."),
            open_files: gauge(
                "magpie_store_open_files",
                "Files that the store has open at most at this moment.",
            ),
            amplification: gauge(
                "magpie_store_write_amplification",
                "Bytes written for each byte committed, since the start.",
            ),
            free_bytes: gauge(
                "magpie_disk_free_bytes",
                "Bytes that are free where the data directory is.",
            ),
            full_seconds: gauge(
                "magpie_disk_full_seconds",
                "Time until the disk is full if it fills as in the last five minutes.",
            ),
        }
    }

    fn tell(&self, store: &StoreStatistics) {
        for (counter, value) in [
            (&self.journal, store.journal_written_bytes),
            (&self.tables, store.table_written_bytes),
            (&self.waits, store.waits),
            (&self.wait_micros, store.wait_micros),
            (&self.failures, store.work_failures),
            (&self.damages, store.damages),
        ] {
            counter.absolute(value);
        }
        let tables = || store.families.iter().flat_map(|family| &family.tables);
        for (gauge, value) in [
            (&self.disk_bytes, store.disk_bytes()),
            (&self.journal_bytes, store.journal_bytes),
            (&self.memtable_bytes, store.memtable_bytes),
            (&self.waiting_bytes, store.waiting_bytes),
            (&self.cached_bytes, store.cached_bytes),
            (
                &self.dead_bytes,
                tables().map(|table| table.dead_bytes).sum(),
            ),
            (
                &self.range_deletion_bytes,
                store
                    .families
                    .iter()
                    .map(|one| one.range_deletion_bytes)
                    .max()
                    .unwrap_or(0),
            ),
            (&self.table_count, tables().count() as u64),
            (&self.open_files, store.open_files),
        ] {
            gauge.set(value as f64);
        }
        let written = store.journal_written_bytes + store.table_written_bytes;
        if store.stored_bytes > 0 {
            self.amplification
                .set(written as f64 / store.stored_bytes as f64);
        }
    }

    fn tell_free(&self, free: u64, full_in: f64) {
        self.free_bytes.set(free as f64);
        self.full_seconds.set(full_in);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_told_once_and_taken_back_when_it_goes_on() {
        let (health, told) = watch::channel(Health::Ready);
        let mut alarm = Alarm::new(health.clone());
        let almost = STALLED_AFTER - Duration::from_millis(1);
        alarm.look(standstill(almost, almost));
        assert_eq!(*told.borrow(), Health::Ready);
        alarm.look(standstill(STALLED_AFTER, Duration::ZERO));
        let expected = Health::Stalled("a commit has not returned for 10 s".to_owned());
        assert_eq!(*told.borrow(), expected);
        alarm.look(standstill(Duration::ZERO, Duration::from_secs(12)));
        let expected =
            Health::Stalled("the store's tables have not been written for 12 s".to_owned());
        assert_eq!(*told.borrow(), expected);
        alarm.look(standstill(Duration::ZERO, Duration::ZERO));
        assert_eq!(*told.borrow(), Health::Ready);
        health.send_replace(Health::Draining);
        alarm.look(standstill(STALLED_AFTER, Duration::ZERO));
        assert_eq!(*told.borrow(), Health::Draining, "it ends anyway");
        health.send_replace(Health::Failed("broken".to_owned()));
        alarm.look(None);
        assert_eq!(*told.borrow(), Health::Failed("broken".to_owned()));
    }

    #[test]
    fn the_time_until_the_disk_is_full_follows_from_how_it_fills() {
        let mut filling = Filling::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(filling.full_in(10_000, after(0)), f64::INFINITY);
        assert_eq!(filling.full_in(9_000, after(100)), 900.0);
        // What was long ago no longer counts.
        assert_eq!(filling.full_in(9_000, after(350)), f64::INFINITY);
        assert_eq!(
            filling.full_in(9_500, after(351)),
            f64::INFINITY,
            "it empties"
        );
    }
}
