//! Magpie: its defaults, but for open ordinary topics, as nobody logs in, and what a scenario configures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::Setup;
use super::running::Start;
use crate::{child, tree};

/// `MAGPIE_BIN`, or a release build.
pub(super) fn program(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("MAGPIE_BIN").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    eprintln!("bench: building the server (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--quiet", "--package", "magpie"])
        .current_dir(root);
    if !child::show(&mut build)? {
        bail!("the server does not build");
    }
    Ok(tree::target_dir(root).join("release/magpie"))
}

pub(super) fn start(program: &Path, folder: &Path, port: u16, setup: Setup<'_>) -> Result<Start> {
    // It reads this file in the folder it is started in.
    fs::write(folder.join("magpie.toml"), setup.magpie_config)?;
    let line =
        format!("serve --data data --mqtt 127.0.0.1:{port} --http 127.0.0.1:0 --allow-anonymous");
    Ok(Start::new(
        program,
        line.split(' ').map(str::to_owned).collect(),
    ))
}
