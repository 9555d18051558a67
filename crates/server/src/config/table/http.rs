//! `[http]`: The HTTP server.

use super::MEGABYTE;
use crate::config::check;
use crate::config::slot::{Key, Slot, fixed, live, number32, seconds, size};
use crate::config::values::Config;

/// Names of one server; each request's is compared with all.
const HOSTS_MAX: usize = 100;

/// Networks of proxies.
const PROXIES_MAX: usize = 100;

pub(super) static KEYS: &[Key<Config>] = &[
    fixed(
        "address",
        Slot::Address(|c| &mut c.http.address),
        "Where HTTP is served.",
    ),
    fixed(
        "hosts",
        Slot::Texts {
            at: |c| &mut c.http.hosts,
            max: HOSTS_MAX,
            check: check::host,
            expected: "a host name such as \"chat.example.org\", without a port",
        },
        "What this server is called, as clients and proxies say it in `Host`, with any port. `localhost` and literal IP addresses are always taken; a request for another host is answered 421, on WebSocket listeners without `origins` too if it comes from a page, because a page of another site can have its own name lead here (DNS rebinding). `*` takes every name: unsafe unless a proxy in front checks them.",
    ),
    fixed(
        "proxy_from",
        Slot::Networks {
            at: |c| &mut c.http.proxy_from,
            max: PROXIES_MAX,
        },
        "Proxies in front of HTTP that are believed about a client's address in `Forwarded` or `X-Forwarded-For`: the right-most that is not a proxy's. Logins and WebSockets count for that address; `connections_per_address_max` does not hold for the proxies themselves. Nobody else's headers are believed.",
    ),
    fixed(
        "metrics_address",
        Slot::OptionalAddress(|c| &mut c.http.metrics_address),
        "A second address that serves only `/metrics`, `/healthz` and `/readyz`, over plain HTTP, for monitoring in a network of its own. Where it is set, `address` serves `/metrics` to administrators only.",
    ),
    fixed(
        "metrics_token",
        Slot::OptionalSecret {
            at: |c| &mut c.http.metrics_token,
            check: check::metrics_token,
            expected: "a text of 16 to 512 visible ASCII characters such as \"${MAGPIE_METRICS_TOKEN}\"",
        },
        "A token with which `/metrics` may be read from other machines: `Authorization: Bearer …`. Without it, only administrators can do that with a token of their account, and everybody who reaches `metrics_address`. Scrapers on this machine need none.",
    ),
    fixed(
        "certificate",
        Slot::OptionalPath(|c| &mut c.http.certificate),
        "With a certificate and its key, HTTPS is served instead, and MQTT over secure WebSocket at `/mqtt`. PEM; read again when it changes and on SIGHUP.",
    ),
    fixed(
        "key",
        Slot::OptionalPath(|c| &mut c.http.key),
        "The certificate's private key, PEM, not encrypted. Read again like the certificate.",
    ),
    fixed(
        "connections_max",
        size(|c| &mut c.http.connections_max, 1, 1_000_000, "connections"),
        "Connections at once, not counting WebSockets; one more is answered 503. At most half of what the process has file descriptors for.",
    ),
    fixed(
        "connections_per_address_max",
        size(
            |c| &mut c.http.connections_per_address_max,
            0,
            1_000_000,
            "connections",
        ),
        "Of them, from one address (IPv6: /64). 0 is half of what there may be.",
    ),
    fixed(
        "write_timeout_secs",
        seconds(|c| &mut c.http.write_timeout, 1, 600),
        "How long a client may read nothing of an answer before its connection is closed.",
    ),
    fixed(
        "header_timeout_secs",
        seconds(|c| &mut c.http.header_timeout, 1, 600),
        "How long a request's header may take to arrive.",
    ),
    fixed(
        "header_bytes_max",
        size(|c| &mut c.http.header_bytes_max, 8192, MEGABYTE, "bytes"),
        "Bytes of a request's first line and header; a larger one is answered 431.",
    ),
    fixed(
        "body_bytes_max",
        size(|c| &mut c.http.body_bytes_max, 1024, 16 * MEGABYTE, "bytes"),
        "Bytes of a request's body; a larger one is answered 413.",
    ),
    live(
        "account_lists_per_second_max",
        number32(
            |c| &mut c.http.account_lists_per_second_max,
            0,
            1_000_000,
            "pages",
        ),
        "Pages of the list of accounts (`GET /api/v1/accounts`) that one account may ask for in a second in the long run, and ten times as many after a pause; one more is answered 429. 0 is without limit.",
    ),
];
