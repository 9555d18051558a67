//! Who is at the other end of a connection. It must not believe what a request says of itself, unless a named proxy says it.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::answer::Refusal;
use crate::forwarded::Proxies;

/// Whose request it is and how it came; put into every request by `serve`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Whose it is: the other end of the connection, or whom a named proxy there says.
    pub(crate) address: SocketAddr,
    /// The other end of the connection.
    connection: SocketAddr,
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
    /// Whoever a connection comes from.
    pub(crate) fn new(connection: SocketAddr) -> Self {
        Self {
            address: connection,
            connection,
        }
    }

    /// Of a request on it, with these headers.
    pub(crate) fn of_request(self, headers: &HeaderMap, proxies: &Proxies) -> Self {
        Self {
            address: proxies.client(self.connection, headers),
            ..self
        }
    }

    /// Whether the request was made on this machine, and not only forwarded by a proxy on it.
    pub(crate) fn is_local(self, parts: &Parts) -> bool {
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        self.connection.ip().to_canonical().is_loopback()
            && !forwarded
                .iter()
                .any(|name| parts.headers.contains_key(*name))
    }
}
