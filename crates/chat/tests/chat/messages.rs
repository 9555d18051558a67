//! Sending: who gets what, when, and what a repetition comes to.

use bytes::Bytes;
use chat::{RefusalKind, Settings};
use records::Pos;
use serde_json::json;

use crate::world::{START, World, parse};

#[test]
fn a_message_reaches_every_device_of_both_sides_under_the_name_each_calls_the_chat() {
    let mut world = World::of(&["alice", "bob"]);
    let second = world.connect("alice");
    world.subscribe(second, "im/in/#");
    world.say("alice", "im/to/@bob", "안녕");
    let pos = world.pos_of("alice", "@bob", 1);
    let expected = json!({
        "kind": "message", "seq": 1, "pos": pos, "from": "alice", "device": world.device_id("alice-0"), "at": START, "text": "안녕",
    });
    assert_eq!(
        world.take_json("bob", "im/in/+"),
        [("im/in/@alice".to_owned(), expected.clone())]
    );
    for device in [world.device("alice"), second] {
        let got = world.take_from(device, "im/in/+");
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0, "im/in/@bob");
        assert_eq!(parse(&got[0].1), expected);
    }
    let lines = world.take("bob", "im/text/+");
    assert_eq!(
        lines,
        [("im/text/@alice".to_owned(), Bytes::from("alice: 안녕"))]
    );
}

#[test]
fn the_first_message_begins_a_direct_chat_and_both_hear_of_it_before() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    for (name, conv) in [("alice", "@bob"), ("bob", "@alice")] {
        let device = world.device(name);
        let topics: Vec<_> = world
            .take_from(device, "im/#")
            .into_iter()
            .filter(|(topic, _)| topic.starts_with("im/me/") || topic.starts_with("im/in/"))
            .collect();
        assert_eq!(topics[0].0, "im/me/event");
        assert_eq!(
            parse(&topics[0].1),
            json!({"kind": "conversation", "conv": conv})
        );
        assert_eq!(topics[1].0, format!("im/in/{conv}"));
        assert_eq!(topics.len(), 2);
    }
    world.say("bob", "im/to/@alice", "hi yourself");
    assert_eq!(world.take("alice", "im/me/event"), []);
    assert_eq!(world.texts("alice", "@bob"), ["hi yourself"]);
}

#[test]
fn one_may_write_to_oneself() {
    let mut world = World::of(&["alice"]);
    world.say("alice", "im/to/@alice", "milk");
    assert_eq!(world.texts("alice", "@alice"), ["milk"]);
    let listed = world.ask("alice", "conversations", "");
    assert_eq!(listed["conversations"][0]["conv"], "@alice");
    assert_eq!(listed["conversations"][0]["member_count"], 1);
    assert_eq!(listed["conversations"][0]["unread_count"], 0);
}

#[test]
fn nothing_is_told_before_it_is_on_disk() {
    let mut world = World::of(&["alice", "bob"]);
    world.holding = true;
    let alice = world.device("alice");
    let said = world.publish(alice, "im/to/@bob", r#"{"mid":"m1","text":"hi"}"#);
    assert_eq!(said, None);
    assert_eq!(world.waiting(), 1);
    for name in ["alice", "bob"] {
        assert_eq!(world.take(name, "im/#"), [], "{name}");
    }
    let before = world.chat.committed_pos();
    world.commit();
    assert!(world.chat.committed_pos() > before);
    assert_eq!(
        world.devices[alice].acks.values().next_back(),
        Some(&Ok(()))
    );
    assert_eq!(world.texts("bob", "@alice"), ["hi"]);
    assert_eq!(world.take("alice", "im/ack/m1").len(), 1);
}

#[test]
fn questions_about_what_is_stored_wait_for_what_their_account_has_said() {
    let mut world = World::of(&["alice", "bob"]);
    world.holding = true;
    let alice = world.device("alice");
    assert_eq!(world.publish(alice, "im/to/@bob", "hi"), None);
    // A refusal has nothing to wait for, nor has what is in memory, nor somebody else.
    let refused = world.publish(alice, "im/to/@nobody", "hi");
    assert_eq!(refused.unwrap().unwrap_err().code, "no_such_account");
    assert_eq!(world.ask("alice", "profile.get", "")["account"], "alice");
    world.forget_inboxes();
    let listed = world.ask("bob", "conversations", "");
    assert_eq!(listed["conversations"], json!([]));
    for (method, asked) in [
        ("conversations", ""),
        ("history", r#"{"conv":"@bob"}"#),
        ("members", r#"{"conv":"@bob"}"#),
        ("sync", r#"{"since":"0-"}"#),
    ] {
        let topic = format!("im/ask/{method}");
        assert_eq!(world.publish(alice, &topic, asked), None, "{method}");
    }
    assert_eq!(world.take("alice", "im/answer/+"), []);
    world.commit();
    let mut answers = world.take_json("alice", "im/answer/+").into_iter();
    let mut answer = || answers.next().unwrap().1;
    assert_eq!(answer()["conversations"][0]["head"]["text"], "hi");
    assert_eq!(answer()["entries"][0]["text"], "hi");
    assert_eq!(answer()["members"].as_array().unwrap().len(), 2);
    assert_eq!(answer()["entries"][0]["text"], "hi");
}

#[test]
fn a_question_waits_even_while_the_accounts_conversations_are_being_read() {
    let mut world = World::of(&["alice", "bob"]);
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/in/#");
    world.subscribe(alice, "im/answer/#");
    world.holding = true;
    world.holding_reads = true;
    assert_eq!(world.publish(alice, "im/to/@bob", "hi"), None);
    assert_eq!(
        world.publish(alice, "im/ask/history", r#"{"conv":"@bob"}"#),
        None
    );
    world.read_all();
    assert_eq!(world.take("alice", "im/answer/+"), []);
    world.commit();
    let answers = world.take_json("alice", "im/answer/+");
    assert_eq!(answers[0].1["entries"][0]["text"], "hi");
}

#[test]
fn numbers_are_given_per_conversation_and_positions_once_for_all() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "1");
    world.say("alice", "im/to/@carol", "2");
    world.say("bob", "im/to/@alice", "3");
    let got = world.take_json("alice", "im/in/+");
    let numbers: Vec<_> = got
        .iter()
        .map(|(topic, message)| (topic.as_str(), message["seq"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        numbers,
        [("im/in/@bob", 1), ("im/in/@carol", 1), ("im/in/@bob", 2)]
    );
    let positions: Vec<Pos> = got
        .iter()
        .map(|(_, message)| message["pos"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(positions.is_sorted_by(|one, other| one < other));
    assert_eq!(positions[2], world.chat.committed_pos());
}

#[test]
fn a_json_message_keeps_what_is_the_applications_own_byte_for_byte() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "first");
    world.forget_inboxes();
    let payload = r#"{"from":"mallory","seq":99,"at":1,"pos":"ff","device":"d","new":[1],
        "mid":"k3Jx9","text":"hi","reply":1,"thread":1,"att":[ {"id": "a"} ],"x":{"b":1.50,  "a":[2]}}"#;
    world.say("alice", "im/to/@bob", payload);
    let got = world.take("bob", "im/in/@alice");
    let pos = world.pos_of("alice", "@bob", 2);
    let expected = format!(
        r#"{{"kind":"message","seq":2,"pos":"{pos}","from":"alice","device":"{}","at":{START},"mid":"k3Jx9","text":"hi","reply":1,"thread":1,"att":[ {{"id": "a"}} ],"x":{{"b":1.50,  "a":[2]}}}}"#,
        world.device_id("alice-0")
    );
    assert_eq!(String::from_utf8_lossy(&got[0].1), expected);
}

#[test]
fn a_message_without_text_needs_something_else() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", r#"{"att":[{"id":"a"}],"text":""}"#);
    let got = world.take_json("bob", "im/in/@alice");
    assert_eq!(got[0].1.get("text"), None);
    assert_eq!(
        &world.take("bob", "im/text/+")[0].1[..],
        b"alice: [attachment]"
    );
    world.say("alice", "im/to/@bob", r#"{"x":{"move":"e4"}}"#);
    for empty in ["", "{}", r#"{"text":""}"#, r#"{"text":null}"#] {
        let refusal = world.refused("alice", "im/to/@bob", empty);
        assert_eq!(refusal.code, "payload_format", "{empty}");
    }
}

#[test]
fn the_word_on_a_message_with_a_mid_goes_to_the_device_that_sent_it() {
    let mut world = World::of(&["alice", "bob"]);
    let second = world.connect("alice");
    world.subscribe(second, "im/#");
    world.forget_inboxes();
    world.say("alice", "im/to/@bob", r#"{"mid":"a","text":"hi"}"#);
    let pos = world.pos_of("bob", "@alice", 1);
    let expected = json!({"ok": true, "conv": "@bob", "seq": 1, "pos": pos});
    assert_eq!(
        world.take_json("alice", "im/ack/+"),
        [("im/ack/a".to_owned(), expected)]
    );
    world.refused("alice", "im/to/eng", r#"{"mid":"b","text":"hi"}"#);
    let got = world.take_json("alice", "im/ack/b");
    assert_eq!(got[0].1["ok"], false);
    assert_eq!(got[0].1["error"], "no_such_conversation");
    assert!(got[0].1["detail"].as_str().unwrap().contains("eng"));
    // Also where the mid is about all that can be read.
    world.refused("alice", "im/to/@bob", r#"{"mid":"c","text":7}"#);
    assert_eq!(
        world.take_json("alice", "im/ack/c")[0].1["error"],
        "payload_format"
    );
    assert_eq!(world.take_from(second, "im/ack/#"), []);
    assert_eq!(world.take("bob", "im/ack/#"), []);
}

#[test]
fn the_same_mid_is_the_same_message_for_seven_days() {
    const DAY: u64 = 24 * 3600 * 1000;
    let mut world = World::of(&["alice", "bob"]);
    let message = r#"{"mid":"a","text":"hi"}"#;
    world.say("alice", "im/to/@bob", message);
    let first = world.take_json("alice", "im/ack/a");
    let appends = world.appends;
    for _ in 0..3 {
        world.pass(2 * DAY);
        world.say("alice", "im/to/@bob", message);
        assert_eq!(world.take_json("alice", "im/ack/a"), first);
    }
    assert_eq!(world.appends, appends);
    assert_eq!(world.texts("bob", "@alice"), ["hi"]);
    // Somebody else's is another one.
    world.say("bob", "im/to/@alice", message);
    assert_eq!(world.take_json("bob", "im/ack/a")[0].1["seq"], 2);
    world.pass(2 * DAY);
    world.say("alice", "im/to/@bob", message);
    assert_eq!(world.take_json("alice", "im/ack/a")[0].1["seq"], 3);
    assert_eq!(world.chat.counters().messages_repeated, 3);
}

#[test]
fn the_same_mid_with_another_payload_is_refused() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let second = world.connect("alice");
    world.subscribe(second, "im/ack/#");
    world.say("alice", "im/to/@bob", r#"{"mid":"1","text":"hi"}"#);
    let first = world.take_json("alice", "im/ack/1");
    // A counter, on another device.
    let refused = world.publish(second, "im/to/@bob", r#"{"mid":"1","text":"ho"}"#);
    let refusal = refused.unwrap().unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::PayloadFormat, "mid_reused")
    );
    let told = world.take_from(second, "im/ack/1");
    assert_eq!(parse(&told[0].1)["error"], "mid_reused");
    assert_eq!(world.texts("bob", "@alice"), ["hi"]);
    // Also while the first is not on disk yet.
    world.holding = true;
    let alice = world.device("alice");
    world.publish(alice, "im/to/@bob", r#"{"mid":"2","text":"hi"}"#);
    world.publish(alice, "im/to/@bob", r#"{"mid":"2","text":"ho"}"#);
    world.commit();
    let told = world.take_json("alice", "im/ack/2");
    assert_eq!(
        (&told[0].1["ok"], &told[1].1["ok"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(world.chat.counters().mids_reused, 2);
    // In another conversation it is another message.
    world.say("alice", "im/to/@carol", r#"{"mid":"1","text":"hi"}"#);
    assert_eq!(world.texts("carol", "@alice"), ["hi"]);
    let other = world.take_json("alice", "im/ack/1");
    assert_eq!(
        (&other[0].1["conv"], &first[0].1["conv"]),
        (&json!("@carol"), &json!("@bob"))
    );
}

#[test]
fn what_a_session_sends_again_without_a_mid_is_the_same_message() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.device("alice");
    for _ in 0..2 {
        world.publish_raw(alice, |publish| {
            publish.topic = "im/to/@bob".into();
            publish.payload = "hi".into();
            publish.session_mid = Some(records::SessionMid::Packet {
                session: records::SessionNumber::new(7),
                packet_id: 1,
            });
        });
    }
    assert_eq!(world.texts("bob", "@alice"), ["hi"]);
    assert_eq!(world.take("alice", "im/ack/#"), [], "it gave no mid");
    assert_eq!(world.chat.counters().messages_repeated, 1);
}

#[test]
fn what_a_session_says_under_an_identifier_that_it_uses_again_is_another_message() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.device("alice");
    for text in ["one", "two"] {
        let ack = world.publish_raw(alice, |publish| {
            publish.topic = "im/to/@bob".into();
            publish.payload = text.into();
            publish.session_mid = Some(records::SessionMid::Packet {
                session: records::SessionNumber::new(7),
                packet_id: 1,
            });
        });
        assert_eq!(world.devices[alice].acks[&ack], Ok(()));
    }
    assert_eq!(world.texts("bob", "@alice"), ["one", "two"]);
}

#[test]
fn a_mid_is_known_after_a_start_with_a_clock_that_is_in_the_week_before() {
    const WEEK: u64 = 7 * 24 * 3600 * 1000;
    let mut world = World::of(&["alice", "bob"]);
    let begins = (START / WEEK + 1) * WEEK;
    world.pass(begins + 1_000 - world.now.value());
    let message = r#"{"mid":"a","text":"hi"}"#;
    world.say("alice", "im/to/@bob", message);
    world.now = records::Millis::new(begins - 3_600_000);
    world.restart();
    world.connect("alice");
    world.say("alice", "im/to/@bob", message);
    assert_eq!(world.chat.counters().messages_repeated, 1);
}

#[test]
fn a_repetition_waits_for_the_first_one_to_be_on_disk() {
    let mut world = World::of(&["alice", "bob"]);
    world.holding = true;
    let alice = world.device("alice");
    let message = r#"{"mid":"a","text":"hi"}"#;
    assert_eq!(world.publish(alice, "im/to/@bob", message), None);
    assert_eq!(world.publish(alice, "im/to/@bob", message), None);
    assert_eq!(world.waiting(), 1);
    assert_eq!(world.take("alice", "im/#"), []);
    world.commit();
    let acks = world.take_json("alice", "im/ack/a");
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0], acks[1]);
    assert_eq!(world.devices[alice].acks.len(), 2);
    assert_eq!(world.texts("bob", "@alice"), ["hi"]);
}

#[test]
fn the_same_mid_is_the_same_message_after_a_restart() {
    let mut world = World::of(&["alice", "bob"]);
    let message = r#"{"mid":"a","text":"hi"}"#;
    world.say("alice", "im/to/@bob", message);
    let first = world.take_json("alice", "im/ack/a");
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/ack/#");
    world.say("alice", "im/to/@bob", message);
    assert_eq!(world.take_json("alice", "im/ack/a"), first);
}

#[test]
fn mids_of_past_weeks_are_trimmed_once() {
    const WEEK: u64 = 7 * 24 * 3600 * 1000;
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", r#"{"mid":"a","text":"hi"}"#);
    let mids = |world: &World| world.disk.in_range(records::Table::Dedup.range()).count();
    assert_eq!((world.trims.len(), mids(&world)), (0, 1));
    world.pass(WEEK);
    world.say("alice", "im/to/@bob", "x");
    world.say("alice", "im/to/@bob", "x");
    assert_eq!((world.trims.len(), mids(&world)), (1, 1));
    world.pass(WEEK);
    world.say("alice", "im/to/@bob", "x");
    assert_eq!((world.trims.len(), mids(&world)), (2, 0));
    assert_eq!(world.trims[1], world.chat.stale_dedups(world.now));
}

#[test]
fn who_sends_too_much_is_refused_until_time_has_passed() {
    let mut world = World::with(Settings {
        messages_per_second_max: 2,
        messages_burst_max: 3,
        ..Settings::default()
    });
    for name in ["alice", "bob"] {
        world.add(name);
        world.connect(name);
    }
    for _ in 0..3 {
        world.say("alice", "im/to/@bob", "x");
    }
    let refusal = world.refused("alice", "im/to/@bob", "x");
    assert_eq!((refusal.kind, refusal.code), (RefusalKind::Quota, "quota"));
    world.say("bob", "im/to/@alice", "x");
    world.pass(500);
    world.say("alice", "im/to/@bob", "x");
    world.refused("alice", "im/to/@bob", "x");
    assert_eq!(world.chat.counters().quota_refused, 2);
}

#[test]
fn a_store_that_cannot_be_read_refuses_what_it_would_have_to_look_up() {
    let mut world = World::of(&["alice", "bob"]);
    world.disk.broken = true;
    let refusal = world.refused("alice", "im/to/@bob", r#"{"mid":"a","text":"hi"}"#);
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::Unavailable, "unavailable")
    );
    assert_eq!(
        world.take_json("alice", "im/ack/a")[0].1["error"],
        "unavailable"
    );
    assert_eq!(world.chat.counters().unreadable, 1);
    let answer = world.ask("alice", "history", r#"{"conv":"@bob"}"#);
    assert_eq!(answer["error"], "unavailable");
    world.disk.broken = false;
    world.say("alice", "im/to/@bob", "hi");
    // What is in memory goes on, but for what has to be looked up.
    world.disk.broken = true;
    world.say("alice", "im/to/@bob", "hi");
    let refusal = world.refused("alice", "im/to/@bob", r#"{"mid":"a","text":"hi"}"#);
    assert_eq!(refusal.code, "unavailable");
    assert_eq!(world.chat.counters().unreadable, 2);
}

#[test]
fn a_closed_account_sends_nothing_and_a_removed_one_gets_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    let command = chat::AccountCommand::Remove { name: "bob".into() };
    let bob = world.device("bob");
    assert_eq!(world.command(command), Ok(chat::AccountAnswer::Done));
    let refusal = world.refused("alice", "im/to/@bob", "hi");
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::NotAuthorized, "no_such_account")
    );
    match world.publish(bob, "im/to/@alice", "hi") {
        Some(Err(refusal)) => assert_eq!(refusal.code, "not_allowed"),
        other => panic!("{other:?}"),
    }
    // What it wrote can still be read.
    let history = world.ask("alice", "history", r#"{"conv":"@bob"}"#);
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
}
