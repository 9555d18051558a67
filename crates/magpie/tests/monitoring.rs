//! What monitoring asks the running server: metrics at an address of their own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use harness::{Launch, Program, http_get, magpie};

#[test]
fn the_metrics_have_an_address_of_their_own_where_the_operator_wants_one() {
    let config = "[http]\nmetrics_address = \"127.0.0.1:0\"\n";
    let server = Launch::new().config(config).start();
    let metrics = server.listener("http://", 1);
    assert_ne!(metrics, server.http());
    let told = http_get(metrics, "/metrics").unwrap();
    assert_eq!(told.status, 200);
    assert!(told.body.contains("magpie_build_info"), "{}", told.body);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http_get(metrics, path).unwrap().status, 200, "{path}");
    }
    assert_eq!(http_get(metrics, "/").unwrap().status, 404);
    assert_eq!(http_get(server.http(), "/metrics").unwrap().status, 401);
    assert_eq!(http_get(server.http(), "/healthz").unwrap().status, 200);
    assert_eq!(server.terminate().0.code(), Some(0));
}

#[test]
fn a_taken_address_of_the_metrics_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[http]\nmetrics_address = \"{address}\"\n");
    std::fs::write(folder.path().join("magpie.toml"), text).unwrap();
    let mut command = Command::new(magpie());
    command.args(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let (status, _, errors) = Program::run("magpie", command.current_dir(&folder), "");
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("http.metrics_address"), "{errors}");
    assert!(errors.contains("another program listens there"), "{errors}");
}
