//! What the HTTP door counts of connections that reach one of its limits. Refusals that have an answer of their own are
//! counted where they are made.

use metrics::Counter;

/// Grow when a connection meets a limit.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) held: Counter,
    handshakes_late: Counter,
    first_late: Counter,
    next_late: Counter,
    headers_too_large: Counter,
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
            "magpie_http_connections_held_total",
            "HTTP connections that waited because there were as many as there may be."
        );
        metrics::describe_counter!(
            "magpie_http_header_timeouts_total",
            "HTTP connections closed because a handshake or a header took too long; `next` are mostly kept open for nothing."
        );
        let late = |waited_for: &'static str| metrics::counter!("magpie_http_header_timeouts_total", "waited_for" => waited_for);
        Self {
            held: metrics::counter!("magpie_http_connections_held_total"),
            handshakes_late: late("handshake"),
            first_late: late("first"),
            next_late: late("next"),
            headers_too_large: metrics::counter!("magpie_http_refused_total", "code" => "header_too_large"),
        }
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
        }
    }
}
