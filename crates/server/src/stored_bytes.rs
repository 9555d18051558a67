//! How many bytes of ordinary messages wait on disk, segment by segment of the queue table, and what has to go when that is too much.
//! It counts what it is told; who drops and deletes them is said elsewhere. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use broker::{Holder, Pressure, Shed, Survey};
use records::{Millis, Stamp};

/// A segment has about so many bytes.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// Nothing younger is dropped, however little room there is: it may still be on its way to who waits for it.
const AGE_MIN_MS: u64 = 10_000;
/// Of the bound, what is left free by dropping, and what may come above it before more is refused.
const SLACK: u64 = 8;

/// The bytes of the queue table, from its oldest message to its newest. What nobody needs any more counts until it is
/// deleted, because it takes room until then.
#[derive(Debug, Default)]
pub(crate) struct StoredBytes {
    segments: VecDeque<Segment>,
    /// Of all segments.
    segment_bytes: u64,
    /// Bytes found at the start.
    found: u64,
    /// Those, and what has been written since.
    total: u64,
    /// Of these, what belongs to segments, there or gone.
    segmented: u64,
    disk_full: bool,
    pressure: Pressure,
}

/// The messages behind the segment before, up to a stamp.
#[derive(Debug)]
struct Segment {
    end: Stamp,
    /// Zero if they are deleted.
    bytes: u64,
    /// Nobody needed them when that was looked at last.
    unneeded: bool,
    /// When it was counted, by the server's time; zero if it stood there at the start.
    counted_at: Millis,
}

impl Segment {
    /// Whether all of it has been there for a while. Stamps do not tell: they may be ahead of the time.
    fn is_old(&self, now: Millis) -> bool {
        now.since(self.counted_at) >= AGE_MIN_MS
    }
}

impl StoredBytes {
    /// A message that stood there at the start; they come in the order of their stamps.
    pub(crate) fn find(&mut self, stamp: Stamp, bytes: u64) {
        self.found += bytes;
        self.total = self.found;
        self.end_segment(stamp, Millis::ZERO);
    }

    /// So many bytes have been written since the start, with about as many between each of these stamps that have come since the
    /// last count.
    pub(crate) fn count(&mut self, written: u64, mut marks: Vec<Stamp>, now: Millis) {
        let before = self.total;
        let more = (self.found + written).saturating_sub(before);
        marks.sort_unstable();
        let parts = marks.len() as u64;
        for (part, mark) in (1..).zip(marks) {
            self.total = before + more * part / parts;
            self.end_segment(mark, now);
        }
        self.total = before + more;
        self.end_segment(moment(now), now);
    }

    /// Every message with an older stamp is deleted.
    pub(crate) fn trimmed(&mut self, upto: Stamp) {
        while let Some(segment) = self.segments.front()
            && segment.end < upto
        {
            self.segment_bytes -= segment.bytes;
            self.segments.pop_front();
        }
    }

    /// Bytes that are there, or a little more.
    pub(crate) fn held(&self) -> u64 {
        self.segment_bytes + (self.total - self.segmented)
    }

    /// Whether there is more than there may be.
    pub(crate) fn is_pressed(&self, limit: u64) -> bool {
        self.held() > limit
    }

    /// Whether there will soon be, and it should be known who waits for what.
    pub(crate) fn is_nearly_pressed(&self, limit: u64) -> bool {
        self.held() > comfortable(limit)
    }

    /// Whether the disk itself has little room left.
    pub(crate) fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// What the shards have to know, if it is not what they know already.
    pub(crate) fn press(&mut self, limit: u64) -> Option<Pressure> {
        let held = self.held();
        let full = if self.pressure.full {
            held > limit
        } else {
            held > limit + limit / SLACK
        };
        let pressure = Pressure {
            full,
            disk_full: self.disk_full,
        };
        (std::mem::replace(&mut self.pressure, pressure) != pressure).then_some(pressure)
    }

    /// The last stamp of each segment.
    pub(crate) fn ends(&self) -> Arc<[Stamp]> {
        self.segments.iter().map(|segment| segment.end).collect()
    }

    /// Takes in a survey, and says which stamps nobody needs in this one nor in the one before: a message may be on its way between
    /// shards while they look, and if it is young, on its way to the disk.
    pub(crate) fn surveyed(&mut self, survey: &Survey, now: Millis) -> Vec<RangeInclusive<Stamp>> {
        let mut unneeded: Vec<RangeInclusive<Stamp>> = Vec::new();
        let mut previous = Stamp::ZERO;
        for segment in &mut self.segments {
            let begin = Stamp::new(previous.value() + 1);
            previous = segment.end;
            let found = survey.segment(segment.end);
            let is_unneeded =
                segment.is_old(now) && found.is_some_and(|found| survey.is_unneeded(found));
            let was_unneeded = std::mem::replace(&mut segment.unneeded, is_unneeded);
            if segment.bytes == 0 || !is_unneeded || !was_unneeded {
                continue;
            }
            match unneeded.last_mut() {
                Some(last) if last.end().value() + 1 == begin.value() => {
                    *last = *last.start()..=segment.end;
                }
                Some(_) | None => unneeded.push(begin..=segment.end),
            }
        }
        unneeded
    }

    /// The messages of these segments are deleted.
    pub(crate) fn deleted(&mut self, range: &RangeInclusive<Stamp>) {
        for segment in &mut self.segments {
            if range.contains(&segment.end) {
                self.segment_bytes -= std::mem::take(&mut segment.bytes);
            }
        }
        // Two empty ones side by side are one.
        let mut kept: VecDeque<Segment> = VecDeque::with_capacity(self.segments.len());
        for segment in self.segments.drain(..) {
            match kept.back_mut() {
                Some(last) if last.bytes == 0 && segment.bytes == 0 => last.end = segment.end,
                Some(_) | None => kept.push_back(segment),
            }
        }
        self.segments = kept;
    }

    /// What accounts have to lose when there is more than there may be and a survey says who holds what: whoever holds most, down
    /// to what the next one holds, and so on until there is enough room.
    pub(crate) fn shed(&self, survey: &Survey, limit: u64, now: Millis) -> Option<Shed> {
        let young = self.segments.partition_point(|segment| segment.is_old(now));
        let newest_old = young
            .checked_sub(1)
            .and_then(|old| self.segments.get(old))?;
        let before = Stamp::new(newest_old.end.value() + 1);
        let (needed, can_be_dropped) = self.needed(survey, before);
        if needed <= limit || !can_be_dropped {
            return None;
        }
        // Several sessions may keep the same segment, and all of them have to give it up.
        let held: u64 = survey.holders().values().sum();
        let surplus = u128::from(needed - comfortable(limit)) * u128::from(held);
        let too_many = surplus.div_ceil(u128::from(needed)) as u64;
        let level = level(survey.holders(), too_many);
        let holders = survey.holders().iter();
        let above = holders.filter(|(_, held)| **held > level);
        let parts: BTreeMap<Holder, u32> = above
            .map(|(holder, held)| {
                let part = ((held - level) * u64::from(Shed::PARTS)).div_ceil(*held);
                (*holder, part as u32)
            })
            .collect();
        (!parts.is_empty()).then_some(Shed { parts, before })
    }

    /// Bytes that somebody waits for, as the others will be deleted without that, and whether some of them are older than this.
    fn needed(&self, survey: &Survey, before: Stamp) -> (u64, bool) {
        let mut unneeded = 0;
        let mut some_are_old = false;
        for segment in &self.segments {
            match survey.segment(segment.end) {
                Some(found) if survey.is_needed(found) => some_are_old |= segment.end < before,
                Some(_) => unneeded += segment.bytes,
                None => {}
            }
        }
        (self.held() - unneeded, some_are_old)
    }

    fn end_segment(&mut self, end: Stamp, counted_at: Millis) {
        let bytes = self.total - self.segmented;
        let is_behind = self.segments.back().is_none_or(|last| last.end < end);
        if bytes >= SEGMENT_BYTES && is_behind {
            self.segments.push_back(Segment {
                end,
                bytes,
                unneeded: false,
                counted_at,
            });
            self.segmented = self.total;
            self.segment_bytes += bytes;
        }
    }
}

/// What is to be left of the bound's bytes when something has been dropped.
fn comfortable(limit: u64) -> u64 {
    limit - limit / SLACK
}

/// To how much everybody has to come down who holds more, so that `too_many` are given up in all.
fn level(holders: &BTreeMap<Holder, u64>, too_many: u64) -> u64 {
    let mut held: Vec<u64> = holders.values().copied().collect();
    held.sort_unstable_by(|one, other| other.cmp(one));
    let mut given_up = 0;
    for (index, highest) in held.iter().enumerate() {
        let next = held.get(index + 1).copied().unwrap_or(0);
        let count = index as u64 + 1;
        let step = (highest - next) * count;
        if given_up + step >= too_many {
            return highest - (too_many - given_up).div_ceil(count);
        }
        given_up += step;
    }
    0
}

/// The youngest stamp that the clocks of shards, which follow the time, can have given at a moment.
fn moment(now: Millis) -> Stamp {
    Stamp::of(now.micros(), 0)
}

#[cfg(test)]
mod tests {
    use records::AccountId;

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
            stored.count(second * MIB, Vec::new(), after(second));
        }
        stored
    }

    /// What a survey finds where these accounts wait for the messages of these seconds.
    fn survey(stored: &StoredBytes, waiting: &[(u64, &[u64])]) -> Survey {
        let mut survey = Survey::new(stored.ends());
        for (account, seconds) in waiting {
            let stamps = seconds.iter().map(|second| moment(after(*second)));
            survey.wait(Some(AccountId::new(*account)), stamps);
        }
        survey
    }

    #[test]
    fn what_comes_in_one_second_is_cut_as_well() {
        let mut stored = StoredBytes::default();
        let marks = |parts: std::ops::Range<u64>| -> Vec<Stamp> {
            let at = |part| moment(after(1).saturating_add(part));
            parts.rev().map(at).collect()
        };
        stored.count(10 * MIB + 5, marks(1..11), after(2));
        let ends: Vec<Stamp> = stored.segments.iter().map(|one| one.end).collect();
        assert!(ends.iter().rev().eq(&marks(1..11)));
        assert!(
            stored
                .segments
                .iter()
                .all(|one| (MIB..2 * MIB).contains(&one.bytes))
        );
        assert_eq!(stored.held(), 10 * MIB + 5);
        // Marks that come too late, and a clock that goes back, put no segment before another.
        stored.count(20 * MIB, marks(1..3), after(1));
        assert_eq!(stored.held(), 20 * MIB);
        assert!(
            stored
                .segments
                .iter()
                .is_sorted_by(|one, other| one.end < other.end)
        );
    }

    #[test]
    fn what_is_deleted_makes_room() {
        let mut stored = steady(100);
        assert_eq!(stored.held(), 100 * MIB);
        stored.trimmed(moment(after(60)));
        assert_eq!(
            stored.held(),
            41 * MIB,
            "the segment of the minute itself is kept"
        );
        stored.trimmed(moment(after(60)));
        assert_eq!(stored.held(), 41 * MIB);
    }

    #[test]
    fn what_nobody_needs_in_two_surveys_is_deleted_between_what_somebody_needs() {
        let mut stored = steady(20);
        let first = survey(&stored, &[(1, &[3]), (2, &[6, 7])]);
        let unneeded = stored.surveyed(&first, after(20));
        assert_eq!(unneeded, [], "something may be on its way");
        let second = survey(&stored, &[(1, &[3]), (2, &[4, 6, 7])]);
        let unneeded = stored.surveyed(&second, after(21));
        let moments = |from: u64, upto: u64| {
            let from = moment(after(from)).value() + 1;
            Stamp::new(from)..=moment(after(upto))
        };
        // The younger ones are not looked at.
        let expected = [
            Stamp::new(1)..=moment(after(2)),
            moments(4, 5),
            moments(7, 10),
        ];
        assert_eq!(unneeded, expected);
        for range in &unneeded {
            stored.deleted(range);
        }
        assert_eq!(stored.held(), (20 - 2 - 1 - 3) * MIB);
        assert_eq!(stored.segments.len(), 20 - 1 - 2);
        // The eleventh has been found unneeded once, and is now for the second time; the fourth only now.
        let third = survey(&stored, &[(1, &[3]), (2, &[6, 7])]);
        assert_eq!(stored.surveyed(&third, after(22)), [moments(10, 11)]);
        stored.trimmed(moment(after(8)));
        assert_eq!(stored.held(), 10 * MIB);
    }

    #[test]
    fn whoever_holds_most_gives_first() {
        let stored = steady(100);
        let many: Vec<u64> = (1..=80).collect();
        let some: Vec<u64> = (41..=60).collect();
        let survey = survey(&stored, &[(1, &many), (2, &some), (3, &[1])]);
        assert_eq!(stored.shed(&survey, 80 * MIB, after(100)), None);
        let shed = stored.shed(&survey, 72 * MIB, after(100));
        let shed = shed.expect("80 are needed");
        // 17 are too many for an eighth to be free, and 101 are kept of the 80 that are needed.
        let part = (22 * Shed::PARTS).div_ceil(80);
        assert_eq!(shed.parts, [(Some(AccountId::new(1)), part)].into());
        assert_eq!(shed.before.value(), moment(after(90)).value() + 1);
    }

    #[test]
    fn the_level_is_no_lower_than_it_has_to_be() {
        let holders = |held: &[u64]| {
            let numbered = held.iter().enumerate();
            let accounts = numbered.map(|(id, held)| (Some(AccountId::new(id as u64)), *held));
            accounts.collect::<BTreeMap<Holder, u64>>()
        };
        for (held, too_many, expected) in [
            (&[10, 4, 1][..], 5, 5),
            (&[10, 4, 1], 6, 4),
            (&[10, 4, 1], 7, 3),
            (&[10, 4, 1], 8, 3),
            (&[10, 4, 1], 14, 0),
            (&[10, 4, 1], 99, 0),
            (&[5, 5], 4, 3),
            (&[], 4, 0),
        ] {
            let level = level(&holders(held), too_many);
            assert_eq!(level, expected, "{held:?} {too_many}");
            let given_up: u64 = held.iter().map(|held| held.saturating_sub(level)).sum();
            let all: u64 = held.iter().sum();
            assert!(given_up >= too_many.min(all));
        }
    }

    #[test]
    fn where_dropping_does_not_help_more_is_refused_until_it_does() {
        let mut stored = steady(100);
        let pressure = stored.press(80 * MIB).expect("it is too much");
        assert!(pressure.full);
        stored.trimmed(moment(after(15)));
        assert_eq!(stored.press(80 * MIB), None, "86 of 80 are left");
        stored.trimmed(moment(after(30)));
        let pressure = stored.press(80 * MIB).expect("there is room");
        assert!(!pressure.full);
    }

    #[test]
    fn what_has_only_just_come_is_not_dropped() {
        let mut young = StoredBytes::default();
        young.count(100 * MIB, Vec::new(), after(1));
        assert!(young.press(5 * MIB).expect("it is too much").full);
        let unneeded = survey(&young, &[]);
        for _ in 0..2 {
            assert_eq!(young.surveyed(&unneeded, after(2)), []);
        }
        let needed = survey(&young, &[(1, &[1])]);
        assert_eq!(young.shed(&needed, 5 * MIB, after(2)), None);
        let shed = young.shed(&needed, 5 * MIB, after(12));
        assert!(shed.expect("it is too much").before > moment(after(1)));
    }

    #[test]
    fn what_stood_there_at_the_start_counts() {
        let mut stored = StoredBytes::default();
        for second in 1..=50 {
            stored.find(moment(after(second)), MIB);
        }
        for second in 101..=150 {
            stored.count((second - 100) * MIB, Vec::new(), after(second));
        }
        assert_eq!(stored.held(), 100 * MIB);
        assert!(stored.is_nearly_pressed(100 * MIB) && !stored.is_pressed(100 * MIB));
        stored.trimmed(moment(after(109)));
        assert_eq!(stored.held(), 42 * MIB);
    }
}
