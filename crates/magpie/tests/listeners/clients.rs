//! Other people's clients through other listeners: mosquitto's programs over TLS, with a certificate, and over a Unix socket;
//! MQTT.js over secure WebSocket.

use std::process::Command;

use harness::{Authority, Needs, Program, QoS, Version, password, repository};

use crate::Scene;

const LISTENERS: &str = r#"
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
client_certificate = "optional"
account_from = "cn"
[[mqtt.listener]]
kind = "unix"
address = "./mqtt.sock"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
"#;

#[test]
fn mosquitto_pub_comes_in_encrypted_certified_and_locally() {
    let needs = Needs {
        test: "mosquitto_pub_comes_in_encrypted_certified_and_locally",
    };
    let install = "apt-get install mosquitto-clients";
    if needs.program("mosquitto_pub", install).is_none() {
        return;
    }
    let scene = Scene::new();
    let clients = Authority::new();
    scene.write("clients.pem", clients.certificate());
    scene.write("authority.pem", scene.authority.certificate());
    let (certificate, key) = clients.client("bob", &[]).write(scene.folder.path(), "bob");
    let server = scene.start(LISTENERS);
    server.add_account("bob");
    let mut alice = server.dial(Version::V5, "alice", "peer").connect().unwrap();
    alice.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();

    let port = server.listener("mqtts://", 0).port().to_string();
    let authority = scene.folder.path().join("authority.pem");
    let authority = authority.to_str().unwrap();
    let socket = server.folder().join("mqtt.sock");
    let password = password("bob");
    let login = ["-u", "bob", "-P", &password];
    let encrypted = ["-h", "localhost", "-p", &port, "--cafile", authority];
    let certified = [
        "--cert",
        certificate.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ];
    let ways: [(&str, Vec<&str>); 4] = [
        ("password over TLS", [&encrypted[..], &login].concat()),
        ("certificate", [&encrypted[..], &certified].concat()),
        (
            "TLS 1.2",
            [&encrypted[..], &certified, &["--tls-version", "tlsv1.2"]].concat(),
        ),
        (
            "Unix socket",
            [&["--unix", socket.to_str().unwrap()], &login[..]].concat(),
        ),
    ];
    for (what, way) in ways {
        let mut command = Command::new("mosquitto_pub");
        command
            .args(way)
            .args(["-q", "1", "-t", "im/to/@alice", "-m", what]);
        let (status, _, errors) = Program::run(what, &mut command, "");
        assert!(status.success(), "{what}: {status} {errors}");
        let message = alice
            .receive_where(|message| message.topic == "im/in/@bob")
            .unwrap();
        assert_eq!(
            (&message.json()["text"], &message.json()["from"]),
            (&what.into(), &"bob".into())
        );
    }
}

#[test]
fn mqtt_js_comes_in_over_secure_websocket() {
    let needs = Needs {
        test: "mqtt_js_comes_in_over_secure_websocket",
    };
    let Some(modules) = needs.variable("MAGPIE_NODE_MODULES") else {
        return;
    };
    if needs.program("node", "apt-get install nodejs").is_none() {
        return;
    }
    for scheme in ["wss", "mqtts"] {
        // A server for each: the script looks whether its session is there.
        let scene = Scene::new();
        scene.write("clients.pem", scene.authority.certificate());
        scene.write("authority.pem", scene.authority.certificate());
        let server = scene.start(LISTENERS);
        server.add_account("bob");
        let mut alice = server.dial(Version::V5, "alice", "peer").connect().unwrap();
        alice.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        let address = server.listener(&format!("{scheme}://"), 0);
        let path = if scheme == "wss" { "/mqtt" } else { "" };
        let url = format!("{scheme}://localhost:{}{path}", address.port());
        let mut command = Command::new("node");
        command
            .arg(repository().join("tests/clients/node/chat.mjs"))
            .args([&url, "bob", &password("bob"), "alice", "5"])
            .env("MAGPIE_NODE_MODULES", &modules)
            .env(
                "NODE_EXTRA_CA_CERTS",
                scene.folder.path().join("authority.pem"),
            );
        let mut script = Program::start(scheme, &mut command);
        script.line(0, |line| line == "ready");
        alice
            .receive_where(|message| message.topic == "im/in/@bob")
            .unwrap();
        alice
            .publish("im/to/@bob", "hello bob", QoS::AtLeastOnce)
            .unwrap();
        script.line(0, |line| line == "away");
        alice
            .publish("im/to/@bob", "while away 1", QoS::AtLeastOnce)
            .unwrap();
        alice
            .publish("im/to/@bob", "while away 2", QoS::AtLeastOnce)
            .unwrap();
        script.write("\n");
        let status = script.end();
        assert!(
            status.success(),
            "{url}: {}\n{}",
            script.output(),
            script.errors()
        );
    }
}
