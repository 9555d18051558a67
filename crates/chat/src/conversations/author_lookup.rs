//! Who wrote what a marker newly covers, where that is not remembered. Runs where a disk may be waited for.

use records::{AccountId, ConversationId, PartitionId, Seq};

use crate::note::Marker;
use crate::stored::entries::{self, Found, Place};
use crate::stored::source::{End, Source, Unreadable};

/// Messages whose authors are looked up in the store for one marker; those of older ones are not told.
const AUTHORS_READ_MAX: u64 = 200;
/// Bytes read for one such look-up; it reads one message more at most.
const AUTHORS_BYTES_MAX: usize = 32 * 1024;

/// A marker that is to be told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(super) conversation: ConversationId,
    pub(super) account: AccountId,
    pub(super) kind: Marker,
    pub(super) after: Seq,
    pub(super) upto: Seq,
}

/// Authors who have to be looked up for a marker.
#[derive(Debug)]
pub(crate) struct AuthorsWanted {
    pub(super) partition: PartitionId,
    pub(super) told: Told,
    /// Those that are known already; they wrote what comes behind `unknown`.
    pub(super) known: Vec<AccountId>,
    pub(super) unknown: Seq,
}

/// Authors who were looked up.
#[derive(Debug)]
pub(crate) struct Authors {
    pub(crate) partition: PartitionId,
    pub(super) told: Told,
    pub(super) authors: Vec<AccountId>,
    pub(super) is_unreadable: bool,
}

impl AuthorsWanted {
    /// Reads them where a disk may be waited for.
    pub(crate) fn run(self, source: &dyn Source) -> Authors {
        let found = self.read(source);
        let is_unreadable = found.is_err();
        self.found(found.unwrap_or_default(), is_unreadable)
    }

    /// There is no room to read them now: those that are known are told.
    pub(crate) fn refuse(self) -> Authors {
        self.found(Vec::new(), false)
    }

    fn found(self, more: Vec<AccountId>, is_unreadable: bool) -> Authors {
        let mut authors = self.known;
        authors.extend(more);
        Authors {
            partition: self.partition,
            told: self.told,
            authors,
            is_unreadable,
        }
    }

    /// Authors of the newest messages up to `unknown` that the marker covers.
    fn read(&self, source: &dyn Source) -> Result<Vec<AccountId>, Unreadable> {
        let oldest = self.unknown.value().saturating_sub(AUTHORS_READ_MAX);
        let first = Seq::new(oldest.max(self.told.after.value()) + 1);
        let range = (
            Place::of_message(first),
            Place::of_message(self.unknown.next()),
        );
        let limit = usize::try_from(AUTHORS_READ_MAX).unwrap_or(usize::MAX);
        let id = self.told.conversation;
        let found = entries::entries(source, id, range, End::First, limit, AUTHORS_BYTES_MAX)?;
        let messages = found.into_iter().filter_map(|Found { entry, .. }| entry);
        let messages = messages.filter(|entry| entry.seq.is_some());
        Ok(messages.map(|entry| entry.from).collect())
    }
}
