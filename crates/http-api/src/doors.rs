//! What the routes have to work with: the server's handle, the metrics, and limits.

use server::handle::Handle;

use crate::recorder::Metrics;

/// What every route may use.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) handle: Handle,
    pub(crate) metrics: Metrics,
    /// Bytes of a request's body.
    pub(crate) body_bytes_max: usize,
}
