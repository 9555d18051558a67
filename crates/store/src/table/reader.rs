//! Reads a table: single rows, and blocks for those that read on. Blocks and open files are shared by all tables and bounded.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::block::{self, Block};
use super::filter::{Filter, FilterKind};
use super::footer::{FOOTER_BYTES, Footer, Properties, Stretch};
use super::{Damage, TableError, TableId, TableSpec, seed};
use crate::disk::{Disk, DiskFile};
use crate::hex::Hex;

/// Tables' files that are kept open; one more for each thread that reads at this moment.
pub(crate) const OPEN_FILES_MAX: usize = 48;

/// A table that merges could not read so often is left as it is.
const FAILURES_MAX: u32 = 5;

/// What a block costs in the cache besides its bytes.
const BLOCK_OVERHEAD_BYTES: u64 = 128;

/// A rough size of blocks, for the cache's tables.
const BLOCK_BYTES_TYPICAL: u64 = 8 * 1024;

/// Blocks and open files of all tables.
pub(crate) struct Blocks {
    disk: Arc<dyn Disk>,
    cache: Cache<(TableId, u64), Cached, ByBytes>,
    files: Cache<TableId, Arc<dyn DiskFile>>,
    reads: AtomicU64,
}

#[derive(Clone)]
enum Cached {
    Block(Block),
    Filter(Filter),
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<(TableId, u64), Cached> for ByBytes {
    fn weight(&self, _: &(TableId, u64), cached: &Cached) -> u64 {
        let bytes = match cached {
            Cached::Block(block) => block.bytes(),
            Cached::Filter(filter) => filter.0.len(),
        };
        bytes as u64 + BLOCK_OVERHEAD_BYTES
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("cached", &self.cache.len())
            .finish_non_exhaustive()
    }
}

impl Blocks {
    pub(crate) fn new(disk: Arc<dyn Disk>, cache_bytes: u64) -> Self {
        let blocks = (cache_bytes / BLOCK_BYTES_TYPICAL).max(16) as usize;
        Self {
            disk,
            cache: Cache::with_weighter(blocks, cache_bytes, ByBytes),
            files: Cache::new(OPEN_FILES_MAX),
            reads: AtomicU64::new(0),
        }
    }

    /// Bytes of cached blocks.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Files of tables that are open.
    pub(crate) fn open_files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Blocks that were read from files since the start.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn file(&self, table: &Table) -> io::Result<Arc<dyn DiskFile>> {
        let open = || self.disk.open(&table.path);
        self.files.get_or_insert_with(&table.id(), open)
    }

    /// The bytes of a block as they are stored. What leads behind the end of the file is no place.
    pub(super) fn read(&self, table: &Table, place: Stretch) -> io::Result<Vec<u8>> {
        if place.offset.saturating_add(place.length) > table.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut stored = vec![0; place.length as usize];
        self.file(table)?.read_exact_at(&mut stored, place.offset)?;
        Ok(stored)
    }

    /// Has the block fetched from the disk, unless it is in the cache.
    pub(super) fn fetch(&self, table: &Table, place: Stretch) {
        if self.cache.peek(&(table.id(), place.offset)).is_some() {
            return;
        }
        // A file that cannot be opened is told of when it is read.
        if let Ok(file) = self.file(table) {
            file.will_read(place.offset, place.length);
        }
    }

    fn forget(&self, id: TableId) {
        self.files.remove(&id);
    }
}

/// What is known of rows that are overwritten or deleted.
#[derive(Debug, Default)]
struct Garbage {
    dead_bytes: u64,
    /// The table that this one was merged into: what is buried from then on is buried there.
    heir: Option<Arc<Table>>,
}

/// An open table. Its file goes when the table is obsolete and nobody reads it any longer.
pub(crate) struct Table {
    properties: Properties,
    path: PathBuf,
    length: u64,
    /// Where the index of the partitions and what follows it begin.
    pub(super) end_begins: u64,
    filter: FilterKind,
    /// For each partition its last key, where its index stands, and its filter or where that stands.
    partitions: Block,
    blocks: Arc<Blocks>,
    obsolete: AtomicBool,
    /// Bytes of rows that newer tables are thought to have overwritten or deleted.
    garbage: Mutex<Garbage>,
    /// Merges that could not read it.
    failures: AtomicU32,
    /// A damaged filter of it was told of.
    filter_told: AtomicBool,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.properties).finish()
    }
}

/// Where a partition's parts are.
pub(super) struct Partition {
    pub(super) index: Stretch,
    filter: Bytes,
}

impl Table {
    /// Opens a file that `TableWriter` wrote. `dead` is what was thought before.
    pub(crate) fn open(
        blocks: &Arc<Blocks>,
        folder: &Path,
        id: TableId,
        spec: TableSpec,
        dead: u64,
    ) -> Result<Self, TableError> {
        let path = folder.join(id.file_name());
        let io_error = |source| TableError::Io {
            file: path.clone(),
            source,
        };
        let file = blocks.disk.open(&path).map_err(io_error)?;
        let length = file.length().map_err(io_error)?;
        let damaged = |offset| {
            TableError::Damaged(Damage {
                file: path.clone(),
                offset,
                after: Bytes::new(),
                upto: Bytes::new(),
            })
        };
        let begin = length
            .checked_sub(FOOTER_BYTES as u64)
            .ok_or_else(|| damaged(0))?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, begin).map_err(io_error)?;
        let footer = Footer::decode(&footer).ok_or_else(|| damaged(begin))?;
        let load = |place: Stretch| {
            let end = place.offset.checked_add(place.length);
            if end.is_none_or(|end| end > begin) {
                return Err(damaged(begin));
            }
            let mut stored = vec![0; place.length as usize];
            file.read_exact_at(&mut stored, place.offset)
                .map_err(io_error)?;
            Ok(stored)
        };
        let stored = load(footer.properties)?;
        let properties = block::load(&stored, seed(id, footer.properties.offset))
            .and_then(|bytes| Properties::decode(&bytes))
            .filter(|properties| properties.id == id && properties.family == spec.family)
            .ok_or_else(|| damaged(footer.properties.offset))?;
        let stored = load(footer.partitions)?;
        let partitions = block::load_block(&stored, seed(id, footer.partitions.offset))
            .ok_or_else(|| damaged(footer.partitions.offset))?;
        Ok(Self {
            properties,
            path,
            length,
            end_begins: footer.partitions.offset.min(footer.properties.offset),
            filter: spec.filter,
            partitions,
            blocks: blocks.clone(),
            obsolete: AtomicBool::new(false),
            garbage: Mutex::new(Garbage {
                dead_bytes: dead,
                heir: None,
            }),
            failures: AtomicU32::new(0),
            filter_told: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> TableId {
        self.properties.id
    }

    pub(crate) fn properties(&self) -> &Properties {
        &self.properties
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A sum over the end of the file: the index of the partitions, the properties and the footer.
    pub(crate) fn fingerprint(&self) -> Result<Hex, TableError> {
        let begin = self.end_begins;
        let end = self.read(Stretch {
            offset: begin,
            length: self.length - begin,
        })?;
        Ok(Hex(xxh3_64(&end)))
    }

    /// Length of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of rows that newer tables are thought to have overwritten or deleted.
    pub(crate) fn dead(&self) -> u64 {
        self.garbage().dead_bytes.min(self.properties.bytes)
    }

    /// What one of its rows takes on average.
    pub(crate) fn average_row_bytes(&self) -> u64 {
        self.properties.bytes / self.properties.rows.max(1)
    }

    /// So many more bytes of its rows are overwritten or deleted.
    pub(crate) fn bury_bytes(&self, bytes: u64) {
        self.change_dead(|dead| dead.saturating_add(bytes));
    }

    /// So many are not after all.
    pub(crate) fn unbury_bytes(&self, bytes: u64) {
        self.change_dead(|dead| dead.saturating_sub(bytes));
    }

    /// Here, or in what it has been merged into.
    fn change_dead(&self, change: impl Fn(u64) -> u64) {
        let mut garbage = self.garbage();
        let Some(heir) = garbage.heir.clone() else {
            garbage.dead_bytes = change(garbage.dead_bytes);
            return;
        };
        drop(garbage);
        heir.change_dead(change);
    }

    /// A merge could not read it: for its damage, or because the operating system refused, which may pass.
    pub(crate) fn note_failure(&self, error: &TableError) {
        let failures = match error {
            TableError::Io { .. } => 1,
            TableError::Damaged(_) => FAILURES_MAX,
        };
        self.failures.fetch_add(failures, Ordering::Relaxed);
    }

    /// Whether merges leave it as it is until the next start.
    pub(crate) fn is_given_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES_MAX
    }

    /// The file goes with the last reader.
    pub(crate) fn retire(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// What is buried here from now on is buried in the table that this one was merged into. Returns what was buried before.
    pub(crate) fn leave_to(&self, heir: &Arc<Table>) -> u64 {
        let mut garbage = self.garbage();
        garbage.heir = Some(heir.clone());
        garbage.dead_bytes
    }

    /// It stays after all.
    pub(crate) fn leave_to_nobody(&self) {
        self.garbage().heir = None;
    }

    fn garbage(&self) -> MutexGuard<'_, Garbage> {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key between these, the second excluded, may be in it.
    pub(crate) fn overlaps(&self, from: &[u8], to: &[u8]) -> bool {
        let keys = &self.properties.keys;
        from <= keys.end().as_ref() && to > keys.start().as_ref()
    }

    /// Whether the key may be in it; a filter that cannot be read says yes.
    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        if !self.spans(key) {
            return false;
        }
        let partition = self.partitions.lower_bound(key);
        let Ok(part) = self.partition(partition) else {
            return true;
        };
        self.passes(&part, self.filter.part(key)).unwrap_or(true)
    }

    /// The row at a key: `None` if nothing is known of it here, `Some(None)` if it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, TableError> {
        if !self.spans(key) {
            return Ok(None);
        }
        let number = self.partitions.lower_bound(key);
        let partition = self.partition(number)?;
        if !self.passes(&partition, self.filter.part(key))? {
            return Ok(None);
        }
        let index = self.index(number, &partition)?;
        let block = index.lower_bound(key);
        if block == index.rows() {
            return Ok(None);
        }
        let data = self.data(number, &index, block)?;
        let row = data.lower_bound(key);
        if row == data.rows() || data.key(row) != key {
            return Ok(None);
        }
        Ok(Some(data.value(row)))
    }

    fn spans(&self, key: &[u8]) -> bool {
        let keys = &self.properties.keys;
        key >= keys.start().as_ref() && key <= keys.end().as_ref()
    }

    pub(super) fn partitions(&self) -> &Block {
        &self.partitions
    }

    pub(super) fn filter_kind(&self) -> FilterKind {
        self.filter
    }

    pub(super) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    pub(super) fn partition(&self, number: usize) -> Result<Partition, TableError> {
        if number >= self.partitions.rows() {
            return Err(self.damaged(0, &[], self.properties.keys.end()));
        }
        let value = self.partitions.value(number).unwrap_or_default();
        let Some(index) = Stretch::decode(&value) else {
            return Err(self.damaged_partition(number));
        };
        Ok(Partition {
            index,
            filter: value.slice(Stretch::BYTES..),
        })
    }

    /// Whether keys with this part may be in the partition.
    pub(super) fn passes(&self, partition: &Partition, part: &[u8]) -> Result<bool, TableError> {
        match self.filter {
            FilterKind::None => Ok(true),
            FilterKind::Prefix { .. } => Ok(Filter(partition.filter.clone()).may_hold(part)),
            FilterKind::Key { .. } => {
                let Some(place) = Stretch::decode(&partition.filter) else {
                    return Ok(true);
                };
                // Without its filter a table is slow and right.
                let filter = self.stored_filter(place)?;
                Ok(filter.is_none_or(|filter| filter.may_hold(part)))
            }
        }
    }

    /// What is wrong with the filter of a partition, if it stands in a place of its own.
    pub(super) fn filter_damage(&self, number: usize) -> Result<Option<Damage>, TableError> {
        let FilterKind::Key { .. } = self.filter else {
            return Ok(None);
        };
        let partition = self.partition(number)?;
        let place = Stretch::decode(&partition.filter).filter(|place| {
            let end = place.offset.checked_add(place.length);
            end.is_some_and(|end| end <= self.end_begins)
        });
        let damage = |offset| Damage {
            file: self.path.clone(),
            offset,
            after: Bytes::copy_from_slice(self.key_before(number)),
            upto: Bytes::copy_from_slice(self.partitions.key(number)),
        };
        let Some(place) = place else {
            return Ok(Some(damage(0)));
        };
        let stored = self.read(place)?;
        let filter = block::load(&stored, seed(self.id(), place.offset));
        Ok(filter.is_none().then(|| damage(place.offset)))
    }

    fn stored_filter(&self, place: Stretch) -> Result<Option<Filter>, TableError> {
        let at = (self.id(), place.offset);
        if let Some(Cached::Filter(filter)) = self.blocks.cache.get(&at) {
            return Ok(Some(filter));
        }
        let stored = self.read(place)?;
        let filter = block::load(&stored, seed(self.id(), place.offset));
        let Some(filter) = filter.map(|bytes| Filter(bytes.into())) else {
            // Once for the file: it is met again with every look for a key.
            if !self.filter_told.swap(true, Ordering::Relaxed) {
                warn!(file = %self.path.display(), offset = place.offset, "filter is damaged");
            }
            return Ok(None);
        };
        self.blocks.cache.insert(at, Cached::Filter(filter.clone()));
        Ok(Some(filter))
    }

    /// The index of a partition's blocks.
    pub(super) fn index(&self, number: usize, partition: &Partition) -> Result<Block, TableError> {
        self.block(partition.index)?
            .ok_or_else(|| self.damaged_partition(number))
    }

    /// A data block of the partition with this index.
    pub(super) fn data(
        &self,
        partition: usize,
        index: &Block,
        block: usize,
    ) -> Result<Block, TableError> {
        let place = self.data_place(partition, index, block)?;
        self.block(place)?
            .ok_or_else(|| self.damaged_block(partition, index, block, place.offset))
    }

    pub(super) fn data_place(
        &self,
        partition: usize,
        index: &Block,
        block: usize,
    ) -> Result<Stretch, TableError> {
        let value = index.value(block).unwrap_or_default();
        Stretch::decode(&value)
            .filter(|place| place.offset.saturating_add(place.length) <= self.length)
            .ok_or_else(|| self.damaged_block(partition, index, block, 0))
    }

    /// `None` if it is damaged.
    fn block(&self, place: Stretch) -> Result<Option<Block>, TableError> {
        let at = (self.id(), place.offset);
        if let Some(Cached::Block(block)) = self.blocks.cache.get(&at) {
            return Ok(Some(block));
        }
        if place.offset.saturating_add(place.length) > self.length {
            return Ok(None);
        }
        let stored = self.read(place)?;
        let block = block::load_block(&stored, seed(self.id(), place.offset));
        if let Some(block) = &block {
            self.blocks.cache.insert(at, Cached::Block(block.clone()));
        }
        Ok(block)
    }

    fn read(&self, place: Stretch) -> Result<Vec<u8>, TableError> {
        self.blocks
            .read(self, place)
            .map_err(|source| self.io_error(source))
    }

    pub(super) fn io_error(&self, source: io::Error) -> TableError {
        TableError::Io {
            file: self.path.clone(),
            source,
        }
    }

    pub(super) fn damaged_partition(&self, number: usize) -> TableError {
        self.damaged(0, self.key_before(number), self.partitions.key(number))
    }

    pub(super) fn damaged_block(
        &self,
        partition: usize,
        index: &Block,
        block: usize,
        offset: u64,
    ) -> TableError {
        let after = match block.checked_sub(1) {
            Some(before) => index.key(before),
            None => self.key_before(partition),
        };
        self.damaged(offset, after, index.key(block))
    }

    /// The last key of the partition in front.
    fn key_before(&self, partition: usize) -> &[u8] {
        partition
            .checked_sub(1)
            .map_or(&[], |before| self.partitions.key(before))
    }

    fn damaged(&self, offset: u64, after: &[u8], upto: &[u8]) -> TableError {
        TableError::Damaged(Damage {
            file: self.path.clone(),
            offset,
            after: Bytes::copy_from_slice(after),
            upto: Bytes::copy_from_slice(upto),
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.blocks.forget(self.id());
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = self.blocks.disk.remove(&self.path)
        {
            // The next start removes what the manifest does not name.
            warn!(%error, file = %self.path.display(), "table that is no longer needed stays");
        }
    }
}
