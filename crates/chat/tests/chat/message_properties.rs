//! What a message says of itself besides its text: how long it lasts, and what MQTT 5 adds.

use chat::RefusalKind;
use records::Pos;
use serde_json::json;

use crate::world::{World, parse};

#[test]
fn a_message_that_has_expired_leaves_its_number_and_nothing_that_it_said() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "stays");
    let payload = r#"{"mid":"m","text":"goes","x":{"a":1},"reply":1,"ttl":60}"#;
    world.say("alice", "im/to/@bob", payload);
    let live = world.take_json("bob", "im/in/@alice").pop().unwrap().1;
    assert_eq!((&live["text"], &live["ttl"]), (&json!("goes"), &json!(60)));
    let entries = |world: &mut World| {
        let page = world.ask("bob", "history", r#"{"conv":"@alice"}"#);
        page["entries"].as_array().unwrap().clone()
    };
    world.pass(59_000);
    assert_eq!(entries(&mut world)[1], live);
    world.pass(1_000);
    let left = entries(&mut world);
    assert_eq!((left.len(), &left[0]["text"]), (2, &json!("stays")));
    let expected = json!({
        "kind": "message", "seq": 2, "pos": live["pos"], "from": "alice", "device": live["device"], "at": live["at"], "mid": "m",
        "ttl": 60, "expired": true,
    });
    assert_eq!(left[1], expected);
    let listed = world.ask("bob", "conversations", "");
    assert_eq!(listed["conversations"][0]["head"], expected);
    let synced = world.ask("bob", "sync", r#"{"since":"0-"}"#);
    assert_eq!(synced["entries"][1]["expired"], true);
    // Who comes back is told the same.
    let bob = world.device("bob");
    let caught_up = world.catch_up(bob, Pos::ZERO);
    let inbox: Vec<_> = caught_up
        .packets
        .iter()
        .filter(|(topic, _)| topic == "im/in/@alice")
        .collect();
    assert_eq!(parse(&inbox[1].1), expected);
}

#[test]
fn what_mqtt_5_says_of_a_message_is_kept_within_bounds() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.device("alice");
    let publish = |world: &mut World, content_type: &str, value: &str, secs: Option<u32>| {
        let ack = world.publish_raw(alice, |publish| {
            publish.topic = "im/to/@bob/text".into();
            publish.payload = "hi".into();
            publish.properties = Some(Box::new(chat::MessageProperties {
                content_type: Some(content_type.into()),
                user: vec![("k".into(), value.into())],
                expiry_secs: secs,
            }));
        });
        world.devices[alice].acks[&ack].clone()
    };
    assert_eq!(publish(&mut world, "text/plain", "v", Some(5)), Ok(()));
    let said = world.take_json("bob", "im/in/@alice").pop().unwrap().1;
    assert_eq!(said["content_type"], "text/plain");
    assert_eq!(said["user_properties"], json!([["k", "v"]]));
    assert_eq!(said["ttl"], 5);
    let long = "x".repeat(16 * 1024 + 1);
    for (content_type, value, secs, field) in [
        (&long[..257], "v", None, "content_type"),
        ("t", &*long, None, "user_properties"),
        ("t", "v", Some(0), "ttl"),
    ] {
        let refusal = publish(&mut world, content_type, value, secs).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field));
        assert_eq!(refusal.kind, RefusalKind::PayloadFormat);
    }
    let refusal = world.refused("alice", "im/to/@bob", r#"{"text":"x","ttl":0}"#);
    assert_eq!(refusal.field.as_deref(), Some("ttl"));
}

#[test]
fn what_mqtt_5_adds_counts_as_stored_bytes() {
    let mut world = World::with(chat::Settings {
        stored_bytes_per_account_max: 10_000,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob"] {
        world.add(name);
        world.connect(name);
    }
    let alice = world.device("alice");
    let say = |world: &mut World, value: &str| {
        let ack = world.publish_raw(alice, |publish| {
            publish.topic = "im/to/@bob".into();
            publish.payload = "hi".into();
            publish.properties = Some(Box::new(chat::MessageProperties {
                content_type: None,
                user: vec![("k".into(), value.into())],
                expiry_secs: None,
            }));
        });
        world.devices[alice].acks[&ack].clone()
    };
    let large = "v".repeat(8_000);
    assert_eq!(say(&mut world, &large), Ok(()));
    assert_eq!(say(&mut world, &large).unwrap_err().code, "quota");
    assert_eq!(say(&mut world, "small"), Ok(()));
}
