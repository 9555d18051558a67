//! Everything that a shard counts and measures of itself.

use crate::metrics::counters::{Counters, SlowClient};
use crate::metrics::drops::Drops;
use crate::metrics::latency::Measuring;
use crate::metrics::system::SystemFigures;

/// A shard's figures.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) counters: Counters,
    pub(crate) latencies: Measuring,
    pub(crate) drops: Drops,
    /// The whole server's, as they were told.
    pub(crate) system: SystemFigures,
    waits: Waits,
    slowest: Vec<SlowClient>,
}

/// Deliveries that wait or are under way, as they were counted last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Metrics {
    /// What waits for sessions has been counted, and for which connected clients most does, the most first.
    pub(crate) fn counted(&mut self, waits: Waits, slowest: Vec<SlowClient>) {
        self.waits = waits;
        self.slowest = slowest;
    }

    /// What waited for sessions when it was counted last.
    pub(crate) fn waits(&self) -> Waits {
        self.waits
    }

    /// For which clients most waited then.
    pub(crate) fn slowest(&self) -> &[SlowClient] {
        &self.slowest
    }
}
