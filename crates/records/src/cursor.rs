//! How far somebody has come with the entries of the whole server, whose partitions need not advance together.
//! Must not know what an entry is.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::{PartitionId, Pos};

/// Every entry up to `floor` has been seen, and of some partitions those up to a later position.
///
/// On the wire it is an opaque word: `<floor>-`, and for each partition that is ahead `<partition>.<pos>`, joined by `-`, all
/// hexadecimal. A bare `pos` is told from it by the hyphen. In a row it is the floor, how many partitions are ahead, which is none as
/// a rule, and the position of each; more of them than there are partitions are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Pos, Ahead)", into = "(Pos, Box<[Pos]>)")]
pub struct Cursor {
    floor: Pos,
    /// One for each partition that is ahead, by partition, each above the floor.
    ahead: Box<[Pos]>,
}

/// The longest text of a cursor, in bytes: the floor and a hyphen, and for each partition its number, a dot, a position and a hyphen.
const TEXT_BYTES_MAX: usize = 17 + PartitionId::COUNT as usize * 20;

impl Cursor {
    /// Every entry up to here, and none behind it.
    pub fn at(floor: Pos) -> Self {
        Self {
            floor,
            ahead: Box::default(),
        }
    }

    /// Every entry up to here has been seen, whatever its partition.
    pub fn floor(&self) -> Pos {
        self.floor
    }

    /// The newest entry of a partition up to which all of that partition have been seen.
    pub fn of(&self, partition: PartitionId) -> Pos {
        match self.place(partition) {
            Ok(at) => self.ahead[at],
            Err(_) => self.floor,
        }
    }

    /// Up to where partitions are ahead of the floor, by partition.
    pub fn ahead(&self) -> impl Iterator<Item = Pos> {
        self.ahead.iter().copied()
    }

    /// The newest position that it covers.
    pub fn newest(&self) -> Pos {
        self.ahead().fold(self.floor, Pos::max)
    }

    /// The same of every partition that is ahead, and of the others nothing newer than a position.
    #[must_use]
    pub fn lowered(&self, floor: Pos) -> Self {
        Self {
            floor: self.floor.min(floor),
            ahead: self.ahead.clone(),
        }
    }

    /// Whether this entry has been seen.
    pub fn covers(&self, pos: Pos) -> bool {
        pos <= self.floor || pos <= self.of(pos.partition())
    }

    /// Whether everything has been seen that another covers.
    pub fn covers_all(&self, other: &Self) -> bool {
        other.floor <= self.floor && other.ahead.iter().all(|pos| self.covers(*pos))
    }

    /// All of an entry's partition have been seen up to it.
    pub fn advance(&mut self, pos: Pos) {
        if self.covers(pos) {
            return;
        }
        match self.place(pos.partition()) {
            Ok(at) => self.ahead[at] = pos,
            Err(at) => {
                let mut ahead = std::mem::take(&mut self.ahead).into_vec();
                ahead.insert(at, pos);
                self.ahead = ahead.into();
            }
        }
    }

    /// Everything up to here has been seen.
    pub fn raise(&mut self, floor: Pos) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        if self.ahead.iter().any(|pos| *pos <= floor) {
            let mut ahead = std::mem::take(&mut self.ahead).into_vec();
            ahead.retain(|pos| *pos > floor);
            self.ahead = ahead.into();
        }
    }

    /// What another covers has been seen as well.
    pub fn merge(&mut self, other: &Self) {
        self.raise(other.floor);
        for pos in &other.ahead {
            self.advance(*pos);
        }
    }

    /// This entry has not been seen, nor what is newer of its partition. Of partitions that are not ahead, nothing newer than it has been
    /// seen any more.
    pub fn withdraw(&mut self, pos: Pos) {
        if !self.covers(pos) {
            return;
        }
        let before = pos.before();
        if let Ok(at) = self.place(pos.partition()) {
            let mut ahead = std::mem::take(&mut self.ahead).into_vec();
            ahead.remove(at);
            self.ahead = ahead.into();
        }
        self.floor = self.floor.min(before);
        self.advance(before.last_in(pos.partition()));
    }

    /// How far somebody has come who has seen what this covers, but nothing newer than a position.
    #[must_use]
    pub fn cut(&self, at: Pos) -> Self {
        let mut cut = Self::at(self.floor.min(at));
        for pos in &self.ahead {
            cut.advance((*pos).min(at.last_in(pos.partition())));
        }
        cut
    }

    fn place(&self, partition: PartitionId) -> Result<usize, usize> {
        (self.ahead).binary_search_by_key(&partition, |pos| pos.partition())
    }
}

/// Positions of partitions that are ahead, as they stand in a row.
struct Ahead(Vec<Pos>);

impl<'de> Deserialize<'de> for Ahead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AheadVisitor)
    }
}

/// Takes no memory for more positions than there are partitions, whatever a row says.
struct AheadVisitor;

impl<'de> Visitor<'de> for AheadVisitor {
    type Value = Ahead;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {} positions", PartitionId::COUNT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut positions: A) -> Result<Ahead, A::Error> {
        let most = usize::from(PartitionId::COUNT);
        let said = positions.size_hint().unwrap_or(0);
        let mut ahead = Vec::with_capacity(said.min(most));
        while let Some(pos) = positions.next_element()? {
            if ahead.len() == most {
                return Err(A::Error::invalid_length(said, &self));
            }
            ahead.push(pos);
        }
        Ok(Ahead(ahead))
    }
}

impl From<(Pos, Ahead)> for Cursor {
    /// Sound whatever the positions are: of those of one partition the newest counts.
    fn from((floor, Ahead(ahead)): (Pos, Ahead)) -> Self {
        let mut cursor = Self::at(floor);
        for pos in ahead {
            cursor.advance(pos);
        }
        cursor
    }
}

impl From<Cursor> for (Pos, Box<[Pos]>) {
    fn from(cursor: Cursor) -> Self {
        (cursor.floor, cursor.ahead)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-", self.floor)?;
        for (at, pos) in self.ahead.iter().enumerate() {
            let hyphen = if at > 0 { "-" } else { "" };
            write!(formatter, "{hyphen}{:x}.{pos}", pos.partition().number())?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Reads what `Display` wrote, and nothing else.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(CursorError);
        }
        let (floor, rest) = text.split_once('-').ok_or(CursorError)?;
        let mut cursor = Self::at(floor.parse().map_err(|_| CursorError)?);
        let parts = rest.split('-').filter(|_| !rest.is_empty());
        for part in parts {
            let (partition, pos) = part.split_once('.').ok_or(CursorError)?;
            let pos: Pos = pos.parse().map_err(|_| CursorError)?;
            if format!("{:x}", pos.partition().number()) != partition {
                return Err(CursorError);
            }
            cursor.advance(pos);
        }
        if cursor.to_string() == text {
            Ok(cursor)
        } else {
            Err(CursorError)
        }
    }
}

/// A text that is not a `Cursor` as the server writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a cursor: expected one that this server gave")]
pub struct CursorError;

#[cfg(test)]
mod tests {
    use super::*;

    fn pos(tick: u64, partition: u16) -> Pos {
        Pos::at(tick, PartitionId::new(partition))
    }

    #[test]
    fn a_partition_that_is_ahead_hides_nothing_of_the_others() {
        let mut cursor = Cursor::at(pos(10, 3));
        cursor.advance(pos(20, 7));
        assert!(cursor.covers(pos(9, 200)) && cursor.covers(pos(15, 7)));
        assert!(!cursor.covers(pos(15, 8)) && !cursor.covers(pos(21, 7)));
        cursor.advance(pos(15, 7));
        assert_eq!(cursor.of(PartitionId::new(7)), pos(20, 7));
        cursor.advance(pos(30, 2));
        cursor.raise(pos(25, 0));
        assert!(cursor.covers(pos(24, 255)) && cursor.covers(pos(30, 2)));
        assert_eq!(cursor.to_string().matches('.').count(), 1);
        cursor.raise(pos(40, 0));
        assert_eq!(cursor, Cursor::at(pos(40, 0)));
    }

    #[test]
    fn a_cursor_that_is_cut_covers_what_is_older_and_nothing_newer() {
        let mut cursor = Cursor::at(pos(10, 3));
        for ahead in [pos(20, 7), pos(30, 2)] {
            cursor.advance(ahead);
        }
        for tick in 8..35 {
            for partition in [2, 3, 7, 9] {
                let at = pos(tick, partition);
                let cut = cursor.cut(at);
                for seen in (8..35).flat_map(|tick| [2, 3, 7, 9].map(|number| pos(tick, number))) {
                    assert_eq!(
                        cut.covers(seen),
                        cursor.covers(seen) && seen <= at,
                        "{seen} {at}"
                    );
                }
            }
        }
        assert_eq!(cursor.cut(pos(40, 0)), cursor);
    }

    #[test]
    fn a_cursor_reads_only_what_it_shows() {
        let mut cursor = Cursor::at(pos(10, 3));
        assert_eq!(cursor.to_string(), "2803-");
        for ahead in [pos(20, 7), pos(30, 255), pos(25, 7)] {
            cursor.advance(ahead);
            assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        }
        assert_eq!(cursor.to_string(), "2803-7.6407-ff.78ff");
        for text in [
            "",
            "-",
            "2803",
            "2803--",
            "2803-7",
            "2803-7.",
            "2803-8.6407",
            "2803-7.6407-",
            "2803-ff.78ff-7.6407",
            "2803-7.1",
            "02803-",
            "2803-07.6407",
            "x-",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
    }
}
