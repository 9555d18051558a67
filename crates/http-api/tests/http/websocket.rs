//! `/mqtt`: which handshakes are answered, and what the shards are handed.

use std::io::{Read, Write};

use server::handle::{Subprotocol, UpgradedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PATIENCE, World, answer, world};

const HANDSHAKE: [(&str, &str); 5] = [
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Protocol", "mqtt"),
];

/// A right handshake with one header replaced, added, or (by "") left out.
fn handshake(host: &str, change: (&str, &str)) -> String {
    let mut request = format!("GET /mqtt HTTP/1.1\r\nHost: {host}\r\n");
    let kept = HANDSHAKE.into_iter().filter(|(name, _)| *name != change.0);
    for (name, value) in kept.chain([change]).filter(|(_, value)| !value.is_empty()) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request + "\r\n"
}

#[tokio::test]
async fn the_socket_is_handed_over_with_what_came_behind_the_handshake() {
    let mut world = world().await;
    let mut client = world.connect().await;
    let request = handshake("magpie.test", ("", ""));
    client
        .write_all(format!("{request}first frame").as_bytes())
        .await
        .unwrap();
    let agreed = answer(&mut client).await;
    assert_eq!(agreed.status, 101, "{agreed:?}");
    // The example of RFC 6455, section 1.3.
    assert_eq!(
        agreed.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(agreed.header("sec-websocket-protocol"), Some("mqtt"));
    assert_eq!(agreed.header("upgrade"), Some("websocket"));

    let adopted = tokio::time::timeout(PATIENCE, world.adopted.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(adopted.leftover, b"first frame");
    assert_eq!(adopted.subprotocol, Subprotocol::Mqtt);
    assert_eq!(adopted.peer, client.local_addr().unwrap());
    // The socket is the client's, in both directions, and the HTTP server is out of the way.
    let UpgradedStream::Plain(mut socket) = adopted.stream else {
        panic!("{:?} is not the TCP stream it began as", adopted.stream);
    };
    socket.set_nonblocking(false).unwrap();
    client.write_all(b"ping").await.unwrap();
    let mut said = [0; 4];
    socket.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ping");
    socket.write_all(b"pong").unwrap();
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"pong");
    drop(socket);
    assert_eq!(
        client.read(&mut said).await.unwrap(),
        0,
        "nothing else holds the connection open"
    );
}

// [3.1.1 MQTT-6.0.0-4] [5 MQTT-6.0.0-4]
#[tokio::test]
async fn the_subprotocol_is_chosen_from_what_is_offered() {
    let mut world = world().await;
    for (offered, agreed, subprotocol) in [
        ("mqtt", "mqtt", Subprotocol::Mqtt),
        ("chat, MQTT", "mqtt", Subprotocol::Mqtt),
        ("mqttv3.1, mqtt", "mqtt", Subprotocol::Mqtt),
        ("mqttv3.1", "mqttv3.1", Subprotocol::MqttV31),
    ] {
        let mut client = world.connect().await;
        let request = handshake("magpie.test", ("Sec-WebSocket-Protocol", offered));
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(
            answer(&mut client).await.header("sec-websocket-protocol"),
            Some(agreed),
            "{offered}"
        );
        let adopted = tokio::time::timeout(PATIENCE, world.adopted.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(adopted.subprotocol, subprotocol, "{offered}");
    }
}

async fn check_refused(world: &World, change: (&str, &str), status: u16, code: &str) {
    let answer = world.raw(handshake("magpie.test", change)).await;
    assert_eq!(answer.status, status, "{change:?}: {answer:?}");
    answer.check_refusal(status, code);
}

#[tokio::test]
async fn a_handshake_with_something_wrong_is_refused_with_a_sentence() {
    let world = world().await;
    for (header, value) in [
        ("Sec-WebSocket-Protocol", ""),
        ("Sec-WebSocket-Protocol", "chat, mqttv5"),
        ("Sec-WebSocket-Version", ""),
        ("Sec-WebSocket-Version", "8"),
        ("Sec-WebSocket-Version", "13, 8"),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", "c2hvcnQ="),
        ("Sec-WebSocket-Key", "not base64 at all!!!!!!="),
    ] {
        check_refused(&world, (header, value), 400, "bad_handshake").await;
    }
    for change in [
        ("Upgrade", ""),
        ("Upgrade", "h2c"),
        ("Connection", ""),
        ("Connection", "close"),
    ] {
        check_refused(&world, change, 426, "websocket_only").await;
    }
    let other = world
        .raw(handshake("localhost", ("Sec-WebSocket-Version", "8")))
        .await;
    assert_eq!(
        other.header("sec-websocket-version"),
        Some("13"),
        "says which version there is"
    );
    world
        .get("/mqtt", "Accept: text/html\r\n")
        .await
        .check_refusal(426, "websocket_only");
    let posted = handshake("localhost", ("", "")).replacen("GET", "POST", 1);
    world.raw(posted).await.check_refusal(400, "bad_handshake");
}

#[tokio::test]
async fn a_handshake_names_one_host() {
    let world = world().await;
    let right = handshake("magpie.test", ("", ""));
    for hosts in ["", "Host: magpie.test\r\nHost: magpie.test\r\n"] {
        let request = right.replacen("Host: magpie.test\r\n", hosts, 1);
        world.raw(request).await.check_refusal(400, "bad_host");
    }
}

#[tokio::test]
async fn a_page_of_another_site_may_not_connect() {
    let mut world = world().await;
    for origin in [
        "http://evil.test",
        "https://magpie.test.evil",
        "http://magpie.test:81",
        "null",
        "file://magpie.test",
    ] {
        check_refused(&world, ("Origin", origin), 403, "foreign_origin").await;
    }
    for (host, origin) in [
        ("magpie.test", "http://magpie.test"),
        ("Magpie.test", "https://magpie.TEST"),
        ("magpie.test:80", "http://magpie.test"),
        ("magpie.test:8080", "http://magpie.test:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
    ] {
        let answer = world.raw(handshake(host, ("Origin", origin))).await;
        assert_eq!(answer.status, 101, "{host} {origin}: {answer:?}");
        tokio::time::timeout(PATIENCE, world.adopted.recv())
            .await
            .unwrap()
            .unwrap();
    }
}
