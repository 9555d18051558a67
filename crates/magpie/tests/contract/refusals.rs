//! What clients are told of what was refused, in every version.

use std::time::{Duration, Instant};

use harness::{Client, QoS, Version};
use serde_json::json;

use crate::{VERSIONS, device, send, start};

#[test]
fn mqtt_5_has_the_code_of_a_refusal_in_its_user_properties() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &[]);
    let cases = [
        (
            "im/to/@nobody",
            "hi",
            0x87,
            vec![("error", "no_such_account")],
        ),
        (
            "im/to/@bob",
            "{hello}",
            0x99,
            vec![("error", "invalid_json")],
        ),
        (
            "im/to/@bob/read",
            r#"{"seq":"x"}"#,
            0x99,
            vec![("error", "payload_format"), ("field", "seq")],
        ),
        (
            "im/to/@bob/read",
            "{}",
            0x99,
            vec![("error", "missing_key"), ("field", "seq")],
        ),
    ];
    for (topic, body, reason, user) in cases {
        let told = refused(&mut alice, topic, body);
        let user: Vec<_> = user
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!((told.reason, told.user), (reason, user), "{topic} {body}");
        assert!(told.sentence.is_some());
    }
}

#[test]
fn an_outbox_that_is_too_fast_hears_when_there_is_room_again() {
    let server = start();
    let mut alice = device(&server, Version::V5, "alice", "phone", &[]);
    for number in 0..400 {
        let body = format!("{number}");
        alice.send("im/to/@bob", body, QoS::AtLeastOnce).unwrap();
    }
    let mut waits = Vec::new();
    for _ in 0..400 {
        let told = acknowledgement(&mut alice);
        if told.reason == 0x97 {
            assert_eq!(told.user[0], ("error".to_owned(), "quota".to_owned()));
            assert_eq!(told.user[1].0, "retry_ms");
            waits.push(told.user[1].1.parse::<u64>().unwrap());
        }
    }
    assert!(!waits.is_empty(), "nothing was refused");
    let longest = waits.into_iter().max().unwrap();
    assert!((1..=1_000).contains(&longest), "{longest}");
    std::thread::sleep(Duration::from_millis(longest + 20));
    send(&mut alice, "im/to/@bob", "now there is");
}

#[test]
fn what_nothing_else_tells_is_an_event_in_every_version_and_at_qos_0() {
    let server = start();
    send(
        &mut device(&server, Version::V5, "alice", "phone", &[]),
        "im/to/@bob",
        "there is a chat",
    );
    for version in VERSIONS {
        let mut bob = device(&server, version, "bob", "phone", &["im/me/event"]);
        for (topic, body, error) in [
            ("im/to/@alice/read", r#"{"seq":99999}"#, "no_such_message"),
            ("im/me/status", "{}", "missing_key"),
            ("im/me/active", "2", "payload_format"),
            (
                "im/to/@alice",
                r#"{"mid":"a/b","text":"hi"}"#,
                "payload_format",
            ),
            ("im/to/nowhere", "hi", "no_such_conversation"),
            ("im/nothing", "hi", "unknown_topic"),
        ] {
            bob.send(topic, body, QoS::AtMostOnce).unwrap();
            let event = bob
                .receive_where(|message| {
                    message.topic == "im/me/event" && message.json()["kind"] == "refused"
                })
                .unwrap()
                .json();
            assert_eq!(
                (&event["topic"], &event["error"]),
                (&json!(topic), &json!(error))
            );
            assert!(
                event["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(' '))
            );
        }
        bob.disconnect();
    }
}

/// What the server says to a publish that it refuses.
fn refused(client: &mut Client, topic: &str, body: &str) -> harness::Acknowledgement {
    client.send(topic, body, QoS::AtLeastOnce).unwrap();
    acknowledgement(client)
}

fn acknowledgement(client: &mut Client) -> harness::Acknowledgement {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match client.event(deadline).unwrap() {
            Some(harness::Event::Acknowledged(told)) => return told,
            Some(_) => {}
            None => panic!("no acknowledgement"),
        }
    }
}
