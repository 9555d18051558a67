//! How long acknowledgements and deliveries take, counted in buckets. A turn's are gathered by the moment at which their PUBLISH was
//! read, and counted once it is known when they were written: the clock is read for turns, not for messages.

use mqtt_session::AckKind;
use records::Moment;

/// Upper bounds of the buckets in microseconds; what takes longer than the last is counted beyond them.
pub const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// Different moments that one turn keeps of a kind. Of more, the youngest ones count with the last that has a place.
const MOMENTS_MAX: usize = 4096;

/// How many took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket, each without those below it; the last holds what is beyond every bound.
    pub buckets: [u64; BOUNDS_MICROS.len() + 1],
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    fn add(&mut self, micros: u64, times: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket] += times;
        self.sum_micros = self.sum_micros.saturating_add(micros.saturating_mul(times));
    }

    /// Together with another one.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (bucket, more) in sum.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        sum.sum_micros = sum.sum_micros.saturating_add(other.sum_micros);
        sum
    }
}

/// What a shard has measured since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    /// From a QoS 1 PUBLISH to its PUBACK.
    pub puback: Histogram,
    /// From a QoS 2 PUBLISH to its PUBREC.
    pub pubrec: Histogram,
    /// From a PUBLISH to a PUBLISH of the same message to a subscriber.
    pub delivery: Histogram,
}

impl Latencies {
    /// Together with another shard.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            puback: self.puback.with(&other.puback),
            pubrec: self.pubrec.with(&other.pubrec),
            delivery: self.delivery.with(&other.delivery),
        }
    }
}

/// What this turn writes, by when it was read.
#[derive(Debug, Default)]
struct Gathered(Vec<(Moment, u64)>);

impl Gathered {
    fn note(&mut self, read_at: Moment) {
        if read_at == Moment::UNKNOWN {
            return;
        }
        // What is written together was mostly read together.
        let full = self.0.len() >= MOMENTS_MAX;
        match self.0.last_mut() {
            Some((last, times)) if *last == read_at || full => *times += 1,
            Some(_) | None => self.0.push((read_at, 1)),
        }
    }

    fn count(&mut self, histogram: &mut Histogram, written_at: Moment) {
        for (read_at, times) in self.0.drain(..) {
            if let Some(micros) = written_at.micros_since(read_at) {
                histogram.add(micros, times);
            }
        }
    }
}

/// A shard's measuring.
#[derive(Debug, Default)]
pub(crate) struct Measuring {
    /// When this turn began; what it reads was read then.
    turn_at: Moment,
    pubacks: Gathered,
    pubrecs: Gathered,
    deliveries: Gathered,
    total: Latencies,
}

impl Measuring {
    /// A turn begins: what it reads is read now.
    pub(crate) fn begin_turn(&mut self, at: Moment) {
        self.turn_at = at;
    }

    /// When this turn began.
    pub(crate) fn turn_at(&self) -> Moment {
        self.turn_at
    }

    /// What was measured since the shard began.
    pub(crate) fn total(&self) -> &Latencies {
        &self.total
    }

    pub(crate) fn acknowledged(&mut self, kind: AckKind, read_at: Moment) {
        match kind {
            AckKind::Puback => self.pubacks.note(read_at),
            AckKind::Pubrec => self.pubrecs.note(read_at),
        }
    }

    pub(crate) fn delivered(&mut self, read_at: Moment) {
        self.deliveries.note(read_at);
    }

    /// Whether nothing waits to be counted.
    pub(crate) fn is_idle(&self) -> bool {
        let all = [&self.pubacks, &self.pubrecs, &self.deliveries];
        all.iter().all(|gathered| gathered.0.is_empty())
    }

    /// What was gathered is written.
    pub(crate) fn written(&mut self, at: Moment) {
        self.pubacks.count(&mut self.total.puback, at);
        self.pubrecs.count(&mut self.total.pubrec, at);
        self.deliveries.count(&mut self.total.delivery, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_counted_below_it() {
        let mut histogram = Histogram::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.add(micros, 2);
        }
        let mut expected = [0; BOUNDS_MICROS.len() + 1];
        expected[0] = 4;
        expected[1] = 2;
        expected[BOUNDS_MICROS.len() - 1] = 2;
        expected[BOUNDS_MICROS.len()] = 2;
        assert_eq!(histogram.buckets, expected);
        assert_eq!(histogram.sum_micros, 2 * 20_000_202);
    }

    #[test]
    fn what_was_read_at_many_moments_is_bounded() {
        let mut measuring = Measuring::default();
        for micros in 1..=2 * MOMENTS_MAX as u64 {
            measuring.delivered(Moment::new(micros));
        }
        assert_eq!(measuring.deliveries.0.len(), MOMENTS_MAX);
        measuring.written(Moment::new(1));
        let counted: u64 = measuring.total.delivery.buckets.iter().sum();
        assert_eq!(counted, 2 * MOMENTS_MAX as u64);
        assert!(measuring.is_idle());
    }
}
