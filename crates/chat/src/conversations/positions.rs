//! The clock of positions: one for all partitions of a node, never behind what was given, and how far everything given is on disk.

use std::collections::VecDeque;

use records::{Cursor, Millis, PartitionId, Pos, Write, key};

/// Ticks by which a partition's ceiling is ahead of its newest position when it is raised: four seconds. After a crash positions
/// begin above all ceilings, so that nobody has to look for the newest one.
pub(super) const CEILING_AHEAD: u64 = 4_000 << 9;

/// Gives positions.
#[derive(Debug, Default)]
pub(super) struct Positions {
    last: u64,
}

impl Positions {
    /// Goes on above what an earlier run may have given.
    pub(super) fn recover(&mut self, ceiling: u64) {
        self.last = self.last.max(ceiling);
    }

    /// A position that was given already, perhaps by somebody else: what comes is newer.
    pub(super) fn observe(&mut self, pos: Pos) {
        self.last = self.last.max(pos.tick());
    }

    /// The next position in a partition, whose `ceiling` is on disk, or in an append before any that has a position above it. A higher
    /// one is written with whatever stands there: appends of other partitions may be earlier on disk.
    pub(super) fn next(
        &mut self,
        partition: PartitionId,
        ceiling: &mut u64,
        writes: &mut Vec<Write>,
        now: Millis,
    ) -> Pos {
        self.last = (self.last + 1).max(Pos::tick_of(now.value()));
        if self.last >= *ceiling {
            *ceiling = self.last + CEILING_AHEAD;
            writes.push(Write::Put {
                key: key::positions(partition),
                value: key::encode_number(*ceiling),
            });
        }
        Pos::at(self.last, partition)
    }

    /// The moment of the newest position, or this one if that is later: the same partition's never goes back, whoever's it is.
    pub(super) fn moment(&self, now: Millis) -> Millis {
        now.max(Millis::new(Pos::millis_of(self.last)))
    }

    /// Nothing older than this moment is given any more. Yields the tick up to which that holds.
    pub(super) fn reach(&mut self, now: Millis) -> u64 {
        self.last = self.last.max(Pos::tick_of(now.value()));
        self.last
    }

    /// The newest position that may have been given before this run.
    pub(super) fn start(&self) -> Pos {
        Pos::at(self.last, PartitionId::new(PartitionId::COUNT - 1))
    }
}

/// What is known of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Stored,
    /// It may not be on disk, and neither may the ceiling of its positions: nobody is told that they were given.
    GivenUp,
}

/// Up to where every position that was given is on disk, or will never be; of a partition that waits for no other, up to where its
/// own are.
#[derive(Debug, Default)]
pub(super) struct Floor {
    stored: Cursor,
    /// The newest position of each append that is under way, and what is known of it.
    appends: VecDeque<(Pos, State)>,
    /// The number of the first of them.
    first: u64,
}

impl Floor {
    /// Everything up to here.
    pub(super) fn stored(&self) -> &Cursor {
        &self.stored
    }

    /// Nothing below is under way.
    pub(super) fn begin_at(&mut self, pos: Pos) {
        self.stored.raise(pos);
    }

    /// Nothing up to here is given any more.
    pub(super) fn promise(&mut self, pos: Pos) {
        let number = self.begin(pos);
        self.set(number, State::Stored);
    }

    /// An append with positions up to this one is under way; yields its number.
    pub(super) fn begin(&mut self, newest: Pos) -> u64 {
        self.appends.push_back((newest, State::UnderWay));
        self.first + self.appends.len() as u64 - 1
    }

    /// The append of this number is on disk, and with it all of its partition that were begun before.
    pub(super) fn end(&mut self, number: u64) {
        if let Some(newest) = self.set(number, State::Stored) {
            self.stored.advance(newest);
        }
    }

    /// The append of this number is over, and may not be on disk.
    pub(super) fn give_up(&mut self, number: u64) {
        self.set(number, State::GivenUp);
    }

    /// Yields the newest position of that append.
    fn set(&mut self, number: u64, state: State) -> Option<Pos> {
        let place = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let append = self.appends.get_mut(place)?;
        append.1 = state;
        let newest = append.0;
        while let Some((newest, state)) = self.appends.front().copied() {
            match state {
                State::UnderWay => break,
                State::Stored => self.stored.raise(newest),
                State::GivenUp => {}
            }
            self.appends.pop_front();
            self.first += 1;
        }
        Some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = Millis::new(1_765_900_000_000);

    #[test]
    fn positions_grow_whatever_the_clock_says_and_never_pass_the_ceiling_on_disk() {
        let mut positions = Positions::default();
        let (mut ceilings, mut stored) = ([0; 3], [0; 3]);
        let mut last = Pos::ZERO;
        for (step, at) in (0..20_000_u64).zip((0..3).cycle()) {
            let partition = [3, 255, 0][at];
            // It stands still, goes back, and jumps.
            let now = Millis::new(START.value() + [0, 0, 7, 2, 0][step as usize % 5] + step / 100);
            let mut writes = Vec::new();
            let pos = positions.next(
                PartitionId::new(partition),
                &mut ceilings[at],
                &mut writes,
                now,
            );
            for write in writes {
                let Write::Put { value, .. } = write else {
                    panic!("{write:?}");
                };
                stored[at] = key::decode_number(records::Table::Meta, &value).unwrap();
            }
            assert!(pos > last && pos.tick() < stored[at], "{pos} {stored:?}");
            assert_eq!(pos.partition(), PartitionId::new(partition));
            last = pos;
            if step % 1_000 == 999 {
                positions = Positions::default();
                ceilings = [0; 3];
                for ceiling in stored {
                    positions.recover(ceiling);
                }
            }
        }
    }

    #[test]
    fn the_floor_waits_for_the_oldest_append() {
        let mut floor = Floor::default();
        let numbers = [10, 20, 30].map(|pos| floor.begin(Pos::new(pos)));
        floor.end(numbers[1]);
        assert_eq!(floor.stored().floor(), Pos::ZERO);
        assert_eq!(floor.stored().of(PartitionId::new(20)), Pos::new(20));
        floor.end(numbers[0]);
        assert_eq!(floor.stored(), &Cursor::at(Pos::new(20)));
        let last = floor.begin(Pos::new(40));
        floor.give_up(last);
        assert_eq!(floor.stored(), &Cursor::at(Pos::new(20)));
        floor.end(numbers[2]);
        assert_eq!(floor.stored(), &Cursor::at(Pos::new(30)));
    }
}
