//! What else a killed server still has: retained messages, subscriptions and their queues, QoS 2 flows in the middle, the
//! answer to a repeated `mid`, read markers, logins.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use harness::{Client, Dial, Launch, Message, QoS, Server, Version, http_post, password};
use serde_json::{Value, json};

/// A server that will be killed, with alice and bob; ordinary topics are open to both.
fn start() -> Server {
    let server = Launch::new()
        .keeps_addresses()
        .argument("--allow-anonymous")
        .start();
    for name in ["alice", "bob"] {
        server.add_account(name);
    }
    server
}

/// A client whose session outlives its connection, connected.
fn resident(server: &Server, version: Version, account: &str, client_id: &str) -> Client {
    let dial = server.dial(version, account, client_id);
    dial.persistent().connect().unwrap()
}

/// A client whose session ends with its connection, connected.
fn visitor(server: &Server, version: Version, account: &str, client_id: &str) -> Client {
    server.dial(version, account, client_id).connect().unwrap()
}

fn crash(server: &mut Server) {
    server.kill();
    server.restart();
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::text).collect()
}

/// `client`'s next `count` messages.
fn receive(client: &mut Client, count: usize) -> Vec<Message> {
    (0..count).map(|_| client.receive().unwrap()).collect()
}

/// What `im/about/<conv>` says of it on subscribing.
fn about(server: &Server, name: &str, conv: &str) -> Value {
    let mut client = visitor(server, Version::V5, name, "about");
    client
        .subscribe(&[(&format!("im/about/{conv}"), QoS::AtLeastOnce)])
        .unwrap();
    client.receive().unwrap().json()
}

#[test]
fn retained_messages_and_that_they_were_cleared() {
    let mut server = start();
    let mut meter = visitor(&server, Version::V5, "alice", "meter");
    for (topic, payload) in [
        ("plant/a", "old"),
        ("plant/b", "kept"),
        ("plant/c", "gone"),
        ("plant/a", "new"),
        ("plant/c", ""),
    ] {
        assert_eq!(
            meter.retain(topic, payload, QoS::AtLeastOnce).unwrap() & 0x80,
            0
        );
    }
    crash(&mut server);
    let mut reader = visitor(&server, Version::V311, "bob", "reader");
    reader.subscribe(&[("plant/#", QoS::AtLeastOnce)]).unwrap();
    reader.ping().unwrap();
    let mut messages = reader.take_inbox();
    messages.sort_by(|left, right| left.topic.cmp(&right.topic));
    assert_eq!(texts(&messages), ["new", "kept"]);
    assert!(messages.iter().all(|message| message.retain));
}

#[test]
fn subscriptions_and_what_waits_for_them() {
    let mut server = start();
    for version in [Version::V311, Version::V5] {
        let name = format!("reader {version:?}");
        let mut reader = resident(&server, version, "bob", &name);
        reader
            .subscribe(&[
                ("plant/+", QoS::ExactlyOnce),
                ("plant/1/#", QoS::AtLeastOnce),
                ("other", QoS::AtLeastOnce),
            ])
            .unwrap();
        reader.unsubscribe(&["other"]).unwrap();
        reader.drop_connection();
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer.publish("plant/1", "one", QoS::AtLeastOnce).unwrap();
        writer
            .publish("other", "not for bob", QoS::AtLeastOnce)
            .unwrap();
        crash(&mut server);
        let mut writer = visitor(&server, Version::V311, "alice", "writer");
        writer.publish("plant/2", "two", QoS::ExactlyOnce).unwrap();
        crash(&mut server);
        assert_eq!(reader.reconnect(), Ok(true), "{version:?}");
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer
            .publish("plant/3", "three", QoS::ExactlyOnce)
            .unwrap();
        // What matches two subscriptions may come once or twice, at the higher QoS at least once.
        let mut seen = Vec::new();
        while seen.last() != Some(&"three".to_owned()) {
            let text = reader.receive().unwrap().text().to_owned();
            if !seen.contains(&text) {
                seen.push(text);
            }
        }
        assert_eq!(seen, ["one", "two", "three"], "{version:?}");
        reader.disconnect();
    }
}

// [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3] [3.1.1 MQTT-3.10.4-3] [5 MQTT-3.10.4-3]
#[test]
fn what_waits_when_its_subscription_is_replaced_or_given_up() {
    let mut server = start();
    for version in [Version::V311, Version::V5] {
        let name = format!("reader {version:?}");
        let mut reader = resident(&server, version, "bob", &name);
        reader.hold_acknowledgements();
        reader
            .subscribe(&[("plant/1", QoS::AtLeastOnce), ("plant/2", QoS::AtLeastOnce)])
            .unwrap();
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer.publish("plant/1", "one", QoS::ExactlyOnce).unwrap();
        writer.publish("plant/2", "two", QoS::ExactlyOnce).unwrap();
        assert_eq!(texts(&receive(&mut reader, 2)), ["one", "two"]);
        reader.unsubscribe(&["plant/1"]).unwrap();
        reader.subscribe(&[("plant/2", QoS::AtMostOnce)]).unwrap();
        writer.publish("plant/1", "late", QoS::ExactlyOnce).unwrap();
        crash(&mut server);
        // Nobody was there to get it at QoS 0.
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer.publish("plant/2", "late", QoS::ExactlyOnce).unwrap();
        for _ in 0..2 {
            assert_eq!(reader.reconnect(), Ok(true), "{version:?}");
            let messages = receive(&mut reader, 2);
            assert_eq!(texts(&messages), ["one", "two"], "{version:?}");
            let again = |message: &Message| message.qos == QoS::AtLeastOnce && message.dup;
            assert!(messages.iter().all(again), "{version:?}: {messages:?}");
            reader.ping().unwrap();
            assert!(reader.take_inbox().is_empty(), "{version:?}");
            crash(&mut server);
        }
        assert_eq!(reader.reconnect(), Ok(true), "{version:?}");
        for message in receive(&mut reader, 2) {
            reader.acknowledge(&message).unwrap();
        }
        reader.disconnect();
    }
}

#[test]
fn a_message_taken_over_with_pubrec_is_not_taken_twice() {
    let mut server = start();
    let mut reader = resident(&server, Version::V5, "bob", "reader");
    reader.subscribe(&[("plant/#", QoS::ExactlyOnce)]).unwrap();
    for version in [Version::V311, Version::V5] {
        let name = format!("writer {version:?}");
        let mut writer = resident(&server, version, "alice", &name);
        let packet_id = writer.send("plant/1", "once", QoS::ExactlyOnce).unwrap();
        assert_eq!(receive(&mut reader, 1)[0].text(), "once");
        // The server has it; PUBREC may or may not have come. As if it had not: the same PUBLISH with DUP again.
        crash(&mut server);
        assert_eq!(writer.reconnect(), Ok(true));
        assert_eq!(reader.reconnect(), Ok(true));
        let deadline = std::time::Instant::now() + harness::PATIENCE;
        while writer.event(deadline).unwrap() != Some(harness::Event::Completed(packet_id)) {}
        writer.publish("plant/1", "next", QoS::ExactlyOnce).unwrap();
        assert_eq!(texts(&receive(&mut reader, 1)), ["next"], "{version:?}");
        writer.disconnect();
    }
}

#[test]
fn a_message_handed_over_with_pubrec_is_not_handed_over_twice() {
    let mut server = start();
    for version in [Version::V311, Version::V5] {
        let name = format!("reader {version:?}");
        let mut reader = resident(&server, version, "bob", &name);
        reader
            .subscribe(&[("plant/#", QoS::ExactlyOnce), ("im/in/+", QoS::ExactlyOnce)])
            .unwrap();
        reader.hold_acknowledgements();
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer.publish("plant/1", "once", QoS::ExactlyOnce).unwrap();
        writer
            .publish("im/to/@bob", "once, too", QoS::ExactlyOnce)
            .unwrap();
        assert_eq!(receive(&mut reader, 2).len(), 2);
        // The client has both and nobody knows.
        crash(&mut server);
        assert_eq!(reader.reconnect(), Ok(true));
        let mut writer = visitor(&server, Version::V5, "alice", "writer");
        writer.publish("plant/1", "next", QoS::ExactlyOnce).unwrap();
        writer
            .publish("im/to/@bob", "next, too", QoS::ExactlyOnce)
            .unwrap();
        let mut next: Vec<_> = receive(&mut reader, 2)
            .iter()
            .map(|message| match message.topic.as_str() {
                "plant/1" => message.text().to_owned(),
                _ => message.json()["text"].as_str().unwrap().to_owned(),
            })
            .collect();
        next.sort();
        assert_eq!(next, ["next", "next, too"], "{version:?}");
        reader.drop_connection();
    }
}

#[test]
fn the_answer_to_a_mid() {
    let mut server = start();
    let send = |server: &Server, version, mid: &str| {
        let mut alice = visitor(server, version, "alice", "phone");
        alice.subscribe(&[("im/ack/+", QoS::AtLeastOnce)]).unwrap();
        let body = json!({"mid": mid, "text": "hello"}).to_string();
        assert_eq!(alice.publish("im/to/@bob", body, QoS::AtLeastOnce), Ok(0));
        alice.receive().unwrap().json()
    };
    let first = send(&server, Version::V5, "a");
    let second = send(&server, Version::V311, "b");
    assert_eq!((&first["seq"], &second["seq"]), (&json!(1), &json!(2)));
    crash(&mut server);
    assert_eq!(send(&server, Version::V311, "a"), first);
    assert_eq!(send(&server, Version::V5, "b"), second);
    assert_eq!(send(&server, Version::V5, "c")["seq"], 3);
}

#[test]
fn read_markers_and_unread_counts() {
    let mut server = start();
    let mut alice = visitor(&server, Version::V5, "alice", "phone");
    for number in 1..=5 {
        alice
            .publish("im/to/@bob", format!("number {number}"), QoS::AtLeastOnce)
            .unwrap();
    }
    let mut bob = visitor(&server, Version::V311, "bob", "phone");
    bob.publish("im/to/@alice/read", r#"{"seq":3}"#, QoS::AtLeastOnce)
        .unwrap();
    crash(&mut server);
    let mine = about(&server, "bob", "@alice");
    assert_eq!(
        (&mine["read"], &mine["unread_count"]),
        (&json!(3), &json!(2)),
        "{mine}"
    );
    assert_eq!(mine["head"]["text"], "number 5", "{mine}");
    let hers = about(&server, "alice", "@bob");
    assert_eq!(
        (&hers["unread_count"], &hers["peer"]["read"]),
        (&json!(0), &json!(3)),
        "{hers}"
    );
}

#[test]
fn logins_of_browsers() {
    let mut server = start();
    let body = json!({"name": "alice", "password": password("alice"), "device": "browser"});
    let answer = http_post(server.http(), "/api/v1/login", &body).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = serde_json::from_str::<Value>(&answer.body).unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    crash(&mut server);
    let dial = Dial::new(server.mqtt(), Version::V5, "tab").login("alice", &token);
    dial.connect().unwrap().disconnect();
}
