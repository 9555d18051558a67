//! `cargo xtask torture`: the store under what the server writes, at full speed, at size, and killed. The workloads and their
//! bounds are in `crates/torture`; here is which of them run, and how large.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::{child, tree};

/// A workload, and what makes it minutes instead of hours.
const WORKLOADS: [(&str, &[&str]); 4] = [
    ("write", &["--seconds", "30"]),
    ("drain", &["--rounds", "3", "--bytes", "200000000"]),
    ("history", &["--bytes", "600000000", "--pages", "400"]),
    ("kill", &["--rounds", "40"]),
];

/// Descriptors that a workload may open, unless given: the store has to do with them.
const NOFILE: &str = "256";

/// What is passed on to each of them.
const PASSED_ON: [&str; 4] = ["--dir", "--seed", "--memory-mib", "--nofile"];

/// Runs them one after the other, also after one has failed; whether none has.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let root = tree::root()?;
    let quick = arguments.flag("--quick");
    let only = arguments.values("--only")?;
    let mut passed_on = vec!["--nofile".to_owned(), NOFILE.to_owned()];
    for name in PASSED_ON {
        if let Some(value) = arguments.values(name)?.pop() {
            if name == "--nofile" {
                passed_on.clear();
            }
            passed_on.extend([name.to_owned(), value]);
        }
    }
    arguments.end()?;
    if let Some(unknown) = only
        .iter()
        .find(|name| WORKLOADS.iter().all(|(known, _)| known != name))
    {
        let known: Vec<_> = WORKLOADS.iter().map(|(name, _)| *name).collect();
        bail!(
            "no such workload: {unknown}; there are {}",
            known.join(", ")
        );
    }
    build(&root)?;
    let program = tree::target_dir(&root).join("release/torture");
    let mut failed = Vec::new();
    for (name, smaller) in WORKLOADS {
        if !only.is_empty() && !only.iter().any(|one| one == name) {
            continue;
        }
        let mut command = Command::new(&program);
        command.arg(name).args(&passed_on).current_dir(&root);
        if quick {
            command.args(smaller);
        }
        if !child::show(&mut command)? {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        eprintln!("torture: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn build(root: &Path) -> Result<()> {
    eprintln!("xtask: building the torture (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--quiet", "--package", "torture"])
        .current_dir(root);
    if !child::show(&mut build)? {
        bail!("the torture does not build");
    }
    Ok(())
}
