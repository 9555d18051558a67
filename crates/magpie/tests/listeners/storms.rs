//! Unauthenticated clients on an encrypted port: garbage, and handshakes by the thousand that never come to their end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::rustls::ClientConnection;
use harness::{Client, QoS};

use crate::{Scene, await_metric, dial, talk};

const ENCRYPTED: &str = r#"
[mqtt]
allow_anonymous = true
connections_per_second_per_address = 0
[[mqtt.listener]]
address = "127.0.0.1:0"
[[mqtt.listener]]
kind = "tls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = "server.key"
connect_timeout_secs = 60
"#;

#[test]
fn garbage_on_an_encrypted_port_is_shown_out() {
    let scene = Scene::new();
    let server = scene.start(ENCRYPTED);
    let address = server.listener("mqtts://", 0);
    let long = vec![0x16; 100_000];
    let connect = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
    // A record that claims to be a ClientHello of 16 MB.
    let huge = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff";
    let huge = [&huge[..], &[0; 0x4000 - 4]].concat();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        connect,
        &long,
        &[0; 5],
        &huge,
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
        // It may be closed before everything is written.
        drop(stream.write_all(garbage));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let timed_out = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(
            !read.as_ref().is_err_and(timed_out),
            "{garbage:.20?}: {read:?}"
        );
        assert!(answer.len() <= 7, "an alert at most: {answer:?}");
    }
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["mqtts://"],
        5.0,
    );
    let tls = scene.authority.client_config(None);
    let mut client = dial(&server, "right")
        .at(address)
        .tls(&tls)
        .connect()
        .unwrap();
    talk(&mut client, "right");
}

/// Round trips of a small message; the slowest.
fn slowest(client: &mut Client, rounds: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let begin = Instant::now();
        client.publish("pair", "x", QoS::AtLeastOnce).unwrap();
        client.receive().unwrap();
        slowest = slowest.max(begin.elapsed());
    }
    slowest
}

#[test]
fn a_thousand_half_open_handshakes_disturb_nobody() {
    const UNAUTHENTICATED: usize = 1000;
    let scene = Scene::new();
    let server = scene.start(ENCRYPTED);
    let tls = scene.authority.client_config(None);
    let address = server.listener("mqtts://", 0);
    let mut alice = dial(&server, "alice")
        .at(address)
        .tls(&tls)
        .connect()
        .unwrap();
    alice.subscribe(&[("pair", QoS::AtLeastOnce)]).unwrap();
    let calm = slowest(&mut alice, 100);

    let mut hello = Vec::new();
    let mut session = ClientConnection::new(tls.clone(), "localhost".try_into().unwrap()).unwrap();
    session.write_tls(&mut hello).unwrap();
    let storm = std::thread::spawn(move || {
        let unauthenticated = (0..UNAUTHENTICATED).map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&hello).unwrap();
            stream
        });
        unauthenticated.collect::<Vec<_>>()
    });
    let mut stormy = Duration::ZERO;
    while !storm.is_finished() {
        stormy = stormy.max(slowest(&mut alice, 1));
    }
    let unauthenticated = storm.join().unwrap();
    stormy = stormy.max(slowest(&mut alice, 200));
    // They wait: the server has said its part and hears nothing.
    for mut connection in &unauthenticated {
        connection
            .set_read_timeout(Some(harness::PATIENCE))
            .unwrap();
        assert_ne!(connection.read(&mut [0; 1]).unwrap(), 0);
    }
    println!("slowest of round trips: {calm:?} before, {stormy:?} during the storm");
    // Far above what it takes (milliseconds), far below a thousand signatures one after the other on a busy machine.
    assert!(stormy < Duration::from_secs(2), "{stormy:?}");
    drop(unauthenticated);
    await_metric(
        &server,
        "magpie_handshake_failures_total",
        &["\"ended\""],
        1000.0,
    );
}
