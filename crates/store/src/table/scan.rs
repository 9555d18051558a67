//! Reads a table from front to back for a merge, stretch by stretch: in large pieces, and past the cache, which serves people.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{self, Block};
use super::footer::Stretch;
use super::reader::Table;
use super::{TableError, seed};
use crate::row::{Bounds, Row};

/// Read at once, if blocks lie side by side.
const READ_BYTES: u64 = 256 * 1024;

/// A place in a table that is read through. After a damaged block it goes on behind it.
#[derive(Debug)]
pub(crate) struct TableScan {
    table: Arc<Table>,
    /// The stretch that is being read; those that follow lie behind it.
    bounds: Bounds,
    partitions: Range<usize>,
    partition: usize,
    index: Option<Block>,
    blocks: Range<usize>,
    /// Bytes of the file that were read ahead, and where they begin.
    ahead: (u64, Bytes),
    data: Option<Block>,
    rows: Range<usize>,
}

impl TableScan {
    pub(crate) fn new(table: Arc<Table>, bounds: Bounds) -> Self {
        let partitions = table.partitions();
        let partitions = partitions.lower_bound(&bounds.from)..partitions.rows();
        Self {
            table,
            bounds,
            partitions,
            partition: 0,
            index: None,
            blocks: 0..0,
            ahead: (0, Bytes::new()),
            data: None,
            rows: 0..0,
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Goes on with another stretch, which lies behind the last one. What is between them is not read.
    pub(crate) fn go_on(&mut self, bounds: Bounds) {
        let from = bounds.from.as_slice();
        let partition = self.table.partitions().lower_bound(from);
        if partition > self.partition {
            self.index = None;
            self.data = None;
            self.partitions.start = self.partitions.start.max(partition);
        }
        if let Some(index) = &self.index {
            let block = index.lower_bound(from);
            if block >= self.blocks.start {
                self.data = None;
                self.blocks.start = block;
            }
        }
        if let Some(data) = &self.data {
            self.rows.start = self.rows.start.max(data.lower_bound(from));
        }
        self.bounds = bounds;
    }

    /// The next row of the stretch.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, TableError> {
        loop {
            if let Some(data) = &self.data
                && !self.rows.is_empty()
            {
                if data.key(self.rows.start) >= self.bounds.to.as_slice() {
                    return Ok(None);
                }
                let row = self.rows.next().expect("it is not empty");
                return Ok(Some(data.row(row)));
            }
            self.data = None;
            if let Some(index) = self.index.take()
                && let Some(block) = self.blocks.next()
            {
                let data = self.load(&index, block);
                self.index = Some(index);
                let data = data?;
                self.rows = data.lower_bound(&self.bounds.from)..data.rows();
                self.data = Some(data);
                continue;
            }
            let Some(number) = self.partitions.next() else {
                return Ok(None);
            };
            self.partition = number;
            let partition = self.table.partition(number)?;
            let stored = self.read(partition.index)?;
            let index = block::load_block(&stored, seed(self.table.id(), partition.index.offset))
                .ok_or_else(|| self.table.damaged_partition(number))?;
            self.blocks = index.lower_bound(&self.bounds.from)..index.rows();
            self.index = Some(index);
        }
    }

    fn load(&mut self, index: &Block, block: usize) -> Result<Block, TableError> {
        let place = self.table.data_place(self.partition, index, block)?;
        if !self.is_ahead(place) {
            self.read_ahead(index, block, place)?;
        }
        let begin = (place.offset - self.ahead.0) as usize;
        let stored = self.ahead.1.slice(begin..begin + place.length as usize);
        block::load_block(&stored, seed(self.table.id(), place.offset)).ok_or_else(|| {
            self.table
                .damaged_block(self.partition, index, block, place.offset)
        })
    }

    fn is_ahead(&self, place: Stretch) -> bool {
        let (begin, bytes) = &self.ahead;
        place.offset >= *begin && place.offset + place.length <= begin + bytes.len() as u64
    }

    /// Reads the block and those behind it that come to `READ_BYTES` with it.
    fn read_ahead(
        &mut self,
        index: &Block,
        block: usize,
        place: Stretch,
    ) -> Result<(), TableError> {
        let mut length = place.length;
        for behind in block + 1..index.rows() {
            let next = self.table.data_place(self.partition, index, behind)?;
            let end = next.offset.saturating_add(next.length);
            if next.offset != place.offset + length || end - place.offset > READ_BYTES {
                break;
            }
            length = end - place.offset;
        }
        let offset = place.offset;
        self.ahead = (offset, self.read(Stretch { offset, length })?.into());
        Ok(())
    }

    fn read(&self, place: Stretch) -> Result<Vec<u8>, TableError> {
        self.table
            .blocks()
            .read(&self.table, place)
            .map_err(|source| self.table.io_error(source))
    }
}
