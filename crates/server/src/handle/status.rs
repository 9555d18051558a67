//! How a running server is, in figures. They are read where they are kept, never asked of a thread: one that stands still
//! must not keep anybody from hearing so.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use broker::Latencies;
use serde::{Deserialize, Serialize};
use store::EmbeddedStore;

use super::Health;

/// How a running server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Whether it does what it is there for: its health is `ready`.
    pub healthy: bool,
    /// `starting`, `ready`, `stalled`, `draining` or `failed`.
    pub health: String,
    /// What stands still or has failed, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it was started.
    pub uptime_secs: u64,
    /// Its data directory.
    pub data: PathBuf,
    /// Where it listens, as URLs.
    pub listeners: Vec<String>,
    /// Connections of MQTT clients, a second ago at most; so are sessions.
    pub connections: u64,
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Accounts, disabled ones included.
    pub accounts: u64,
    /// Bytes of its store on disk.
    pub stored_bytes: u64,
    /// Bytes that are free on that disk, where the operating system tells.
    pub disk_free_bytes: Option<u64>,
    /// Connected clients that do not keep up with what they are sent, as they were seen last, every ten seconds: those for
    /// which most waits, the most first.
    #[serde(default)]
    pub slow_clients: Vec<SlowClient>,
}

/// A connected client that does not keep up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowClient {
    /// Its account's name, if it has one.
    pub account: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Messages that wait for it.
    pub messages: u64,
    /// Bytes of them and of what is written for it and not taken.
    pub bytes: u64,
}

/// Figures that are kept outside of the handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) uptime_secs: u64,
    pub(crate) data: PathBuf,
    pub(crate) connections: u64,
    pub(crate) sessions: u64,
    pub(crate) accounts: u64,
    pub(crate) disk_free_bytes: Option<u64>,
    pub(crate) slow_clients: Vec<SlowClient>,
    pub(crate) latencies: Latencies,
}

type ReadFigures = Box<dyn Fn() -> Figures + Send + Sync>;

/// What `status` is made of. Clones share it.
#[derive(Clone, Default)]
pub(super) struct StatusAccess {
    figures: Arc<OnceLock<ReadFigures>>,
    listeners: Arc<OnceLock<Vec<String>>>,
}

impl StatusAccess {
    pub(super) fn attach(&self, figures: ReadFigures) {
        // There is one for the server's whole life.
        let _ = self.figures.set(figures);
    }

    pub(super) fn announce(&self, listeners: &[String]) {
        let _ = self.listeners.set(listeners.to_vec());
    }

    /// The figures; zero while the server begins or ends.
    pub(super) fn figures(&self) -> Figures {
        self.figures.get().map(|read| read()).unwrap_or_default()
    }

    /// The status; zero what is not known while the server begins or ends.
    pub(super) fn status(&self, health: Health, store: Option<&EmbeddedStore>) -> ServerStatus {
        let healthy = health == Health::Ready;
        let (health, detail) = match health {
            Health::Starting => ("starting", None),
            Health::Ready => ("ready", None),
            Health::Stalled(what) => ("stalled", Some(what)),
            Health::DiskFull(what) => ("disk_full", Some(what)),
            Health::Draining => ("draining", None),
            Health::Failed(reason) => ("failed", Some(reason)),
        };
        let figures = self.figures();
        ServerStatus {
            healthy,
            health: health.to_owned(),
            detail,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_secs: figures.uptime_secs,
            data: figures.data,
            listeners: self.listeners.get().cloned().unwrap_or_default(),
            connections: figures.connections,
            sessions: figures.sessions,
            accounts: figures.accounts,
            stored_bytes: store.map_or(0, |store| store.statistics().disk_bytes()),
            disk_free_bytes: figures.disk_free_bytes,
            slow_clients: figures.slow_clients,
        }
    }
}
