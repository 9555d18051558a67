//! The one table of configuration keys: name, allowed values, when a change applies, meaning. The parser, the
//! reload and `docs/configuration.md` all read it; defaults come from `values`.

mod auth;
mod chat;
mod http;
mod log;
mod mqtt;
mod server;

use super::slot::Key;
use super::values::Config;

/// One `[section]` of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key<Config>],
}

const MEGABYTE: usize = 1024 * 1024;
const BYTES_MAX: usize = 1 << 40;

/// Every section, in the order of the reference.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "The data directory and what an acknowledgement promises.",
        keys: server::KEYS,
    },
    Section {
        name: "mqtt",
        about: "Who may connect over MQTT and how much a client may ask for.",
        keys: mqtt::KEYS,
    },
    Section {
        name: "http",
        about: "The web client, REST, MQTT over WebSocket at `/mqtt`, `/metrics`, `/healthz` and `/readyz`.",
        keys: http::KEYS,
    },
    Section {
        name: "auth",
        about: "How wrong passwords are slowed down and right ones remembered.",
        keys: auth::KEYS,
    },
    Section {
        name: "chat",
        about: "The messenger's limits.",
        keys: chat::KEYS,
    },
    Section {
        name: "log",
        about: "What is written to standard error.",
        keys: log::KEYS,
    },
];
