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
    Withdraw(Pos),
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
    prop_oneof![
        4 => pos().prop_map(Step::Advance),
        2 => pos().prop_map(Step::Raise),
        // Nothing stands before the first.
        1 => pos().prop_filter("an entry", |pos| *pos > Pos::ZERO).prop_map(Step::Withdraw),
    ]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    let ahead = proptest::collection::vec(pos(), 0..4);
    (pos(), ahead).prop_map(|(floor, ahead)| {
        let mut cursor = Cursor::at(floor);
        ahead.into_iter().for_each(|pos| cursor.advance(pos));
        cursor
    })
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
                Step::Withdraw(from) => {
                    let (before, floor) = (seen.clone(), cursor.floor());
                    cursor.withdraw(from);
                    let is_kept = |pos: &Pos| cursor.covers(*pos);
                    let (kept, lost): (BTreeSet<Pos>, BTreeSet<Pos>) = before.into_iter().partition(is_kept);
                    let asked = |pos: &Pos| pos.partition() == from.partition() && *pos >= from;
                    prop_assert!(!kept.iter().any(asked), "{:?} {}", step, cursor);
                    // Nothing else is lost, but of partitions that were not ahead.
                    prop_assert!(lost.iter().all(|pos| asked(pos) || (from <= *pos && *pos <= floor)));
                    seen = kept;
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

    /// Two cursors together cover what either does, and one covers another exactly if it covers each position of it.
    #[test]
    fn two_cursors_are_merged_and_compared(one in cursor(), other in cursor(), step in pos()) {
        let mut both = one.clone();
        both.merge(&other);
        for pos in everything() {
            prop_assert_eq!(both.covers(pos), one.covers(pos) || other.covers(pos), "{}", pos);
        }
        prop_assert!(both.covers_all(&one) && both.covers_all(&other));
        if one.covers_all(&other) {
            prop_assert!(everything().all(|pos| one.covers(pos) || !other.covers(pos)));
            prop_assert_eq!(&both, &one);
        }
        prop_assert!(one.covers_all(&one.cut(step)));
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

/// A row may say that any number of partitions is ahead.
#[test]
fn a_row_has_no_more_positions_than_there_are_partitions() {
    let row = |count: u64| {
        let ahead: Vec<Pos> = (0..count).map(|at| Pos::new((1 << 20) + at)).collect();
        postcard::to_stdvec(&(Pos::ZERO, ahead)).unwrap()
    };
    let most = u64::from(PartitionId::COUNT);
    assert!(postcard::from_bytes::<Cursor>(&row(most)).is_ok());
    assert!(postcard::from_bytes::<Cursor>(&row(most + 1)).is_err());
    // A floor, a count that nothing has room for, and nothing behind it.
    let boundless = postcard::to_stdvec(&(Pos::ZERO, u64::MAX)).unwrap();
    assert!(postcard::from_bytes::<Cursor>(&boundless).is_err());
    assert_eq!(
        postcard::to_stdvec(&Cursor::at(Pos::new(5))).unwrap(),
        [5, 0]
    );
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
