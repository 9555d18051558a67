//! The running server behind a proxy: who guesses passwords keeps nobody else of the same proxy out.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use harness::{Launch, PATIENCE, password};
use serde_json::json;

const CONFIG: &str = r#"
[http]
proxy_from = ["127.0.0.1"]
[auth]
failures_per_minute_per_address = 2
"#;

/// The status of a login that a proxy passes on for `client`.
fn login(http: SocketAddr, client: &str, password: &str) -> u16 {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = json!({"name": "alice", "password": password}).to_string();
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {http}\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_guesser_behind_a_proxy_is_refused_and_others_behind_it_are_not() {
    let server = Launch::new().config(CONFIG).start();
    server.add_account("alice");
    let right = password("alice");
    for _ in 0..2 {
        assert_eq!(login(server.http(), "192.0.2.1", "a wrong one"), 401);
    }
    assert_eq!(login(server.http(), "192.0.2.1", &right), 429);
    // What the guesser writes itself stands to the left.
    assert_eq!(login(server.http(), "192.0.2.2, 192.0.2.1", &right), 429);
    assert_eq!(login(server.http(), "192.0.2.2", &right), 200);
}
