//! Magpie: its defaults, but for open ordinary topics, as nobody logs in, and what a scenario configures.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Setup;
use super::running::Start;

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
