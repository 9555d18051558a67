//! Rows of several memtables and tables as one sequence: of each key the newest row.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::memtable::{Memtable, Snapshot};
use crate::range_deletions::{Hiding, RangeDeletions, Visible};
use crate::row::{Bounds, Row};
use crate::table::{Table, TableCursor, TableError, TableScan};

/// What is copied out of a memtable at first; twice as much each time after, up to the second.
const COPY_BYTES: usize = 4 * 1024;
const COPY_BYTES_MAX: usize = 256 * 1024;

/// Tables whose indexes the disk is asked for before they are needed …
const INDEXES_AHEAD_MAX: usize = 8;

/// … and of them, those whose first rows it is asked for: once the first tables had too few rows.
const ROWS_AHEAD: usize = 4;

/// Something that gives rows in order.
#[derive(Debug)]
enum Source {
    Memory(MemoryCursor),
    Cursor(TableCursor),
    Scan(TableScan),
}

impl Source {
    fn next(&mut self) -> Result<Option<Row>, TableError> {
        match self {
            Self::Memory(cursor) => Ok(cursor.next()),
            Self::Cursor(cursor) => cursor.next(),
            Self::Scan(scan) => scan.next(),
        }
    }

    /// Goes on with another stretch, which lies behind the one that it has come to the end of.
    fn go_on(&mut self, bounds: Bounds) {
        match self {
            Self::Memory(cursor) => cursor.go_on(bounds),
            Self::Cursor(cursor) => *cursor = TableCursor::new(cursor.table().clone(), bounds),
            Self::Scan(scan) => scan.go_on(bounds),
        }
    }
}

/// A place in a memtable, which goes on being written: rows are copied out in stretches.
#[derive(Debug)]
struct MemoryCursor {
    table: Arc<Memtable>,
    snapshot: Snapshot,
    bounds: Bounds,
    copied: VecDeque<Row>,
    copy_bytes: usize,
    more: bool,
}

impl MemoryCursor {
    fn new(table: Arc<Memtable>, snapshot: Snapshot, bounds: Bounds) -> Self {
        Self {
            table,
            snapshot,
            bounds,
            copied: VecDeque::new(),
            copy_bytes: COPY_BYTES,
            more: true,
        }
    }

    fn go_on(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.more = true;
    }

    fn next(&mut self) -> Option<Row> {
        if self.copied.is_empty() && self.more {
            self.more = self.table.scan(
                &self.bounds,
                self.snapshot,
                self.copy_bytes,
                &mut self.copied,
            );
            self.copy_bytes = (self.copy_bytes * 2).min(COPY_BYTES_MAX);
            if let Some(last) = self.copied.back() {
                self.bounds.beyond(&last.key);
            }
        }
        self.copied.pop_front()
    }
}

/// A source with the row that it stands at.
#[derive(Debug)]
struct Head {
    source: Source,
    row: Option<Row>,
    /// What is to be read behind the stretch that the source stands in.
    rest: Option<Visible>,
}

impl Head {
    fn next(&mut self) -> Result<Option<Row>, TableError> {
        loop {
            if let Some(row) = self.source.next()? {
                return Ok(Some(row));
            }
            let Some(bounds) = self.rest.as_mut().and_then(Visible::next) else {
                return Ok(None);
            };
            self.source.go_on(bounds);
        }
    }
}

/// The merge. Sources are added newest first.
#[derive(Debug)]
pub(crate) struct Merge {
    reverse: bool,
    heads: Vec<Head>,
    /// Heads that stand at a row, the next one last.
    order: Vec<usize>,
    /// Heads that have to go on to their next row.
    behind: Vec<usize>,
    /// Heads that are not begun, and a key that none of their rows comes before; the nearest last. A table far behind is not
    /// read for a page that ends before it.
    waiting: Vec<(Bytes, usize)>,
    /// Of so many of these the disk is asked for the indexes ahead of time: more the more of them were read.
    ahead: usize,
    /// Of so many of the nearest it has been asked for the index.
    asked_indexes: usize,
    /// Of so many of the nearest it has been asked for the first rows.
    asked_rows: usize,
}

impl Merge {
    pub(crate) fn new(reverse: bool) -> Self {
        Self {
            reverse,
            heads: Vec::new(),
            order: Vec::new(),
            behind: Vec::new(),
            waiting: Vec::new(),
            ahead: 0,
            asked_indexes: 0,
            asked_rows: 0,
        }
    }

    /// Adds a memtable, which is older than all that were added before. `false` if nothing of it is left.
    pub(crate) fn add_memtable(
        &mut self,
        table: Arc<Memtable>,
        snapshot: Snapshot,
        bounds: &Bounds,
        hiding: Vec<Hiding>,
    ) -> bool {
        let Some((bounds, rest)) = visible(bounds, hiding) else {
            return false;
        };
        let cursor = MemoryCursor::new(table, snapshot, bounds);
        self.behind.push(self.heads.len());
        self.push(Source::Memory(cursor), rest);
        true
    }

    /// Adds a stretch of a table, which is older than all that were added before. `false` if the table has none of it.
    pub(crate) fn add_table(
        &mut self,
        table: &Arc<Table>,
        bounds: &Bounds,
        hiding: Vec<Hiding>,
    ) -> bool {
        let narrowed = table.narrow(bounds);
        let Some((bounds, rest)) = narrowed.and_then(|bounds| visible(&bounds, hiding)) else {
            return false;
        };
        let keys = &table.properties().keys;
        // Tables that reach beyond the bounds' edge are all as near as it.
        let nearest = if bounds.reverse {
            keys.end().as_ref().min(&bounds.to)
        } else {
            keys.start().as_ref().max(&bounds.from)
        };
        let nearest = Bytes::copy_from_slice(nearest);
        let number = self.heads.len();
        let at = self
            .waiting
            .partition_point(|(other, _)| self.compare(other, &nearest) == Ordering::Greater);
        self.waiting.insert(at, (nearest, number));
        self.push(
            Source::Cursor(TableCursor::new(table.clone(), bounds)),
            rest,
        );
        true
    }

    /// Adds what is left of a whole table, to be read past the cache; it is older than all that were added before.
    pub(crate) fn add_scan(&mut self, table: Arc<Table>, hiding: Hiding) {
        let mut rest = Visible::new(Bounds::all(), vec![hiding]);
        // Nothing is read for a table of which nothing is left.
        let bounds = rest.next().unwrap_or_else(Bounds::none);
        self.behind.push(self.heads.len());
        self.push(Source::Scan(TableScan::new(table, bounds)), Some(rest));
    }

    /// What more is hidden of the tables that are read past the cache, behind the key that `next` has come to.
    pub(crate) fn hide_more(&mut self, key: &[u8], hiding: impl Fn(&Table) -> Hiding) {
        for head in &mut self.heads {
            let Source::Scan(scan) = &mut head.source else {
                continue;
            };
            let behind = head.row.as_ref().map_or(key, |row| row.key.as_ref());
            let mut bounds = Bounds::all();
            bounds.beyond(behind);
            let mut rest = Visible::new(bounds, vec![hiding(scan.table())]);
            scan.go_on(rest.next().unwrap_or_else(Bounds::none));
            head.rest = Some(rest);
        }
    }

    fn push(&mut self, source: Source, rest: Option<Visible>) {
        self.heads.push(Head {
            source,
            row: None,
            rest,
        });
    }

    /// The next key's newest row, and which source it is of, by the order in which they were added. After a damaged stretch it
    /// goes on behind it.
    pub(crate) fn next(&mut self) -> Result<Option<(Row, usize)>, TableError> {
        self.advance()?;
        let Some(number) = self.order.pop() else {
            return Ok(None);
        };
        let row = self.heads[number].row.take().expect("it stands at a row");
        self.behind.push(number);
        // The others that stand at this key have older rows.
        while let Some(other) = self.order.last()
            && *self.key(*other) == row.key
        {
            self.behind.extend(self.order.pop());
        }
        Ok(Some((row, number)))
    }

    /// Brings every source that may have the next row to its next row.
    fn advance(&mut self) -> Result<(), TableError> {
        loop {
            while let Some(number) = self.behind.pop() {
                match self.heads[number].next() {
                    Ok(None) => {}
                    Ok(Some(row)) => {
                        self.heads[number].row = Some(row);
                        let at = self.order.partition_point(|other| {
                            self.compare_heads(*other, number) == Ordering::Greater
                        });
                        self.order.insert(at, number);
                    }
                    Err(error) => {
                        self.behind.push(number);
                        return Err(error);
                    }
                }
            }
            let Some((nearest, _)) = self.waiting.last() else {
                return Ok(());
            };
            if let Some(first) = self.order.last()
                && self.compare(nearest, self.key(*first)) == Ordering::Greater
            {
                return Ok(());
            }
            let nearest = nearest.clone();
            let first = self.waiting.partition_point(|(other, _)| *other != nearest);
            let begun = self.behind.len();
            self.behind
                .extend(self.waiting.drain(first..).map(|(_, number)| number));
            let begun = self.behind[begun..].to_vec();
            self.fetch(&begun);
        }
    }

    /// Has the disk look for the first rows of all these at once, and ahead of time for what is likely to be needed next: the
    /// indexes of the nearest tables, and the first rows of those whose indexes were asked for before.
    fn fetch(&mut self, heads: &[usize]) {
        let cursor = |number: usize| match &self.heads[number].source {
            Source::Cursor(cursor) => Some(cursor),
            Source::Memory(_) | Source::Scan(_) => None,
        };
        let begun = || heads.iter().filter_map(|number| cursor(*number));
        let next = |asked: usize, ahead: usize| {
            let nearest = self.waiting.iter().rev().take(ahead).skip(asked);
            nearest.filter_map(|(_, number)| cursor(*number))
        };
        let asked_indexes = self.asked_indexes.saturating_sub(heads.len());
        let asked_rows = self.asked_rows.saturating_sub(heads.len());
        let rows = if self.ahead > 1 { ROWS_AHEAD } else { 0 };
        let rows = rows.min(asked_indexes);
        if heads.len() > 1 {
            begun().for_each(TableCursor::fetch_index);
        }
        next(asked_indexes, self.ahead).for_each(TableCursor::fetch_index);
        if heads.len() > 1 {
            begun().for_each(TableCursor::fetch_data);
        }
        next(asked_rows, rows).for_each(TableCursor::fetch_data);
        self.asked_indexes = asked_indexes.max(self.ahead);
        self.asked_rows = asked_rows.max(rows);
        self.ahead = (2 * self.ahead + 1).min(INDEXES_AHEAD_MAX);
    }

    fn key(&self, number: usize) -> &Bytes {
        let row = self.heads[number].row.as_ref();
        &row.expect("it stands at a row").key
    }

    fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.reverse {
            right.cmp(left)
        } else {
            left.cmp(right)
        }
    }

    /// By key, and where keys are equal the newest first.
    fn compare_heads(&self, left: usize, right: usize) -> Ordering {
        self.compare(self.key(left), self.key(right))
            .then(left.cmp(&right))
    }
}

/// The range deletions of a family that hide rows of a table.
pub(crate) fn hiding_of(deletions: &Arc<RangeDeletions>, table: &Table) -> Hiding {
    Hiding::new(deletions.clone(), table.properties().flush)
}

/// The first stretch of the bounds that nothing hides, and what comes behind it; `None` if there is none.
fn visible(bounds: &Bounds, mut hiding: Vec<Hiding>) -> Option<(Bounds, Option<Visible>)> {
    hiding.retain(|one| one.reaches(bounds));
    if hiding.is_empty() {
        return Some((bounds.clone(), None));
    }
    let mut rest = Visible::new(bounds.clone(), hiding);
    let first = rest.next()?;
    Some((first, Some(rest)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::simulated::SimulatedDisk;
    use crate::table::{Blocks, FilterKind, TableId, TableSpec, TableWriter};

    const SPEC: TableSpec = TableSpec {
        family: 1,
        block_bytes: 64,
        filter: FilterKind::None,
    };

    fn key(number: u64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    /// A table of a flush with every so manieth number.
    fn table(disk: &SimulatedDisk, id: u64, flush: u64, step: usize) -> Arc<Table> {
        let (folder, id) = (Path::new("store"), TableId(id));
        let path = folder.join(id.file_name());
        let mut writer = TableWriter::create(disk, &path, id, SPEC).unwrap();
        for number in (0..3_000).step_by(step) {
            writer
                .add(&key(number), Some(&flush.to_be_bytes()))
                .unwrap();
        }
        writer.finish(1..=1, TableId(1), flush).unwrap();
        let blocks = Arc::new(Blocks::new(Arc::new(disk.clone()), 1 << 20));
        Arc::new(Table::open(&blocks, folder, id, SPEC, 0).unwrap())
    }

    #[test]
    fn what_is_deleted_while_a_merge_goes_on_is_passed_over_from_there() {
        let mut rng = fastrand::Rng::with_seed(5);
        let disk = SimulatedDisk::new();
        let tables = [table(&disk, 1, 9, 3), table(&disk, 2, 4, 2)];
        for _ in 0..100 {
            let mut hidden = RangeDeletions::default();
            let none = Arc::new(RangeDeletions::default());
            let mut merge = Merge::new(false);
            for table in &tables {
                merge.add_scan(table.clone(), Hiding::all(none.clone()));
            }
            let (mut taken, mut expected) = (Vec::new(), Vec::new());
            let (mut next, mut times) = (0, 0);
            while let Some((row, _)) = merge.next().unwrap() {
                let number = u64::from_be_bytes(row.key.as_ref().try_into().unwrap());
                // What lies between was hidden when the merge came by, or is in no table.
                for passed in next..=number {
                    let by = hidden.find(&key(passed)).map_or(0, |one| one.flush);
                    let visible = (passed.is_multiple_of(3) && by <= 9)
                        || (passed.is_multiple_of(2) && by <= 4);
                    expected.extend(visible.then_some(passed));
                }
                next = number + 1;
                taken.push(number);
                if rng.u8(..60) == 0 {
                    times += 1;
                    let from = number + 7 + rng.u64(..200);
                    let to = from + rng.u64(..600);
                    let flush = hidden.iter().map(|one| one.flush).max().unwrap_or(4);
                    hidden.insert(&key(from), &key(to), flush + rng.u64(..4));
                    let newer = Arc::new(hidden.clone());
                    merge.hide_more(&row.key, |table| hiding_of(&newer, table));
                }
            }
            for passed in next..3_000 {
                let by = hidden.find(&key(passed)).map_or(0, |one| one.flush);
                let visible =
                    (passed.is_multiple_of(3) && by <= 9) || (passed.is_multiple_of(2) && by <= 4);
                expected.extend(visible.then_some(passed));
            }
            let lost: Vec<_> = expected.iter().filter(|one| !taken.contains(one)).collect();
            assert_eq!(lost, Vec::<&u64>::new());
            // A row of each table stood there already each time.
            let read_before = taken.len() - expected.len();
            assert!(read_before <= 2 * times, "{read_before} in {times} times");
            assert!(taken.is_sorted_by(|one, other| one < other));
        }
    }
}
