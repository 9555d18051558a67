//! The list of what belongs to the store: its tables, and from which journal file on there is something in no table.
//! Written as a whole, in a file that is replaced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::family::{FAMILIES, Family};
use crate::disk::{self, Disk};
use crate::error::StoreError;
use crate::journal::{JournalId, NUMBERS_END};
use crate::range_deletions::{RangeDeletion, RangeDeletions};
use crate::table::{Table, TableId};

const FILE: &str = "manifest";

/// Grows with the format of any file of the store.
const VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"MGPSTORE";

/// What the store consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The number that the next table gets.
    pub(super) next_table: TableId,
    /// The oldest journal file that is needed.
    pub(super) journal: JournalId,
    /// Everything up to this commit is in tables.
    pub(super) in_tables: u64,
    pub(super) families: [ListedFamily; FAMILIES],
}

/// A family's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedFamily {
    /// Its rows up to this commit are in tables.
    pub(super) flushed: u64,
    /// How many flushes have brought them there.
    pub(super) flushes: u64,
    /// Newest first.
    pub(super) tables: Vec<ListedTable>,
    /// What is deleted in them.
    pub(super) range_deletions: Arc<RangeDeletions>,
}

/// A table, and what its file does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListedTable {
    pub(super) id: TableId,
    /// Bytes of its rows that are thought to be overwritten or deleted.
    pub(super) dead: u64,
}

impl ListedTable {
    pub(super) fn of(table: &Table) -> Self {
        Self {
            id: table.id(),
            dead: table.dead(),
        }
    }
}

impl Manifest {
    /// Of a store that is being made.
    pub(super) fn new() -> Self {
        Self {
            next_table: TableId(1),
            journal: JournalId(1),
            in_tables: 0,
            families: Default::default(),
        }
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// `None` if there is none.
    pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, StoreError> {
        let file = Self::path(folder);
        let bytes = match disk.open(&file).and_then(|file| file.read_to_end()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::io(&file, source)),
        };
        Self::decode(&bytes)
            .map(Some)
            .ok_or(StoreError::DamagedManifest { file })
    }

    /// Makes it the store's, durably.
    pub(super) fn write(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        disk::replace(disk, &Self::path(folder), &self.encode())
    }

    /// Whether the table belongs to the store.
    pub(super) fn names(&self, id: TableId) -> bool {
        let mut tables = self.families.iter().flat_map(|family| &family.tables);
        tables.any(|table| table.id == id)
    }

    /// The last commit that any table holds rows of.
    pub(super) fn last_in_tables(&self) -> u64 {
        let families = self.families.iter();
        families.map(|family| family.flushed).max().unwrap_or(0)
    }

    /// Commits behind this one are lost but for rows in tables; their numbers are given again.
    pub(super) fn go_back_to(&mut self, commit: u64) {
        for family in &mut self.families {
            family.flushed = family.flushed.min(commit);
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let mut put = |number: u64| out.extend_from_slice(&number.to_le_bytes());
        put(self.next_table.0);
        put(self.journal.0);
        put(self.in_tables);
        for family in &self.families {
            put(family.flushed);
            put(family.flushes);
            put(family.tables.len() as u64);
            for table in &family.tables {
                put(table.id.0);
                put(table.dead);
            }
            put(family.range_deletions.len() as u64);
            for one in family.range_deletions.iter() {
                put(one.flush);
                put(one.from.len() as u64);
                put(one.to.len() as u64);
            }
        }
        for family in &self.families {
            for one in family.range_deletions.iter() {
                out.extend_from_slice(&one.from);
                out.extend_from_slice(&one.to);
            }
        }
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, checksum) = bytes.split_last_chunk::<8>()?;
        let rest = checked.strip_prefix(MAGIC)?;
        let rest = rest.strip_prefix(&VERSION.to_le_bytes())?;
        (xxh3_64(checked).to_le_bytes() == *checksum).then_some(())?;
        let mut rest = rest;
        let mut next = || {
            let (number, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u64::from_le_bytes(*number)).filter(|number| *number < NUMBERS_END)
        };
        let mut manifest = Self {
            next_table: TableId(next()?),
            journal: JournalId(next()?),
            in_tables: next()?,
            families: Default::default(),
        };
        let mut stretches: [Vec<[u64; 3]>; FAMILIES] = Default::default();
        for (family, stretches) in manifest.families.iter_mut().zip(&mut stretches) {
            family.flushed = next()?;
            family.flushes = next()?;
            for _ in 0..next()? {
                family.tables.push(ListedTable {
                    id: TableId(next()?),
                    dead: next()?,
                });
            }
            for _ in 0..next()? {
                stretches.push([next()?, next()?, next()?]);
            }
        }
        let mut key = |length: u64| {
            let (key, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = behind;
            Some(Bytes::copy_from_slice(key))
        };
        for (family, stretches) in manifest.families.iter_mut().zip(stretches) {
            let mut deletions = Vec::with_capacity(stretches.len());
            for [flush, from, to] in stretches {
                // Later ones would not be told from it.
                (1..=family.flushes).contains(&flush).then_some(())?;
                deletions.push(RangeDeletion {
                    from: key(from)?,
                    to: key(to)?,
                    flush,
                });
            }
            family.range_deletions = Arc::new(RangeDeletions::of(deletions)?);
        }
        // A number is given once.
        let tables = manifest.families.iter().flat_map(|family| &family.tables);
        let mut ids: Vec<TableId> = tables.map(|table| table.id).collect();
        ids.sort();
        let each_once = ids.windows(2).all(|pair| pair[0] < pair[1]);
        let behind_all = ids.last().is_none_or(|last| *last < manifest.next_table);
        (rest.is_empty() && each_once && behind_all).then_some(manifest)
    }
}

/// Names of the families in `Family::ALL`'s order stand for the manifest's.
const _: () = assert!(Family::ALL.len() == FAMILIES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::SimulatedDisk;

    fn sample() -> Manifest {
        let mut manifest = Manifest::new();
        manifest.next_table = TableId(77);
        manifest.in_tables = 8;
        manifest.families[2].flushed = 9;
        for (from, to, flush) in [(b"ab", b"ac", 3), (b"ac", b"xx", 4), (b"xy", b"xz", 1)] {
            let family = &mut manifest.families[flush as usize % 3];
            family.flushes = 4;
            let deletions = &mut family.range_deletions;
            Arc::make_mut(deletions).insert(from, to, flush);
        }
        for id in [5, 3] {
            manifest.families[2].tables.push(ListedTable {
                id: TableId(id),
                dead: id * 100,
            });
        }
        manifest
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let disk = SimulatedDisk::new();
        let folder = Path::new("store");
        assert_eq!(Manifest::read(&disk, folder).unwrap(), None);
        sample().write(&disk, folder).unwrap();
        assert_eq!(Manifest::read(&disk, folder).unwrap(), Some(sample()));
    }

    #[test]
    fn a_damaged_one_is_refused() {
        let whole = sample().encode();
        for bit in 0..whole.len() * 8 {
            let mut spoiled = whole.clone();
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&spoiled), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(Manifest::decode(&whole[..length]), None, "{length} bytes");
        }
    }
}
