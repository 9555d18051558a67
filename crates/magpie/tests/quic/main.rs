//! MQTT over QUIC, from outside: what a client can do, what it may not, and what it costs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod peer;
mod stage;

use std::time::{Duration, Instant};

use harness::{Client, ClientError, Dial, QoS, Version};
use mqtt_codec::{Subscribe, SubscriptionOptions};
use quinn::{ApplicationClose, ConnectionError, TransportErrorCode};

use peer::{Greeted, Peer, connect_packet};
use stage::Stage;

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A client of the server's TCP address, to look at QUIC from the other side.
fn by_tcp(stage: &Stage, client_id: &str) -> Client {
    Dial::new(stage.server.mqtt(), Version::V5, client_id)
        .connect()
        .unwrap()
}

/// How the server has closed a connection.
fn closed(connection_error: ConnectionError) -> ApplicationClose {
    match connection_error {
        ConnectionError::ApplicationClosed(close) => close,
        other => panic!("the server was to close, not {other}"),
    }
}

#[test]
fn messages_of_every_qos_go_both_ways() {
    let stage = Stage::new();
    let peer = stage.peer();
    let tunnel = peer.tunnel();
    let mut other = by_tcp(&stage, "other");
    other
        .subscribe(&[("from/quic/#", QoS::ExactlyOnce)])
        .unwrap();
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut client = Dial::new(tunnel, version, "quic").connect().unwrap();
        client
            .subscribe(&[("from/tcp/#", QoS::ExactlyOnce)])
            .unwrap();
        for qos in QOS {
            client.publish("from/quic/a", "there", qos).unwrap();
            let message = other.receive().unwrap();
            assert_eq!((message.text(), message.qos), ("there", qos));
            other.publish("from/tcp/a", "and back", qos).unwrap();
            let message = client.receive().unwrap();
            assert_eq!((message.text(), message.qos), ("and back", qos));
        }
        client.ping().unwrap();
        client.disconnect();
    }
}

#[test]
fn a_large_message_passes_in_both_directions() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut client = Dial::new(peer.tunnel(), Version::V5, "quic")
        .connect()
        .unwrap();
    client.subscribe(&[("large", QoS::AtLeastOnce)]).unwrap();
    // Larger than pipe and windows together, and as large as the server takes.
    let payload: Vec<u8> = (0..1_000_000_u32).map(|place| (place / 7) as u8).collect();
    for _ in 0..3 {
        client.publish("large", &payload, QoS::AtLeastOnce).unwrap();
        assert!(client.receive().unwrap().payload == payload);
    }
}

#[test]
fn a_session_goes_on_over_quic_where_tcp_left_it() {
    let stage = Stage::new();
    let peer = stage.peer();
    let dial = |address| Dial::new(address, Version::V5, "traveller").persistent();
    let mut client = dial(stage.server.mqtt()).connect().unwrap();
    client.subscribe(&[("news", QoS::AtLeastOnce)]).unwrap();
    client.disconnect();
    let mut other = by_tcp(&stage, "other");
    other.publish("news", "missed", QoS::AtLeastOnce).unwrap();
    let mut client = dial(peer.tunnel()).connect().unwrap();
    assert!(client.session_present());
    assert_eq!(client.receive().unwrap().text(), "missed");
    // And the other way: whoever connects by TCP takes the session over.
    let again = dial(stage.server.mqtt()).connect().unwrap();
    assert!(again.session_present());
    assert_eq!(client.end(), ClientError::Disconnected(0x8e));
}

#[test]
fn a_client_that_moves_keeps_its_connection() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut client = Dial::new(peer.tunnel(), Version::V311, "quic")
        .connect()
        .unwrap();
    client.subscribe(&[("a", QoS::AtLeastOnce)]).unwrap();
    let mut other = by_tcp(&stage, "other");
    for round in 0..3 {
        peer.move_to_another_port();
        client
            .publish("a", format!("mine {round}"), QoS::AtLeastOnce)
            .unwrap();
        assert_eq!(client.receive().unwrap().text(), format!("mine {round}"));
        other
            .publish("a", format!("theirs {round}"), QoS::AtLeastOnce)
            .unwrap();
        assert_eq!(client.receive().unwrap().text(), format!("theirs {round}"));
    }
}

#[test]
fn another_stream_ends_the_connection() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut watcher = by_tcp(&stage, "watcher");
    watcher.subscribe(&[("gone", QoS::AtMostOnce)]).unwrap();
    for unidirectional in [false, true] {
        let Greeted { connection, .. } = peer.greet("quic");
        let reason = peer.wait(async {
            let mut stray = if unidirectional {
                connection.open_uni().await.unwrap()
            } else {
                connection.open_bi().await.unwrap().0
            };
            // A stream is known to the other side by what is sent on it.
            stray.write_all(b"x").await.unwrap();
            connection.closed().await
        });
        let close = closed(reason);
        assert_eq!(close.error_code, 1_u32.into());
        assert_eq!(&*close.reason, b"one bidirectional stream carries MQTT");
    }
}

#[test]
fn whoever_does_not_offer_mqtt_is_refused() {
    /// no_application_protocol, as QUIC carries it.
    const NO_PROTOCOL: u64 = 0x100 + 120;
    let stage = Stage::new();
    for alpn in [&[b"h3".as_slice()] as &[&[u8]], &[]] {
        let peer = Peer::new(stage.quic, &stage.authority.client_config(None), alpn);
        match peer.connect() {
            Err(ConnectionError::ConnectionClosed(close)) => {
                assert_eq!(u64::from(close.error_code), NO_PROTOCOL);
            }
            other => panic!("{alpn:?}: {other:?}"),
        }
    }
}

#[test]
fn a_client_certificate_is_an_account() {
    const ASKS: &str = "client_ca = \"FOLDER/clients.pem\"\nclient_certificate = \"required\"\naccount_from = \"cn\"";
    let stage = Stage::with(ASKS, "");
    stage.server.add_account("alice");
    stage.server.add_account("bob");
    let mut bob = stage
        .server
        .dial(Version::V5, "bob", "laptop")
        .connect()
        .unwrap();
    let signed = stage.authority.client("alice", &[]);
    let peer = Peer::new(
        stage.quic,
        &stage.authority.client_config(Some(&signed)),
        &[b"mqtt"],
    );
    // No name and no password, and yet it is alice, whoever of the shards has the session.
    for device in ["a", "b", "c", "d"] {
        let mut client = Dial::new(peer.tunnel(), Version::V5, device)
            .connect()
            .unwrap();
        client.subscribe(&[("im/in/#", QoS::AtLeastOnce)]).unwrap();
        bob.publish("im/to/@alice", "hi", QoS::AtLeastOnce).unwrap();
        assert_eq!(client.receive().unwrap().json()["from"], "bob");
    }
    // Without one nobody comes in.
    let stranger = stage.peer();
    assert!(stranger.try_greet("stranger").is_err());
}

#[test]
fn a_renewed_certificate_is_shown_to_whoever_comes_next() {
    let mut stage = Stage::new();
    let before = stage.peer();
    let held = before.greet("before");
    stage.renew_certificate();
    let after = stage.peer();
    let deadline = Instant::now() + harness::PATIENCE;
    while let Err(error) = after.try_greet("after") {
        assert!(
            Instant::now() < deadline,
            "the old one is still shown: {error}"
        );
    }
    assert!(held.connection.close_reason().is_none());
    assert!(before.connect().is_err(), "signed by whom it does not know");
}

#[test]
fn a_disconnect_is_answered_with_the_end_of_the_connection() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut greeted = peer.greet("quic");
    peer.wait(async {
        greeted.send.write_all(&[0xe0, 0]).await.unwrap();
        assert_eq!(greeted.recv.read(&mut [0; 1]).await.unwrap(), None);
    });
    let close = closed(peer.wait(greeted.connection.closed()));
    assert_eq!(close.error_code, 0_u32.into());
}

#[test]
fn last_words_and_the_end_may_come_together() {
    const PUBLISH: &[u8] = b"\x30\x09\x00\x04lastbye";
    let stage = Stage::new();
    let peer = stage.peer();
    let mut watcher = by_tcp(&stage, "watcher");
    watcher.subscribe(&[("last", QoS::AtMostOnce)]).unwrap();
    for _ in 0..20 {
        let mut greeted = peer.greet("quic");
        peer.wait(async {
            greeted.send.write_all(PUBLISH).await.unwrap();
            greeted.send.finish().unwrap();
            greeted.send.stopped().await.unwrap();
        });
        drop(greeted);
        assert_eq!(watcher.receive().unwrap().text(), "bye");
    }
}

#[test]
fn a_killed_client_is_noticed_by_its_keep_alive() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut watcher = by_tcp(&stage, "watcher");
    watcher.subscribe(&[("will", QoS::AtMostOnce)]).unwrap();
    let client = Dial::new(peer.tunnel(), Version::V311, "victim")
        .keep_alive(1)
        .will("will", "gone", QoS::AtMostOnce)
        .connect()
        .unwrap();
    peer.die();
    assert_eq!(watcher.receive().unwrap().text(), "gone");
    drop(client);
}

#[test]
fn a_connection_that_is_reset_is_noticed_at_once() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut watcher = by_tcp(&stage, "watcher");
    watcher.subscribe(&[("will", QoS::AtMostOnce)]).unwrap();
    let mut client = Dial::new(peer.tunnel(), Version::V311, "victim")
        .will("will", "gone", QoS::AtMostOnce)
        .connect()
        .unwrap();
    // The tunnel ends the stream when the client ends its TCP connection; the keep-alive is a minute.
    client.drop_connection();
    let begun = Instant::now();
    assert_eq!(watcher.receive().unwrap().text(), "gone");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn whoever_says_nothing_is_closed() {
    let stage = Stage::with("connect_timeout_secs = 1", "");
    let peer = stage.peer();
    let silent = peer.connect().unwrap();
    let close = closed(peer.wait(silent.closed()));
    assert_eq!(close.error_code, 3_u32.into());
    // A stream without a whole CONNECT is no better.
    let slow = peer.connect().unwrap();
    let reason = peer.wait(async {
        let (mut send, _recv) = slow.open_bi().await.unwrap();
        let packet = connect_packet("slow");
        send.write_all(&packet[..packet.len() - 1]).await.unwrap();
        slow.closed().await
    });
    assert_eq!(closed(reason).error_code, 0_u32.into());
}

#[test]
fn an_address_has_only_so_many_connections() {
    let stage = Stage::with("", "[mqtt]\nconnections_per_address_max = 3\n");
    let peer = stage.peer();
    let mut held: Vec<_> = (0..3).map(|n| peer.greet(&format!("quic-{n}"))).collect();
    let fourth = peer.connect().unwrap();
    let close = closed(peer.wait(fourth.closed()));
    assert_eq!(close.error_code, 2_u32.into());
    // A place is free again once its connection is gone.
    let mut leaving = held.pop().unwrap();
    peer.wait(async {
        leaving.send.write_all(&[0xe0, 0]).await.unwrap();
        leaving.connection.closed().await
    });
    // The shard may hear of the end a moment later than the client.
    let deadline = Instant::now() + harness::PATIENCE;
    while let Err(error) = peer.try_greet("quic-again") {
        assert_eq!(closed(error).error_code, 2_u32.into());
        assert!(Instant::now() < deadline, "its place was not given back");
    }
}

#[test]
fn garbage_ends_its_connection_and_no_other() {
    let stage = Stage::new();
    let peer = stage.peer();
    let good = peer.greet("good");
    for garbage in [&[0xff_u8; 100] as &[u8], b"GET / HTTP/1.1\r\n\r\n", &[0; 9]] {
        let connection = peer.connect().unwrap();
        peer.wait(async {
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            send.write_all(garbage).await.unwrap();
            closed(connection.closed().await);
        });
    }
    // Bytes that are not even QUIC.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 1200, 1500] {
        socket.send_to(&vec![0xc3; length], stage.quic).unwrap();
    }
    assert!(good.connection.close_reason().is_none());
    peer.greet("another");
}

/// The value of a counter.
fn counted(stage: &Stage, name: &str) -> u64 {
    let metrics = harness::http_get(stage.server.http(), "/metrics")
        .unwrap()
        .body;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or(0)
}

#[test]
fn handshakes_that_never_end_keep_nobody_out() {
    /// More than are begun without a proof of the address.
    const FORGED: usize = 300;
    let stage = Stage::new();
    let peer = stage.peer();
    let good = peer.greet("good");
    forge(&stage, FORGED);
    let newcomer = peer.greet("newcomer");
    assert!(counted(&stage, "magpie_quic_handshakes_retried_total") > 0);
    for greeted in [good, newcomer] {
        assert!(greeted.connection.close_reason().is_none());
    }
}

/// Sends the first packets of so many clients, which never learn of an answer: they think the server is elsewhere.
fn forge(stage: &Stage, clients: usize) {
    let decoy = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    decoy.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    let lost = Peer::new(
        decoy.local_addr().unwrap(),
        &stage.authority.client_config(None),
        &[b"mqtt"],
    );
    for _ in 0..clients {
        lost.begin();
        let mut packet = [0; 1500];
        let (length, _) = decoy.recv_from(&mut packet).unwrap();
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(&packet[..length], stage.quic).unwrap();
    }
}

#[test]
fn quic_handshakes_of_an_address_are_bounded() {
    const HELD: usize = 3;
    let stage = Stage::with(
        "",
        "[mqtt]\nquic_handshakes_max = 3\nquic_handshakes_unproven_max = 10\n",
    );
    let good = stage.peer().greet("good");
    forge(&stage, HELD);
    match stage.peer().connect() {
        Err(ConnectionError::ConnectionClosed(close)) => {
            assert_eq!(close.error_code, TransportErrorCode::CONNECTION_REFUSED);
        }
        other => panic!("{other:?}"),
    }
    assert!(counted(&stage, "magpie_quic_handshakes_refused_total") > 0);
    assert!(good.connection.close_reason().is_none());
}

/// RSS of a process.
fn resident_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

#[test]
fn a_slow_reader_stays_bounded_and_holds_up_nobody() {
    /// Enough to fill whatever is to be filled.
    const FIRST: usize = 500;
    const MESSAGES: usize = 1500;
    const BYTES: usize = 64 * 1024;
    let stage = Stage::new();
    let peer = stage.peer();
    let mut slow = peer.greet("slow");
    let mut packet = Vec::new();
    let filters = [("flood", SubscriptionOptions::new(QoS::AtMostOnce))];
    Subscribe::encode(Version::V311, 1, None, &filters, &mut packet);
    peer.wait(async {
        slow.send.write_all(&packet).await.unwrap();
        assert_eq!(slow.read(5).await, [0x90, 3, 0, 1, 0]);
    });
    let mut publisher = by_tcp(&stage, "publisher");
    let mut quick = by_tcp(&stage, "quick");
    quick.subscribe(&[("flood", QoS::AtMostOnce)]).unwrap();
    let pid = stage.server.program().pid();
    let mut before = 0;
    for number in 0..MESSAGES {
        if number == FIRST {
            before = resident_bytes(pid);
        }
        let mut payload = vec![b'x'; BYTES];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        publisher
            .publish("flood", &payload, QoS::AtLeastOnce)
            .unwrap();
        let message = quick.receive().unwrap();
        assert_eq!(message.payload[..8], payload[..8]);
    }
    let grown = resident_bytes(pid).saturating_sub(before);
    assert!(
        grown < (MESSAGES - FIRST) * BYTES / 4,
        "{grown} bytes more for one reader that does not read"
    );
    // It reads again: whole messages, the newest among them.
    let newest = peer.wait(async {
        loop {
            let header = slow.read(1).await[0];
            assert_eq!(header, 0x30);
            let mut length = 0;
            for shift in [0, 7, 14, 21] {
                let byte = slow.read(1).await[0];
                length |= usize::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            let body = slow.read(length).await;
            let payload = &body[2 + "flood".len()..];
            assert_eq!(payload.len(), BYTES);
            let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
            if number as usize == MESSAGES - 1 {
                break number;
            }
        }
    });
    assert_eq!(newest as usize, MESSAGES - 1);
}

#[test]
fn a_server_that_ends_says_goodbye() {
    let stage = Stage::new();
    let peer = stage.peer();
    let mut client = Dial::new(peer.tunnel(), Version::V5, "quic")
        .connect()
        .unwrap();
    let silent = peer.connect().unwrap();
    let greeted = peer.greet("bare");
    let (status, took) = stage.server.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(client.end(), ClientError::Disconnected(0x8b));
    assert_eq!(
        closed(peer.wait(greeted.connection.closed())).error_code,
        0_u32.into()
    );
    assert_eq!(closed(peer.wait(silent.closed())).error_code, 5_u32.into());
}

#[test]
fn two_thousand_connections_are_one_descriptor() {
    const CONNECTIONS: usize = 2000;
    /// Far above what is measured (docs/decisions/0006), far below a buffer for each.
    const BYTES_EACH_MAX: usize = 100_000;
    let stage = Stage::with(
        "",
        "[mqtt]\nconnections_per_address_max = 5000\nconnections_per_second_per_address = 0\n",
    );
    let peer = stage.peer();
    let pid = stage.server.program().pid();
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    };
    let warm = peer.greet("warm");
    let (before, bytes_before) = (descriptors(), resident_bytes(pid));
    let mut held = Vec::new();
    for hundred in 0..CONNECTIONS / 100 {
        held.extend(peer.greet_all((0..100).map(|n| format!("quic-{hundred}-{n}"))));
    }
    let after = descriptors();
    assert!(
        after < before + 20,
        "{before} descriptors before, {after} with {CONNECTIONS} connections"
    );
    let each = resident_bytes(pid).saturating_sub(bytes_before) / CONNECTIONS;
    println!("{each} bytes for each idle connection");
    assert!(each < BYTES_EACH_MAX, "{each} bytes for each connection");
    for greeted in held.iter().chain([&warm]) {
        assert!(greeted.connection.close_reason().is_none());
    }
}
