//! What every file owes its reader: a header that says what it owns, and a length that can be read at one sitting.

use super::{Finding, Survey};
use crate::tree::SourceFile;

/// The line that gives a reason for a longer file, among the first of the file.
const LONG_BECAUSE: &str = "tidy: long because ";
const REASON_WITHIN_LINES: usize = 20;
/// A reason of fewer bytes than this is none.
const REASON_BYTES_MIN: usize = 15;

pub(crate) fn check(survey: &Survey, findings: &mut Vec<Finding>) {
    let lines_max = survey.policy.files.lines_max;
    for file in survey.rust.iter().chain(&survey.web) {
        check_length(file, lines_max, findings);
    }
    for file in &survey.rust {
        if !rust_header(&file.text) {
            findings.push(Finding::new(
                &file.path,
                1,
                "no file header",
                "begin with two or three `//!` lines: what it owns, what it must not do",
            ));
        }
    }
    for file in &survey.web {
        let is_client = file.path.starts_with("web/src/");
        let is_script = file.path.ends_with(".ts") || file.path.ends_with(".svelte");
        if is_client && is_script && !web_header(file) {
            findings.push(Finding::new(
                &file.path,
                1,
                "no file header",
                "begin with a comment of two or three lines: what it owns, what it must not do",
            ));
        }
    }
}

fn check_length(file: &SourceFile, lines_max: usize, findings: &mut Vec<Finding>) {
    let lines = file.text.lines().count();
    let reason = file
        .text
        .lines()
        .take(REASON_WITHIN_LINES)
        .filter(|line| is_comment(line.trim_start()))
        .find_map(|line| line.split_once(LONG_BECAUSE));
    let has_reason = reason.is_some_and(|(_, reason)| reason.trim().len() >= REASON_BYTES_MIN);
    if lines > lines_max && !has_reason {
        findings.push(Finding::new(
            &file.path,
            lines,
            format!("{lines} lines, {lines_max} at most"),
            format!("split it by its nouns, or write `// {LONG_BECAUSE}…` near its top"),
        ));
    } else if lines <= lines_max && reason.is_some() {
        findings.push(Finding::new(
            &file.path,
            1,
            format!("{lines} lines need no reason for being long"),
            format!("take the line `{LONG_BECAUSE}…` out"),
        ));
    }
}

fn first_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn rust_header(text: &str) -> bool {
    first_lines(text).next().is_some_and(|line| {
        line.strip_prefix("//!")
            .is_some_and(|said| !said.is_empty())
    })
}

fn is_comment(line: &str) -> bool {
    ["//", "/*", "<!--", "#"]
        .iter()
        .any(|open| line.starts_with(open))
}

/// A comment first; in a component it may also stand at the beginning of its script.
fn web_header(file: &SourceFile) -> bool {
    let mut lines = first_lines(&file.text);
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    is_comment(first)
        || (file.path.ends_with(".svelte") && first.starts_with("<script") && is_comment(second))
}
