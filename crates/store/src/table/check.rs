//! Reads all of a table and says what of it is not as it was written.

use std::sync::Arc;

use super::reader::Table;
use super::scan::TableScan;
use super::suffixes::SuffixesBuilder;
use super::{Damage, TableError};
use crate::row::Bounds;

/// Something that is wrong with a table.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A block is not what was written, or cannot be read.
    Block(TableError),
    /// A filter is not what was written. It costs no rows: reads become slower.
    Filter(Damage),
    /// Every block is as it was written, and yet the table is not in order.
    Order(String),
}

/// Reads every block and filter. `took` hears of each row's key and how many bytes the row has.
pub(crate) fn check(
    table: &Arc<Table>,
    mut took: impl FnMut(&[u8], u64),
    mut found: impl FnMut(Fault),
) {
    let mut scan = TableScan::new(table.clone(), Bounds::all());
    let mut last = Vec::new();
    let mut suffixes = SuffixesBuilder::new(table.filter_kind());
    let (mut rows, mut whole) = (0, true);
    loop {
        match scan.next() {
            Ok(None) => break,
            Ok(Some(row)) => {
                if rows > 0 && row.key.as_ref() <= last.as_slice() {
                    let key = records::describe(&row.key);
                    found(Fault::Order(format!("{key} does not stand in its place")));
                }
                if !table.may_hold(&row.key) {
                    let key = records::describe(&row.key);
                    found(Fault::Order(format!(
                        "{key} is not where the table says that its keys are"
                    )));
                }
                suffixes.add(&row.key);
                rows += 1;
                took(&row.key, row.bytes() as u64);
                row.key.as_ref().clone_into(&mut last);
            }
            Err(error) => {
                whole = false;
                found(Fault::Block(error));
            }
        }
    }
    let expected = table.properties().rows;
    if whole && rows != expected {
        found(Fault::Order(format!(
            "it holds {rows} rows, and {expected} were written"
        )));
    }
    if whole && suffixes.finish() != table.properties().suffixes {
        let what = "its keys end otherwise than it says";
        found(Fault::Order(what.to_owned()));
    }
    for number in 0..table.partitions().rows() {
        match table.filter_damage(number) {
            Ok(None) => {}
            Ok(Some(damage)) => found(Fault::Filter(damage)),
            // The scan has told of a partition that cannot be found.
            Err(TableError::Damaged(_)) => {}
            Err(error) => found(Fault::Block(error)),
        }
    }
}
