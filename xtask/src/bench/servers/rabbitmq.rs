//! RabbitMQ with its MQTT plugin and nothing else; nobody logs in. It insists on a name server of Erlang's, which it gets
//! on a port of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::running::{Start, free_port};

/// Debian's `/usr/sbin/rabbitmq-server` changes to the package's user first; this is what it runs then.
const FOLDER: &str = "/usr/lib/rabbitmq/lib";

pub(super) fn find() -> Option<PathBuf> {
    let folders = fs::read_dir(FOLDER).ok()?.flatten();
    folders
        .map(|folder| folder.path().join("sbin/rabbitmq-server"))
        .find(|program| program.is_file())
}

pub(super) fn start(program: &Path, folder: &Path, port: u16) -> Result<Start> {
    let (names, distribution) = (free_port()?, free_port()?);
    let config = format!(
        "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n\
         mqtt.default_user = guest\nmqtt.default_pass = guest\nmqtt.tcp_listen_options.backlog = 4096\n\
         mqtt.tcp_listen_options.nodelay = true\nlog.file = false\nlog.console = true\nlog.console.level = error\n"
    );
    fs::write(folder.join("rabbitmq.conf"), config)?;
    fs::write(folder.join("enabled_plugins"), "[rabbitmq_mqtt].\n")?;
    let at = |name: &str| folder.join(name).display().to_string();
    let mut companion = Command::new("epmd");
    companion
        .args(["-port", &names.to_string()])
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    let mut start = Start::new(program, Vec::new());
    start.companion = Some(companion);
    start.environment = vec![
        ("HOME", folder.display().to_string()),
        ("ERL_EPMD_PORT", names.to_string()),
        ("RABBITMQ_NODENAME", "bench@localhost".to_owned()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_MNESIA_BASE", at("database")),
        ("RABBITMQ_LOG_BASE", at("log")),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +P 1000000".to_owned(),
        ),
    ];
    Ok(start)
}
