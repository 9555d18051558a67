//! Groups that everybody has left, and the end of groups, through the real server and its command line.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::{Command, ExitStatus};

use harness::{Client, Program, QoS, Server, Version, http_post, http_raw, magpie, password};
use serde_json::{Value, json};

/// A server with an administrator, alice and bob.
fn start() -> Server {
    let server = Server::start();
    for name in ["admin", "alice", "bob"] {
        server.add_account(name);
    }
    server
}

fn device(server: &Server, name: &str) -> Client {
    let mut client = server.dial(Version::V5, name, "test").connect().unwrap();
    let filters = [
        ("im/answer/+", QoS::AtLeastOnce),
        ("im/me/event", QoS::AtLeastOnce),
    ];
    client.subscribe(&filters).unwrap();
    client
}

fn ask(client: &mut Client, method: &str, question: &Value) -> Value {
    client.ask(method, method, question).unwrap()
}

fn run(server: &Server, arguments: &[&str]) -> (ExitStatus, String, String) {
    let mut command = Command::new(magpie());
    command.args(arguments).arg("--data").arg(server.data());
    Program::run("magpie group", &mut command, "")
}

/// Address and members of every group, as `magpie group list` tells them.
fn listed(server: &Server) -> Vec<(String, u64)> {
    let (status, told, errors) = run(server, &["group", "list", "--json"]);
    assert!(status.success(), "{errors}");
    let group = |line: &str| {
        let told: Value = serde_json::from_str(line).unwrap();
        (
            told["slug"].as_str().unwrap().to_owned(),
            told["members"].as_u64().unwrap(),
        )
    };
    told.lines().map(group).collect()
}

fn rest_delete(server: &Server, name: &str, slug: &str) -> u16 {
    let body = json!({"name": name, "password": password(name)});
    let login = http_post(server.http(), "/api/v1/login", &body).unwrap();
    let told: Value = serde_json::from_str(&login.body).unwrap();
    let (http, token) = (server.http(), told["token"].as_str().unwrap());
    let request = format!(
        "DELETE /api/v1/groups/{slug} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    http_raw(http, &request).unwrap().status
}

#[test]
fn a_group_that_all_have_left_outlives_a_crash_and_is_deleted_by_who_left_it_last() {
    let mut server = start();
    let mut alice = device(&server, "alice");
    let made = ask(
        &mut alice,
        "group.create",
        &json!({"slug": "eng", "accounts": ["bob"]}),
    );
    assert_eq!(made["conv"], "eng", "{made}");
    assert_eq!(alice.publish("im/to/eng", "kept", QoS::AtLeastOnce), Ok(0));
    let mut bob = device(&server, "bob");
    for client in [&mut alice, &mut bob] {
        let left = ask(client, "group.leave", &json!({"conv": "eng"}));
        assert_eq!(left, json!({"conv": "eng"}));
    }
    server.kill();
    assert_eq!(listed(&server), [("eng".to_owned(), 0)], "no server runs");
    server.restart();
    assert_eq!(listed(&server), [("eng".to_owned(), 0)], "it is asked");
    let mut alice = device(&server, "alice");
    let taken = ask(&mut alice, "group.create", &json!({"slug": "eng"}));
    assert_eq!(taken["error"], "exists");
    let history = ask(&mut alice, "history", &json!({"conv": "eng"}));
    assert_eq!(history["error"], "not_a_member");
    let whole = json!({"conv": "eng", "slug": "eng"});
    let refused = ask(&mut alice, "group.delete", &whole);
    assert_eq!(refused["error"], "not_a_member");
    let mut bob = device(&server, "bob");
    let careless = ask(&mut bob, "group.delete", &json!({"conv": "eng"}));
    assert_eq!(careless["error"], "missing_key");
    assert_eq!(careless["field"], "slug");
    assert_eq!(
        ask(&mut bob, "group.delete", &whole),
        json!({"conv": "eng"})
    );
    assert_eq!(listed(&server), []);
    server.kill();
    server.restart();
    let mut alice = device(&server, "alice");
    let made = ask(&mut alice, "group.create", &json!({"slug": "eng"}));
    assert_eq!(made["conv"], "eng", "{made}");
    let history = ask(&mut alice, "history", &json!({"conv": "eng"}));
    assert!(!history.to_string().contains("kept"), "{history}");
}

#[test]
fn an_administrator_lists_and_deletes_groups_and_members_are_told() {
    let mut server = start();
    let mut alice = device(&server, "alice");
    for slug in ["a", "b", "c"] {
        let question = json!({"slug": slug, "accounts": ["bob"]});
        assert_eq!(ask(&mut alice, "group.create", &question)["conv"], slug);
    }
    let mut bob = device(&server, "bob");
    assert_eq!(rest_delete(&server, "bob", "a"), 403);
    assert_eq!(rest_delete(&server, "admin", "nothing"), 404);
    assert_eq!(rest_delete(&server, "admin", "a"), 204);
    let told = bob
        .receive_where(|message| message.topic == "im/me/event")
        .unwrap();
    assert_eq!(
        told.json(),
        json!({"kind": "left", "conv": "a", "deleted": true})
    );
    let (status, _, errors) = run(&server, &["group", "delete", "b"]);
    assert!(!status.success() && errors.contains("--yes"), "{errors}");
    let (status, told, errors) = run(&server, &["group", "delete", "b", "--yes"]);
    assert!(
        status.success() && told.contains("group b"),
        "{told}{errors}"
    );
    let (status, _, errors) = run(&server, &["group", "delete", "b", "--yes"]);
    assert!(!status.success() && errors.contains("no group"), "{errors}");
    assert_eq!(listed(&server), [("c".to_owned(), 2)]);
    let (_, audit, _) = run(&server, &["audit"]);
    assert!(
        audit.contains("group deleted: a") && audit.contains("group deleted: b"),
        "{audit}"
    );
    assert!(server.terminate().0.success());
    let (status, _, errors) = run(&server, &["group", "delete", "c", "--yes"]);
    assert!(status.success(), "{errors}");
    assert_eq!(listed(&server), []);
    server.restart();
    let mut alice = device(&server, "alice");
    let list = ask(&mut alice, "conversations", &json!({}));
    assert_eq!(list["conversations"], json!([]));
}
