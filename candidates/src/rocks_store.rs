//! RocksDB: a column family for each family of tables, everything bounded that can be.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use records::{KeyRange, Table, Write};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DB,
    DBCompactionStyle, DBCompressionType, Options, ReadOptions, SliceTransform,
    UniversalCompactOptions, WriteBatch, WriteBufferManager, WriteOptions,
};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::CACHE_BYTES;
use crate::family::{self, Family};

const MIB: usize = 1024 * 1024;
/// All memtables together; who writes faster than they are flushed waits.
const MEMTABLES_BYTES: usize = 64 * MIB;
const WAL_BYTES_MAX: u64 = 128 * MIB as u64;
const OPEN_FILES_MAX: i32 = 64;
/// A key of the entry family begins with its table and conversation.
const CONVERSATION_BYTES: usize = 9;
/// After so many deletions at the queue's front, files that hold nothing else are unlinked.
const UNLINK_EVERY: u64 = 50_000;

pub(crate) struct Rocks {
    database: DB,
    sync: WriteOptions,
    writer: Mutex<()>,
    queue_deletions: AtomicU64,
}

impl Rocks {
    pub(crate) fn open(folder: &Path, background_bytes_per_second: Option<i64>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let cache = Cache::new_lru_cache(CACHE_BYTES as usize);
        let memtables = WriteBufferManager::new_write_buffer_manager(MEMTABLES_BYTES, true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&memtables);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_background_jobs(2);
        options.set_max_subcompactions(1);
        options.set_bytes_per_sync(MIB as u64);
        options.set_recycle_log_file_num(2);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(MIB);
        options.set_compaction_readahead_size(MIB);
        if let Some(bytes) = background_bytes_per_second {
            options.set_auto_tuned_ratelimiter(bytes, 50_000, 10);
        }
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), tuned(&options, family, &cache))
        });
        let database = DB::open_cf_descriptors(&options, folder, families)?;
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        Ok(Self {
            database,
            sync,
            writer: Mutex::new(()),
            queue_deletions: AtomicU64::new(0),
        })
    }

    fn family(&self, family: Family) -> Arc<BoundColumnFamily<'_>> {
        self.database
            .cf_handle(family.name())
            .expect("made when opened")
    }

    fn select<T>(
        &self,
        range: &Range,
        take: impl Fn(&[u8], &[u8]) -> (T, usize),
    ) -> Result<Vec<T>, rocksdb::Error> {
        let snapshot = self.database.snapshot();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for segment in family::segments(range) {
            let mut options = ReadOptions::default();
            let one_conversation = segment.from.len() >= CONVERSATION_BYTES
                && segment.to.len() >= CONVERSATION_BYTES
                && segment.from[..CONVERSATION_BYTES] == segment.to[..CONVERSATION_BYTES];
            options.set_total_order_seek(!one_conversation);
            options.set_iterate_lower_bound(segment.from.clone());
            options.set_iterate_upper_bound(segment.to.clone());
            let mut found = snapshot.raw_iterator_cf_opt(&self.family(segment.family), options);
            if range.reverse {
                found.seek_to_last();
            } else {
                found.seek_to_first();
            }
            while taken.len() < range.limit {
                let Some((key, value)) = found.item() else {
                    break;
                };
                let (one, size) = take(key, value);
                taken.push(one);
                bytes += size;
                if bytes > range.bytes_max {
                    return Ok(taken);
                }
                if range.reverse {
                    found.prev();
                } else {
                    found.next();
                }
            }
            found.status()?;
        }
        Ok(taken)
    }

    /// Files that lie in front of the first message that waits.
    fn unlink_front_of_queue(&self) -> Result<(), rocksdb::Error> {
        let queue = Table::Queue.range();
        let first = self.select(&Range::forward(queue.clone(), 1), |key, _| {
            (key.to_vec(), 0)
        })?;
        let to = first.into_iter().next().unwrap_or(queue.to);
        let family = self.family(Family::Queue);
        self.database
            .delete_file_in_range_cf(&family, queue.from, to)
    }

    fn write(&self, writes: &[Write]) -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        let families = Family::ALL.map(|family| self.family(family));
        let mut queue_deletions = 0;
        for write in writes {
            let family = Family::of(write.key());
            match write {
                Write::Put { key, value } => {
                    batch.put_cf(&families[family as usize], key, value);
                }
                Write::Delete { key } => {
                    batch.delete_cf(&families[family as usize], key);
                    queue_deletions += u64::from(family == Family::Queue);
                }
            }
        }
        self.database.write_opt(batch, &self.sync)?;
        let before = self
            .queue_deletions
            .fetch_add(queue_deletions, Ordering::Relaxed);
        if before / UNLINK_EVERY != (before + queue_deletions) / UNLINK_EVERY {
            self.unlink_front_of_queue()?;
        }
        Ok(())
    }

    fn drop_range(&self, range: &Range) -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        for segment in family::segments(range) {
            let family = self.family(segment.family);
            self.database
                .delete_file_in_range_cf(&family, &segment.from, &segment.to)?;
            batch.delete_range_cf(&family, segment.from, segment.to);
        }
        self.database.write_opt(batch, &self.sync)
    }
}

impl Store for Rocks {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let found = self
            .database
            .get_cf(&self.family(Family::of(key)), key)
            .map_err(read_error)?;
        Ok(found.map(Bytes::from))
    }

    fn range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        self.select(range, |key, value| {
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            (row, value.len())
        })
        .map_err(read_error)
    }

    fn keys(&self, range: &Range) -> Result<Vec<Bytes>, ReadError> {
        self.select(range, |key, _| (Bytes::copy_from_slice(key), 0))
            .map_err(read_error)
    }

    fn takes_range(&self, _: &KeyRange) -> bool {
        false
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        family::check(self, &batch)?;
        self.write(&batch.writes)
            .map_err(|error| CommitError::Write(Arc::new(error)))
    }

    /// Whole files are unlinked, the rest is one tombstone.
    fn delete_range(&self, range: &KeyRange) -> Result<(), CommitError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_range(&Range::forward(range.clone(), 0))
            .map_err(|error| CommitError::Write(Arc::new(error)))
    }
}

fn tuned(database: &Options, family: Family, cache: &Cache) -> Options {
    let mut options = database.clone();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_block_size(16 * 1024);
    blocks.set_format_version(5);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_write_buffer_number(4);
    let universal = |options: &mut Options| {
        let mut universal = UniversalCompactOptions::default();
        universal.set_max_size_amplification_percent(30);
        options.set_compaction_style(DBCompactionStyle::Universal);
        options.set_universal_compaction_options(&universal);
    };
    match family {
        Family::State => {
            options.set_write_buffer_size(4 * MIB);
            options.set_target_file_size_base(16 * MIB as u64);
            options.set_level_compaction_dynamic_level_bytes(true);
            blocks.set_bloom_filter(10.0, false);
        }
        Family::Entry => {
            options.set_write_buffer_size(16 * MIB);
            options.set_target_file_size_base(256 * MIB as u64);
            universal(&mut options);
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(CONVERSATION_BYTES));
            blocks.set_bloom_filter(10.0, false);
            blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            blocks.set_partition_filters(true);
        }
        Family::Dedup => {
            options.set_write_buffer_size(8 * MIB);
            options.set_target_file_size_base(128 * MIB as u64);
            universal(&mut options);
            blocks.set_bloom_filter(15.0, false);
            blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            blocks.set_partition_filters(true);
        }
        Family::Queue => {
            options.set_write_buffer_size(8 * MIB);
            options.set_target_file_size_base(64 * MIB as u64);
            universal(&mut options);
        }
    }
    options.add_compact_on_deletion_collector_factory(10_000, 5_000, 0.5);
    options.set_block_based_table_factory(&blocks);
    options
}

fn read_error(error: rocksdb::Error) -> ReadError {
    ReadError(Arc::new(error))
}
