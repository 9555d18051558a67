//! `magpie status` and `magpie check-config`: how a server is, and whether one would start.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use harness::{Authority, PATIENCE, Program, Server, Version, magpie};
use serde_json::Value;

/// Runs `magpie …` in `folder`: exit code, standard output, standard error.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(magpie());
    command.args(arguments).current_dir(folder);
    let (status, output, errors) = Program::run("magpie", &mut command, "");
    (status.code(), output, errors)
}

fn status(server: &Server) -> Value {
    let arguments = ["status", "--json", "--data", "data"];
    let (code, output, errors) = run(server.folder(), &arguments);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    serde_json::from_str(&output).unwrap()
}

#[test]
fn a_running_server_says_how_it_is() {
    let server = Server::start();
    server.add_account("alice");
    server.add_account("bob");
    let _client = server
        .dial(Version::V5, "alice", "phone")
        .persistent()
        .connect()
        .unwrap();
    // The shards tell their numbers once a second.
    let began = Instant::now();
    let told = loop {
        let told = status(&server);
        if told["connections"] == 1 && told["sessions"] == 1 {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
    };
    assert_eq!(told["healthy"], true);
    assert_eq!(told["health"], "ready");
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["pid"], server.program().pid());
    assert_eq!(told["data"], server.data().to_str().unwrap());
    assert_eq!(told["accounts"], 2);
    let listeners = [
        format!("mqtt://{}", server.mqtt()),
        format!("http://{}", server.http()),
    ];
    assert_eq!(told["listeners"], serde_json::json!(listeners));
    for figure in ["stored_bytes", "disk_free_bytes"] {
        assert!(told[figure].as_u64().unwrap() > 0, "{figure}: {told}");
    }

    let (code, text, _) = run(server.folder(), &["status", "--data", "data"]);
    assert_eq!(code, Some(0));
    for line in [
        "health       ready",
        "accounts     2",
        &format!("listeners    {}", listeners[0]),
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }

    server.terminate();
    let (code, text, told) = run(server.folder(), &["status", "--data", "data"]);
    assert_eq!((code, text.as_str()), (Some(3), ""));
    assert!(told.contains("no server answers for data"), "{told}");
}

#[test]
fn status_makes_no_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, told) = run(folder.path(), &["status"]);
    assert_eq!(code, Some(3), "{told}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let (_, help, _) = run(folder.path(), &["status", "--help"]);
    assert!(help.contains("3 if no server answers there"), "{help}");
}

#[test]
fn a_configuration_is_judged_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let folder = folder.path();
    let check = || run(folder, &["check-config"]);
    let (code, output, _) = check();
    assert_eq!(code, Some(0));
    assert!(output.starts_with("no magpie.toml"), "{output}");
    assert!(output.contains("\n  mqtt://127.0.0.1:1883\n"), "{output}");

    let file = folder.join("magpie.toml");
    let certified = "[[mqtt.listener]]\naddress = \"127.0.0.1:1\"\n\n[[mqtt.listener]]\nkind = \"tls\"\n\
        address = \"[::]:8883\"\ncertificate = \"server.pem\"\nkey = \"server.key\"\n[http]\naddress = \"127.0.0.1:8\"\n\
        certificate = \"server.pem\"\nkey = \"server.key\"\n";
    std::fs::write(&file, certified).unwrap();
    let (code, output, told) = check();
    assert_eq!((code, output.as_str()), (Some(1), ""));
    for line in [
        "magpie.toml:7: mqtt.listener.certificate: cannot read server.pem",
        "magpie.toml:11: http.certificate: ",
    ] {
        assert!(told.contains(line), "{told}");
    }
    authority.server().write(folder, "server");
    let (code, output, told) = check();
    assert_eq!(code, Some(0), "{told}");
    let expected = "magpie.toml: ok\n  mqtt://127.0.0.1:1\n  mqtts://[::]:8883\n  https://127.0.0.1:8\n  data in ./magpie-data";
    assert_eq!(output, expected);

    std::fs::write(folder.join("server.key"), "no key").unwrap();
    let (code, _, told) = check();
    assert_eq!(code, Some(1));
    assert!(
        told.contains("magpie.toml:8: mqtt.listener.key: server.key "),
        "{told}"
    );

    std::fs::write(&file, "[mqtt]\nshards = -1\n").unwrap();
    let (code, _, told) = check();
    assert_eq!(code, Some(1));
    assert!(told.contains("magpie.toml:2: mqtt.shards"), "{told}");
    assert!(!folder.join("magpie-data").exists(), "nothing was begun");
}
