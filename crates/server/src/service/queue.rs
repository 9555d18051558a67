//! The stored messages of the whole server: how many bytes there are, and which of them nobody needs any more. What one
//! shard needs it says itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::Pressure;
use metrics::Gauge;
use records::{KeyRange, Millis, Stamp, key};

use crate::post::{Post, ShardEvent};
use crate::stored_bytes::StoredBytes;
use crate::tally::Tallies;

/// How often shards are asked which stored messages they still need.
const LOW_WATER_INTERVAL: Duration = Duration::from_secs(10);
/// The same while there are too many.
const PRESSED_INTERVAL: Duration = Duration::from_secs(1);
/// How often the bytes are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct StoredQueue {
    bytes: StoredBytes,
    tallies: Tallies,
    low_water: LowWater,
    next_count: Instant,
    gauge: Gauge,
    pressed: bool,
}

impl StoredQueue {
    pub(super) fn new(bytes: StoredBytes, shards: Vec<Arc<AtomicU64>>, tallies: Tallies) -> Self {
        metrics::describe_gauge!(
            "magpie_stored_bytes",
            "Bytes of messages that wait on disk, each counted once, and of those that are about to be deleted."
        );
        Self {
            bytes,
            tallies,
            low_water: LowWater::new(shards),
            next_count: Instant::now(),
            gauge: metrics::gauge!("magpie_stored_bytes"),
            pressed: false,
        }
    }

    /// The disk itself has little room left, or has room again.
    pub(super) fn set_disk_full(&mut self, full: bool) {
        self.bytes.set_disk_full(full);
        self.next_count = Instant::now();
    }

    /// What the shards have to know of their bound, if that has changed.
    pub(super) fn look(&mut self, limit: u64, now: Millis) -> Option<Pressure> {
        let at = Instant::now();
        if at < self.next_count {
            return None;
        }
        self.next_count = at + COUNT_INTERVAL;
        let written = self.tallies.total().counters.queue_bytes_stored;
        self.bytes.count(written, now);
        self.gauge.set(self.bytes.held() as f64);
        let was_pressed = std::mem::replace(&mut self.pressed, self.bytes.is_pressed(limit));
        let pressure = self.bytes.press(limit, now);
        if let Some(Pressure { full, .. }) = pressure
            && (self.pressed || was_pressed)
        {
            let held = self.bytes.held();
            if self.pressed {
                tracing::warn!(
                    held,
                    limit,
                    full,
                    "too much waits on disk; what has waited longest is dropped"
                );
            } else {
                tracing::info!(held, limit, "what waits on disk is within its bound again");
            }
        }
        pressure
    }

    /// What can be deleted, and up to which stamp that is, every once in a while.
    pub(super) fn trim(&mut self, now: Instant, post: &Post) -> Option<(KeyRange, Stamp)> {
        let interval = if self.pressed {
            PRESSED_INTERVAL
        } else {
            LOW_WATER_INTERVAL
        };
        let upto = self.low_water.look(now, interval, post)?;
        let upto = Stamp::new(upto);
        let range = KeyRange {
            from: key::queue(Stamp::new(self.low_water.trimmed)),
            to: key::queue(upto),
        };
        Some((range, upto))
    }

    /// It is being deleted, up to this stamp.
    pub(super) fn trimmed(&mut self, upto: Stamp) {
        self.low_water.trimmed = upto.value();
        self.bytes.trimmed(upto);
    }
}

/// Finds up to which stamp the queue table can be emptied. A message may be on its way from the shard that stored it to one
/// that waits for it, so two readings are taken: what neither of two rounds needs, nobody needs. Between the rounds every
/// shard has emptied its mailbox.
struct LowWater {
    shards: Vec<Arc<AtomicU64>>,
    before: Option<u64>,
    trimmed: u64,
    looked_at: Instant,
    asked: bool,
}

impl LowWater {
    fn new(shards: Vec<Arc<AtomicU64>>) -> Self {
        Self {
            shards,
            before: None,
            trimmed: 0,
            looked_at: Instant::now(),
            asked: false,
        }
    }

    /// Below which stamp the table can be emptied, every once in a while.
    fn look(&mut self, now: Instant, interval: Duration, post: &Post) -> Option<u64> {
        if now < self.looked_at + interval {
            return None;
        }
        self.looked_at = now;
        let mut found = None;
        if self.asked {
            let reports: Vec<u64> = self
                .shards
                .iter()
                .map(|shard| shard.load(Ordering::Acquire))
                .collect();
            // Zero is no report: that shard is behind, and this round is not over.
            let lowest = reports
                .iter()
                .copied()
                .min()
                .filter(|lowest| *lowest != 0)?;
            let safe = self
                .before
                .replace(lowest)
                .map_or(0, |before| before.min(lowest));
            found = (safe > self.trimmed).then_some(safe);
        }
        for shard in &self.shards {
            shard.store(0, Ordering::Release);
        }
        self.asked = true;
        post.tell_shards(|| ShardEvent::ReportLowWater);
        found
    }
}
