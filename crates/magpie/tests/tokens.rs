//! How tokens end, and what ends with them, through the real server.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use harness::{
    Client, ClientError, Dial, HttpAnswer, Launch, Server, Version, http_post, http_raw, password,
};
use serde_json::{Value, json};

fn token_of(server: &Server, name: &str) -> String {
    let body = json!({"name": name, "password": password(name), "device": "test"});
    let answer = http_post(server.http(), "/api/v1/login", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

fn dial(server: &Server, name: &str, client_id: &str, token: &str) -> Result<Client, ClientError> {
    Dial::new(server.mqtt(), Version::V5, client_id)
        .login(name, token)
        .connect()
}

/// POSTs nothing with a bearer token.
fn post(address: SocketAddr, path: &str, token: &str) -> HttpAnswer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    http_raw(address, &request).unwrap()
}

#[test]
fn logging_out_closes_what_the_token_has_opened_and_nothing_else() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let (first, second) = (token_of(&server, "alice"), token_of(&server, "alice"));
    let mut by_first: Vec<Client> = ["one", "two", "three"]
        .map(|id| dial(&server, "alice", id, &first).unwrap())
        .into();
    let mut websocket = Dial::new(server.http(), Version::V5, "browser")
        .websocket("/mqtt", None)
        .login("alice", &first)
        .connect()
        .unwrap();
    let mut by_second = dial(&server, "alice", "four", &second).unwrap();
    let mut by_password = server.dial(Version::V5, "alice", "five").connect().unwrap();

    let out = post(server.http(), "/api/v1/logout", &first);
    assert_eq!(out.status, 204, "{}", out.body);
    for client in by_first.iter_mut().chain([&mut websocket]) {
        let end = client.end();
        assert!(matches!(end, ClientError::Disconnected(0x98)), "{end}");
    }
    by_second.ping().unwrap();
    by_password.ping().unwrap();
    let refused = dial(&server, "alice", "one", &first).err().unwrap();
    assert!(matches!(refused, ClientError::Refused(0x86)), "{refused}");
    dial(&server, "alice", "one", &second).unwrap();
}

#[test]
fn a_token_does_not_survive_that_its_account_is_disabled() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    let token = token_of(&server, "bob");
    for command in ["disable", "enable"] {
        let (status, _, errors) = server.account(&[command, "bob"], "");
        assert!(status.success(), "{errors}");
    }
    let refused = dial(&server, "bob", "phone", &token).err().unwrap();
    assert!(matches!(refused, ClientError::Refused(0x86)), "{refused}");
    server.dial(Version::V5, "bob", "phone").connect().unwrap();
}

#[test]
fn a_token_without_an_end_gets_one_with_its_next_use_and_then_ends() {
    let mut server = Launch::new()
        .keeps_addresses()
        .config("[auth]\ntoken_expiry_secs = 0\n")
        .start();
    server.add_account("alice");
    let token = token_of(&server, "alice");
    server.terminate();
    let config = server.folder().join("magpie.toml");
    std::fs::write(config, "[auth]\ntoken_expiry_secs = 1\n").unwrap();
    server.restart();
    dial(&server, "alice", "phone", &token).unwrap();
    // Its life; whoever asked in between would use it.
    std::thread::sleep(Duration::from_secs(2));
    for what in ["ended", "ended on disk"] {
        let refused = dial(&server, "alice", "phone", &token).err().unwrap();
        assert!(
            matches!(refused, ClientError::Refused(0x86)),
            "{what}: {refused}"
        );
        server.kill();
        server.restart();
    }
}
