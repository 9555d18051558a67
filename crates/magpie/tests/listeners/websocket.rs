//! Handshakes of WebSocket listeners: path, origin, subprotocol, and what is no handshake at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use harness::QoS;

use crate::{Scene, await_metric, dial, talk};

const FRAMED: &str = r#"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
path = "/mqtt/v5"
origins = ["https://chat.example.org", "http://localhost:3000"]
[[mqtt.listener]]
kind = "ws"
address = "127.0.0.1:0"
origins = ["*"]
"#;

/// Sends a request and reads the answer to its end.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

fn handshake(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:3000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
    )
    .into_bytes()
}

#[test]
fn pages_of_other_sites_stay_outside() {
    let scene = Scene::new();
    let server = scene.start(FRAMED);
    let connect = |index: usize, path: &str, origin: Option<&str>| {
        let dial = dial(&server, "page").at(server.listener("ws://", index));
        let client = dial.websocket(path, origin).connect();
        client.map(|mut client| {
            talk(&mut client, "page");
            client.disconnect();
        })
    };
    connect(0, "/mqtt", None).unwrap();
    connect(0, "/mqtt", Some("https://localhost")).unwrap();
    let foreign = connect(0, "/mqtt", Some("https://evil.example")).unwrap_err();
    assert!(foreign.to_string().contains("403"), "{foreign}");
    connect(1, "/mqtt/v5", None).unwrap();
    connect(1, "/mqtt/v5", Some("https://chat.example.org")).unwrap();
    for origin in [
        "https://localhost",
        "https://chat.example.org.evil.example",
        "null",
    ] {
        let foreign = connect(1, "/mqtt/v5", Some(origin)).unwrap_err();
        assert!(foreign.to_string().contains("403"), "{foreign}");
    }
    connect(2, "/mqtt", Some("https://evil.example")).unwrap();
    let elsewhere = connect(1, "/mqtt", None).unwrap_err();
    assert!(elsewhere.to_string().contains("404"), "{elsewhere}");
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"origin\""],
        4.0,
    );
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"path\""],
        1.0,
    );
}

/// Clients send their CONNECT in one message, whatever is in it.
#[test]
fn the_largest_will_comes_in_one_message() {
    let scene = Scene::new();
    let server = scene.start(FRAMED);
    let mut watcher = dial(&server, "watcher").connect().unwrap();
    watcher.subscribe(&[("gone", QoS::AtLeastOnce)]).unwrap();
    let will = "x".repeat(65_535);
    let page = dial(&server, "page").at(server.listener("ws://", 0));
    let page = page.will("gone", &will, QoS::AtLeastOnce);
    let mut page = page.websocket("/mqtt", None).connect().unwrap();
    page.drop_connection();
    assert_eq!(watcher.receive().unwrap().payload, will.as_bytes());
}

#[test]
fn a_request_is_refused_from_the_first_byte_beyond_the_limit() {
    const MAXIMUM: usize = 8 * 1024;
    let scene = Scene::new();
    let server = scene.start(FRAMED);
    let address = server.listener("ws://", 0);
    let offered = "Sec-WebSocket-Protocol: mqtt\r\nCookie: ";
    let around = handshake("/mqtt", &format!("{offered}\r\n")).len();
    for (bytes, status) in [
        (MAXIMUM - 1, "101"),
        (MAXIMUM, "101"),
        (MAXIMUM + 1, "431"),
        (MAXIMUM + 2, "431"),
    ] {
        let cookie = "x".repeat(bytes - around);
        let mut request = handshake("/mqtt", &format!("{offered}{cookie}\r\n"));
        assert_eq!(request.len(), bytes);
        // Behind a handshake that is answered, a goodbye.
        request.extend_from_slice(b"\x88\x80\0\0\0\0");
        let answer = ask(address, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{bytes}: {answer}"
        );
    }
}

#[test]
fn what_is_no_handshake_is_told_so() {
    let scene = Scene::new();
    let server = scene.start(FRAMED);
    let address = server.listener("ws://", 0);
    let mqtt = "Sec-WebSocket-Protocol: chat, mqtt\r\n";
    let check = |request: &[u8], status: &str| {
        let answer = ask(address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    };
    check(&handshake("/mqtt", ""), "400");
    check(
        &handshake("/mqtt", "Sec-WebSocket-Protocol: chat\r\n"),
        "400",
    );
    check(&handshake("/other", mqtt), "404");
    check(
        &handshake("/mqtt", &format!("{mqtt}Origin: https://evil.example\r\n")),
        "403",
    );
    let version = String::from_utf8(handshake("/mqtt", mqtt)).unwrap();
    let version = version.replace("Version: 13", "Version: 8");
    check(
        version.as_bytes(),
        "426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n",
    );
    check(b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    check(
        b"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "400",
    );
    check(b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0\r\n\r\n", "400");
    check(
        &handshake("/mqtt", &format!("Cookie: {}\r\n", "x".repeat(20_000))),
        "431",
    );
    check(&[b'x'; 20_000], "431");
    // One Host header, and it can be one.
    let right = String::from_utf8(handshake("/mqtt", mqtt)).unwrap();
    for hosts in [
        "",
        "Host: localhost:3000\r\nHost: localhost:3000\r\n",
        "Host: a b\r\n",
        "Host: root@localhost\r\n",
    ] {
        check(
            right
                .replacen("Host: localhost:3000\r\n", hosts, 1)
                .as_bytes(),
            "400",
        );
    }
    // And what is one, with the first frames right behind it: CONNECT, masked with zeros, and the end.
    let mut request = handshake("/mqtt", mqtt);
    request.extend_from_slice(b"\x82\x8e\0\0\0\0\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0");
    request.extend_from_slice(b"\x82\x82\0\0\0\0\xe0\0");
    let answer = ask(address, &request);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(
        answer.contains("\u{4}\0\0") || answer.contains(" \u{2}\0\0"),
        "no CONNACK: {answer:?}"
    );
}
