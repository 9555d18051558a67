//! Writes a table, row by row, with memory for one partition's filter and index and no more.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{self, BlockBuilder};
use super::filter::{FilterBuilder, FilterKind};
use super::footer::{Footer, Properties, Stretch};
use super::suffixes::SuffixesBuilder;
use super::{TableId, TableSpec, seed};
use crate::disk::{Disk, DiskFile};

/// Data blocks of a partition.
const PARTITION_BLOCKS: usize = 256;

/// Gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Synced whenever so much was written, so that no commit has to wait until a whole table is on disk.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;

/// A table that is being written.
pub(crate) struct TableWriter {
    file: Arc<dyn DiskFile>,
    id: TableId,
    spec: TableSpec,
    buffer: Vec<u8>,
    /// What was written before the buffer.
    written: u64,
    synced: u64,
    block: BlockBuilder,
    index: BlockBuilder,
    filter: FilterBuilder,
    suffixes: SuffixesBuilder,
    partitions: BlockBuilder,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    rows: u64,
    deletions: u64,
    bytes: u64,
}

impl TableWriter {
    pub(crate) fn create(
        disk: &dyn Disk,
        path: &Path,
        id: TableId,
        spec: TableSpec,
    ) -> std::io::Result<Self> {
        Ok(Self {
            file: disk.create(path)?,
            id,
            spec,
            buffer: Vec::with_capacity(BUFFER_BYTES + spec.block_bytes),
            written: 0,
            synced: 0,
            block: BlockBuilder::default(),
            index: BlockBuilder::default(),
            filter: FilterBuilder::new(spec.filter),
            suffixes: SuffixesBuilder::new(spec.filter),
            partitions: BlockBuilder::default(),
            first_key: Vec::new(),
            last_key: Vec::new(),
            rows: 0,
            deletions: 0,
            bytes: 0,
        })
    }

    /// Adds a row; its key is greater than every one before.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> std::io::Result<()> {
        if self.rows == 0 {
            self.first_key = key.to_vec();
        } else if self.last_key.as_slice() >= key {
            // A table that this one is made of has other rows than its properties and indexes say.
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        self.rows += 1;
        self.deletions += u64::from(value.is_none());
        self.bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        // One that would make it long begins a block of its own: what is small stays quick to read.
        let length = key.len() + value.map_or(0, <[u8]>::len);
        if !self.block.is_empty() && self.block.bytes() + length > 2 * self.spec.block_bytes {
            self.end_block()?;
        }
        key.clone_into(&mut self.last_key);
        self.block.add(key, value);
        self.filter.add(key);
        self.suffixes.add(key);
        if self.block.bytes() >= self.spec.block_bytes {
            self.end_block()?;
        }
        Ok(())
    }

    /// Length of the file so far.
    fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Ends the table and makes it durable, but for its name. There must be a row.
    pub(crate) fn finish(
        mut self,
        commits: RangeInclusive<u64>,
        settled_before: TableId,
        flush: u64,
    ) -> std::io::Result<(Properties, u64)> {
        assert!(self.rows > 0, "a table has rows");
        if !self.block.is_empty() {
            self.end_block()?;
        }
        if !self.index.is_empty() {
            self.end_partition();
        }
        let partitions = self.put(|partitions, seed, out| partitions.partitions.store(seed, out));
        let properties = Properties {
            id: self.id,
            family: self.spec.family,
            commits,
            rows: self.rows,
            deletions: self.deletions,
            bytes: self.bytes,
            keys: Bytes::from(std::mem::take(&mut self.first_key))
                ..=Bytes::from(std::mem::take(&mut self.last_key)),
            settled_before,
            flush,
            suffixes: std::mem::take(&mut self.suffixes).finish(),
        };
        let encoded = properties.encode();
        let footer = Footer {
            partitions,
            properties: self.put(|_, seed, out| block::store(&encoded, seed, out)),
        };
        self.buffer.extend_from_slice(&footer.encode());
        self.write_out()?;
        self.file.sync()?;
        Ok((properties, self.written))
    }

    fn end_block(&mut self) -> std::io::Result<()> {
        let place = self.put(|writer, seed, out| writer.block.store(seed, out));
        let mut value = Vec::with_capacity(Stretch::BYTES);
        place.encode(&mut value);
        self.index.add(&self.last_key, Some(&value));
        if self.index.rows() == PARTITION_BLOCKS {
            self.end_partition();
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    /// Writes filter and index, and notes where they are. A filter of prefixes is small and stands in the note itself, so
    /// that a table that knows nothing of a conversation need not be read.
    fn end_partition(&mut self) {
        let filter = self.filter.finish();
        let place = match self.spec.filter {
            FilterKind::Key { .. } => {
                Some(self.put(|_, seed, out| block::store(&filter, seed, out)))
            }
            FilterKind::None | FilterKind::Prefix { .. } => None,
        };
        let index = self.put(|writer, seed, out| writer.index.store(seed, out));
        let mut value = Vec::new();
        index.encode(&mut value);
        match self.spec.filter {
            FilterKind::None => {}
            FilterKind::Key { .. } => place.expect("stored above").encode(&mut value),
            FilterKind::Prefix { .. } => value.extend_from_slice(&filter),
        }
        self.partitions.add(&self.last_key, Some(&value));
    }

    /// Stores something at the file's end, and says where.
    fn put(&mut self, store: impl FnOnce(&mut Self, u64, &mut Vec<u8>)) -> Stretch {
        let offset = self.length();
        let mut out = std::mem::take(&mut self.buffer);
        let before = out.len();
        store(self, seed(self.id, offset), &mut out);
        let length = (out.len() - before) as u64;
        self.buffer = out;
        Stretch { offset, length }
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        let length = self.buffer.len() as u64;
        self.file.write_back(self.written, length);
        self.written += length;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}
