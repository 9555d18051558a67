//! Walks through a stretch of a table, block by block, in either direction.

use std::ops::Range;
use std::sync::Arc;

use super::TableError;
use super::block::Block;
use super::filter::FilterKind;
use super::reader::{Partition, Table};
use crate::row::{Bounds, Row};

/// A place in a table. After a damaged block it goes on behind it.
#[derive(Debug)]
pub(crate) struct TableCursor {
    table: Arc<Table>,
    bounds: Bounds,
    /// What every key of the bounds begins with, as far as the filter knows beginnings.
    part: Option<Vec<u8>>,
    partitions: Range<usize>,
    /// The partition that `blocks` are of.
    partition: usize,
    index: Option<Block>,
    blocks: Range<usize>,
    data: Option<Block>,
    rows: Range<usize>,
}

impl TableCursor {
    pub(crate) fn new(table: Arc<Table>, bounds: Bounds) -> Self {
        let part = match table.filter_kind() {
            FilterKind::None | FilterKind::Key { .. } => None,
            FilterKind::Prefix { bytes } => bounds.prefix(bytes).map(<[u8]>::to_vec),
        };
        let partitions = within(table.partitions(), &bounds);
        Self {
            table,
            bounds,
            part,
            partitions,
            partition: 0,
            index: None,
            blocks: 0..0,
            data: None,
            rows: 0..0,
        }
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Has the index that the first row is found with fetched from the disk, so that several cursors wait for theirs at once and
    /// not one after the other. Faults are left to `next`.
    pub(crate) fn fetch_index(&self) {
        if let Ok(Some((_, partition))) = self.find_partition(&mut self.partitions.clone()) {
            self.table.blocks().fetch(&self.table, partition.index);
        }
    }

    /// The same for the first row's block, when every index has been asked for.
    pub(crate) fn fetch_data(&self) {
        let found = self.find_partition(&mut self.partitions.clone());
        let Ok(Some((number, partition))) = found else {
            return;
        };
        if let Ok(index) = self.table.index(number, &partition) {
            self.fetch_block(number, &index, within(&index, &self.bounds));
        }
    }

    /// The next row in the direction of the bounds.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, TableError> {
        let reverse = self.bounds.reverse;
        loop {
            if let Some(data) = &self.data
                && let Some(row) = step(&mut self.rows, reverse)
            {
                return Ok(Some(data.row(row)));
            }
            self.data = None;
            if let Some(index) = &self.index
                && let Some(block) = step(&mut self.blocks, reverse)
            {
                let data = self.table.data(self.partition, index, block)?;
                let end = data.lower_bound(&self.bounds.to);
                self.rows = data.lower_bound(&self.bounds.from)..end;
                self.data = Some(data);
                self.fetch_block(self.partition, index, self.blocks.clone());
                continue;
            }
            self.index = None;
            let mut partitions = self.partitions.clone();
            let found = self.find_partition(&mut partitions);
            self.partitions = partitions;
            let Some((number, partition)) = found? else {
                return Ok(None);
            };
            let index = self.table.index(number, &partition)?;
            self.blocks = within(&index, &self.bounds);
            self.partition = number;
            self.index = Some(index);
        }
    }

    /// The next of these partitions that may have rows of the bounds. After an error it goes on behind the one that is damaged.
    fn find_partition(
        &self,
        partitions: &mut Range<usize>,
    ) -> Result<Option<(usize, Partition)>, TableError> {
        while let Some(number) = step(partitions, self.bounds.reverse) {
            let partition = self.table.partition(number)?;
            let passes = match &self.part {
                Some(part) => self.table.passes(&partition, part)?,
                None => true,
            };
            if passes {
                return Ok(Some((number, partition)));
            }
        }
        Ok(None)
    }

    /// Has the next of these blocks fetched from the disk.
    fn fetch_block(&self, partition: usize, index: &Block, mut blocks: Range<usize>) {
        if let Some(block) = step(&mut blocks, self.bounds.reverse)
            && let Ok(place) = self.table.data_place(partition, index, block)
        {
            self.table.blocks().fetch(&self.table, place);
        }
    }
}

/// The rows of an index whose blocks may hold keys of the bounds: each stands under its last key.
pub(super) fn within(index: &Block, bounds: &Bounds) -> Range<usize> {
    let from = index.lower_bound(&bounds.from);
    let to = (index.lower_bound(&bounds.to) + 1).min(index.rows());
    from..to.max(from)
}

fn step(range: &mut Range<usize>, reverse: bool) -> Option<usize> {
    if reverse {
        range.next_back()
    } else {
        range.next()
    }
}
