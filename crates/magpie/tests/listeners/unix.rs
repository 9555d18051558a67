//! The Unix socket: its permissions, and what becomes of its file.

use std::os::unix::fs::PermissionsExt as _;

use crate::{Scene, dial, talk};

const UNIX: &str = r#"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "unix"
address = "./mqtt.sock"
mode = "0600"
"#;

#[test]
fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
    let scene = Scene::new();
    let server = scene.launch(UNIX).keeps_addresses().start();
    server.add_account("alice");
    let path = server.folder().join("mqtt.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    talk(
        &mut dial(&server, "one").unix(&path).connect().unwrap(),
        "one",
    );

    // Another server, with a data directory of its own, finds the path taken.
    let other = Scene::new();
    let config = UNIX.replace("./mqtt.sock", path.to_str().unwrap());
    let errors = other.launch(&config).refused();
    assert!(errors.contains("another server answers there"), "{errors}");
    talk(
        &mut dial(&server, "two").unix(&path).connect().unwrap(),
        "two",
    );

    server.kill();
    assert!(path.exists(), "SIGKILL leaves the file");
    let server = scene.launch(UNIX).start();
    talk(
        &mut dial(&server, "three").unix(&path).connect().unwrap(),
        "three",
    );
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    assert!(
        !path.exists(),
        "a server that ends in order takes its socket along"
    );

    // What is no socket is somebody else's.
    std::fs::write(&path, "precious").unwrap();
    let errors = scene.launch(UNIX).refused();
    assert!(errors.contains("a file that is not a socket"), "{errors}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}
