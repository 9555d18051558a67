//! What a table may have of a stretch of keys and about how much of it, told by its indexes without reading rows.

use super::cursor::within;
use super::reader::Table;
use crate::row::Bounds;

/// In a table of more partitions than these, partitions alone tell how much lies between two keys.
const PARTITIONS_FEW: usize = 8;

impl Table {
    /// The part of the bounds that it may have something of; `None` if there is none.
    pub(crate) fn narrow(&self, bounds: &Bounds) -> Option<Bounds> {
        if !self.overlaps(&bounds.from, &bounds.to) {
            return None;
        }
        self.properties()
            .suffixes
            .narrow(self.filter_kind(), bounds)
    }

    /// Whether it may have a row between two keys, the second excluded, as far as can be told without reading.
    pub(crate) fn may_have(&self, from: &[u8], to: &[u8]) -> bool {
        let Some(bounds) = self.narrow(&Bounds::ascending(from, to)) else {
            return false;
        };
        let prefix = self.filter_kind().prefix_bytes();
        let Some(prefix) = prefix.and_then(|bytes| bounds.prefix(bytes)) else {
            return true;
        };
        within(self.partitions(), &bounds).any(|number| {
            let partition = self.partition(number);
            partition.map_or(true, |partition| {
                self.passes(&partition, prefix).unwrap_or(true)
            })
        })
    }

    /// About how many bytes of its rows lie between two keys, the second excluded. Of stretches that are much shorter than what the
    /// index tells apart most come to nothing, and a few to too much: their sum is about right.
    pub(crate) fn bytes_between(&self, from: &[u8], to: &[u8]) -> u64 {
        if !self.overlaps(from, to) {
            return 0;
        }
        let stored = self.offset_of(to).saturating_sub(self.offset_of(from));
        let share = stored as f64 / self.end_begins.max(1) as f64;
        (share * self.properties().bytes as f64) as u64
    }

    /// About where the rows from a key on begin in the file.
    fn offset_of(&self, key: &[u8]) -> u64 {
        if key <= self.properties().keys.start().as_ref() {
            return 0;
        }
        if key > self.properties().keys.end().as_ref() {
            return self.end_begins;
        }
        let number = self.partitions().lower_bound(key);
        let in_partition = || {
            let partition = self.partition(number).ok()?;
            let index = self.index(number, &partition).ok()?;
            let block = index.lower_bound(key).min(index.rows().checked_sub(1)?);
            Some(self.data_place(number, &index, block).ok()?.offset)
        };
        let few = self.partitions().rows() <= PARTITIONS_FEW;
        few.then(in_partition).flatten().unwrap_or_else(|| {
            let before = number.checked_sub(1).map(|before| self.partition(before));
            let index = before.and_then(Result::ok).map(|before| before.index);
            index.map_or(0, |index| index.offset.saturating_add(index.length))
        })
    }
}
