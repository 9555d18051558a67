//! A cursor covers what a set of everything that was seen has, no more and no less.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use records::{Cursor, CursorError, PartitionId, Pos};

const TICKS: u64 = 12;
const PARTITIONS: [u16; 4] = [0, 1, 7, 255];

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(Pos),
    Raise(Pos),
}

/// Every position that a step can name.
fn everything() -> impl Iterator<Item = Pos> {
    (0..TICKS).flat_map(|tick| PARTITIONS.map(|number| Pos::at(tick, PartitionId::new(number))))
}

fn pos() -> impl Strategy<Value = Pos> {
    (0..TICKS, 0..PARTITIONS.len())
        .prop_map(|(tick, at)| Pos::at(tick, PartitionId::new(PARTITIONS[at])))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => pos().prop_map(Step::Advance), 1 => pos().prop_map(Step::Raise)]
}

proptest! {
    #[test]
    fn it_covers_what_was_seen(begin in pos(), steps in proptest::collection::vec(step(), 0..20)) {
        let mut cursor = Cursor::at(begin);
        let mut seen: BTreeSet<Pos> = everything().filter(|pos| *pos <= begin).collect();
        for step in steps {
            match step {
                Step::Advance(to) => {
                    cursor.advance(to);
                    seen.extend(everything().filter(|pos| pos.partition() == to.partition() && *pos <= to));
                }
                Step::Raise(to) => {
                    cursor.raise(to);
                    seen.extend(everything().filter(|pos| *pos <= to));
                }
            }
            for pos in everything() {
                prop_assert_eq!(cursor.covers(pos), seen.contains(&pos), "{:?} {}", step, pos);
            }
            for number in PARTITIONS {
                let partition = PartitionId::new(number);
                let newest = cursor.of(partition);
                prop_assert!(cursor.covers(cursor.floor()) && newest >= cursor.floor());
            }
            // Nothing is said twice: a partition that is not ahead is not in it.
            let mut again = cursor.clone();
            again.raise(cursor.floor());
            prop_assert_eq!(&again, &cursor);
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
            let stored = postcard::to_stdvec(&cursor).unwrap();
            prop_assert_eq!(postcard::from_bytes(&stored), Ok(cursor.clone()));
        }
    }

    /// A text that reads as a cursor is the one that the cursor is written as; a stored one is sound whatever stood there.
    #[test]
    fn a_stranger_gets_no_other_cursors(
        text in "[0-9a-f]{0,3}-?([0-9a-f]{1,3}\\.[0-9a-f]{1,4}-?){0,3}",
        floor: u64,
        ahead in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
        let positions: Vec<Pos> = ahead.iter().copied().map(Pos::new).collect();
        let stored = postcard::to_stdvec(&(Pos::new(floor), positions)).unwrap();
        let cursor: Cursor = postcard::from_bytes(&stored).unwrap();
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        prop_assert!(ahead.into_iter().all(|pos| cursor.covers(Pos::new(pos))));
    }
}

#[test]
fn the_longest_cursor_can_be_read() {
    let mut cursor = Cursor::at(Pos::new(Pos::END.value() - (PartitionId::COUNT as u64 + 1)));
    for number in 0..PartitionId::COUNT {
        cursor.advance(Pos::at(u64::MAX >> 10, PartitionId::new(number)));
    }
    assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
    let longer = format!("{cursor}-0.0");
    assert_eq!(longer.parse::<Cursor>(), Err(CursorError));
}
