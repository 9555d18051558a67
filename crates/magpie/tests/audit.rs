//! The log tells every change of accounts, passwords, tokens and limits, and who made it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use harness::{Launch, PATIENCE, Program, QoS, Server, Signal, Version, magpie, password};
use serde_json::{Value, json};

/// Sends a request with this token; its status and body.
fn send(http: SocketAddr, method: &str, path: &str, token: &str, body: &Value) -> (u16, String) {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// Asserts that a line of the log has all these parts.
fn check(server: &Server, parts: &[&str]) {
    let is_wanted = |line: &str| parts.iter().all(|part| line.contains(part));
    let (_, line) = server.program().error_line(0, is_wanted);
    assert!(line.contains("INFO") && line.contains("audit"), "{line}");
}

/// What `magpie audit` says of the server's data directory.
fn audit(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new(magpie());
    command
        .arg("audit")
        .args(arguments)
        .arg("--data")
        .arg(server.data());
    let (status, output, errors) = Program::run("magpie audit", &mut command, "");
    assert!(status.success(), "{arguments:?}: {errors}");
    output
}

fn account(server: &Server, arguments: &[&str], input: &str) {
    let (status, _, errors) = server.account(arguments, input);
    assert!(status.success(), "{arguments:?}: {errors}");
}

#[test]
fn every_change_is_told_with_who_made_it_and_no_secret() {
    let server = Launch::new().config("[log]\nlevel = \"info\"\n").start();
    let http = server.http();
    let (_, link) = server
        .program()
        .line(0, |line| line.contains("/setup#token="));
    let setup = link.trim().split_once("#token=").unwrap().1;
    let first = json!({"token": setup, "name": "alice", "password": password("alice")});
    assert_eq!(send(http, "POST", "/api/v1/setup", "", &first).0, 201);
    let from = "from=\"127.0.0.1\"";
    check(
        &server,
        &[
            "account added",
            "by=\"one-time link\"",
            from,
            "account=\"alice\"",
            "role=\"admin\"",
        ],
    );

    let login = json!({"name": "alice", "password": password("alice"), "device": "test"});
    let (status, told) = send(http, "POST", "/api/v1/login", "", &login);
    assert_eq!(status, 200, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let token = told["token"].as_str().unwrap();
    let by = "by=\"alice\"";
    check(
        &server,
        &[
            "token made",
            by,
            from,
            "account=\"alice\"",
            "device=\"test\"",
        ],
    );

    let bob = json!({"name": "bob", "password": password("bob")});
    assert_eq!(send(http, "POST", "/api/v1/accounts", token, &bob).0, 201);
    check(
        &server,
        &[
            "account added",
            by,
            from,
            "account=\"bob\"",
            "role=\"member\"",
        ],
    );

    let new = "another password\n";
    account(&server, &["passwd", "bob", "--password-stdin"], new);
    account(&server, &["disable", "bob"], "");
    account(&server, &["enable", "bob"], "");
    let socket = "by=\"control socket\" from=\"user ";
    for what in ["password changed", "account disabled", "account enabled"] {
        check(&server, &[what, socket, "account=\"bob\""]);
    }
    let mut device = server.dial(Version::V5, "alice", "test").connect().unwrap();
    device
        .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
        .unwrap();
    let made = device.ask("group.create", "1", &json!({"slug": "eng"}));
    assert_eq!(made.unwrap()["conv"], "eng");
    let group = "/api/v1/groups/eng";
    assert_eq!(send(http, "DELETE", group, token, &Value::Null).0, 204);
    check(&server, &["group deleted", by, from, "eng"]);
    let path = "/api/v1/accounts/bob";
    assert_eq!(send(http, "DELETE", path, token, &Value::Null).0, 204);
    check(&server, &["account removed", by, from, "account=\"bob\""]);
    assert_eq!(send(http, "DELETE", path, token, &Value::Null).0, 404);
    assert_eq!(
        send(http, "POST", "/api/v1/logout", token, &Value::Null).0,
        204
    );
    check(&server, &["token revoked", by, from, "account=\"alice\""]);

    let limits = "[log]\nlevel = \"info\"\n[mqtt]\nmax_packet_size = 65536\n";
    std::fs::write(server.folder().join("magpie.toml"), limits).unwrap();
    server.program().signal(Signal::HangUp);
    check(
        &server,
        &[
            "configuration changed",
            "by=\"SIGHUP\"",
            "key=\"mqtt.max_packet_size\"",
            "before=\"1048576\"",
            "after=\"65536\"",
        ],
    );
    // A row is committed after its line of the log is written.
    let begun = Instant::now();
    let listed = loop {
        let listed = audit(&server, &["--json"]);
        if listed.contains("configuration changed") {
            break listed;
        }
        assert!(begun.elapsed() < PATIENCE, "{listed}");
    };
    let told: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let whats: Vec<_> = told
        .iter()
        .map(|row| row["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        whats,
        [
            "account added",
            "token made",
            "account added",
            "password changed, tokens revoked",
            "account disabled",
            "account enabled",
            "group deleted",
            "account removed",
            "token revoked",
            "configuration changed",
        ]
    );
    let mut removed = told[7].clone();
    assert!(removed["at"].take().as_u64().unwrap() > 1_600_000_000_000);
    let expected = json!({"at": null, "by": "alice", "from": "127.0.0.1", "what": "account removed", "about": "bob", "detail": ""});
    assert_eq!(removed, expected);
    assert_eq!(told[9]["about"], "mqtt.max_packet_size");
    assert_eq!(told[9]["detail"], "1048576 -> 65536");
    let last = audit(&server, &["--limit", "2"]);
    assert_eq!(last.lines().count(), 2, "{last}");
    assert!(
        last.contains("alice (127.0.0.1)  token revoked: alice\n"),
        "{last}"
    );
    for secret in [setup, token, &password("alice"), new.trim()] {
        assert!(!listed.contains(secret), "{secret:?} is in the audit");
    }
    server.terminate();
    assert_eq!(audit(&server, &["--json"]), listed, "without the server");
    account(&server, &["passwd", "alice", "--password-stdin"], new);
    let last = audit(&server, &["--limit", "1"]);
    let expected = "  command line (this machine)  password changed, tokens revoked: alice";
    assert!(last.trim_end().ends_with(expected), "{last}");
    let log = server.program().errors();
    assert_eq!(log.matches("account removed").count(), 1, "{log}");
    for secret in [
        setup,
        token,
        &password("alice"),
        &password("bob"),
        new.trim(),
    ] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}
