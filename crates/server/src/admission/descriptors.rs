//! File descriptors of the process, and how many of them connections of all kinds may hold together. The rest is kept for the
//! store, other files and the control socket, which would fail without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything that is not a connection: at most 128 files of the store (`docs/limits.md`), listeners and polls of each
/// thread, the control socket with what is asked over it, certificates that are read again, and the few connections that are
/// told why they are refused.
const RESERVED: u64 = 192;

/// With fewer than these for connections nobody could work.
const CONNECTIONS_MIN: u64 = 32;

/// Why there are too few. The `Display` form says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files and needs {}: raise the hard limit of open files (`ulimit -n`; LimitNOFILE= of a systemd unit)",
    RESERVED + CONNECTIONS_MIN
)]
pub struct TooFewDescriptors {
    limit: u64,
}

/// How many descriptors connections hold, and how many they may.
#[derive(Debug)]
pub struct Descriptors {
    max: usize,
    held: AtomicUsize,
    gauge: metrics::Gauge,
}

impl Descriptors {
    /// Raises the process's limit as far as it may go, and gives connections what is not reserved.
    pub fn of_process() -> Result<Arc<Self>, TooFewDescriptors> {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files cannot be raised to the hard limit");
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if limit < RESERVED + CONNECTIONS_MIN {
            return Err(TooFewDescriptors { limit });
        }
        let max = usize::try_from(limit - RESERVED).unwrap_or(usize::MAX);
        Ok(Arc::new(Self::new(max)))
    }

    /// Without a bound: for connections that hold none, as in a test's process.
    pub fn unbounded() -> Arc<Self> {
        Arc::new(Self::new(usize::MAX))
    }

    /// For so many connections.
    pub fn new(max: usize) -> Self {
        metrics::describe_gauge!(
            "magpie_connection_descriptors",
            "File descriptors that connections of all kinds hold."
        );
        metrics::describe_gauge!(
            "magpie_connection_descriptors_max",
            "File descriptors that connections of all kinds may hold; the process's limit without what is kept for the store and other files."
        );
        metrics::gauge!("magpie_connection_descriptors_max").set(max as f64);
        Self {
            max,
            held: AtomicUsize::new(0),
            gauge: metrics::gauge!("magpie_connection_descriptors"),
        }
    }

    /// How many connections may hold.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Counts one more, unless that is one too many.
    pub fn take(&self) -> bool {
        let more = |held| (held < self.max).then_some(held + 1);
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok();
        if taken {
            self.gauge.increment(1.0);
        }
        taken
    }

    /// Counts one less.
    pub fn give_back(&self) {
        let before = self.held.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "only what was taken is given back");
        self.gauge.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are() {
        let descriptors = Descriptors::new(2);
        assert!(descriptors.take() && descriptors.take());
        assert!(!descriptors.take());
        descriptors.give_back();
        assert!(descriptors.take());
        assert!(!descriptors.take());
    }

    #[test]
    fn too_few_are_said_with_what_to_do() {
        let said = TooFewDescriptors { limit: 200 }.to_string();
        assert!(said.contains("200") && said.contains("224"), "{said}");
        assert!(said.contains("ulimit -n"), "{said}");
    }
}
