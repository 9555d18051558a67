//! ejabberd with its MQTT module and nothing else. Everybody may log in under any name with any password, which is the
//! nearest it has to no login at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::installed;
use super::running::Start;

pub(super) const LOGIN: [&str; 4] = ["--username", "user{n}", "--password", "any"];
/// Where Debian has its libraries.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
const CONFIG: &str = "\
loglevel: 1
hosts: [localhost]
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
modules:
  mod_mqtt: {}
listen:
";

/// Erlang, if ejabberd is there: its own script would change the user first.
pub(super) fn find() -> Option<PathBuf> {
    installed("ejabberdctl")?;
    installed("erl")
}

pub(super) fn start(program: &Path, folder: &Path, port: u16) -> Result<Start> {
    let listener =
        format!("  - {{port: {port}, ip: \"127.0.0.1\", module: mod_mqtt, backlog: 4096}}\n");
    fs::write(folder.join("ejabberd.yml"), format!("{CONFIG}{listener}"))?;
    let place = folder.display();
    let database = format!("\"{place}/database\"");
    let line = [
        "+K", "true", "+P", "1000000", "-mnesia", "dir", &database, "-s", "ejabberd", "-noinput",
    ];
    let mut start = Start::new(program, line.map(str::to_owned).into());
    start.environment = vec![
        ("HOME", place.to_string()),
        ("EJABBERD_CONFIG_PATH", format!("{place}/ejabberd.yml")),
        ("EJABBERD_LOG_PATH", format!("{place}/ejabberd.log")),
        ("ERL_LIBS", LIBRARIES.to_owned()),
        ("ERL_MAX_PORTS", "200000".to_owned()),
    ];
    Ok(start)
}
