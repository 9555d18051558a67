//! Where tests name statements: `[5 MQTT-3.1.2-22]` in the comments above a test function, or anywhere in a file of
//! tests (below a folder `tests` or `e2e`, with at least one test in it). A mention elsewhere is no test.

use std::path::Path;

use anyhow::Result;

use crate::tree::{self, SourceFile};

pub(crate) struct Citation {
    /// `5 MQTT-3.1.2-22`
    pub(crate) statement: String,
    pub(crate) path: String,
    pub(crate) line: usize,
}

pub(crate) fn find(root: &Path) -> Result<Vec<Citation>> {
    let mut files = tree::files(root, "crates", &[".rs"])?;
    for folder in ["tests", "web/e2e", "web/test"] {
        files.extend(tree::files(
            root,
            folder,
            &[".rs", ".py", ".ts", ".js", ".mjs"],
        )?);
    }
    Ok(files.iter().flat_map(in_file).collect())
}

fn in_file(file: &SourceFile) -> Vec<Citation> {
    let lines: Vec<&str> = file.text.lines().collect();
    let is_rust = file.path.ends_with(".rs");
    let in_test_folder = file
        .path
        .split('/')
        .any(|part| part == "tests" || part == "e2e" || part == "test");
    let has_test = !is_rust || lines.iter().any(|line| is_test_attribute(line));
    let mut found = Vec::new();
    if in_test_folder && has_test {
        found.extend(0..lines.len());
    } else {
        for (index, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, l)| is_test_attribute(l))
        {
            let above = lines[..index]
                .iter()
                .rev()
                .take_while(|line| is_comment_or_attribute(line))
                .count();
            let below = lines[index + 1..]
                .iter()
                .take_while(|line| is_comment_or_attribute(line))
                .count();
            found.extend(index - above..=index + below);
        }
    }
    found.dedup();
    let cited = found
        .into_iter()
        .flat_map(|index| names_in(lines[index]).map(move |name| (index + 1, name)));
    cited
        .map(|(line, name)| Citation {
            statement: name.to_owned(),
            path: file.path.clone(),
            line,
        })
        .collect()
}

fn is_test_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

fn is_comment_or_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("#[")
}

/// What stands in brackets and looks like a version and a statement.
fn names_in(line: &str) -> impl Iterator<Item = &str> {
    line.split('[').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once(']')?;
        let (_version, id) = name.split_once(' ')?;
        id.starts_with("MQTT-").then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        in_file(&file)
            .into_iter()
            .map(|citation| (citation.line, citation.statement))
            .collect()
    }

    const SOURCE: &str = "\
// [5 MQTT-1] implements it
fn keep_alive() {}

// [3.1.1 MQTT-2] [5 MQTT-3]
/// and [5 MQTT-4]
#[test]
// [5 MQTT-5]
fn a_test() {
    // [5 MQTT-6] within
}

#[tokio::test(start_paused = true)]
async fn another() {}
";

    #[test]
    fn in_a_source_file_only_what_stands_above_a_test_counts() {
        let statements: Vec<_> = cited("crates/broker/src/a.rs", SOURCE)
            .into_iter()
            .map(|(line, statement)| format!("{line} {statement}"))
            .collect();
        assert_eq!(
            statements,
            ["4 3.1.1 MQTT-2", "4 5 MQTT-3", "5 5 MQTT-4", "7 5 MQTT-5"]
        );
    }

    #[test]
    fn in_a_file_of_tests_everything_counts() {
        assert_eq!(cited("crates/broker/tests/a.rs", SOURCE).len(), 6);
        assert_eq!(cited("tests/clients/a.py", "# [5 MQTT-1]\n").len(), 1);
    }

    #[test]
    fn a_file_without_a_test_names_nothing() {
        assert!(cited("crates/broker/tests/world.rs", "// [5 MQTT-1]\nfn f() {}\n").is_empty());
    }
}
