//! One conversation through each kind, and limits that are a listener's own.

use harness::{ClientError, QoS, Version};

use crate::{Scene, connect_when_free, dial, metric, talk};

const ALL: &str = r#"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
path = "/chat/mqtt"
[[mqtt.listener]]
kind = "unix"
address = "./mqtt.sock"
"#;

#[test]
fn each_kind_carries_large_and_small_messages() {
    let scene = Scene::new();
    let server = scene.start(ALL);
    let tls = scene.authority.client_config(None);
    let dials = [
        ("tcp", dial(&server, "tcp")),
        (
            "tls",
            dial(&server, "tls")
                .at(server.listener("mqtts://", 0))
                .tls(&tls),
        ),
        (
            "ws",
            dial(&server, "ws")
                .at(server.listener("ws://", 0))
                .websocket("/mqtt", None),
        ),
        (
            "wss",
            dial(&server, "wss")
                .at(server.listener("wss://", 0))
                .tls(&tls)
                .websocket("/chat/mqtt", None),
        ),
        (
            "unix",
            dial(&server, "unix").unix(&server.folder().join("mqtt.sock")),
        ),
    ];
    let mut clients = Vec::new();
    for (kind, dial) in dials {
        let mut client = dial
            .connect()
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        talk(&mut client, &format!("own/{kind}"));
        client.subscribe(&[("all", QoS::AtLeastOnce)]).unwrap();
        clients.push((kind, client));
    }
    for index in 0..clients.len() {
        let kind = clients[index].0;
        assert_eq!(
            clients[index].1.publish("all", kind, QoS::AtLeastOnce),
            Ok(0)
        );
        for (to, client) in &mut clients {
            assert_eq!(client.receive().unwrap().text(), kind, "{kind} to {to}");
        }
    }
    for (kind, listener) in [("tcp", "mqtt://"), ("tls", "mqtts://"), ("unix", "unix:")] {
        let accepted = metric(&server, "magpie_listener_connections_total", &[listener]);
        assert!(accepted >= 1.0, "{kind}: {accepted}");
    }
    for (_, client) in clients {
        client.disconnect();
    }
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
}

#[test]
fn limits_are_a_listeners_own() {
    let scene = Scene::new();
    let server = scene.start(
        r#"
        [[mqtt.listener]]
        address = "127.0.0.1:0"
        [[mqtt.listener]]
        kind = "ws"
        address = "127.0.0.1:0"
        connections_max = 2
        max_packet_size = 2048
        allow_anonymous = true
        connect_timeout_secs = 1
        "#,
    );
    let other = |client_id: &str| {
        dial(&server, client_id)
            .at(server.listener("ws://", 0))
            .websocket("/mqtt", None)
    };
    let nameless = dial(&server, "nameless").nameless();
    assert_eq!(nameless.connect().unwrap_err(), ClientError::Refused(0x87));
    let mut nameless = other("nameless").nameless().connect().unwrap();

    let mut alice = other("one").connect().unwrap();
    let beyond = other("two").connect();
    assert_eq!(beyond.unwrap_err(), ClientError::Refused(0x89));
    assert!(metric(&server, "magpie_listener_refused_total", &["ws://"]) >= 1.0);
    dial(&server, "three").connect().unwrap().disconnect();

    alice
        .send("im/to/@bob", "x".repeat(4000), QoS::AtLeastOnce)
        .unwrap();
    assert_eq!(alice.end(), ClientError::Disconnected(0x95));
    nameless.ping().unwrap();

    drop(alice);
    connect_when_free(&other("four")).disconnect();

    // Connections that never say who they are; the first may still find the place taken.
    let late = || {
        metric(
            &server,
            "magpie_handshake_failures_total",
            &["ws://", "timeout"],
        )
    };
    let begin = std::time::Instant::now();
    while late() < 1.0 {
        assert!(begin.elapsed() < harness::PATIENCE, "nobody is too late");
        let mut silent = std::net::TcpStream::connect(server.listener("ws://", 0)).unwrap();
        silent.set_read_timeout(Some(harness::PATIENCE)).unwrap();
        let read = std::io::Read::read(&mut silent, &mut [0; 1]);
        assert!(matches!(read, Ok(0)), "{read:?}");
    }
}

#[test]
fn old_versions_come_in_through_tls_too() {
    let scene = Scene::new();
    let server = scene.start(ALL);
    let tls = scene.authority.client_config(None);
    for version in [Version::V31, Version::V311, Version::V5] {
        let dial = server
            .dial(version, "alice", "old")
            .at(server.listener("mqtts://", 0));
        let mut client = dial.tls(&tls).connect().unwrap();
        talk(&mut client, "old");
        client.disconnect();
    }
}
