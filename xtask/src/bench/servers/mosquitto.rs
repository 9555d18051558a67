//! Debian's mosquitto: its defaults as packaged, with its limit of 1,000 queued messages. It runs as root because its own
//! user may not write to the folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::Setup;
use super::running::Start;

/// The first line of its help says `mosquitto version 2.0.11`; it ends with 3 then.
pub(super) fn version(program: &Path) -> String {
    let said = Command::new(program)
        .arg("-h")
        .stdin(Stdio::null())
        .output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let first = said.unwrap_or_default().lines().next().map(str::to_owned);
    first.map_or_else(
        || "mosquitto".to_owned(),
        |line| line.replace("mosquitto version", "mosquitto"),
    )
}

pub(super) fn start(program: &Path, folder: &Path, port: u16, setup: Setup<'_>) -> Result<Start> {
    let persistent = setup.persistent;
    let place = folder.display();
    let config = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence {persistent}\n\
         persistence_location {place}/\nlog_dest none\n"
    );
    fs::write(folder.join("mosquitto.conf"), config)?;
    Ok(Start::new(
        program,
        vec!["-c".to_owned(), "mosquitto.conf".to_owned()],
    ))
}
