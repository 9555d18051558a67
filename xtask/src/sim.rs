//! `cargo xtask sim`: runs the simulator's worlds, or one of them again. Owns the command line of that only; the worlds
//! are in `crates/sim`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::child;

/// Runs `--seeds N` worlds from `--seed S` on, each for at most `--steps N` steps: those of the broker, or of the messenger with
/// `--worlds messenger`.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool> {
    let test = match arguments.values("--worlds")?.pop().as_deref() {
        None | Some("broker") => "broker",
        Some("messenger") => "messenger",
        Some(other) => {
            bail!("there are worlds of the broker and of the messenger, but none of {other}")
        }
    };
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--package", "sim", "--test", test]);
    command.args(["--", "--nocapture"]);
    let seed = arguments.values("--seed")?.pop();
    let seeds = arguments.values("--seeds")?.pop();
    let steps = arguments.values("--steps")?.pop();
    arguments.end()?;
    // A single seed is one to look at again.
    let seeds = seeds.or_else(|| seed.as_ref().map(|_| "1".to_owned()));
    for (name, value) in [
        ("SIM_SEED", seed),
        ("SIM_SEEDS", seeds),
        ("SIM_STEPS", steps),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    child::show(&mut command)
}
