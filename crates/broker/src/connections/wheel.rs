//! When to check which connection again. Connections stand in a wheel of one-second buckets and are checked rarely: activity
//! does not touch the wheel, the check decides whether time is really over.

use records::Millis;

use crate::io::ConnectionId;

/// Buckets of the wheel; a deadline further ahead is checked early and put back.
const WHEEL_SECS: u64 = 128;
const SECOND: u64 = 1000;
/// Connections whose room a bucket keeps once it is empty. A storm of connections fills every bucket with its own second's
/// worth, which would stay for good.
const BUCKET_KEPT_MAX: usize = 1024;

/// Deadlines of connections.
#[derive(Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<ConnectionId>>,
    /// What is left of the bucket that was taken last.
    due: Vec<ConnectionId>,
    /// The second whose bucket is taken next.
    second: u64,
    len: usize,
}

impl Wheel {
    pub(crate) fn new(now: Millis) -> Self {
        let buckets = (0..WHEEL_SECS).map(|_| Vec::new()).collect();
        Self {
            buckets,
            due: Vec::new(),
            second: now.value() / SECOND,
            len: 0,
        }
    }

    /// Has `connection` checked once `at` has passed, or earlier if that is further away than the wheel's turn.
    pub(crate) fn schedule(&mut self, connection: ConnectionId, at: Millis, now: Millis) {
        self.turn_to(now.value() / SECOND);
        let due = (at.value() / SECOND + 1).clamp(self.second + 1, self.second + WHEEL_SECS - 1);
        self.buckets[(due % WHEEL_SECS) as usize].push(connection);
        self.len += 1;
    }

    /// A wheel that nothing has been taken from for long, because nothing was in it or because the machine slept, would
    /// take what is near for far, and have it checked before its time.
    fn turn_to(&mut self, current: u64) {
        let behind = current.saturating_sub(self.second).min(WHEEL_SECS);
        for second in self.second + 1..=self.second + behind {
            let bucket = &mut self.buckets[(second % WHEEL_SECS) as usize];
            self.due.append(bucket);
            bucket.shrink_to(BUCKET_KEPT_MAX);
        }
        self.second = self.second.max(current);
    }

    /// Takes a connection whose second has passed.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<ConnectionId> {
        let current = now.value() / SECOND;
        if self.len == 0 {
            self.second = self.second.max(current);
            return None;
        }
        while self.due.is_empty() && self.second < current {
            self.second += 1;
            self.due.shrink_to(BUCKET_KEPT_MAX);
            // Keeps the allocation where it will be needed again.
            std::mem::swap(
                &mut self.due,
                &mut self.buckets[(self.second % WHEEL_SECS) as usize],
            );
        }
        let taken = self.due.pop()?;
        self.len -= 1;
        Some(taken)
    }

    pub(crate) fn next_due(&self) -> Option<Millis> {
        if self.len == 0 {
            return None;
        }
        if !self.due.is_empty() {
            return Some(Millis::new(self.second * SECOND));
        }
        (1..=WHEEL_SECS)
            .map(|ahead| self.second + ahead)
            .find(|second| !self.buckets[(second % WHEEL_SECS) as usize].is_empty())
            .map(|second| Millis::new(second * SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_connections_leaves_no_room_behind() {
        const STORM: u32 = 1_000_000;
        let at = |second: u64| Millis::new(second * SECOND);
        let mut wheel = Wheel::new(at(1_000));
        for slot in 0..STORM {
            let connection = ConnectionId { slot, serial: slot };
            wheel.schedule(connection, at(1_000 + u64::from(slot) % 60), at(1_000));
        }
        let mut taken = 0;
        for second in 1_000..1_000 + 2 * WHEEL_SECS {
            while wheel.take_due(at(second)).is_some() {
                taken += 1;
            }
            // The wheel goes on turning with the little that is left.
            wheel.schedule(
                ConnectionId { slot: 0, serial: 0 },
                at(second + 1),
                at(second),
            );
        }
        assert!(taken >= STORM);
        let kept: usize = wheel.buckets.iter().map(Vec::capacity).sum();
        assert!(kept <= WHEEL_SECS as usize * BUCKET_KEPT_MAX, "{kept}");
    }

    #[test]
    fn a_deadline_comes_after_its_time_and_not_more_than_a_second_later() {
        let mut wheel = Wheel::new(Millis::new(5_000));
        let connection = ConnectionId { slot: 1, serial: 2 };
        wheel.schedule(connection, Millis::new(15_300), Millis::new(5_000));
        assert_eq!(wheel.take_due(Millis::new(15_300)), None);
        assert_eq!(wheel.next_due(), Some(Millis::new(16_000)));
        assert_eq!(wheel.take_due(Millis::new(16_000)), Some(connection));
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_wheel_that_has_not_been_asked_for_long_knows_what_is_near() {
        let id = |slot| ConnectionId { slot, serial: 0 };
        let mut wheel = Wheel::new(Millis::new(0));
        wheel.schedule(id(1), Millis::new(60_000), Millis::new(0));
        for hours in [1, 2] {
            let now = hours * 3_600_000;
            wheel.schedule(id(2), Millis::new(now + 90_000), Millis::new(now));
            // What was due in the meantime is not forgotten.
            let first = wheel.take_due(Millis::new(now));
            assert_eq!(first, (hours == 1).then_some(id(1)));
            assert_eq!(wheel.take_due(Millis::new(now + 90_000)), None);
            assert_eq!(wheel.take_due(Millis::new(now + 91_000)), Some(id(2)));
        }
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_far_deadline_is_looked_at_early_rather_than_forgotten() {
        let mut wheel = Wheel::new(Millis::new(0));
        let far = Millis::new(10_000_000);
        wheel.schedule(ConnectionId { slot: 0, serial: 0 }, far, Millis::new(0));
        let seen = (1..=WHEEL_SECS)
            .filter_map(|second| wheel.take_due(Millis::new(second * SECOND)))
            .count();
        assert_eq!(seen, 1);
    }
}
