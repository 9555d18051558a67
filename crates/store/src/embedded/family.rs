//! Which family a row belongs to, and how each family is kept.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use records::Table;

use super::scale::Scale;
use crate::table::{FilterKind, TableSpec};

/// Tables of records that are written and read alike, and so share memtables and tables of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// State that is overwritten in place: accounts, sessions and what is retained are read whole at the start, conversations
    /// and whose they are when they are needed.
    State,
    /// Conversations' contents: written once at the end, read in stretches.
    Entry,
    /// Mids: random keys, nearly every lookup a miss.
    Dedup,
    /// Ordinary messages: written at one end, deleted at the other.
    Queue,
}

/// How many there are.
pub(super) const FAMILIES: usize = 4;

/// A block of a table ends with the row that brings it to so many bytes.
const BLOCK_BYTES: usize = 8 * 1024;

/// A stretch of keys of one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) family: Family,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

impl Family {
    /// All, by the number that stands on disk.
    pub(super) const ALL: [Self; FAMILIES] = [Self::State, Self::Entry, Self::Dedup, Self::Queue];

    /// Where a key lives. Keys of no known table live with the state.
    pub(super) fn of(key: &[u8]) -> Self {
        key.first()
            .map_or(Self::State, |first| Self::of_first_byte(*first))
    }

    fn of_first_byte(first: u8) -> Self {
        // Asked several times for each row of each commit.
        static BY_FIRST_BYTE: LazyLock<[Family; 256]> =
            LazyLock::new(|| std::array::from_fn(|first| Family::of_table(first as u8)));
        BY_FIRST_BYTE[usize::from(first)]
    }

    fn of_table(first: u8) -> Self {
        let Ok(table) = Table::of(&[first]) else {
            return Self::State;
        };
        match table {
            Table::Meta
            | Table::Account
            | Table::Token
            | Table::Audit
            | Table::Conversation
            | Table::Member
            | Table::Address
            | Table::Joined
            | Table::Usage
            | Table::Session
            | Table::Subscription
            | Table::Outgoing
            | Table::Incoming
            | Table::Will
            | Table::Sent
            | Table::SentWill
            | Table::Retained => Self::State,
            Table::Entry => Self::Entry,
            Table::Dedup => Self::Dedup,
            Table::Queue | Table::Claim => Self::Queue,
        }
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Entry => "entry",
            Self::Dedup => "dedup",
            Self::Queue => "queue",
        }
    }

    /// Which keys its tables may hold.
    pub(super) fn filter(self) -> FilterKind {
        match self {
            Self::State => FilterKind::Key { bits: 10 },
            // Table byte and conversation: what is read is a conversation's.
            Self::Entry => FilterKind::Prefix { bytes: 9 },
            // A miss must not read a block: one in a thousand does.
            Self::Dedup => FilterKind::Key { bits: 15 },
            // Stamps grow: the tables' ranges tell them apart.
            Self::Queue => FilterKind::None,
        }
    }

    /// How its tables are built.
    pub(super) fn table_spec(self, scale: Scale) -> TableSpec {
        TableSpec {
            family: self as u8,
            block_bytes: scale.memory(BLOCK_BYTES),
            filter: self.filter(),
        }
    }

    /// The least and the greatest size of a write buffer. It begins small, because what is queued or retained lies in it a while
    /// besides where it lies anyway, and grows under load, because larger tables are merged less often.
    pub(super) fn memtable_bytes(self, scale: Scale) -> RangeInclusive<usize> {
        const MIB: usize = 1024 * 1024;
        let (least, greatest) = match self {
            Self::State => (MIB, 8 * MIB),
            Self::Entry => (4 * MIB, 32 * MIB),
            Self::Dedup => (2 * MIB, 16 * MIB),
            Self::Queue => (MIB / 2, 16 * MIB),
        };
        scale.memory(least)..=scale.memory(greatest)
    }

    /// So many tables of a size are merged into one. More mean that a row is written less often and that a read looks into more
    /// tables.
    pub(super) fn merge_width(self) -> usize {
        match self {
            Self::State => 4,
            // A page of a conversation that is seldom used is in each of them.
            Self::Entry => 8,
            Self::Dedup | Self::Queue => 12,
        }
    }

    /// Whether rows are written over: then a newer row with a key makes the older one garbage, and not only a deletion does.
    pub(super) fn overwrites(self) -> bool {
        match self {
            Self::State => true,
            Self::Entry | Self::Dedup | Self::Queue => false,
        }
    }

    /// Whether a stretch that cannot be read is left out of what is read, named and counted, instead of failing the read: a page
    /// of history with a hole is better than none.
    pub(super) fn tolerates_damage(self) -> bool {
        match self {
            Self::Entry => true,
            Self::State | Self::Dedup | Self::Queue => false,
        }
    }
}

/// Cuts a range where the family changes, ascending.
pub(super) fn segments(from: &[u8], to: &[u8]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    if from >= to {
        return segments;
    }
    let first = from.first().copied().unwrap_or(0);
    let last = to.first().copied().unwrap_or(u8::MAX);
    for byte in first..=last {
        let family = Family::of_first_byte(byte);
        let begin = if byte == first {
            from.to_vec()
        } else {
            vec![byte]
        };
        // Up to the next byte's keys, or to the end of the range if that comes first.
        let end = match byte.checked_add(1) {
            Some(next) if byte < last => vec![next],
            _ => to.to_vec(),
        };
        if begin >= end {
            continue;
        }
        match segments.last_mut() {
            Some(segment) if segment.family == family => segment.to = end,
            _ => segments.push(Segment {
                family,
                from: begin,
                to: end,
            }),
        }
    }
    segments
}

/// The segments of several ranges, each its first key and the first one behind it.
pub(super) fn all_segments<'a>(ranges: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<Segment> {
    ranges.flat_map(|(from, to)| segments(from, to)).collect()
}

/// The ends of those that are of a family.
pub(super) fn ends_of(
    segments: &[Segment],
    family: Family,
) -> impl Iterator<Item = (&[u8], &[u8])> {
    let of_family = segments.iter().filter(move |one| one.family == family);
    of_family.map(|one| (one.from.as_slice(), one.to.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_where_the_family_changes() {
        let cut = |from: &[u8], to: &[u8]| -> Vec<(Family, Vec<u8>, Vec<u8>)> {
            segments(from, to)
                .into_iter()
                .map(|s| (s.family, s.from, s.to))
                .collect()
        };
        assert_eq!(
            cut(&[0x22, 1], &[0x22, 2]),
            [(Family::Entry, vec![0x22, 1], vec![0x22, 2])]
        );
        assert_eq!(
            cut(&[0x40], &[0x41]),
            [(Family::Queue, vec![0x40], vec![0x41])]
        );
        assert_eq!(
            cut(&[0x21, 7], &[0x24, 9]),
            [
                (Family::State, vec![0x21, 7], vec![0x22]),
                (Family::Entry, vec![0x22], vec![0x23]),
                // No table.
                (Family::State, vec![0x23], vec![0x24]),
                (Family::Dedup, vec![0x24], vec![0x24, 9]),
            ]
        );
        // What leads to a conversation, and what an account has of them.
        assert_eq!(
            cut(&[0x25], &[0x28]),
            [(Family::State, vec![0x25], vec![0x28])]
        );
        let whole = cut(&[0], &[0xff]);
        let families: Vec<_> = whole.iter().map(|(family, _, _)| *family).collect();
        use Family::{Dedup, Entry, Queue, State};
        // Retained messages stand between the queue and what shared subscriptions claim of it.
        assert_eq!(
            families,
            [
                State, Entry, State, Dedup, State, Queue, State, Queue, State
            ]
        );
        assert_eq!(cut(&[5], &[5]), []);
        assert_eq!(cut(&[6], &[5]), []);
    }
}
