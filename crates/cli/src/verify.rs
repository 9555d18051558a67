//! `magpie verify`: whether everything that is stored is as it was written, in a data directory or in a backup.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use server::storage::{self, Verification, VerifyEvent};

use crate::arguments::VerifyArguments;
use crate::place;
use crate::progress::Display;
use crate::size;

/// Verifies; an error if anything is wrong.
pub(crate) fn run(arguments: &VerifyArguments) -> anyhow::Result<()> {
    let config = place::open(&arguments.place)?;
    let mut display = Display::new("checked");
    let json = arguments.json;
    let mut told = |event: VerifyEvent| match event {
        VerifyEvent::Progress(progress) => display.show(progress),
        VerifyEvent::Finding(finding) => {
            display.clear();
            let line = if json {
                serde_json::json!({ "finding": finding.what }).to_string()
            } else {
                finding.what
            };
            // The exit code says the same to whoever does not listen.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    };
    let (what, verification) = match &arguments.path {
        None => {
            let data = &config.server.data;
            (
                data.display().to_string(),
                storage::verify(data, &mut told)?,
            )
        }
        Some(path) if path.is_file() => bail!(
            "{} is a file: `magpie restore` into a new directory checks all of it; verify that directory then",
            path.display()
        ),
        Some(path) if is_data_dir(path) => {
            if arguments.at.is_some() {
                bail!(
                    "--at is for a backup, and {} is a data directory",
                    path.display()
                );
            }
            (
                path.display().to_string(),
                storage::verify(path, &mut told)?,
            )
        }
        Some(path) => {
            let (of, verification) = storage::verify_backup(path, arguments.at, &mut told)?;
            let what = format!("generation {} in {}", of.generation, path.display());
            (what, verification)
        }
    };
    drop(display);
    tell(&what, &verification, json)?;
    match verification.findings {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        findings => bail!("{findings} things are wrong"),
    }
}

fn is_data_dir(path: &Path) -> bool {
    path.join("store").is_dir()
}

fn tell(what: &str, verification: &Verification, json: bool) -> anyhow::Result<()> {
    let said = if json {
        serde_json::json!({ "verification": verification }).to_string()
    } else {
        let state = match verification.findings {
            0 => "is whole",
            _ => "is damaged",
        };
        format!(
            "{what} {state}: commit {}, {} tables of {}, {} commits in the journal, {} rows, {} of them leftovers",
            verification.commit,
            verification.tables,
            size::human(verification.table_bytes),
            verification.journal_commits,
            verification.rows,
            verification.leftovers,
        )
    };
    writeln!(std::io::stdout(), "{said}").context("standard output cannot be written")
}
