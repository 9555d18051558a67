//! What the routes have to work with: the server's handle, the metrics, its names, and limits.

use std::sync::Arc;

use server::handle::Handle;

use crate::hosts::Hosts;
use crate::recorder::Metrics;

/// What every route may use.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) handle: Handle,
    pub(crate) metrics: Metrics,
    /// What this server is called.
    pub(crate) hosts: Arc<Hosts>,
    /// Bytes of a request's body.
    pub(crate) body_bytes_max: usize,
}
