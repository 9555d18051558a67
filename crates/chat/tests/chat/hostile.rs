//! What strangers send: a refusal with the right code each, nothing written, and nobody else disturbed.

use bytes::Bytes;
use chat::{Input, Owner, Publish, RefusalKind, Settings};
use proptest::prelude::*;
use records::{AccountId, ConversationId, Pos, Seq, SessionRef};

use crate::world::World;

#[test]
fn topics_outside_the_contract_are_refused() {
    let mut world = World::of(&["alice", "bob"]);
    for topic in [
        "im",
        "im/",
        "im/to",
        "im/to/",
        "im/in/@bob",
        "im/ack/a",
        "im/answer/a",
        "im/me/event",
        "im/about/@bob",
        "im/to/@bob/",
        "im/to/@bob/shout",
        "im/to/@bob/read/x",
        "im/ask",
        "im/ask/",
        "im/ask/history/1/2",
        "",
    ] {
        let refusal = world.refused("alice", topic, "hi");
        assert_eq!(
            (refusal.kind, refusal.code),
            (RefusalKind::TopicName, "unknown_topic"),
            "{topic}"
        );
    }
    for verb in ["edit", "delete", "react", "pin"] {
        let refusal = world.refused("alice", &format!("im/to/@bob/{verb}"), "{}");
        assert_eq!(refusal.code, "not_supported");
    }
    assert_eq!(world.chat.counters().publishes_refused, 20);
}

#[test]
fn conversations_and_accounts_that_do_not_exist_are_refused() {
    let mut world = World::of(&["alice", "bob"]);
    for (topic, code) in [
        ("im/to/eng", "no_such_conversation"),
        ("im/to/ENG", "no_such_conversation"),
        ("im/to/e ng", "no_such_conversation"),
        ("im/to/@nobody", "no_such_account"),
        ("im/to/@Bob", "no_such_account"),
        ("im/to/@", "no_such_account"),
        ("im/to/@@bob", "no_such_account"),
        ("im/to/@bob/read", "no_such_conversation"),
    ] {
        let refusal = world.refused("alice", topic, r#"{"text":"hi","seq":1}"#);
        assert_eq!(
            (refusal.kind, refusal.code),
            (RefusalKind::NotAuthorized, code),
            "{topic}"
        );
    }
}

#[test]
fn payloads_that_are_no_message_are_refused_and_leave_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    let appends = world.appends;
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(64 * 1024 + 1));
    let deep = format!(r#"{{"text":"x","x":{}{}}}"#, "[".repeat(65), "]".repeat(65));
    let big = format!(r#"{{"text":"x","x":"{}"}}"#, "y".repeat(16 * 1024));
    let plain = "x".repeat(64 * 1024 + 1);
    let mid = format!(r#"{{"text":"x","mid":"{}"}}"#, "m".repeat(65));
    let nested = "{\"x\":".repeat(100_000);
    let cases: Vec<(&[u8], &str)> = vec![
        (b"\xff\xfe", "payload_format"),
        (b"{\"text\":\"\xff\"}", "payload_format"),
        (b"{", "invalid_json"),
        (b"{}", "payload_format"),
        (b"{\"text\":7}", "payload_format"),
        (b"{\"text\":\"a\",\"text\":\"b\"}", "payload_format"),
        (b"{\"text\":\"a\"} trailing", "invalid_json"),
        (b"{\"text\":\"\\ud800\"}", "invalid_json"),
        (b"{\"text\":\"a\",\"att\":{}}", "payload_format"),
        (b"{\"text\":\"a\",\"reply\":-1}", "payload_format"),
        (b"{\"text\":\"a\",\"reply\":\"1\"}", "payload_format"),
        (b"{\"text\":\"a\",\"reply\":1}", "no_such_message"),
        (b"{\"text\":\"a\",\"thread\":0}", "no_such_message"),
        (
            b"{\"text\":\"a\",\"reply\":18446744073709551615}",
            "no_such_message",
        ),
        (b"{\"text\":\"a\",\"mid\":\"\"}", "payload_format"),
        (b"{\"text\":\"a\",\"mid\":\"a/b\"}", "payload_format"),
        (b"{\"text\":\"a\",\"mid\":\"#\"}", "payload_format"),
        (b"{\"text\":\"a\",\"mid\":\"+\"}", "payload_format"),
        (b"{\"text\":\"a\",\"mid\":\"\\u0000\"}", "payload_format"),
        (b"{\"text\":\"a\",\"mid\":7}", "payload_format"),
        (mid.as_bytes(), "too_large"),
        (long.as_bytes(), "too_large"),
        (plain.as_bytes(), "too_large"),
        (big.as_bytes(), "too_large"),
        (deep.as_bytes(), "payload_format"),
        (nested.as_bytes(), "invalid_json"),
    ];
    for (payload, code) in cases {
        let refusal = world.refused("alice", "im/to/@bob", Bytes::copy_from_slice(payload));
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
        assert_eq!(
            (refusal.kind, refusal.code),
            (RefusalKind::PayloadFormat, code),
            "{shown}"
        );
        assert!(refusal.sentence.len() < 300, "{}", refusal.sentence);
        assert!(!refusal.sentence.chars().any(char::is_control));
    }
    assert_eq!(world.appends, appends);
    assert_eq!(world.take("bob", "#"), []);
    assert_eq!(
        world.ask("bob", "conversations", "")["conversations"],
        serde_json::json!([])
    );
}

#[test]
fn a_client_id_is_not_what_others_see() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.device("alice");
    world.publish_raw(alice, |publish| {
        publish.topic = "im/to/@bob".into();
        publish.payload = "hi".into();
        publish.device = "장".repeat(20_000).into();
    });
    let got = world.take_json("bob", "im/in/@alice");
    let device = got[0].1["device"].as_str().unwrap();
    assert_eq!(device.len(), 16);
    assert!(device.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn filters_beyond_the_limit_are_not_kept() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    world.forget_inboxes();
    let alice = world.device("alice");
    for number in 0..300 {
        world.subscribe(alice, &format!("im/presence/n{number}"));
    }
    assert_eq!(world.chat.counters().filters_dropped, 45);
    world.say("bob", "im/to/@alice", "still there");
    assert_eq!(world.texts("alice", "@bob"), ["still there"]);
}

#[test]
fn a_wildcard_that_is_subscribed_to_again_and_again_is_answered_for_a_while() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    let alice = world.device("alice");
    world.forget_inboxes();
    for _ in 0..300 {
        world.subscribe_with(alice, "im/about/+", true, 0, false);
    }
    // One question was spent on im/# when the world began.
    assert_eq!(world.take("alice", "im/about/+").len(), 199);
    assert_eq!(world.chat.counters().quota_refused, 101);
    world.pass(1_000);
    world.subscribe_with(alice, "im/about/+", true, 0, false);
    assert_eq!(world.take("alice", "im/about/+").len(), 1);
}

#[test]
fn many_invitations_cost_as_much_as_many_messages() {
    let mut world = World::with(Settings {
        messages_burst_max: 5,
        ..Settings::default()
    });
    for name in ["alice", "b0", "b1", "b2", "b3", "b4"] {
        world.add(name);
    }
    let alice = world.connect("alice");
    world.subscribe(alice, "im/answer/+");
    let asked = r#"{"slug":"eng","accounts":["b0","b1","b2","b3","b4"]}"#;
    let refused = world.ask("alice", "group.create", asked);
    assert_eq!(refused["error"], "quota");
    assert!(refused.get("retry_ms").is_none(), "no pause helps");
    let asked = r#"{"slug":"eng","accounts":["b0","b1","b2"]}"#;
    assert_eq!(world.ask("alice", "group.create", asked)["member_count"], 4);
    let asked = r#"{"conv":"eng","accounts":["b3","b4"]}"#;
    let refused = world.ask("alice", "group.invite", asked);
    assert_eq!(refused["error"], "quota");
    assert_eq!(refused["retry_ms"], 20);
}

#[test]
fn while_the_disk_does_not_keep_up_publishes_are_refused() {
    const APPENDS_MAX: usize = 65_536;
    let mut world = World::with(Settings {
        messages_burst_max: 1_000_000,
        ..Settings::default()
    });
    world.add("alice");
    let alice = world.connect("alice");
    world.holding = true;
    for _ in 0..APPENDS_MAX {
        assert_eq!(world.publish(alice, "im/to/@alice", "x"), None);
    }
    world.subscribe(alice, "im/ack/+");
    let late = r#"{"mid":"late","text":"x"}"#;
    match world.publish(alice, "im/to/@alice", late) {
        Some(Err(refusal)) => assert_eq!(refusal.kind, RefusalKind::Unavailable),
        other => panic!("{other:?}"),
    }
    let told = world.take_json("alice", "im/ack/late");
    assert_eq!(told[0].1["error"], "unavailable");
    assert_eq!(world.waiting(), APPENDS_MAX);
    assert_eq!(world.chat.counters().appends_refused, 1);
    world.commit();
    assert_eq!(world.publish(alice, "im/to/@alice", "x"), Some(Ok(())));
}

#[test]
fn new_limits_hold_at_once() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hello");
    world.handle(Input::Reconfigure(Settings {
        text_bytes_max: 4,
        ..Settings::default()
    }));
    assert_eq!(
        world.refused("alice", "im/to/@bob", "hello").code,
        "too_large"
    );
}

#[test]
fn inputs_about_what_does_not_exist_are_counted_and_ignored() {
    let mut world = World::of(&["alice"]);
    let session = SessionRef {
        shard: 9,
        slot: 9,
        generation: 9,
    };
    let account = AccountId::new(77);
    let alice = world.id("alice");
    let before = world.chat.counters().strays;
    world.handle(Input::SessionDown { session, account });
    world.handle(Input::SessionUp {
        session,
        account,
        device: "x".into(),
        since: None,
    });
    for (session, account) in [(session, alice), (world.devices[0].session, account)] {
        world.handle(Input::Subscribed {
            session,
            account,
            filter: "im/about/#".into(),
            existed: false,
            retain_handling: 0,
            resumed: false,
        });
    }
    world.handle(Input::Unsubscribed {
        session,
        account,
        filter: "im/about/#".into(),
    });
    world.handle(Input::Received {
        account,
        conversation: ConversationId::MAX,
        seq: Seq::MAX,
    });
    world.handle(Input::CatchUp {
        session,
        account,
        since: records::Cursor::at(Pos::MAX),
    });
    assert_eq!(world.caught_up.len(), 1);
    assert_eq!(world.chat.counters().strays, before + 5);
    for owner in [
        Owner::Accounts,
        Owner::Sessions,
        Owner::Partition(records::PartitionId::new(255)),
    ] {
        let ticket = chat::Ticket(u64::MAX);
        world.handle(Input::Appended { owner, ticket });
        world.handle(Input::Fenced { owner, ticket });
    }
    let known = chat::Counters::NAMES.len();
    assert_eq!(world.chat.counters().values().len(), known);
}

fn topic() -> impl Strategy<Value = String> {
    let levels = prop_oneof![
        Just("to"),
        Just("me"),
        Just("ask"),
        Just("in"),
        Just("@alice"),
        Just("@bob"),
        Just("eng"),
        Just("read"),
        Just("typing"),
        Just("status"),
        Just("active"),
        Just("history"),
        Just("sync"),
        Just("group.create"),
        Just("group.leave"),
        Just("group.delete"),
        Just("group.join"),
        Just("profile.set"),
        Just("members"),
        Just("conversations"),
        Just(""),
        Just("#"),
        Just("각"),
    ];
    proptest::collection::vec(levels, 0..4).prop_map(|levels| format!("im/{}", levels.join("/")))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![
        Just(r#"{"text":"hi","mid":"a"}"#),
        Just(r#"{"seq":1}"#),
        Just(r#"{"conv":"eng"}"#),
        Just(r#"{"conv":"@bob"}"#),
        Just(r#"{"slug":"eng","open":true}"#),
        Just(r#"{"conv":"eng","slug":"eng"}"#),
        Just(r#"{"since":"1"}"#),
        Just(r#"{"state":"busy"}"#),
        Just("1"),
        Just("{}"),
        Just(r#"{"display":"A"}"#),
        Just(r#"{"conv":"@bob","around_seq":18446744073709551615}"#),
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        json.prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn whatever_is_published_is_answered_and_nothing_panics(
        publishes in proptest::collection::vec((0..2_usize, topic(), payload(), proptest::option::of(topic()), 0..3_000_u64), 1..60)
    ) {
        let mut world = World::of(&["alice", "bob"]);
        for (device, topic, payload, response, pause) in publishes {
            let ack = world.publish_raw(device, |publish: &mut Publish| {
                publish.topic = topic.into();
                publish.payload = payload.into();
                publish.response_topic = response.map(Into::into);
            });
            prop_assert!(world.devices[device].acks.contains_key(&ack));
            world.pass(pause);
        }
    }
}
