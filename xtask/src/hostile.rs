//! `cargo xtask hostile`: the attacks of the test `crates/magpie/tests/hostile` on the released server, as often as is asked, with what a
//! pair beside each of them measured.

use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::{child, release, tree};

const ROUNDS: u32 = 3;

/// Runs them; whether the server stood all of it.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let rounds = arguments.number("--rounds")?.unwrap_or(ROUNDS).max(1);
    let only = arguments.values("--only")?;
    arguments.end()?;
    let root = tree::root()?;
    let server = release::server(&root)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let mut command = Command::new(&cargo);
        command
            .args(["test", "--quiet", "--package", "magpie"])
            .args(["--test", "hostile", "--", "--nocapture"])
            .args(&only)
            .current_dir(&root)
            .env("MAGPIE_BIN", &server);
        if !child::show(&mut command)? {
            return Ok(false);
        }
    }
    Ok(true)
}
