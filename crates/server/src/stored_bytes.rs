//! How many bytes of ordinary messages wait on disk, and up to which one they have to go when that is too much. It counts
//! what it is told; who drops and deletes them is said elsewhere. Pure.

use std::collections::VecDeque;

use broker::Pressure;
use records::{Millis, Stamp};

/// A mark is set about every so many bytes.
const MARK_BYTES: u64 = 1024 * 1024;
/// Nothing younger is dropped, however little room there is: it may still be on its way to who waits for it.
const AGE_MIN_MS: u64 = 10_000;
/// Of the bound, what is left free by dropping, and what may come above it before more is refused.
const SLACK: u64 = 8;

/// The bytes of the queue table, from its oldest message to its newest. What nobody needs any more counts until it is
/// deleted, because it takes room until then.
#[derive(Debug, Default)]
pub(crate) struct StoredBytes {
    /// Stamp and total: messages stamped up to there come to so many bytes, or more.
    marks: VecDeque<(Stamp, u64)>,
    /// Bytes found at the start.
    found: u64,
    /// Those, and what has been written since.
    total: u64,
    /// Of these, what has been deleted.
    gone: u64,
    disk_full: bool,
    pressure: Pressure,
}

impl StoredBytes {
    /// A message that stood there at the start; they come in the order of their stamps.
    pub(crate) fn find(&mut self, stamp: Stamp, bytes: u64) {
        self.found += bytes;
        self.total = self.found;
        self.mark(stamp);
    }

    /// So many bytes have been written since the start.
    pub(crate) fn count(&mut self, written: u64, now: Millis) {
        self.total = self.total.max(self.found + written);
        self.mark(moment(now));
    }

    /// Every message with an older stamp is deleted.
    pub(crate) fn trimmed(&mut self, upto: Stamp) {
        while let Some((stamp, total)) = self.marks.front()
            && *stamp < upto
        {
            self.gone = *total;
            self.marks.pop_front();
        }
    }

    /// Bytes that are there, or a little more.
    pub(crate) fn held(&self) -> u64 {
        self.total - self.gone
    }

    /// Whether there is more than there may be.
    pub(crate) fn is_pressed(&self, limit: u64) -> bool {
        self.held() > limit
    }

    /// Whether the disk itself has little room left.
    pub(crate) fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// What the shards have to know, if it is not what they know already.
    pub(crate) fn press(&mut self, limit: u64, now: Millis) -> Option<Pressure> {
        let held = self.held();
        let full = if self.pressure.full {
            held > limit
        } else {
            held > limit + limit / SLACK
        };
        let floor = if self.is_pressed(limit) {
            self.floor(limit - limit / SLACK, now)
        } else {
            None
        };
        let drop_before = floor.map_or(self.pressure.drop_before, |floor| {
            floor.max(self.pressure.drop_before)
        });
        let pressure = Pressure {
            drop_before,
            full,
            disk_full: self.disk_full,
        };
        (std::mem::replace(&mut self.pressure, pressure) != pressure).then_some(pressure)
    }

    /// The stamp from which on there are at most `left` bytes, unless it is too young.
    fn floor(&self, left: u64, now: Millis) -> Option<Stamp> {
        let oldest_kept = moment(Millis::new(now.value().saturating_sub(AGE_MIN_MS)));
        let enough = self.total.saturating_sub(left);
        let place = self.marks.partition_point(|(_, total)| *total < enough);
        let old = self
            .marks
            .partition_point(|(stamp, _)| *stamp < oldest_kept);
        let (stamp, _) = self.marks.get(place.min(old.checked_sub(1)?))?;
        Some(Stamp::new(stamp.value() + 1))
    }

    fn mark(&mut self, stamp: Stamp) {
        let last = self.marks.back().map_or(self.gone, |(_, total)| *total);
        if self.total - last >= MARK_BYTES {
            self.marks.push_back((stamp, self.total));
        }
    }
}

/// The youngest stamp that the clocks of shards, which follow the time, can have given at a moment.
fn moment(now: Millis) -> Stamp {
    Stamp::of(now.micros(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const BEGIN: Millis = Millis::new(1_766_000_000_000);

    fn after(secs: u64) -> Millis {
        BEGIN.saturating_add(secs * 1000)
    }

    /// A server that has written 1 MiB in each of so many seconds.
    fn steady(secs: u64) -> StoredBytes {
        let mut stored = StoredBytes::default();
        for second in 1..=secs {
            stored.count(second * MIB, after(second));
        }
        stored
    }

    #[test]
    fn what_is_deleted_makes_room() {
        let mut stored = steady(100);
        assert_eq!(stored.held(), 100 * MIB);
        stored.trimmed(moment(after(60)));
        assert_eq!(
            stored.held(),
            41 * MIB,
            "the mark of the minute itself is kept"
        );
        stored.trimmed(moment(after(60)));
        assert_eq!(stored.held(), 41 * MIB);
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_until_an_eighth_is_free() {
        let mut stored = steady(100);
        assert_eq!(stored.press(100 * MIB, after(100)), None);
        let pressure = stored.press(96 * MIB, after(100)).expect("it is too much");
        let expected = Stamp::new(moment(after(16)).value() + 1);
        assert_eq!(pressure.drop_before, expected);
        assert!(!pressure.full);
        assert_eq!(stored.press(96 * MIB, after(101)), None, "they know");
        stored.trimmed(expected);
        assert_eq!(stored.held(), 84 * MIB);
        assert!(!stored.is_pressed(96 * MIB));
        assert_eq!(stored.press(96 * MIB, after(101)), None);
    }

    #[test]
    fn where_dropping_does_not_help_more_is_refused_until_it_does() {
        let mut stored = steady(100);
        let pressure = stored.press(80 * MIB, after(100)).expect("it is too much");
        assert!(pressure.full);
        assert_eq!(
            pressure.drop_before,
            Stamp::new(moment(after(30)).value() + 1)
        );
        stored.trimmed(moment(after(15)));
        assert_eq!(
            stored.press(80 * MIB, after(101)),
            None,
            "86 of 80 are left"
        );
        stored.trimmed(pressure.drop_before);
        let pressure = stored.press(80 * MIB, after(101)).expect("there is room");
        assert!(!pressure.full);
    }

    #[test]
    fn what_has_only_just_come_is_not_dropped() {
        let mut stored = steady(100);
        let pressure = stored.press(5 * MIB, after(100)).expect("it is too much");
        assert_eq!(
            pressure.drop_before,
            Stamp::new(moment(after(89)).value() + 1)
        );
        let mut young = StoredBytes::default();
        young.count(100 * MIB, after(1));
        let pressure = young.press(5 * MIB, after(2)).expect("it is too much");
        assert_eq!((pressure.drop_before, pressure.full), (Stamp::ZERO, true));
    }

    #[test]
    fn what_stood_there_at_the_start_counts() {
        let mut stored = StoredBytes::default();
        for second in 1..=50 {
            stored.find(moment(after(second)), MIB);
        }
        for second in 101..=150 {
            stored.count((second - 100) * MIB, after(second));
        }
        assert_eq!(stored.held(), 100 * MIB);
        let pressure = stored.press(48 * MIB, after(150)).expect("it is too much");
        assert!(pressure.drop_before > moment(after(101)));
        stored.trimmed(pressure.drop_before);
        assert_eq!(stored.held(), 42 * MIB);
    }
}
