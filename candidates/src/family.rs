//! Which keys are kept together, as in the store of the server: four families, and a range cut where it crosses them.

use records::Table;
use store::{Batch, CommitError, Range, Store};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    State,
    Entry,
    Dedup,
    Queue,
}

/// A stretch of keys of one family.
pub(crate) struct Segment {
    pub(crate) family: Family,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::State, Self::Entry, Self::Dedup, Self::Queue];

    pub(crate) fn of(key: &[u8]) -> Self {
        match Table::of(key) {
            Ok(Table::Entry | Table::Seq) => Self::Entry,
            Ok(Table::Dedup) => Self::Dedup,
            Ok(Table::Queue | Table::Claim) => Self::Queue,
            Ok(_) | Err(_) => Self::State,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Entry => "entry",
            Self::Dedup => "dedup",
            Self::Queue => "queue",
        }
    }
}

/// In the order in which the range is read.
pub(crate) fn segments(range: &Range) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    if range.from >= range.to {
        return segments;
    }
    let first = range.from.first().copied().unwrap_or(0);
    let last = range.to.first().copied().unwrap_or(u8::MAX);
    for byte in first..=last {
        let from = if byte == first {
            range.from.clone()
        } else {
            vec![byte]
        };
        let to = match byte.checked_add(1) {
            Some(next) if byte < last => vec![next],
            _ => range.to.clone(),
        };
        let family = Family::of(&[byte]);
        match segments.last_mut() {
            _ if from >= to => {}
            Some(segment) if segment.family == family => segment.to = to,
            _ => segments.push(Segment { family, from, to }),
        }
    }
    if range.reverse {
        segments.reverse();
    }
    segments
}

/// What every engine has to look at before it writes.
pub(crate) fn check(store: &dyn Store, batch: &Batch) -> Result<(), CommitError> {
    for precondition in &batch.preconditions {
        let found = store.get(&precondition.key).map_err(CommitError::Read)?;
        if !precondition.expected.holds(found.as_deref()) {
            return Err(CommitError::PreconditionFailed {
                key: precondition.key.clone(),
            });
        }
    }
    Ok(())
}
