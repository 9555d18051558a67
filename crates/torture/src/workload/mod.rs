//! What a store is put under. Each workload is a file; what several need is here.

pub(crate) mod drain;
pub(crate) mod history;
pub(crate) mod kill;
pub(crate) mod killed;
pub(crate) mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use records::{KeyRange, Table};
use store::{CommitterHandle, Range, Store};

use crate::engine::Engine;
use crate::lane::Lane;
use crate::measure::{cpu_seconds, disk_bytes, written_bytes};

/// Threads that submit.
pub(crate) const LANES: u64 = 4;

/// When the first message is sent: a day of November 2023.
pub(crate) const BEGIN_MS: u64 = 1_700_000_000_000;

const PAGE_KEYS: usize = 1_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What does not live any more is gone within this …
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// … but for so much.
pub(crate) const SPARE_BYTES: u64 = 256_000_000;
/// How long a trim may take that nothing hinders.
const TRIM_MAX: Duration = Duration::from_secs(600);

/// One run of one workload.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) engine: Engine,
    /// The store's, not there at first.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
}

impl Run {
    /// Opens the store.
    pub(crate) fn open(&self) -> Result<Arc<dyn Store>> {
        (self.engine.open)(&self.folder)
    }

    /// Opens the store, reads the first key of it, and says how long both took.
    pub(crate) fn open_timed(&self) -> Result<(Arc<dyn Store>, f64)> {
        let begin = Instant::now();
        let store = self.open()?;
        store.keys(&Range::forward(everything(), 1))?;
        Ok((store, begin.elapsed().as_secs_f64()))
    }
}

/// Every key there can be, but for the facts about the folder, in which a store may keep its own.
pub(crate) fn everything() -> KeyRange {
    KeyRange {
        from: Table::Account.range().from,
        to: vec![u8::MAX],
    }
}

/// Runs the lanes, each on its thread, and gives back what each made of it once all it submitted is on disk.
pub(crate) fn in_lanes<T: Send>(
    committer: &CommitterHandle,
    work: impl Fn(u64, &mut Lane) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LANES)
            .map(|number| {
                let work = &work;
                let mut lane = Lane::new(committer);
                scope.spawn(move || {
                    let made = work(number, &mut lane)?;
                    lane.settle()?;
                    Ok(made)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a lane panicked"))?)
            .collect()
    })
}

/// Visits every row of a range, in order.
pub(crate) fn scan(
    store: &dyn Store,
    range: KeyRange,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let mut rest = range;
    loop {
        let page = store.range(&Range::forward(rest.clone(), PAGE_KEYS).up_to_bytes(PAGE_BYTES))?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        rest.from = [last, &[0][..]].concat();
        for (key, value) in &page {
            visit(key, value)?;
        }
    }
}

/// Has the committer delete a range, waiting for room among its trims.
pub(crate) fn trim(committer: &CommitterHandle, range: &KeyRange) {
    while !committer.trim(range.clone()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until nothing of a range is left.
pub(crate) fn await_empty(store: &dyn Store, range: &KeyRange) -> Result<()> {
    let begin = Instant::now();
    while !store.keys(&Range::forward(range.clone(), 1))?.is_empty() {
        if begin.elapsed() > TRIM_MAX {
            bail!("a trim has not ended after {} s", TRIM_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until the folder takes no more than it may. How long that took, and what it takes.
pub(crate) fn await_disk(run: &Run, most: u64) -> Result<(f64, u64)> {
    let begin = Instant::now();
    loop {
        let disk = disk_bytes(&run.folder)?;
        let took = begin.elapsed();
        if disk <= most || took >= GONE_WITHIN {
            return Ok((took.as_secs_f64(), disk));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the process has rested for five seconds, at most for `longest`. One that writes nothing may still be reading what it
/// is about to give back.
pub(crate) fn await_rest(longest: Duration) -> Result<()> {
    const RESTS: u32 = 5;
    let begin = Instant::now();
    let (mut before, mut rests) = ((written_bytes()?, cpu_seconds()), 0);
    while rests < RESTS && begin.elapsed() < longest {
        std::thread::sleep(Duration::from_secs(1));
        let after = (written_bytes()?, cpu_seconds());
        // A watermark once a second is rest, and so are the looks of `Watch`.
        let rested = after.0 - before.0 < 100_000 && after.1 - before.1 < 0.1;
        rests = if rested { rests + 1 } else { 0 };
        before = after;
    }
    Ok(())
}
