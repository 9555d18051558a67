//! Tables written and read again, whole and damaged.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::row::{Bounds, Row};

const CACHE_BYTES: u64 = 1 << 20;

fn spec(filter: FilterKind) -> TableSpec {
    TableSpec {
        family: 1,
        block_bytes: 512,
        filter,
    }
}

fn key(number: u64) -> Vec<u8> {
    [
        &[1][..],
        &(number / 100).to_be_bytes(),
        &number.to_be_bytes(),
    ]
    .concat()
}

/// Every third row is a deletion, some are long.
fn value(number: u64) -> Option<Vec<u8>> {
    let length = if number % 1000 == 1 {
        5000
    } else {
        number % 50
    };
    (!number.is_multiple_of(3)).then(|| vec![number as u8; length as usize])
}

fn rows(count: u64) -> Vec<Row> {
    let row = |number| Row {
        key: key(number).into(),
        value: value(number).map(Bytes::from),
    };
    (0..count).map(|number| row(2 * number)).collect()
}

fn write(disk: &SimulatedDisk, filter: FilterKind, rows: &[Row]) -> Arc<Table> {
    let id = TableId(7);
    let folder = Path::new("store");
    let path = folder.join(id.file_name());
    let mut writer = TableWriter::create(disk, &path, id, spec(filter)).unwrap();
    for row in rows {
        writer.add(&row.key, row.value.as_deref()).unwrap();
    }
    let (properties, length) = writer.finish(3..=9, TableId(2), 7).unwrap();
    let table = open(disk, filter).unwrap();
    assert_eq!(*table.properties(), properties);
    assert_eq!(table.length(), length);
    table
}

fn open(disk: &SimulatedDisk, filter: FilterKind) -> Result<Arc<Table>, TableError> {
    let blocks = Arc::new(Blocks::new(Arc::new(disk.clone()), CACHE_BYTES));
    Table::open(&blocks, Path::new("store"), TableId(7), spec(filter), 0).map(Arc::new)
}

fn walk(table: &Arc<Table>, from: &[u8], to: &[u8], reverse: bool) -> Vec<Row> {
    let bounds = Bounds {
        from: from.to_vec(),
        to: to.to_vec(),
        reverse,
    };
    let mut cursor = TableCursor::new(table.clone(), bounds);
    std::iter::from_fn(|| cursor.next().unwrap()).collect()
}

const KINDS: [FilterKind; 3] = [
    FilterKind::None,
    FilterKind::Key { bits: 10 },
    FilterKind::Prefix { bytes: 9 },
];

#[test]
fn what_is_written_is_read() {
    // More than a partition's blocks, and a single row.
    for count in [1, 40_000] {
        for filter in KINDS {
            let disk = SimulatedDisk::new();
            let rows = rows(count);
            let table = write(&disk, filter, &rows);
            for number in (0..2 * count).step_by(37) {
                let expected = (number % 2 == 0).then(|| value(number).map(Bytes::from));
                assert_eq!(table.get(&key(number)).unwrap(), expected, "{number}");
            }
            assert_eq!(table.get(&[0]).unwrap(), None);
            assert_eq!(table.get(&[2]).unwrap(), None);
            let mut scan = TableScan::new(table.clone(), Bounds::all());
            let scanned: Vec<Row> = std::iter::from_fn(|| scan.next().unwrap()).collect();
            assert_eq!(scanned, rows);
        }
    }
}

#[test]
fn stretches_are_walked_in_both_directions() {
    for filter in KINDS {
        let disk = SimulatedDisk::new();
        let rows = rows(40_000);
        let table = write(&disk, filter, &rows);
        for (from, to) in [
            (vec![], vec![0xff]),
            (key(100), key(200)),
            (key(101), key(101)),
            (key(1501), key(1503)),
            (key(79_990), vec![0xff]),
            (key(80_000), vec![0xff]),
            (vec![], key(0)),
            (vec![], key(1)),
            (key(12_000), key(56_789)),
        ] {
            let mut expected: Vec<Row> = rows
                .iter()
                .filter(|row| row.key[..] >= from[..] && row.key[..] < to[..])
                .cloned()
                .collect();
            assert_eq!(walk(&table, &from, &to, false), expected);
            expected.reverse();
            assert_eq!(walk(&table, &from, &to, true), expected);
        }
    }
}

#[test]
fn a_conversation_that_is_not_there_costs_no_read() {
    let disk = SimulatedDisk::new();
    let filter = FilterKind::Prefix { bytes: 9 };
    let mut sparse = rows(30_000);
    // Conversations 100, 103, 106 …: none in between.
    sparse.retain(|row| u64::from_be_bytes(row.key[1..9].try_into().unwrap()) % 3 == 0);
    let table = write(&disk, filter, &sparse);
    let before = table.blocks().reads();
    let mut read = 0;
    for conversation in (1..500_u64).filter(|number| number % 3 != 0) {
        let prefix = [&[1][..], &conversation.to_be_bytes()].concat();
        let range = records::KeyRange::prefix(prefix);
        assert_eq!(walk(&table, &range.from, &range.to, true), []);
        read += 1;
    }
    let reads = table.blocks().reads() - before;
    assert!(reads < read / 20, "{reads} reads for {read} conversations");
}

#[test]
fn what_a_cold_cursor_reads_first_is_announced() {
    let disk = SimulatedDisk::new();
    let table = write(&disk, KINDS[1], &rows(1000));
    let cursor = |first| {
        let (from, to) = (key(first), key(first + 2));
        let reverse = true;
        TableCursor::new(table.clone(), Bounds { from, to, reverse })
    };
    // How often it was announced what will be read, and how often it was read.
    let seen = || (disk.announced(), table.blocks().reads());
    let (announced, read) = seen();
    let mut cold = cursor(300);
    cold.fetch_index();
    assert_eq!(seen(), (announced + 1, read));
    cold.fetch_data();
    assert_eq!(seen(), (announced + 2, read + 1));
    assert!(cold.next().unwrap().is_some());
    assert_eq!(table.blocks().reads(), read + 2);
    // What is in the cache is announced to nobody, and neither is what is not there.
    let all = seen();
    cursor(300).fetch_index();
    cursor(300).fetch_data();
    cursor(1_000_000).fetch_index();
    cursor(1_000_000).fetch_data();
    assert_eq!(seen(), all);
}

#[test]
fn a_damaged_block_costs_its_own_rows_and_names_them() {
    let filter = FilterKind::Key { bits: 10 };
    let whole = rows(5000);
    let disk = SimulatedDisk::new();
    let length = write(&disk, filter, &whole).length();
    let path = Path::new("store").join(TableId(7).file_name());
    let mut lost_in_all = 0;
    for at in (0..length).step_by(997) {
        disk.spoil(&path, |bytes| bytes[at as usize] ^= 1);
        // Damage at the end, where the table says what it is, and there is no table.
        if let Ok(table) = open(&disk, filter) {
            let bounds = Bounds {
                from: vec![],
                to: vec![0xff],
                reverse: at % 2 == 0,
            };
            let mut cursor = TableCursor::new(table.clone(), bounds);
            let (mut found, mut damages) = (Vec::new(), Vec::new());
            loop {
                match cursor.next() {
                    Ok(Some(row)) => found.push(row),
                    Ok(None) => break,
                    Err(TableError::Damaged(damage)) => damages.push(damage),
                    Err(error) => panic!("{error}"),
                }
            }
            let named = |row: &Row| {
                damages
                    .iter()
                    .any(|damage| row.key > damage.after && row.key <= damage.upto)
            };
            let mut expected: Vec<Row> = whole.iter().filter(|row| !named(row)).cloned().collect();
            if at % 2 == 0 {
                expected.reverse();
            }
            assert_eq!(found, expected, "byte {at}");
            lost_in_all += whole.len() - found.len();
            let mut scan = TableScan::new(table.clone(), Bounds::all());
            let mut scanned = 0;
            loop {
                match scan.next() {
                    Ok(Some(_)) => scanned += 1,
                    Ok(None) => break,
                    Err(TableError::Damaged(damage)) => assert!(damages.contains(&damage)),
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(scanned, found.len());
            if let Some(damage) = damages.first() {
                assert!(table.get(&damage.upto).is_err(), "byte {at}");
            }
        }
        disk.spoil(&path, |bytes| bytes[at as usize] ^= 1);
    }
    assert!(lost_in_all > 0, "no damage was in a data block");
}

#[test]
fn a_retired_table_goes_with_its_last_reader() {
    let disk = SimulatedDisk::new();
    let table = write(&disk, FilterKind::None, &rows(10));
    let reader = table.clone();
    table.retire();
    drop(table);
    assert_eq!(
        reader.get(&key(2)).unwrap(),
        Some(value(2).map(Bytes::from))
    );
    drop(reader);
    assert!(disk.bytes() == 0);
}

#[test]
fn what_is_buried_in_a_merged_table_is_buried_in_what_it_has_become() {
    let filter = FilterKind::None;
    let (disk, other) = (SimulatedDisk::new(), SimulatedDisk::new());
    let (old, heir) = (
        write(&disk, filter, &rows(1000)),
        write(&other, filter, &rows(1000)),
    );
    let average = old.average_row_bytes();
    old.bury_bytes(10 * average);
    assert_eq!(old.leave_to(&heir), 10 * average);
    // A flush that began before the merge ended still knows the old one.
    old.bury_bytes(5 * average);
    assert_eq!((old.dead(), heir.dead()), (10 * average, 5 * average));
    old.leave_to_nobody();
    old.bury_bytes(average);
    assert_eq!((old.dead(), heir.dead()), (11 * average, 5 * average));
}
