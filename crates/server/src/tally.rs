//! What the shards have counted, left by each where the others can read it. Whoever reads adds it up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker::{Counters, Latencies, Population, SlowClient};
use records::Stamp;

/// One shard's numbers, or the server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) counters: Counters,
    pub(crate) population: Population,
    pub(crate) latencies: Latencies,
    /// For whom most waits, the most first.
    pub(crate) slowest: Vec<SlowClient>,
}

/// Every shard's place. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tallies {
    shards: Arc<[Mutex<Place>]>,
}

/// What a shard has left.
#[derive(Debug, Default)]
struct Place {
    tally: Tally,
    /// Stamps between which about as many bytes were put into the queue table, since this was last asked.
    queue_marks: Vec<Stamp>,
}

impl Tallies {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// A shard leaves its numbers, and the marks of what it has put into the queue table since it did so last.
    pub(crate) fn leave(&self, shard: u16, tally: Tally, queue_marks: Vec<Stamp>) {
        if let Some(place) = self.shards.get(usize::from(shard)) {
            let mut place = lock(place);
            place.tally = tally;
            place.queue_marks.extend(queue_marks);
        }
    }

    /// Bytes that all shards have put into the queue table, and the marks of those that are new.
    pub(crate) fn take_queue(&self) -> (u64, Vec<Stamp>) {
        let (mut bytes, mut marks) = (0, Vec::new());
        for place in self.shards.iter() {
            let mut place = lock(place);
            bytes += place.tally.counters.queue_bytes_stored;
            marks.append(&mut place.queue_marks);
        }
        (bytes, marks)
    }

    /// All shards together. Every shard keeps every retained message, so those are not added.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for place in self.shards.iter() {
            let place = lock(place);
            let tally = &place.tally;
            total.counters = total.counters + tally.counters;
            total.population = total.population.with(&tally.population);
            total.latencies = total.latencies.with(&tally.latencies);
            for slow in &tally.slowest {
                SlowClient::rank(&mut total.slowest, slow.clone());
            }
        }
        total
    }
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_sum_of_its_shards_but_for_what_they_all_keep() {
        let tallies = Tallies::new(2);
        for shard in 0..2 {
            let mut tally = Tally::default();
            tally.counters.bytes_sent = 10;
            tally.population.sessions = 3;
            tally.population.retained = 7;
            tallies.leave(shard, tally, Vec::new());
        }
        let total = tallies.total();
        assert_eq!(total.counters.bytes_sent, 20);
        assert_eq!(total.population.sessions, 6);
        assert_eq!(total.population.retained, 7);
    }
}
