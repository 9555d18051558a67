//! What the HTTP server counts of connections that reach one of its limits. Refusals that have an answer of their own are
//! counted where they are made.

use std::io;

use metrics::Counter;
use server::admission::Full;

/// Grow when a connection meets a limit.
#[derive(Clone)]
pub(crate) struct Counters {
    refused: Refused,
    handshakes_late: Counter,
    first_late: Counter,
    next_late: Counter,
    headers_too_large: Counter,
    write_timeouts: Counter,
}

/// Connections beyond a limit.
#[derive(Clone)]
struct Refused {
    descriptors: Counter,
    server: Counter,
    address: Counter,
}

/// What a connection that was too slow was in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The TLS handshake.
    Handshake,
    /// Its first request's header.
    First,
    /// The header of another one; mostly a client that keeps its connection open and asks nothing.
    Next,
}

impl Counters {
    pub(crate) fn new() -> Self {
        metrics::describe_counter!(
            "magpie_http_connections_refused_total",
            "HTTP connections beyond a limit: of file descriptors, of all, or of one address. They are answered 503, but for the health check."
        );
        metrics::describe_counter!(
            "magpie_http_refused_total",
            "HTTP requests refused, by the code of the answer."
        );
        metrics::describe_counter!(
            "magpie_http_header_timeouts_total",
            "HTTP connections closed because a handshake or a header took too long; `next` are mostly kept open for nothing."
        );
        metrics::describe_counter!(
            "magpie_http_write_timeouts_total",
            "HTTP connections closed because the client read nothing of an answer for too long."
        );
        let late = |waited_for: &'static str| metrics::counter!("magpie_http_header_timeouts_total", "waited_for" => waited_for);
        let refused = |limit: &'static str| metrics::counter!("magpie_http_connections_refused_total", "limit" => limit);
        Self {
            refused: Refused {
                descriptors: refused("descriptors"),
                server: refused("server"),
                address: refused("address"),
            },
            handshakes_late: late("handshake"),
            first_late: late("first"),
            next_late: late("next"),
            headers_too_large: metrics::counter!("magpie_http_refused_total", "code" => "header_too_large"),
            write_timeouts: metrics::counter!("magpie_http_write_timeouts_total"),
        }
    }

    pub(crate) fn refused(&self, full: Full) {
        let counter = match full {
            Full::Descriptors => &self.refused.descriptors,
            Full::Server | Full::Listener => &self.refused.server,
            Full::Address | Full::Rate => &self.refused.address,
        };
        counter.increment(1);
    }

    pub(crate) fn late(&self, late: Late) {
        let counter = match late {
            Late::Handshake => &self.handshakes_late,
            Late::First => &self.first_late,
            Late::Next => &self.next_late,
        };
        counter.increment(1);
    }

    /// A connection ended with this error after so many requests.
    pub(crate) fn ended(&self, error: &hyper::Error, requests: u64) {
        if error.is_timeout() {
            let first = requests == 0;
            self.late(if first { Late::First } else { Late::Next });
        } else if error.is_parse_too_large() {
            // hyper has answered 431, or 414.
            self.headers_too_large.increment(1);
        } else if io_error(error).is_some_and(|kind| kind == io::ErrorKind::TimedOut) {
            self.write_timeouts.increment(1);
        }
    }
}

/// What the connection below said, if that is why.
fn io_error(error: &hyper::Error) -> Option<io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    Some(source.downcast_ref::<io::Error>()?.kind())
}
