//! What goes around every answer: paths that climb and requests that do not name this server as their host are turned away,
//! and browsers are told to be strict.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use net::Hosts;

use crate::answer::Refusal;
use crate::state::HttpState;

/// Turns away what no route shall see, and adds the headers.
pub(crate) async fn guard(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let policy = content_policy(request.headers());
    let mut response = match check(&request, &state.hosts) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("geolocation=(), payment=(), usb=()"),
    );
    response
}

fn check(request: &Request, hosts: &Hosts) -> Result<(), Refusal> {
    let bad = |code, detail: &str| Err(Refusal::new(StatusCode::BAD_REQUEST, code, detail));
    if !names_one_host(request.version(), request.headers()) {
        return bad(
            "bad_host",
            "a request has one Host header with a name and, if need be, a port",
        );
    }
    if !names_this_server(request, hosts) {
        return Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            "this server does not have the host name that was asked for; http.hosts in its configuration lists its names",
        ));
    }
    if climbs(request.uri().path()) {
        return bad("bad_path", "a path may not contain `..`, `//`, `\\` or NUL");
    }
    Ok(())
}

/// Whether there is exactly one Host header, and it can be one (RFC 9112, 3.2). Before HTTP/1.1 there need not be any. Where
/// there are two, a proxy in front of this server and the server itself may each believe another.
fn names_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// Whether the host is one of this server's, in the header and, where the target is a whole URL, there too (RFC 9112, 3.2.2).
/// A request that names none, which no browser sends, is as good as one that names the address it came to.
fn names_this_server(request: &Request, hosts: &Hosts) -> bool {
    let header = request.headers().get(header::HOST);
    let header = header.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    [header.as_ref(), request.uri().authority()]
        .into_iter()
        .flatten()
        .all(|authority| hosts.contains(authority))
}

/// A name and perhaps a port; empty where the address that is asked for has no name.
fn is_host(value: &HeaderValue) -> bool {
    value.is_empty()
        || Authority::try_from(value.as_bytes())
            .is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Nothing here is looked up in a file system; a path that climbs is refused all the same, and counted.
fn climbs(path: &str) -> bool {
    let mut plain = path.to_ascii_lowercase();
    for (coded, letter) in [("%2e", "."), ("%2f", "/"), ("%5c", "\\"), ("%00", "\0")] {
        plain = plain.replace(coded, letter);
    }
    plain.contains(['\\', '\0'])
        || plain.contains("//")
        || plain.split('/').any(|segment| segment == "..")
}

/// Only what this server itself serves may run, and it may only talk to this server.
fn content_policy(request: &HeaderMap) -> HeaderValue {
    // Older browsers do not take `'self'` for WebSockets; they need the host by name.
    let host = request
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| {
            host.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
        });
    let sockets = host
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         media-src 'self' blob:; manifest-src 'self'; worker-src 'self'; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_are_seen_through_their_disguise() {
        for path in [
            "/../Cargo.toml",
            "/a/..",
            "/%2e%2e/x",
            "/%2E./x",
            "/..%2fx",
            "//etc/passwd",
            "/a%5Cb",
            "/a\\b",
            "/%00",
            "/%2f%2f",
        ] {
            assert!(climbs(path), "{path}");
        }
        for path in [
            "/",
            "/assets/a..b.js",
            "/@bob",
            "/api/v1/accounts/a.b",
            "/...",
            "/.well-known/x",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }

    #[test]
    fn a_host_that_is_none_does_not_reach_the_policy() {
        let mut request = HeaderMap::new();
        request.insert(header::HOST, HeaderValue::from_static("evil; script-src *"));
        let policy = content_policy(&request);
        assert!(
            !policy.to_str().unwrap_or_default().contains("evil"),
            "{policy:?}"
        );
        request.insert(header::HOST, HeaderValue::from_static("chat.example:8080"));
        let policy = content_policy(&request);
        assert!(
            policy
                .to_str()
                .unwrap_or_default()
                .contains("connect-src 'self' ws://chat.example:8080 wss://chat.example:8080;")
        );
    }
}
