//! `cargo xtask soak`: the released server under mixed load for as long as is asked, killed and started again. The load and
//! what is checked are the test `crates/magpie/tests/soak`.

use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, release, tree};

const MINUTES: u32 = 10;

/// Runs it, its progress going where ours goes; whether nothing was lost and memory stayed flat.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let minutes = arguments.number("--minutes")?.unwrap_or(MINUTES).max(1);
    let seed = arguments.values("--seed")?.pop();
    arguments.end()?;
    let root = tree::root()?;
    let server = release::server(&root)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "test",
            "--quiet",
            "--package",
            "magpie",
            "--test",
            "soak",
            "--",
            "--nocapture",
        ])
        .current_dir(&root)
        .env("MAGPIE_BIN", server)
        .env("MAGPIE_SOAK_SECS", (minutes * 60).to_string());
    if let Some(seed) = seed {
        command.env("MAGPIE_SOAK_SEED", seed);
    }
    child::show(&mut command)
}
