//! `magpie store`: what lies where in the store, and what it is at.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use server::storage::{self, StoreReport};

use crate::arguments::StoreArguments;
use crate::place;
use crate::size::human;

/// Shows it.
pub(crate) fn run(arguments: &StoreArguments) -> anyhow::Result<()> {
    let config = place::open(&arguments.place)?;
    let report = storage::report(&config.server.data)?;
    let said = if arguments.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        text(&report, now)
    };
    std::io::stdout()
        .write_all(said.as_bytes())
        .context("standard output cannot be written")
}

/// A table of the families, and below it what concerns all of them.
fn text(report: &StoreReport, now: Duration) -> String {
    let mut text = format!(
        "{:8} {:>6} {:>11} {:>11} {:>12} {:>12} {:>8} {:>11} {:>11} {:>11}\n",
        "family",
        "tables",
        "on disk",
        "rows' bytes",
        "rows",
        "deletions",
        "ranges",
        "dead",
        "in memory",
        "to merge"
    );
    for family in &report.families {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{:8} {:>6} {:>11} {:>11} {:>12} {:>12} {:>8} {:>11} {:>11} {:>11}",
            family.name,
            family.tables,
            human(family.bytes),
            human(family.row_bytes),
            family.rows,
            family.deletions,
            family.range_deletions,
            human(family.dead_bytes),
            human(family.memtable_bytes),
            human(family.merge_bytes),
        );
    }
    let amplification = match report.amplification {
        Some(amplification) => format!("{amplification:.2} bytes for each byte stored"),
        None => "nothing stored yet".to_owned(),
    };
    let oldest = match report.oldest_queued {
        Some(at) => {
            let waited = now.saturating_sub(Duration::from_millis(at)).as_secs();
            format!("since {}, {waited} s", storage::utc(at))
        }
        None => "no message waits".to_owned(),
    };
    let mean = |sum: u64, count: u64| sum / count.max(1);
    let lines = [
        ("last commit", report.commit.to_string()),
        ("on disk", human(report.disk_bytes)),
        ("journal", human(report.journal_bytes)),
        (
            "in memory",
            format!(
                "{} in no table yet, {} of it waits to be written; {} of cached blocks",
                human(report.memtable_bytes),
                human(report.waiting_bytes),
                human(report.cached_bytes)
            ),
        ),
        ("to be merged", human(report.merge_bytes)),
        ("oldest queued", oldest),
        (
            "since start",
            format!(
                "{} stored, {} written to the journal, {} to tables: {amplification}",
                human(report.stored_bytes),
                human(report.journal_written_bytes),
                human(report.table_written_bytes)
            ),
        ),
        ("open files", report.open_files.to_string()),
        (
            "commits held up",
            format!(
                "{}, {} us each",
                report.waits,
                mean(report.wait_micros, report.waits)
            ),
        ),
        (
            "faults",
            format!(
                "{} flushes and merges failed, {} damaged stretches found, nothing has advanced for {} ms",
                report.work_failures, report.damages, report.stalled_millis
            ),
        ),
    ];
    text.push('\n');
    for (name, value) in lines {
        let _ = writeln!(text, "{name:16} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use server::storage::FamilyReport;

    use super::*;

    #[test]
    fn families_stand_in_columns_and_the_rest_in_lines() {
        let report = StoreReport {
            commit: 12,
            disk_bytes: 5 << 20,
            amplification: Some(2.5),
            oldest_queued: Some(1_000),
            families: vec![FamilyReport {
                name: "queue".to_owned(),
                tables: 3,
                bytes: 4 << 20,
                ..FamilyReport::default()
            }],
            ..StoreReport::default()
        };
        let text = text(&report, Duration::from_secs(61));
        let words = |start: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("queue")[..4], ["queue", "3", "4.00", "MiB"]);
        assert_eq!(words("last commit")[2], "12");
        assert!(
            text.contains("since 1970-01-01 00:00:01 UTC, 60 s"),
            "{text}"
        );
        assert!(text.contains("2.50 bytes for each byte stored"), "{text}");
        assert!(self::text(&StoreReport::default(), Duration::ZERO).contains("no message waits"));
    }
}
