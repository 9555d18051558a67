//! `magpie audit`: who changed which account or limit, and when. What is kept, the server knows.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context as _;
use server::storage::{self, AuditEntry};

use crate::arguments::AuditArguments;
use crate::place;

/// Shows the latest changes, the oldest of them first.
pub(crate) fn run(arguments: &AuditArguments) -> anyhow::Result<()> {
    let config = place::open(&arguments.place)?;
    let entries = storage::audit(&config.server.data, arguments.limit)?;
    let mut said = String::new();
    for entry in &entries {
        if arguments.json {
            said += &serde_json::to_string(entry)?;
        } else {
            said += &line(entry);
        }
        said.push('\n');
    }
    std::io::stdout()
        .write_all(said.as_bytes())
        .context("standard output cannot be written")
}

/// `2026-01-02 03:04:05 UTC  alice (192.0.2.1)  account added: bob (member)`
fn line(entry: &AuditEntry) -> String {
    let AuditEntry {
        at,
        by,
        from,
        what,
        about,
        detail,
    } = entry;
    let mut line = format!("{}  {by} ({from})  {what}: {about}", storage::utc(*at));
    if !detail.is_empty() {
        // Writing to a text cannot fail.
        let _ = write!(line, " ({detail})");
    }
    // The name of a device must not write to somebody's terminal.
    line.retain(|letter| !letter.is_control());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_without_control_characters() {
        let entry = |detail: &str| AuditEntry {
            at: 1_767_323_045_000,
            by: "alice".to_owned(),
            from: "192.0.2.1".to_owned(),
            what: "token made".to_owned(),
            about: "alice".to_owned(),
            detail: detail.to_owned(),
        };
        let told = "2026-01-02 03:04:05 UTC  alice (192.0.2.1)  token made: alice";
        assert_eq!(line(&entry("")), told);
        assert_eq!(line(&entry("phone\n\x1b[2J")), format!("{told} (phone[2J)"));
    }
}
