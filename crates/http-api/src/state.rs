//! What the routes have to work with: the server's handle, the metrics, its names, and limits.

use std::sync::Arc;

use net::Hosts;
use server::handle::{Handle, Secret};

use crate::recorder::Metrics;

/// What every route may use.
#[derive(Clone)]
pub(crate) struct HttpState {
    pub(crate) handle: Handle,
    pub(crate) metrics: Metrics,
    /// Who may read them here.
    pub(crate) metrics_readers: MetricsReaders,
    /// What this server is called.
    pub(crate) hosts: Arc<Hosts>,
    /// Bytes of a request's body.
    pub(crate) body_bytes_max: usize,
}

/// Who may read the metrics at one address of this server. Administrators may everywhere, with a token of their account.
#[derive(Debug, Clone)]
pub(crate) enum MetricsReaders {
    /// Nobody else.
    Administrators,
    /// Whoever asks on this machine, and others with this token if there is one.
    ThisMachine { token: Option<Secret> },
    /// Whoever can reach the address.
    Anybody,
}
