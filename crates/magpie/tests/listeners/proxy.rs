//! The PROXY protocol in front of everything: who may send it, what it changes, and what is no header.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use harness::{ClientError, Dial, Server};

use crate::{Scene, await_metric, connect_when_free, dial, metric, talk};

const PROXIED: &str = r#"
[mqtt]
allow_anonymous = true
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
address = "127.0.0.1:0"
proxy_protocol = true
proxy_from = ["127.0.0.0/8"]
connections_per_address_max = 1
connect_timeout_secs = 2
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
proxy_protocol = true
proxy_from = ["127.0.0.1"]
[[mqtt.listener]]
kind = "wss"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
proxy_protocol = true
proxy_from = ["127.0.0.1"]
[[mqtt.listener]]
address = "127.0.0.1:0"
proxy_protocol = true
proxy_from = ["10.0.0.0/8", "::1"]
"#;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\x0a\0\0\x01\x30\x39\x07\x5b";

fn v1(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 10.0.0.1 4711 1883\r\n").into_bytes()
}

fn through(server: &Server, scheme: &str, index: usize, client_id: &str, header: &[u8]) -> Dial {
    dial(server, client_id)
        .at(server.listener(scheme, index))
        .preamble(header)
}

#[test]
fn the_address_in_the_header_is_what_limits_see() {
    let scene = Scene::new();
    let server = scene.start(PROXIED);
    let proxied =
        |client_id: &str, header: &[u8]| through(&server, "mqtt://", 1, client_id, header);
    let mut first = proxied("first", &v1("192.0.2.7")).connect().unwrap();
    let mut second = proxied("second", V2).connect().unwrap();
    let third = proxied("third", &v1("192.0.2.7")).connect();
    assert_eq!(third.unwrap_err(), ClientError::Refused(0x97));
    assert!(metric(&server, "magpie_listener_refused_total", &[]) >= 1.0);
    talk(&mut first, "first");
    talk(&mut second, "second");
    // The place is free again with its connection's end.
    first.disconnect();
    connect_when_free(&proxied("fourth", &v1("192.0.2.7"))).disconnect();
    // The proxy asks for itself, as often as it likes.
    let mut own = Vec::new();
    for number in 0..3 {
        own.push(
            proxied(&format!("own {number}"), b"PROXY UNKNOWN\r\n")
                .connect()
                .unwrap(),
        );
    }
}

#[test]
fn encryption_begins_behind_the_header() {
    let scene = Scene::new();
    let server = scene.start(PROXIED);
    let tls = scene.authority.client_config(None);
    for header in [v1("192.0.2.7"), V2.to_vec()] {
        let mut client = through(&server, "mqtts://", 0, "tls", &header)
            .tls(&tls)
            .connect()
            .unwrap();
        talk(&mut client, "tls");
        let framed = through(&server, "wss://", 0, "wss", &header).tls(&tls);
        let mut client = framed.websocket("/mqtt", None).connect().unwrap();
        talk(&mut client, "wss");
    }
}

#[test]
fn without_a_right_header_nobody_comes_in() {
    let scene = Scene::new();
    let server = scene.start(PROXIED);
    let garbage = [
        &b"PROXY TCP5 nonsense\r\n"[..],
        b"",
        &[0xff; 64],
        b"PROXY TCP4 192.0.2.7\r\n",
    ];
    for header in garbage {
        let outcome = through(&server, "mqtt://", 1, "garbage", header).connect();
        assert!(
            matches!(outcome, Err(ClientError::Lost(_))),
            "{header:?}: {outcome:?}"
        );
    }
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["proxy_header"],
        4.0,
    );
    // One that speaks for others may not be anybody.
    let outcome = through(&server, "mqtt://", 2, "stranger", &v1("192.0.2.7")).connect();
    assert!(matches!(outcome, Err(ClientError::Lost(_))), "{outcome:?}");
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["proxy_from"],
        1.0,
    );
    // Where no header is asked for, one is no MQTT.
    let outcome = through(&server, "mqtt://", 0, "header", &v1("192.0.2.7")).connect();
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_not_awaited_for_ever() {
    let scene = Scene::new();
    let server = scene.start(PROXIED);
    let mut slow = TcpStream::connect(server.listener("mqtt://", 1)).unwrap();
    slow.set_nodelay(true).unwrap();
    slow.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    for byte in b"PROXY TCP4 192.0.2.7 10.0" {
        slow.write_all(&[*byte]).unwrap();
    }
    let read = slow.read(&mut [0; 1]);
    assert!(matches!(read, Ok(0)), "{read:?}");
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"timeout\""],
        1.0,
    );
    through(&server, "mqtt://", 1, "next", V2)
        .connect()
        .unwrap()
        .disconnect();
}
