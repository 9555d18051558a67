//! `cargo xtask ci`: everything that must hold before a change lands, in the order of how soon it speaks.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, spec, test, tidy, tree};

const ADVISORIES_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Runs all steps, also after one has failed; whether none has.
pub(crate) fn run(arguments: Arguments) -> Result<bool> {
    arguments.end()?;
    let root = tree::root()?;
    let none = || Arguments::new([]);
    let words = |words: &str| Arguments::new(words.split(' ').map(str::to_owned));

    let mut failed = Vec::new();
    let mut note = |name: &'static str, passed: bool| {
        println!("ci: {name}: {}", if passed { "passed" } else { "failed" });
        if !passed {
            failed.push(name);
        }
    };
    note("format", cargo(&root, &["fmt", "--all", "--check"])?);
    note("tidy", tidy::run(none())?);
    note("spec", spec::run(words("--check"))?);
    if child::on_path("cargo-deny").is_some() {
        note(
            "licences",
            cargo(&root, &["deny", "check", "bans", "licenses", "sources"])?,
        );
        if let Some(passed) = advisories(&root)? {
            note("advisories", passed);
        }
    } else {
        println!("ci: licences and advisories: not checked; install: cargo install cargo-deny");
    }
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    note("lints", cargo(&root, &lints)?);
    let tests = test::run(words("--strict"))?;
    if !tests {
        failed.push("tests");
    }
    if !failed.is_empty() {
        eprintln!("ci: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// Whether no dependency has a known weakness; nothing if the list of them cannot be fetched.
fn advisories(root: &Path) -> Result<Option<bool>> {
    let mut command = Command::new("cargo-deny");
    command.args(["check", "advisories"]).current_dir(root);
    let ended = child::capture(&mut command, ADVISORIES_LIMIT, |_| {})?;
    if !ended.success && ended.output.contains("failed to fetch advisory database") {
        println!("ci: advisories: not checked; their list cannot be fetched from here");
        return Ok(None);
    }
    if !ended.success {
        println!("{}", ended.output);
    }
    Ok(Some(ended.success))
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    child::show(Command::new(cargo).args(arguments).current_dir(root))
}
