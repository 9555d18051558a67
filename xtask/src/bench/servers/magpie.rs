//! Magpie: its defaults, but for open ordinary topics, as nobody logs in, all connections for one address, as the generator has
//! no other, and what a scenario configures.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Setup;
use super::running::Start;

/// For a scenario that configures nothing.
const ONE_ADDRESS: &str = "[mqtt]\nconnections_per_address_max = 1000000\n";

pub(super) fn start(program: &Path, folder: &Path, port: u16, setup: Setup<'_>) -> Result<Start> {
    // It reads this file in the folder it is started in.
    let config = match setup.magpie_config {
        "" => ONE_ADDRESS,
        own => own,
    };
    fs::write(folder.join("magpie.toml"), config)?;
    let line =
        format!("serve --data data --mqtt 127.0.0.1:{port} --http 127.0.0.1:0 --allow-anonymous");
    Ok(Start::new(
        program,
        line.split(' ').map(str::to_owned).collect(),
    ))
}
