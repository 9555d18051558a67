//! `docs/limits.md` is true: each row's key is one of the table's with this default, its metric is counted and its test is
//! there.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use super::table::SECTIONS;
use super::values::Config;

/// Every Rust source below a folder, one after the other.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

fn default_of(key: &str) -> Option<String> {
    let (section, name) = key.split_once('.')?;
    let section = SECTIONS.iter().find(|known| known.name == section)?;
    let key = section.keys.iter().find(|known| known.name == name)?;
    Some(key.slot.show(&mut Config::default()))
}

/// Whether a metric of this name is counted: by a core, under its own name for it, or where it is named in full.
fn is_counted(metric: &str, sources: &str) -> bool {
    let stem = metric.strip_prefix("magpie_").unwrap();
    let stem = stem.strip_suffix("_total").unwrap();
    let of_chat = stem.strip_prefix("chat_");
    let of = |names: &[(&str, &str)], wanted| names.iter().any(|(name, _)| *name == wanted);
    of(broker::Counters::NAMES, stem)
        || of_chat.is_some_and(|stem| of(chat::Counters::NAMES, stem))
        || sources.contains(&format!("\"{metric}\""))
}

#[test]
fn the_table_of_limits_is_true() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(crates.join("../docs/limits.md")).unwrap();
    let mut all = String::new();
    sources(crates, &mut all);
    let mut rows: Vec<Vec<&str>> = Vec::new();
    let mut of_limits = false;
    for line in page.lines() {
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|row| row.strip_suffix(" |"))
        else {
            // The line below a table's head begins otherwise and does not end it.
            of_limits &= line.starts_with('|');
            continue;
        };
        if row.starts_with("limit |") {
            of_limits = true;
        } else if of_limits {
            let cells = row.split(" | ").map(|cell| cell.trim_matches('`'));
            rows.push(cells.collect());
        }
    }
    assert!(rows.len() >= 30, "{} rows", rows.len());
    for cells in rows {
        let [limit, default, key, metric, answer, test] = cells[..] else {
            panic!("six cells: {cells:?}");
        };
        assert_eq!(default_of(key).as_deref(), Some(default), "{limit}: {key}");
        assert!(is_counted(metric, &all), "{limit}: {metric}");
        assert!(!answer.is_empty(), "{limit}");
        assert!(
            all.contains(&format!("fn {test}(")),
            "{limit}: no test {test}"
        );
    }
}
