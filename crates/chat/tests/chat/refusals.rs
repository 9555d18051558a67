//! What is refused is told: under its mid, in an answer, or as an event.

use serde_json::json;

use crate::world::{World, parse};

#[test]
fn every_refused_message_with_a_mid_is_answered() {
    let mut world = World::of(&["alice", "bob", "root"]);
    let disable = chat::AccountCommand::SetDisabled {
        name: "bob".to_owned(),
        disabled: true,
    };
    let bob = world.device("bob");
    world.command(disable).unwrap();
    let refused = world.publish(bob, "im/to/@alice", r#"{"mid":"m","text":"hi"}"#);
    assert_eq!(refused.unwrap().unwrap_err().code, "not_allowed");
    let told = world.take_from(bob, "im/ack/m");
    assert_eq!(parse(&told[0].1)["error"], "not_allowed");
    let payload = r#"{"mid":"m","seq":1}"#;
    world.publish(bob, "im/to/@alice/read", payload);
    let told = world.take_from(bob, "im/ack/m");
    assert_eq!(parse(&told[0].1)["error"], "not_allowed");
    // Without a mid that is a topic level it is an event.
    for (topic, payload) in [
        ("im/to/@alice", r#"{"mid":"a/b","text":"hi"}"#),
        ("im/to/@alice", r#"{"mid":"#),
        ("im/to/@alice", "hi"),
        ("im/to/@alice/text", r#"{"mid":"m","text":"hi"}"#),
        ("im/to/@alice/read", r#"{"seq":1}"#),
        ("im/me/status", r#"{"state":"away"}"#),
        ("im/me/active", "1"),
        ("im/nowhere", "x"),
    ] {
        world.publish(bob, topic, payload).unwrap().unwrap_err();
        assert_eq!(world.take_from(bob, "im/ack/#").len(), 0, "{payload}");
        let told = world.take_from(bob, "im/me/event");
        let event = parse(&told[0].1);
        assert_eq!((told.len(), &event["kind"]), (1, &json!("refused")));
        assert_eq!(
            (&event["topic"], &event["error"]),
            (&json!(topic), &json!("not_allowed"))
        );
        assert!(event["detail"].is_string());
    }
    // A long topic is not sent back whole.
    let topic = format!("im/{}", "가".repeat(1_000));
    world.publish(bob, &topic, "x").unwrap().unwrap_err();
    let told = world.take_from(bob, "im/me/event");
    assert!(parse(&told[0].1)["topic"].as_str().unwrap().len() <= 256);
}

#[test]
fn what_is_no_message_is_acknowledged_under_its_mid_as_well() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "hi");
    world.forget_inboxes();
    let alice = world.device("alice");
    for (topic, payload, error) in [
        ("im/to/@bob/read", r#"{"seq":1,"mid":"a"}"#, None),
        (
            "im/to/@bob/read",
            r#"{"seq":9,"mid":"a"}"#,
            Some("no_such_message"),
        ),
        (
            "im/to/nowhere/read",
            r#"{"seq":9,"mid":"a"}"#,
            Some("no_such_conversation"),
        ),
        ("im/me/status", r#"{"state":"busy","mid":"a"}"#, None),
        (
            "im/me/status",
            r#"{"state":"offline","mid":"a"}"#,
            Some("payload_format"),
        ),
        ("im/me/active", r#"{"active":false,"mid":"a"}"#, None),
        ("im/me/active", r#"{"active":true,"mid":"a"}"#, None),
        ("im/me/active", r#"{"mid":"a"}"#, Some("missing_key")),
    ] {
        world.publish_raw(alice, |publish| {
            publish.topic = topic.into();
            publish.payload = payload.into();
            publish.ack = None;
        });
        let told = world.take_json("alice", "im/ack/a");
        assert_eq!(told.len(), 1, "{topic} {payload}");
        let (ok, code) = (&told[0].1["ok"], &told[0].1["error"]);
        assert_eq!(ok, &json!(error.is_none()), "{topic} {payload}");
        assert_eq!(code.as_str(), error, "{topic} {payload}");
        assert_eq!(world.take("alice", "im/me/event"), []);
    }
}

#[test]
fn a_text_that_looks_like_json_is_said_as_it_is() {
    let mut world = World::of(&["alice", "bob"]);
    let refusal = world.refused("alice", "im/to/@bob", "{hello}");
    assert_eq!(refusal.code, "invalid_json");
    assert!(
        refusal.sentence.contains("im/to/<conv>/text"),
        "{refusal:?}"
    );
    for text in ["{hello}", r#"{"text":"x","mid":"m"}"#, "plain"] {
        world.say("alice", "im/to/@bob/text", text);
        assert_eq!(world.take_json("bob", "im/in/@alice")[0].1["text"], text);
    }
    assert_eq!(
        world.refused("alice", "im/to/@bob/text", "").code,
        "payload_format"
    );
    assert_eq!(world.take("alice", "im/ack/#"), []);
}
