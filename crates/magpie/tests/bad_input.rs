//! What hostile and careless clients send: each has a clear outcome and is counted, memory stays bounded, nobody else
//! notices, and the server stays up.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Instant;

use harness::{
    Client, ClientError, Dial, Launch, PATIENCE, QoS, Server, Version, Wire, http_get, http_raw,
    password,
};
use serde_json::json;

/// What all of it may cost in memory, in bytes.
const GROWTH_MAX: u64 = 64 * 1024 * 1024;

/// What goes over the wire.
type Bytes = &'static [u8];

const CONNECT_311: Bytes = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x";

/// A server with people, and somebody whom nothing of this may disturb.
struct Besieged {
    server: Server,
    bystander: Client,
    said: u32,
    memory: u64,
}

impl Besieged {
    fn start() -> Self {
        let server = Launch::new()
            .config("[mqtt]\nconnect_timeout_secs = 1\nallow_anonymous = true\n")
            .start();
        for name in ["alice", "bob", "carol"] {
            server.add_account(name);
        }
        let mut bystander = server
            .dial(Version::V5, "carol", "bystander")
            .connect()
            .unwrap();
        bystander
            .subscribe(&[("im/in/@carol", QoS::AtLeastOnce)])
            .unwrap();
        let memory = memory(&server);
        let mut besieged = Self {
            server,
            bystander,
            said: 0,
            memory,
        };
        besieged.check_undisturbed();
        besieged
    }

    /// The bystander's messages still go round, and the server has not grown.
    fn check_undisturbed(&mut self) {
        self.said += 1;
        let text = format!("still here {}", self.said);
        assert_eq!(
            self.bystander
                .publish("im/to/@carol", &text, QoS::AtLeastOnce),
            Ok(0)
        );
        assert_eq!(self.bystander.receive().unwrap().json()["text"], text);
        let grown = memory(&self.server).saturating_sub(self.memory);
        assert!(grown < GROWTH_MAX, "the server has grown by {grown} bytes");
        let log = self.server.program().errors();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// The sum of a counter over all shards.
    fn counter(&self, name: &str) -> u64 {
        let metrics = http_get(self.server.http(), "/metrics").unwrap();
        assert_eq!(metrics.status, 200);
        let values = metrics.body.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<u64>().unwrap())
        });
        values.sum()
    }

    /// Awaits that a counter has grown to at least `value`; counters are published every now and then.
    fn await_counter(&self, name: &str, value: u64) {
        let deadline = Instant::now() + PATIENCE;
        let mut count = self.counter(name);
        while count < value {
            assert!(Instant::now() < deadline, "{name} is {count}, not {value}");
            count = self.counter(name);
        }
    }

    fn client(&self, version: Version) -> Client {
        let mut client = self
            .server
            .dial(version, "alice", &format!("{version:?}"))
            .connect()
            .unwrap();
        client.subscribe(&[("im/ack/+", QoS::AtLeastOnce)]).unwrap();
        client
    }
}

/// Resident memory in bytes.
fn memory(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.program().pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Whether an answer lets the client in.
fn is_accepted(answer: &[u8]) -> bool {
    matches!(answer, [0x20, _, _, 0, ..])
}

#[test]
fn bytes_that_are_no_connect_are_closed() {
    let mut besieged = Besieged::start();
    let address = besieged.server.mqtt();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut byte = || {
        // xorshift64 (Marsaglia 2003): the same noise every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut wires: Vec<Wire> = (0..200).map(|_| Wire::open(address)).collect();
    for wire in &mut wires {
        let noise: Vec<u8> = (0..300).map(|_| byte()).collect();
        wire.send(&noise);
    }
    for wire in &mut wires {
        let answer = wire.read_to_end();
        assert!(!is_accepted(&answer), "{answer:02x?}");
    }
    for length in 1..CONNECT_311.len() {
        let mut wire = Wire::open(address);
        wire.send(&CONNECT_311[..length]);
        wire.finish();
        assert_eq!(
            wire.read_to_end(),
            b"",
            "CONNECT cut off after {length} bytes"
        );
    }
    besieged.await_counter("magpie_protocol_errors_total", 100);
    besieged.check_undisturbed();
}

#[test]
fn connects_that_are_wrong_are_refused_or_closed() {
    let mut besieged = Besieged::start();
    let address = besieged.server.mqtt();
    let cases: [(&str, Bytes, &[Bytes]); 9] = [
        (
            "a protocol of another name",
            b"\x10\x0d\x00\x04MQTX\x04\x02\x00\x3c\x00\x01x",
            &[b""],
        ),
        // Unacceptable protocol version, as 3.1.1 says it or as 5 does.
        (
            "an unknown version",
            b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x",
            &[b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"],
        ),
        (
            "a reserved flag",
            b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01x",
            &[b""],
        ),
        ("another packet first", b"\xc0\x00", &[b""]),
        (
            "a client id that is not UTF-8",
            b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xc3\x28",
            &[b""],
        ),
        (
            "a will without its topic",
            b"\x10\x0d\x00\x04MQTT\x04\x06\x00\x3c\x00\x01x",
            &[b""],
        ),
        (
            "more than 256 MB announced",
            b"\x10\xff\xff\xff\xff\x7f",
            &[b""],
        ),
        (
            "256 MB announced",
            b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x04",
            &[b""],
        ),
        (
            "256 MB announced by MQTT 5",
            b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05",
            &[b"\x20\x03\x00\x95\x00"],
        ),
    ];
    for (what, bytes, answers) in cases {
        let mut wire = Wire::open(address);
        wire.send(bytes);
        let answer = wire.read_to_end();
        assert!(
            answers.contains(&answer.as_slice()),
            "{what}: {answer:02x?}"
        );
        besieged.check_undisturbed();
    }
}

#[test]
fn whoever_says_nothing_is_closed_in_time() {
    let mut besieged = Besieged::start();
    let mut silent = Wire::open(besieged.server.mqtt());
    let mut slow = Wire::open(besieged.server.mqtt());
    slow.send(&CONNECT_311[..5]);
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(slow.read_to_end(), b"");
    besieged.await_counter("magpie_connect_timeouts_total", 2);
    besieged.check_undisturbed();
}

#[test]
fn packets_that_are_wrong_end_their_connection_with_the_reason() {
    let mut besieged = Besieged::start();
    let properties: Vec<u8> = b"\x26\x00\x01a\x00\x01b".repeat(100_000);
    let mut many = Vec::from(*b"\x30");
    variable(
        &mut many,
        3 + variable_len(properties.len()) + properties.len(),
    );
    many.extend_from_slice(b"\x00\x01a");
    variable(&mut many, properties.len());
    many.extend_from_slice(&properties);
    let cases: [(&str, &[u8], u8); 9] = [
        (
            "a second CONNECT",
            b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01x",
            0x82,
        ),
        (
            "a topic that is not UTF-8",
            b"\x30\x06\x00\x02\xc3\x28\x00x",
            0x81,
        ),
        ("256 MB announced", b"\x30\xff\xff\xff\x7f", 0x95),
        ("a length of five bytes", b"\x30\xff\xff\xff\xff\x01", 0x81),
        ("QoS 3", b"\x36\x07\x00\x01a\x00\x01\x00x", 0x81),
        ("a publish to a filter", b"\x30\x06\x00\x03a/+\x00", 0x90),
        ("an empty subscription", b"\x82\x03\x00\x01\x00", 0x82),
        (
            "a topic alias that was not allowed",
            b"\x30\x07\x00\x01a\x03\x23\xff\xff",
            0x94,
        ),
        ("100,000 user properties", &many, 0x97),
    ];
    for (what, bytes, reason) in cases {
        let mut five = besieged.client(Version::V5);
        // The server may close while the last of many bytes are still on their way.
        let _ = five.send_raw(bytes);
        assert_eq!(five.end(), ClientError::Disconnected(reason), "{what}");
        besieged.check_undisturbed();
    }
    for (what, bytes) in [
        ("a second CONNECT", CONNECT_311),
        ("a topic that is not UTF-8", b"\x30\x05\x00\x02\xc3\x28x"),
        ("a publish to a filter", b"\x30\x05\x00\x03a/+"),
        ("256 MB announced", b"\x30\xff\xff\xff\x7f"),
    ] {
        let mut three = besieged.client(Version::V311);
        let _ = three.send_raw(bytes);
        assert!(matches!(three.end(), ClientError::Lost(_)), "{what}");
        besieged.check_undisturbed();
    }
    besieged.await_counter("magpie_packets_too_large_total", 2);
    besieged.await_counter("magpie_protocol_errors_total", 10);
}

#[test]
fn what_the_messenger_does_not_take_is_refused_and_the_connection_stays() {
    let mut besieged = Besieged::start();
    let group = json!({"slug": "closed", "title": "Closed"}).to_string();
    let mut bob = besieged
        .server
        .dial(Version::V5, "bob", "owner")
        .connect()
        .unwrap();
    assert_eq!(
        bob.publish("im/ask/group.create/1", group, QoS::AtLeastOnce),
        Ok(0)
    );
    bob.publish("im/to/closed", "between us", QoS::AtLeastOnce)
        .unwrap();

    let long = json!({"mid": "m", "text": "x".repeat(70_000)}).to_string();
    let cases: [(&str, &str, &str, u8); 12] = [
        ("an inbox", "im/in/@bob", "x", 0x90),
        (
            "somebody's inbox",
            "im/in/closed",
            r#"{"mid":"m","text":"x"}"#,
            0x90,
        ),
        ("an unknown place", "im/elsewhere", "x", 0x90),
        (
            "an unknown conversation",
            "im/to/nowhere",
            r#"{"mid":"m","text":"x"}"#,
            0x87,
        ),
        (
            "an unknown account",
            "im/to/@nobody",
            r#"{"mid":"m","text":"x"}"#,
            0x87,
        ),
        (
            "somebody else's conversation",
            "im/to/closed",
            r#"{"mid":"m","text":"x"}"#,
            0x87,
        ),
        (
            "a body that begins as JSON",
            "im/to/@bob",
            r#"{"mid":"m","text":"#,
            0x99,
        ),
        (
            "a text that is a number",
            "im/to/@bob",
            r#"{"mid":"m","text":7}"#,
            0x99,
        ),
        ("nothing at all", "im/to/@bob", "", 0x99),
        (
            "an answer to what is not there",
            "im/to/@bob",
            r#"{"mid":"m","text":"x","reply":999}"#,
            0x99,
        ),
        (
            "reading what is not there",
            "im/to/@bob/read",
            r#"{"seq":999}"#,
            0x99,
        ),
        ("an oversized text", "im/to/@bob", &long, 0x99),
    ];
    // Something is there, so that only the number is wrong above.
    let mut setup = besieged.client(Version::V5);
    setup
        .publish("im/to/@bob", "hello", QoS::AtLeastOnce)
        .unwrap();
    setup.disconnect();
    for version in [Version::V311, Version::V5] {
        let mut alice = besieged.client(version);
        for (what, topic, body, reason) in cases {
            let told = alice.publish(topic, body, QoS::AtLeastOnce);
            let expected = if version == Version::V5 { reason } else { 0 };
            assert_eq!(told, Ok(expected), "{what} in {version:?}");
            let has_mid = serde_json::from_str::<serde_json::Value>(body)
                .is_ok_and(|body| body["mid"].is_string());
            if has_mid && topic.starts_with("im/to/") {
                let answer = alice.receive().unwrap();
                assert_eq!(
                    (answer.topic.as_str(), &answer.json()["ok"]),
                    ("im/ack/m", &json!(false)),
                    "{what}"
                );
                assert!(
                    answer.json()["error"].is_string() && answer.json()["detail"].is_string(),
                    "{what}"
                );
            }
        }
        alice.ping().unwrap();
        assert_eq!(
            alice.take_inbox(),
            [],
            "{version:?}: something was answered that has no mid"
        );
        assert_eq!(
            alice.publish("im/to/@bob", "still welcome", QoS::AtLeastOnce),
            Ok(0)
        );
        alice.disconnect();
    }
    let mut binary = besieged.client(Version::V5);
    assert_eq!(
        binary.publish("im/to/@bob", b"\xff\xfe", QoS::AtLeastOnce),
        Ok(0x99)
    );
    besieged.await_counter("magpie_chat_publishes_refused_total", 20);
    besieged.check_undisturbed();
}

#[test]
fn a_subscriber_that_does_not_read_costs_little_and_delays_nobody() {
    const MESSAGES: usize = 2_000;
    let mut besieged = Besieged::start();
    let mut sleeper = besieged.client(Version::V311);
    sleeper.subscribe(&[("plant/#", QoS::AtMostOnce)]).unwrap();
    let mut awake = besieged.client(Version::V5);
    awake.subscribe(&[("plant/end", QoS::AtLeastOnce)]).unwrap();
    // 128 MB for somebody who takes none of them.
    let payload = vec![b'x'; 64 * 1024];
    for _ in 0..MESSAGES {
        awake.publish("plant/1", &payload, QoS::AtMostOnce).unwrap();
    }
    awake.publish("plant/end", "end", QoS::AtLeastOnce).unwrap();
    assert_eq!(awake.receive().unwrap().text(), "end");
    besieged.await_counter("magpie_dropped_qos0_total", 1);
    besieged.check_undisturbed();
}

#[test]
fn wrong_passwords_are_slowed_down() {
    let mut besieged = Besieged::start();
    let address = besieged.server.mqtt();
    let attempt = |password: &str| {
        Dial::new(address, Version::V5, "guess")
            .login("bob", password)
            .connect()
            .map(Client::disconnect)
    };
    let wrong = |code| Err(ClientError::Refused(code));
    // Five a minute from one address at one account, by default.
    for number in 1..=5 {
        assert_eq!(attempt(&format!("guess number {number}")), wrong(0x86));
    }
    let slowed = attempt(&password("bob"));
    assert!(
        matches!(slowed, Err(ClientError::Refused(code)) if code != 0x86),
        "{slowed:?}"
    );
    besieged.await_counter("magpie_failed_logins_total", 5);
    besieged.check_undisturbed();
}

#[test]
fn requests_that_are_wrong_are_refused() {
    let mut besieged = Besieged::start();
    let http = besieged.server.http();
    let handshake = |protocol: &str| {
        format!(
            "GET /mqtt HTTP/1.1\r\nHost: {http}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        )
    };
    for protocol in ["", "Sec-WebSocket-Protocol: chat\r\n"] {
        let answer = http_raw(http, &handshake(protocol)).unwrap();
        assert_eq!(answer.status, 400, "{protocol:?}: {answer:?}");
    }
    for path in [
        "/../../../../etc/passwd",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
    ] {
        let answer = http_raw(
            http,
            &format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"),
        );
        let answer = answer.unwrap();
        assert!(!answer.body.contains("root:"), "{path} climbs");
        assert!(
            answer.status >= 400
                || answer.body.contains("<html")
                || answer.body.contains("<!doctype"),
            "{path}: {answer:?}"
        );
    }
    let mut garbage = Wire::open(http);
    garbage.send(b"\x00\x01\x02 nonsense\r\n\r\n");
    let answer = garbage.read_to_end();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{answer:?}"
    );
    besieged.check_undisturbed();
}

fn variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}

fn variable_len(value: usize) -> usize {
    let mut bytes = Vec::new();
    variable(&mut bytes, value);
    bytes.len()
}
