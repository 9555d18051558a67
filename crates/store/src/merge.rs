//! Rows of several memtables and tables as one sequence: of each key the newest row.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::memtable::{Memtable, Snapshot};
use crate::row::{Bounds, Row};
use crate::table::{Table, TableCursor, TableError, TableScan};

/// What is copied out of a memtable at first; twice as much each time after, up to the second.
const COPY_BYTES: usize = 4 * 1024;
const COPY_BYTES_MAX: usize = 256 * 1024;

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
}

impl Merge {
    pub(crate) fn new(reverse: bool) -> Self {
        Self {
            reverse,
            heads: Vec::new(),
            order: Vec::new(),
            behind: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Adds a memtable, which is older than all that were added before.
    pub(crate) fn add_memtable(
        &mut self,
        table: Arc<Memtable>,
        snapshot: Snapshot,
        bounds: Bounds,
    ) {
        let cursor = MemoryCursor {
            table,
            snapshot,
            bounds,
            copied: VecDeque::new(),
            copy_bytes: COPY_BYTES,
            more: true,
        };
        self.behind.push(self.heads.len());
        self.push(Source::Memory(cursor));
    }

    /// Adds a stretch of a table, which is older than all that were added before. `false` if the table has none of it.
    pub(crate) fn add_table(&mut self, table: &Arc<Table>, bounds: Bounds) -> bool {
        if !table.overlaps(&bounds.from, &bounds.to) {
            return false;
        }
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
        self.push(Source::Cursor(TableCursor::new(table.clone(), bounds)));
        true
    }

    /// Adds a whole table, to be read past the cache; it is older than all that were added before.
    pub(crate) fn add_scan(&mut self, table: Arc<Table>) {
        self.behind.push(self.heads.len());
        self.push(Source::Scan(TableScan::new(table)));
    }

    fn push(&mut self, source: Source) {
        self.heads.push(Head { source, row: None });
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
                match self.heads[number].source.next() {
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
            self.fetch(&self.behind[begun..]);
        }
    }

    /// Has the disk look for the first rows of all these at once.
    fn fetch(&self, heads: &[usize]) {
        if heads.len() < 2 {
            return;
        }
        let cursors = || {
            heads
                .iter()
                .filter_map(|number| match &self.heads[*number].source {
                    Source::Cursor(cursor) => Some(cursor),
                    Source::Memory(_) | Source::Scan(_) => None,
                })
        };
        cursors().for_each(TableCursor::fetch_index);
        cursors().for_each(TableCursor::fetch_data);
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
