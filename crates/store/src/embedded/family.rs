//! Which keyspace a table lives in, and how each keyspace is tuned.

use fjall::KeyspaceCreateOptions;
use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use records::Table;

/// Tables that are written and read alike, and so share a fjall keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// State that is overwritten in place: small, read whole at the start.
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

/// A stretch of keys of one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) family: Family,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

impl Family {
    /// All, in the order in which they are made and numbered.
    pub(super) const ALL: [Self; FAMILIES] = [Self::State, Self::Entry, Self::Dedup, Self::Queue];

    /// Where a key lives. Keys of no known table live with the state.
    pub(super) fn of(key: &[u8]) -> Self {
        key.first()
            .map_or(Self::State, |first| Self::of_first_byte(*first))
    }

    fn of_first_byte(first: u8) -> Self {
        let Ok(table) = Table::of(&[first]) else {
            return Self::State;
        };
        match table {
            Table::Meta
            | Table::Account
            | Table::Token
            | Table::Conversation
            | Table::Member
            | Table::Session
            | Table::Subscription
            | Table::Outgoing
            | Table::Incoming
            | Table::Will
            | Table::Retained => Self::State,
            Table::Entry | Table::Seq => Self::Entry,
            Table::Dedup => Self::Dedup,
            Table::Queue | Table::Claim => Self::Queue,
        }
    }

    /// The keyspace's name. Stands on disk and never changes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Entry => "entry",
            Self::Dedup => "dedup",
            Self::Queue => "queue",
        }
    }

    /// How fjall keeps it; taken when the keyspace is made.
    ///
    /// Write buffers are small beside fjall's 64 MiB: together 14 MiB, and as much again while they are flushed. What is
    /// queued or retained lies in them a while besides, so they are most of what a burst of such messages costs in
    /// memory. Smaller ones cost more flushes than they save (decision 0007).
    pub(super) fn options(self) -> KeyspaceCreateOptions {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        let options = KeyspaceCreateOptions::default();
        match self {
            Self::State => options.max_memtable_size(MIB),
            Self::Entry => options.max_memtable_size(8 * MIB),
            // A miss must not read a block on any level: one in a thousand does, at 15 bits a key.
            Self::Dedup => options
                .max_memtable_size(4 * MIB)
                .expect_point_read_hits(false)
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
                    BloomConstructionPolicy::FalsePositiveRate(0.001),
                ))),
            // Read by stretches only: filters would be dead weight.
            Self::Queue => options
                .max_memtable_size(896 * KIB)
                .filter_policy(FilterPolicy::disabled()),
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
            cut(&[0x22], &[0x24]),
            [(Family::Entry, vec![0x22], vec![0x24])]
        );
        assert_eq!(
            cut(&[0x21, 7], &[0x24, 9]),
            [
                (Family::State, vec![0x21, 7], vec![0x22]),
                (Family::Entry, vec![0x22], vec![0x24]),
                (Family::Dedup, vec![0x24], vec![0x24, 9]),
            ]
        );
        let whole = cut(&[0], &[0xff]);
        let families: Vec<_> = whole.iter().map(|(family, _, _)| *family).collect();
        use Family::{Dedup, Entry, Queue, State};
        // Retained messages stand between the queue and what shared subscriptions claim of it.
        assert_eq!(
            families,
            [State, Entry, Dedup, State, Queue, State, Queue, State]
        );
        assert_eq!(cut(&[5], &[5]), []);
        assert_eq!(cut(&[6], &[5]), []);
    }
}
