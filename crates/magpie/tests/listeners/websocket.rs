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

/// DNS rebinding: to its browser, a page whose own name has been made to lead here comes from the host that it asks for.
#[test]
fn pages_under_names_that_lead_here_stay_outside() {
    let scene = Scene::new();
    let server = scene.start(&format!("{FRAMED}[http]\nhosts = [\"chat.example.org\"]\n"));
    let ask_as = |index: usize, path: &str, host: &str, origin: &str| {
        let offered = "Sec-WebSocket-Protocol: mqtt\r\n";
        let request = String::from_utf8(handshake(path, &format!("{offered}{origin}"))).unwrap();
        let request = request.replace("localhost:3000", host);
        let goodbye = b"\x88\x80\0\0\0\0";
        let answer = ask(
            server.listener("ws://", index),
            &[request.as_bytes(), goodbye].concat(),
        );
        answer.split(' ').nth(1).map(str::to_owned)
    };
    for (host, status) in [
        ("evil.example", "421"),
        ("evil.example:1883", "421"),
        ("127.0.0.1.evil.example", "421"),
        ("", "421"),
        ("chat.example.org", "101"),
        ("localhost:3000", "101"),
        ("192.0.2.7:3000", "101"),
        ("[2001:db8::7]:3000", "101"),
    ] {
        let origin = format!("Origin: http://{host}\r\n");
        let found = ask_as(0, "/mqtt", host, &origin);
        assert_eq!(found.as_deref(), Some(status), "{host}");
    }
    // Programs are not browsers, and where origins are listed, evil.example is not one.
    let found = ask_as(0, "/mqtt", "broker.example", "");
    assert_eq!(found.as_deref(), Some("101"));
    let found = ask_as(
        1,
        "/mqtt/v5",
        "evil.example",
        "Origin: http://evil.example\r\n",
    );
    assert_eq!(found.as_deref(), Some("403"));
    let listed = "Origin: https://chat.example.org\r\n";
    let found = ask_as(1, "/mqtt/v5", "proxied.example", listed);
    assert_eq!(found.as_deref(), Some("101"));
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"host\""],
        4.0,
    );
}

/// What a reload changes is so for the next connection, frames of WebSocket included.
#[test]
fn a_larger_packet_comes_in_one_message_after_a_reload() {
    const LIMIT: &str = "max_packet_size = 100000";
    let scene = Scene::new();
    let config = |limit: &str| FRAMED.replacen("[mqtt]", &format!("[mqtt]\n{limit}"), 1);
    let server = scene.start(&config(LIMIT));
    let connect = |name: &str| {
        let page = dial(&server, name).at(server.listener("ws://", 0));
        page.websocket("/mqtt", None).connect().unwrap()
    };
    let large = "x".repeat(300_000);
    let publish = |name: &str| connect(name).publish("large", &large, QoS::AtLeastOnce);
    assert!(publish("before").is_err());
    let changed = config(LIMIT).replace(LIMIT, "max_packet_size = 1000000");
    std::fs::write(server.folder().join("magpie.toml"), changed).unwrap();
    let mark = server.program().error_mark();
    server.program().signal(harness::Signal::HangUp);
    let told = |line: &str| line.contains("configuration reloaded");
    server.program().error_line(mark, told);
    assert_eq!(publish("after").unwrap() & 0x80, 0);
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
