//! What time it is, for cores that must not ask: milliseconds since the epoch that never go back, whatever is done to the
//! machine's clock; and which moment of the shards' own clocks clients have been told of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use records::{Millis, Stamp};

/// A thread's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Millis,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { last: Millis::ZERO }
    }

    /// The time, or the last one told if the machine's clock has been set back.
    pub(crate) fn now(&mut self) -> Millis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last = self.last.max(Millis::new(now));
        self.last
    }
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
