//! `cargo xtask ci`: everything that must hold before a change lands, in the order of how soon it speaks.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, spec, test, tidy, tree};

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
        note("licences and advisories", cargo(&root, &["deny", "check"])?);
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

fn cargo(root: &Path, arguments: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    child::show(Command::new(cargo).args(arguments).current_dir(root))
}
