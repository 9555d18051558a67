//! What one device tells another: live, unstored, between the two.

use bytes::Bytes;
use serde_json::json;

use crate::world::World;

#[test]
fn one_device_of_somebody_one_talks_to_is_told_and_no_other() {
    let mut world = World::of(&["alice", "bob"]);
    let tablet = world.connect("bob");
    world.subscribe(tablet, "im/in/#");
    world.say("alice", "im/to/@bob", "hi");
    world.pass(5_000);
    world.forget_inboxes();
    let appends = world.appends;
    let (alices, bobs) = (world.device_id("alice-0"), world.device_id("bob-1"));
    world.say("alice", &format!("im/to/@bob/device/{bobs}"), "{offer");
    let bob = world.device("bob");
    let topic = format!("im/in/@alice/device/{alices}");
    let told = world.take_from(bob, "im/#");
    assert_eq!(told, [(topic.clone(), Bytes::from("{offer"))]);
    assert_eq!(world.take_from(tablet, "im/#"), []);
    // And back, to where it came from.
    world.say("bob", &format!("im/to/@alice/device/{alices}"), "answer");
    let told = world.take("alice", "im/#");
    assert_eq!(
        told,
        [(format!("im/in/@bob/device/{bobs}"), Bytes::from("answer"))]
    );
    // Between one's own, too.
    let tablets = world.device_id("bob-2");
    world.say("bob", &format!("im/to/@bob/device/{tablets}"), "key");
    let told = world.take_from(tablet, "im/in/@bob/device/+");
    assert_eq!(told.len(), 1);
    assert_eq!(world.appends, appends, "nothing is stored");
    let history = world.ask("alice", "history", r#"{"conv":"@bob"}"#);
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
    assert_eq!(world.chat.counters().device_messages, 3);
}

#[test]
fn a_device_that_is_not_there_or_not_one_s_business_is_refused() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "hi");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["carol"]}"#,
    );
    let (bobs, carols) = (world.device_id("bob-1"), world.device_id("carol-2"));
    let long = "x".repeat(64 * 1024 + 1);
    for (topic, payload, code) in [
        (
            format!("im/to/@carol/device/{carols}"),
            "x",
            "no_such_conversation",
        ),
        (format!("im/to/eng/device/{carols}"), "x", "not_allowed"),
        (
            format!("im/to/@nobody/device/{bobs}"),
            "x",
            "no_such_account",
        ),
        (format!("im/to/@bob/device/{carols}"), "x", "no_such_device"),
        ("im/to/@bob/device/bob-1".to_owned(), "x", "no_such_device"),
        (format!("im/to/@bob/device/{bobs}"), &long, "too_large"),
        (format!("im/to/@bob/device/{bobs}/x"), "x", "unknown_topic"),
    ] {
        world.forget_inboxes();
        let refusal = world.refused("alice", &topic, Bytes::copy_from_slice(payload.as_bytes()));
        assert_eq!(refusal.code, code, "{topic}");
        let told = world.take_json("alice", "im/me/event");
        assert_eq!(told[0].1["error"], json!(code));
    }
    let alice = world.device("alice");
    let ack = world.publish_raw(alice, |publish| {
        publish.topic = format!("im/to/@bob/device/{bobs}").into();
        publish.properties = Some(Box::new(chat::MessageProperties {
            content_type: Some("text/plain".into()),
            user: Vec::new(),
            expiry_secs: None,
        }));
    });
    let refusal = world.devices[alice].acks[&ack].clone().unwrap_err();
    assert_eq!(refusal.code, "payload_format");
    let bob = world.device("bob");
    world.disconnect(bob);
    let refusal = world.refused("alice", &format!("im/to/@bob/device/{bobs}"), "x");
    assert_eq!(refusal.code, "no_such_device");
    assert_eq!(world.take("carol", "im/in/+/device/+"), []);
}
