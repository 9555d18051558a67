//! Who is at the other end of a connection. It must not believe what a request says of itself.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::answer::Refusal;

/// The two ends of a connection; put into every request by `serve`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end.
    pub(crate) address: SocketAddr,
    /// The address of this server that it came to.
    pub(crate) local: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get()
            .copied()
            .ok_or_else(Refusal::internal)
    }
}

impl Peer {
    /// Whether the request was made on this machine, and not only forwarded by a proxy on it.
    pub(crate) fn is_local(self, parts: &Parts) -> bool {
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        self.address.ip().to_canonical().is_loopback()
            && !forwarded
                .iter()
                .any(|name| parts.headers.contains_key(*name))
    }
}
