//! Looks once a second whether what waits for the disk advances and whether the machine's clock has been set, and tells the
//! metrics what the store does and how much room is left. A thread of its own: it must see when others stand still.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use store::{CommitterHandle, EmbeddedStore, StoreStatistics};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::clock;
use crate::handle::Health;
use crate::mailbox::Mailbox;
use crate::metric::{counter, gauge};
use crate::post::ServiceEvent;
use crate::repeats::Repeats;

const LOOK: Duration = Duration::from_secs(1);

/// What waits and has not advanced for so long is an alarm.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How fast the disk fills is judged over so long.
const FILLING_OVER: Duration = Duration::from_secs(300);

/// A look at the disk's free space is kept every so often for that.
const FREE_LOOK: Duration = Duration::from_secs(10);

/// The operating system does not say how much room there is.
static UNKNOWN: Repeats = Repeats::new();

/// What it looks at.
pub(crate) struct Parts {
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) committer: CommitterHandle,
    pub(crate) data_dir: PathBuf,
    /// Free bytes of the disk that there have to be.
    pub(crate) disk_free_min: Arc<AtomicU64>,
    /// For how long the machine's clock has to stay ahead to be believed.
    pub(crate) clock_believed_secs: Arc<AtomicU64>,
    /// Is told when there are not.
    pub(crate) service: Mailbox<ServiceEvent>,
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
            clock: clock::Watch::new(parts.clock_believed_secs),
            stalls: StallAlarm::new(),
            room: RoomAlarm::new(parts.data_dir, parts.disk_free_min),
            filling: Filling::default(),
            store: parts.store,
            committer: parts.committer,
            service: parts.service,
            health: parts.health,
            gauges,
        };
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                // A disk that is full already is seen before the first message comes.
                look.once();
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
    clock: clock::Watch,
    store: Arc<EmbeddedStore>,
    committer: CommitterHandle,
    service: Mailbox<ServiceEvent>,
    health: watch::Sender<Health>,
    stalls: StallAlarm,
    room: RoomAlarm,
    filling: Filling,
    gauges: StoreGauges,
}

impl Look {
    fn once(&mut self) {
        self.clock.look();
        // The committer first: what the store is asked may have to wait for a lock that a stuck commit holds.
        let under_way = self.committer.counters().under_way;
        let commit = standstill(under_way, Duration::ZERO);
        if commit.is_some() {
            self.stalls.look(commit);
            self.tell_health();
        }
        let statistics = self.store.statistics();
        self.stalls.look(standstill(under_way, statistics.stalled));
        self.gauges.tell(&statistics);
        match free_bytes(&self.room.data_dir) {
            Ok(free) => {
                let full_in = self.filling.full_in(free, Instant::now());
                self.gauges.tell_free(free, full_in);
                let room = free.saturating_sub(self.room.least.load(Ordering::Relaxed));
                self.service.send(ServiceEvent::DiskRoom(room));
                if let Some(low) = self.room.look(free) {
                    self.service.send(ServiceEvent::DiskFull(low));
                }
            }
            Err(error) => {
                if let Some(left_out) = UNKNOWN.meet(&error.to_string(), Instant::now()) {
                    warn!(%error, left_out, path = %self.room.data_dir.display(), "free space is unknown");
                }
            }
        }
        self.tell_health();
    }

    fn tell_health(&self) {
        let (stalled, low) = (&self.stalls.stalled, &self.room.low);
        tell_health(&self.health, stalled.as_ref(), low.as_ref());
    }
}

/// Bytes that are free on the disk that `path` is on.
pub(crate) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
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
struct StallAlarm {
    stalled: Option<String>,
    total: Counter,
    now: Gauge,
}

impl StallAlarm {
    fn new() -> Self {
        Self {
            stalled: None,
            total: counter(
                "magpie_stalls_total",
                "Times that something waited for the disk and did not advance for 10 s.",
            ),
            now: gauge(
                "magpie_stalled",
                "1 while something waits for the disk and has not advanced for 10 s.",
            ),
        }
    }

    fn look(&mut self, standstill: Option<String>) {
        match (&self.stalled, &standstill) {
            (None, Some(what)) => {
                error!(
                    what,
                    "the disk does not answer; nothing is acknowledged meanwhile"
                );
                self.total.increment(1);
            }
            (Some(_), None) => info!("what waited for the disk goes on"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.now.set(f64::from(u8::from(standstill.is_some())));
        self.stalled = standstill;
    }
}

/// Says when the disk has little room left, and when it has enough again.
struct RoomAlarm {
    data_dir: PathBuf,
    /// Free bytes, which may change.
    least: Arc<AtomicU64>,
    low: Option<String>,
    total: Counter,
    now: Gauge,
}

impl RoomAlarm {
    fn new(data_dir: PathBuf, least: Arc<AtomicU64>) -> Self {
        Self {
            data_dir,
            least,
            low: None,
            total: counter(
                "magpie_disk_alarms_total",
                "Times that the disk had less room left than `server.disk_free_min`.",
            ),
            now: gauge(
                "magpie_disk_alarm",
                "1 while the disk has less room left than `server.disk_free_min`, and nothing is taken that would have to be stored.",
            ),
        }
    }

    /// Whether there is too little, if that has changed.
    fn look(&mut self, free: u64) -> Option<bool> {
        let least = self.least.load(Ordering::Relaxed);
        let was_low = self.low.is_some();
        // Not once more with each message that is deleted.
        let enough = if was_low { least + least / 4 } else { least };
        let folder = self.data_dir.display();
        self.low = (free < enough)
            .then(|| format!("{free} bytes are free in {folder}, {enough} are needed"));
        match (was_low, &self.low) {
            (false, Some(low)) => {
                warn!(
                    low,
                    "the disk is almost full: nothing is taken that would have to be stored until there is room; free some, or lower server.disk_free_min"
                );
                self.total.increment(1);
            }
            (true, None) => info!(free, "the disk has room again"),
            (false, None) | (true, Some(_)) => {}
        }
        self.now.set(f64::from(u8::from(self.low.is_some())));
        (was_low != self.low.is_some()).then_some(!was_low)
    }
}

/// What both come to. Whoever drains or has failed stays so.
fn tell_health(health: &watch::Sender<Health>, stalled: Option<&String>, low: Option<&String>) {
    let new = match (stalled, low) {
        (Some(what), _) => Health::Stalled(what.clone()),
        (None, Some(what)) => Health::DiskFull(what.clone()),
        (None, None) => Health::Ready,
    };
    health.send_if_modified(|health| {
        let serves = matches!(
            health,
            Health::Ready | Health::Stalled(_) | Health::DiskFull(_)
        );
        let changes = serves && *health != new;
        if changes {
            *health = new;
        }
        changes
    });
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
    wait_seconds: Counter,
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
            wait_seconds: counter(
                "magpie_store_wait_seconds_total",
                "Time for which commits were held up because the disk was behind, in whole seconds.",
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
                "Memory of rows that wait to be written to a table.",
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
            (&self.wait_seconds, store.wait_micros / 1_000_000),
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
    fn what_stands_still_is_told_and_taken_back_when_it_goes_on() {
        let (health, told) = watch::channel(Health::Ready);
        let mut alarm = StallAlarm::new();
        let mut look = |standstill| {
            alarm.look(standstill);
            tell_health(&health, alarm.stalled.as_ref(), None);
            told.borrow().clone()
        };
        let almost = STALLED_AFTER - Duration::from_millis(1);
        assert_eq!(look(standstill(almost, almost)), Health::Ready);
        let expected = Health::Stalled("a commit has not returned for 10 s".to_owned());
        assert_eq!(look(standstill(STALLED_AFTER, Duration::ZERO)), expected);
        let expected =
            Health::Stalled("the store's tables have not been written for 12 s".to_owned());
        let tables = Duration::from_secs(12);
        assert_eq!(look(standstill(Duration::ZERO, tables)), expected);
        assert_eq!(
            look(standstill(Duration::ZERO, Duration::ZERO)),
            Health::Ready
        );
        health.send_replace(Health::Draining);
        let stalled = standstill(STALLED_AFTER, Duration::ZERO);
        tell_health(&health, stalled.as_ref(), None);
        assert_eq!(*told.borrow(), Health::Draining, "it ends anyway");
        health.send_replace(Health::Failed("broken".to_owned()));
        tell_health(&health, None, None);
        assert_eq!(*told.borrow(), Health::Failed("broken".to_owned()));
    }

    #[test]
    fn little_room_is_told_once_and_until_there_is_a_quarter_more() {
        let least = Arc::new(AtomicU64::new(1000));
        let mut alarm = RoomAlarm::new(PathBuf::from("/data"), least.clone());
        let looks = [1000, 999, 10, 1000, 1249, 1250, 1000].map(|free| alarm.look(free));
        let (low, enough) = (Some(true), Some(false));
        assert_eq!(looks, [None, low, None, None, None, enough, None]);
        least.store(2000, Ordering::Relaxed);
        assert_eq!(alarm.look(1000), low);
        let said = alarm.low.clone().expect("it is low");
        assert!(said.contains("1000 bytes are free in /data"), "{said}");
        least.store(0, Ordering::Relaxed);
        assert_eq!(alarm.look(0), enough, "switched off");
        // What stands still is worse.
        let (health, told) = watch::channel(Health::Ready);
        tell_health(&health, None, Some(&said));
        assert_eq!(*told.borrow(), Health::DiskFull(said.clone()));
        tell_health(&health, Some(&"a commit".to_owned()), Some(&said));
        assert_eq!(*told.borrow(), Health::Stalled("a commit".to_owned()));
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
