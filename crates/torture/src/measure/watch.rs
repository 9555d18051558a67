//! Looks at the process while a workload runs: files, threads, and whether it advances. Says so every few seconds, and ends
//! a run that can only get worse: one that stands still for ever, or fills the machine's memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{disk, process, timed::Progress};

const LOOK_EVERY: Duration = Duration::from_millis(200);
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Nothing comes back that has stood still for so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);
/// Far beyond what is allowed, and not yet the end of the machine.
const GIVEN_UP_AT_BYTES: u64 = 4_000_000_000;

/// What is seen; the largest of each.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    open_files: AtomicU64,
    threads: AtomicU64,
    resident_start: AtomicU64,
}

impl Seen {
    pub(crate) fn open_files(&self) -> u64 {
        self.open_files.load(Ordering::Relaxed)
    }

    pub(crate) fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }

    /// The largest resident memory of the process, as the kernel counted it, beyond what it had before the store.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let start = self.resident_start.load(Ordering::Relaxed);
        Ok(process::resident_max_bytes()?.saturating_sub(start))
    }
}

/// Ends its thread when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Seen>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look. What the process has in memory now is not the store's.
    pub(crate) fn start(folder: &Path, progress: &Arc<Progress>) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        seen.resident_start
            .store(process::resident_bytes()?, Ordering::Relaxed);
        let (stop, stopped) = channel();
        let looker = Looker {
            folder: folder.to_owned(),
            progress: progress.clone(),
            seen: seen.clone(),
            begun: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let mut said = Instant::now();
                while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    let say = said.elapsed() >= SAY_EVERY;
                    if say {
                        said = Instant::now();
                    }
                    if let Err(error) = looker.look(say) {
                        println!("FAIL  cannot watch: {error:#}");
                        std::process::exit(1);
                    }
                }
            })?;
        Ok(Self {
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends the process rather than panic.
            let _ = thread.join();
        }
    }
}

struct Looker {
    folder: PathBuf,
    progress: Arc<Progress>,
    seen: Arc<Seen>,
    begun: Instant,
}

impl Looker {
    fn look(&self, say: bool) -> Result<()> {
        let open_files = process::open_files(&self.folder)?;
        self.seen
            .open_files
            .fetch_max(open_files, Ordering::Relaxed);
        self.seen
            .threads
            .fetch_max(process::threads()?, Ordering::Relaxed);
        let resident = process::resident_bytes()?;
        let still = self.progress.stands_still();
        if say {
            println!(
                "{:>6.0} s  {:>8} commits, {:>8.1} MB stored, {:>7.1} MB on disk, {:>6.1} MB resident, {:>4} files open, \
                 commit p99 {:.1} ms, longest {:.1} ms",
                self.begun.elapsed().as_secs_f64(),
                self.progress.commits.count(),
                self.progress.stored_bytes() as f64 / 1e6,
                disk::disk_bytes(&self.folder)? as f64 / 1e6,
                resident as f64 / 1e6,
                open_files,
                self.progress.commits.millis(0.99),
                self.progress.commits.longest_millis(),
            );
        }
        if still > GIVEN_UP_AFTER || resident > GIVEN_UP_AT_BYTES {
            println!(
                "FAIL  given up: nothing committed for {:.0} s, {:.0} MB resident, {:.0} MB on disk after {:.0} s",
                still.as_secs_f64(),
                resident as f64 / 1e6,
                disk::disk_bytes(&self.folder)? as f64 / 1e6,
                self.begun.elapsed().as_secs_f64(),
            );
            // No way back from a commit that does not return.
            std::process::exit(1);
        }
        Ok(())
    }
}
