//! A shard's hybrid logical clock, which orders what is published and stored, and the seconds since the shard began. It reads no
//! time: whoever asks says what time it is.

use records::{Millis, Stamp};

/// The clock.
#[derive(Debug)]
pub(crate) struct Clock {
    shard: u16,
    /// Microseconds of the newest stamp that was given or heard of.
    micros: u64,
    started: Millis,
}

impl Clock {
    pub(crate) fn new(shard: u16, started: Millis) -> Self {
        Self {
            shard,
            micros: 0,
            started,
        }
    }

    /// The newest stamp that was given or heard of.
    pub(crate) fn latest(&self) -> Stamp {
        Stamp::of(self.micros, self.shard)
    }

    /// A stamp of elsewhere: ours go on from there.
    pub(crate) fn observe(&mut self, stamp: Stamp) {
        self.micros = self.micros.max(stamp.micros());
    }

    /// A stamp later than every stamp this shard has given or seen.
    pub(crate) fn stamp(&mut self, now: Millis) -> Stamp {
        self.micros = (self.micros + 1).max(now.micros());
        self.latest()
    }

    /// Whole seconds since the shard began.
    pub(crate) fn seconds(&self, now: Millis) -> u32 {
        (now.value().saturating_sub(self.started.value()) / 1000) as u32
    }

    /// The last moment of the second that [`Clock::seconds`] has given.
    pub(crate) fn end_of_second(&self, second: u32) -> Millis {
        self.started.saturating_add(u64::from(second) * 1000 + 999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::new(1_766_000_000_000);

    /// A clock that stands still, or that others are ahead of, gives no stamp twice, nor one that is older than what it has heard.
    #[test]
    fn stamps_only_grow() {
        let mut clock = Clock::new(3, NOW);
        let first = clock.stamp(NOW);
        assert_eq!((first.micros(), first.shard()), (NOW.micros(), 3));
        let second = clock.stamp(NOW);
        assert!(second > first);
        let elsewhere = Stamp::of(NOW.micros() + 5_000_000, 7);
        clock.observe(elsewhere);
        assert_eq!(clock.latest().micros(), elsewhere.micros());
        assert!(clock.stamp(NOW) > elsewhere);
        clock.observe(first);
        assert!(clock.latest() > elsewhere, "an old one changes nothing");
    }

    #[test]
    fn nobody_is_given_up_before_the_end_of_a_second() {
        let clock = Clock::new(0, NOW);
        let at = NOW.saturating_add(2_500);
        assert_eq!(clock.seconds(at), 2);
        assert_eq!(clock.end_of_second(2), NOW.saturating_add(2_999));
    }
}
