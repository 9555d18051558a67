//! What the shards have counted, left by each where the others can read it. Whoever reads adds it up.

use std::sync::{Arc, Mutex, PoisonError};

use broker::{Counters, Population};

/// One shard's numbers, or the server's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) counters: Counters,
    pub(crate) population: Population,
}

/// Every shard's place. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tallies {
    shards: Arc<[Mutex<Tally>]>,
}

impl Tallies {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// A shard leaves its numbers.
    pub(crate) fn leave(&self, shard: u16, tally: Tally) {
        if let Some(place) = self.shards.get(usize::from(shard)) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = tally;
        }
    }

    /// All shards together. Every shard keeps every retained message, so those are not added.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for place in self.shards.iter() {
            let tally = *place.lock().unwrap_or_else(PoisonError::into_inner);
            total.counters = total.counters + tally.counters;
            total.population = total.population.with(&tally.population);
        }
        total
    }
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
            tallies.leave(shard, tally);
        }
        let total = tallies.total();
        assert_eq!(total.counters.bytes_sent, 20);
        assert_eq!(total.population.sessions, 6);
        assert_eq!(total.population.retained, 7);
    }
}
