//! As much of HTTP as tests need: one request, one answer, one connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// An answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// Its status.
    pub status: u16,
    /// Its header, as it came.
    pub header: String,
    /// Its body.
    pub body: String,
}

/// GETs `path`; an error when nobody answers there.
pub fn http_get(address: SocketAddr, path: &str) -> std::io::Result<HttpAnswer> {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// POSTs JSON to `path`.
pub fn http_post(
    address: SocketAddr,
    path: &str,
    json: &serde_json::Value,
) -> std::io::Result<HttpAnswer> {
    let body = json.to_string();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// Sends a request as it stands.
pub fn http_raw(address: SocketAddr, request: &str) -> std::io::Result<HttpAnswer> {
    exchange(address, request)
}

fn exchange(address: SocketAddr, request: &str) -> std::io::Result<HttpAnswer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (header, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("not an HTTP answer: {answer:?}"));
    let status = header
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status in {header:?}"));
    Ok(HttpAnswer {
        status,
        header: header.to_owned(),
        body: body.to_owned(),
    })
}
