//! What the command line says on top of the file. It must not parse arguments; `cli` does.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::values::{Config, Durability, ListenerConfig};

/// Values from the command line; each one given replaces what the file says, at start and at every reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--mqtt`, any number; replaces every listener of the file.
    pub mqtt: Vec<SocketAddr>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--allow-anonymous`
    pub allow_anonymous: bool,
    /// `--durability`
    pub durability: Option<Durability>,
    /// `--log`
    pub log: Option<String>,
}

impl Overrides {
    /// Lays these values over `config`.
    pub fn apply(&self, config: &mut Config) {
        if let Some(data) = &self.data {
            config.server.data.clone_from(data);
        }
        if !self.mqtt.is_empty() {
            config.mqtt.listeners = self
                .mqtt
                .iter()
                .map(|address| ListenerConfig::tcp(*address))
                .collect();
        }
        if let Some(http) = self.http {
            config.http.address = http;
        }
        if self.allow_anonymous {
            config.mqtt.allow_anonymous = true;
        }
        if let Some(durability) = self.durability {
            config.server.durability = durability;
        }
        if let Some(log) = &self.log {
            config.log.level.clone_from(log);
        }
    }
}
