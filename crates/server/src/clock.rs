//! What time it is, for cores that must not ask: milliseconds since the epoch that never go back and never stand still, whatever
//! is done to the machine's clock ([decision 0011]); and which moment of the shards' own clocks clients have been told of.
//!
//! [decision 0011]: ../../../docs/decisions/0011-a-clock-that-only-runs-forward.md

mod follower;

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use records::{Millis, Stamp};
use rustix::time::{ClockId, clock_gettime};

pub(crate) use follower::Watch;

/// A machine without a battery for its clock may start with the time of its last shutdown, or of its last hour.
const LAG_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// 2026-11-01: no clock that says an earlier time than the program's own is right.
const RELEASE: Millis = Millis::new(1_793_491_200_000);

/// The server's time less the time that has passed since the machine was started.
static OFFSET: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(wall().since(Millis::new(elapsed()))));

/// A thread's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Millis,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { last: Millis::ZERO }
    }

    /// The time, or the last one told if another thread's look has just slowed it down.
    pub(crate) fn now(&mut self) -> Millis {
        let now = Millis::new(elapsed()).saturating_add(OFFSET.load(Ordering::Relaxed));
        self.last = self.last.max(now);
        self.last
    }
}

/// Where the server's time begins, with this data directory. Called before anybody asks what time it is.
pub(crate) fn begin(data: &Path) {
    let (wall, written) = (wall(), last_written(data));
    let begin = beginning(wall, written);
    if let Some(written) = written
        && wall < written
    {
        tracing::warn!(
            behind_secs = written.since(wall) / 1000,
            believed = begin == wall,
            "the machine's clock is behind what has been written to the data directory"
        );
    }
    OFFSET.store(begin.since(Millis::new(elapsed())), Ordering::Relaxed);
}

/// The machine's clock, unless it is known to be wrong: a little behind what was written, or older than the program. If it is
/// far behind and may be right, it was wrong when that was written.
fn beginning(wall: Millis, written: Option<Millis>) -> Millis {
    match written {
        Some(written) if wall < RELEASE || written.since(wall) <= LAG_MS_MAX => wall.max(written),
        Some(_) | None => wall,
    }
}

/// When a file of the data directory was last written, by the machine's clock then.
fn last_written(data: &Path) -> Option<Millis> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries(data).chain(entries(data).flat_map(|entry| entries(&entry.path())));
    let written = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    written.max().map(millis)
}

/// The machine's clock, which may be set.
fn wall() -> Millis {
    millis(SystemTime::now())
}

fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds since the machine was started, those asleep included: what nobody can set. A jump of the machine's clock by
/// which it wakes up is therefore none.
fn elapsed() -> u64 {
    let since = clock_gettime(ClockId::Boottime);
    (since.tv_sec as u64) * 1000 + (since.tv_nsec as u64) / 1_000_000
}

/// Up to which stamp clients may have read of what the shards did. What one shard writes to a client, and that client to
/// another shard, carries no clock: this does. It has a cache line of its own, because every shard reads it for whatever it
/// receives; it is written only by a turn that has given stamps.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Told(AtomicU64);

impl Told {
    /// Read before received bytes are acted upon.
    pub(crate) fn upto(&self) -> Stamp {
        Stamp::new(self.0.load(Ordering::Acquire))
    }

    /// Called before bytes are written that may tell of this moment.
    pub(crate) fn tell(&self, clock: Stamp) {
        if clock > self.upto() {
            self.0
                .fetch_max(clock.last_of_its_moment().value(), Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const START: u64 = 1_800_000_000_000;

    #[test]
    fn the_beginning_is_not_before_what_was_written_where_the_clock_is_surely_wrong() {
        let at = |millis| Millis::new(millis);
        let written = Some(at(START));
        for (wall, expected) in [
            // As it should be.
            (START + HOUR, START + HOUR),
            // No battery: the epoch, or the time of the last shutdown but for some hours.
            (0, START),
            (START - 5 * HOUR, START),
            // What was written was written by a clock years ahead.
            (START - 24 * HOUR - 1, START - 24 * HOUR - 1),
        ] {
            assert_eq!(beginning(at(wall), written), at(expected), "{wall}");
        }
        assert_eq!(beginning(at(5), None), at(5));
    }

    #[test]
    fn the_real_clock_runs() {
        let mut clock = Clock::new();
        let begun = clock.now();
        assert!(begun.since(wall()) < HOUR && wall().since(begun) < HOUR);
        while clock.now() == begun {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_newest_file_tells_when_it_was_last_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(last_written(&folder.path().join("nothing")), None);
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let file = std::fs::File::create(folder.path().join("store/journal")).unwrap();
        let late = UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
        file.set_modified(late).unwrap();
        assert_eq!(last_written(folder.path()), Some(millis(late)));
    }
}
