//! What one account can make the messenger do: bounded in bytes read, questions at once, and things told.

use chat::{Input, RefusalKind, Settings};
use records::{Cursor, Pos};
use serde_json::{Value, json};

use crate::world::{World, parse};

const SECOND: u64 = 1_000;
/// Bytes of a page, and of what catches a session up.
const PAGE: usize = 256 * 1024;
const CAUGHT_UP: usize = 1024 * 1024;

/// Bytes of entries read while something is done.
fn read(world: &mut World, what: impl FnOnce(&mut World)) -> usize {
    let before = world.disk.read.get();
    what(world);
    world.disk.read.get() - before
}

/// Two who have sent each other many large messages, in that chat and in groups.
fn heavy() -> (World, usize) {
    let mut world = World::of(&["alice", "bob"]);
    let text = "x".repeat(60_000);
    for number in 0..5 {
        let asked = json!({"slug": format!("g{number}"), "accounts": ["alice"]}).to_string();
        world.ask("bob", "group.create", &asked);
        for _ in 0..5 {
            world.say("bob", &format!("im/to/g{number}"), &text);
        }
    }
    for _ in 0..60 {
        world.say("bob", "im/to/@alice", &text);
    }
    world.pass(60 * SECOND);
    world.forget_inboxes();
    (world, text.len() + 500)
}

#[test]
fn a_page_reads_little_more_than_it_shows() {
    let (mut world, message) = heavy();
    for asked in [
        r#"{"conv":"@bob"}"#,
        r#"{"conv":"@bob","after_seq":3}"#,
        r#"{"conv":"@bob","before_seq":40}"#,
        r#"{"conv":"@bob","around_seq":20}"#,
    ] {
        let bytes = read(&mut world, |world| {
            let answer = world.ask("alice", "history", asked);
            let entries = answer["entries"].as_array().unwrap().len();
            assert_eq!((entries, &answer["more"]), (4, &json!(true)), "{asked}");
        });
        assert!(bytes <= PAGE + 4 * message, "{asked}: {bytes}");
    }
    let bytes = read(&mut world, |world| {
        let answer = world.ask("alice", "sync", r#"{"since":"0"}"#);
        assert_eq!(answer["more"], true);
    });
    assert!(bytes <= PAGE + 2 * message, "sync: {bytes}");
}

#[test]
fn whoever_was_away_is_caught_up_with_in_bounded_readings() {
    let (mut world, message) = heavy();
    let alice = world.device("alice");
    let (mut since, mut seen, mut pages) = (Pos::ZERO, 0, 0);
    loop {
        let mut more = false;
        let bytes = read(&mut world, |world| {
            let page = world.catch_up(alice, since);
            seen += page
                .packets
                .iter()
                .filter(|(topic, _)| !topic.contains("/text/"))
                .count();
            assert!(page.upto.floor() > since);
            (since, more) = (page.upto.floor(), page.more);
        });
        assert!(bytes <= CAUGHT_UP + 2 * message, "{bytes}");
        pages += 1;
        if !more {
            break;
        }
    }
    // Messages and who joined.
    assert_eq!((seen, pages), (5 * 5 + 60 + 5, 5));
}

#[test]
fn authors_are_looked_up_in_bounded_readings() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let text = "x".repeat(60_000);
    for number in 0..30 {
        let slug = format!("g{number}");
        let asked = json!({"slug": slug, "accounts": ["alice", "carol"]}).to_string();
        world.pass(6 * SECOND);
        world.ask("bob", "group.create", &asked);
        for _ in 0..10 {
            world.say("bob", &format!("im/to/{slug}"), &text);
        }
    }
    world.restart();
    for name in ["alice", "bob"] {
        let device = world.connect(name);
        world.subscribe(device, "im/in/#");
    }
    for number in 0..30 {
        world.say("alice", &format!("im/to/g{number}/read"), r#"{"seq":10}"#);
    }
    let bytes = read(&mut world, |world| world.pass(2 * SECOND));
    let told = world.take("bob", "im/in/+/event").len();
    // So many readings a second, each of so many bytes and one message more.
    let most = 16 * (32 * 1024 + text.len() + 500);
    assert!((1..=16).contains(&told) && bytes <= most, "{told} {bytes}");
}

#[test]
fn a_text_that_json_makes_much_longer_is_too_large() {
    let mut world = World::of(&["alice", "bob"]);
    let controls = "\u{1}".repeat(30_000);
    let refusal = world.refused("alice", "im/to/@bob", controls.clone());
    assert_eq!(refusal.code, "too_large");
    let payload = json!({"text": controls, "mid": "m"}).to_string();
    assert_eq!(
        world.refused("alice", "im/to/@bob", payload).code,
        "too_large"
    );
    assert_eq!(
        world.take_json("alice", "im/ack/m")[0].1["error"],
        "too_large"
    );
    world.say("alice", "im/to/@bob", &"\"\n".repeat(32 * 1024));
    world.say("alice", "im/to/@bob", &"\u{1}".repeat(20_000));
}

#[test]
fn one_question_of_a_session_is_read_at_a_time_and_few_wait() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    world.forget_inboxes();
    let (alice, bob) = (world.device("alice"), world.device("bob"));
    world.holding_reads = true;
    for number in 0..12 {
        let topic = format!("im/ask/history/{number}");
        let asked = world.publish(alice, &topic, r#"{"conv":"@bob"}"#);
        assert_eq!(asked, Some(Ok(())));
    }
    world.publish(bob, "im/ask/history/b", r#"{"conv":"@alice"}"#);
    assert_eq!(world.reads(), 2);
    let answers = |world: &mut World| -> Vec<(String, bool)> {
        let took = world.take_json("alice", "im/answer/+").into_iter();
        took.map(|(topic, answer)| (topic, answer["error"] == "unavailable"))
            .collect()
    };
    let expected = |from: usize, to: usize, refused| -> Vec<(String, bool)> {
        (from..to)
            .map(|number| (format!("im/answer/{number}"), refused))
            .collect()
    };
    assert_eq!(answers(&mut world), expected(9, 12, true));
    assert_eq!(world.chat.counters().reads_refused, 3);
    world.read_one();
    assert_eq!(answers(&mut world), expected(0, 1, false));
    assert_eq!(world.reads(), 2);
    world.read_all();
    assert_eq!(answers(&mut world), expected(1, 9, false));
    // What the readers have no room for is answered too, and the next one gets its turn.
    world.holding_reads = true;
    for number in 0..3 {
        world.publish(
            alice,
            &format!("im/ask/history/{number}"),
            r#"{"conv":"@bob"}"#,
        );
    }
    world.refuse_all();
    let mut refused = expected(0, 1, true);
    refused.extend(expected(1, 3, false));
    assert_eq!(answers(&mut world), refused);
}

#[test]
fn so_many_questions_wait_for_what_their_account_has_said_and_further_ones_are_refused() {
    const BEHIND_MAX: usize = 64;
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.device("alice");
    world.holding = true;
    assert_eq!(world.publish(alice, "im/to/@bob", "one"), None);
    for number in 0..BEHIND_MAX + 2 {
        let topic = format!("im/ask/history/{number}");
        world.publish(alice, &topic, r#"{"conv":"@bob"}"#);
    }
    let refused: Vec<_> = world.take_json("alice", "im/answer/+");
    let numbers: Vec<_> = refused.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(numbers, ["im/answer/64", "im/answer/65"]);
    assert_eq!(refused[0].1["error"], "unavailable");
    assert_eq!(world.chat.counters().reads_refused, 2);
    world.commit();
    let answered = world.take_json("alice", "im/answer/+");
    assert_eq!(answered.len(), BEHIND_MAX);
    // Their turn has come at the same time: one is read, and eight of a session wait for that.
    let found = |answer: &Value| answer["entries"][0]["seq"] == 1;
    let found = answered.iter().filter(|(_, answer)| found(answer)).count();
    assert_eq!(found, 9);
}

#[test]
fn a_reading_nobody_reports_does_not_silence_a_session_for_good() {
    let mut world = World::of(&["alice"]);
    let alice = world.device("alice");
    world.holding_reads = true;
    world.publish(alice, "im/ask/conversations/1", "");
    world.publish(alice, "im/ask/conversations/2", "");
    assert_eq!(world.reads(), 1);
    world.pass(31 * SECOND);
    world.publish(alice, "im/ask/conversations/3", "");
    assert_eq!(world.reads(), 2);
}

#[test]
fn a_catch_up_the_readers_have_no_room_for_is_asked_again() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    let alice = world.device("alice");
    let (session, account) = (world.devices[alice].session, world.devices[alice].account);
    world.holding_reads = true;
    let since = Cursor::default();
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since: since.clone(),
    });
    world.refuse_all();
    let page = world.caught_up.pop().unwrap();
    assert_eq!(
        (page.packets.len(), &page.upto, page.more),
        (0, &since, true)
    );
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since,
    });
    assert!(world.caught_up.is_empty());
    world.pass(5 * SECOND);
    assert_eq!(world.caught_up.pop().unwrap().packets.len(), 2);
}

#[test]
fn one_filter_again_and_again_is_answered_for_a_while() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    world.forget_inboxes();
    let alice = world.device("alice");
    for filter in ["im/about/@bob", "im/presence/bob"] {
        for _ in 0..600 {
            world.subscribe(alice, filter);
        }
        let told = world.take("alice", filter).len();
        assert_eq!(told, 256, "{filter}");
        world.pass(60 * SECOND);
    }
    assert_eq!(world.chat.counters().quota_refused, 2 * (600 - 256));
    for filter in [
        "im/about/eng",
        "im/about/@carol",
        "im/presence/carol",
        "im/about/@bob/x",
    ] {
        world.subscribe(alice, filter);
        assert_eq!(world.take("alice", "im/#").len(), 0, "{filter}");
    }
}

#[test]
fn a_wildcard_over_many_conversations_costs_many_questions() {
    let mut world = World::of(&["alice"]);
    for number in 0..520 {
        let name = format!("n{number}");
        world.add(&name);
        world.pass(50);
        world.say("alice", &format!("im/to/@{name}"), "hi");
    }
    world.pass(60 * SECOND);
    world.forget_inboxes();
    let alice = world.device("alice");
    for _ in 0..100 {
        world.subscribe(alice, "im/about/#");
    }
    assert_eq!(world.take("alice", "im/about/+").len(), 66 * 520);
}

#[test]
fn looking_and_looking_away_costs_and_tells_nothing_that_has_not_changed() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    let alice = world.device("alice");
    for number in 0..250 {
        world.subscribe_with(alice, &format!("im/+/bob/../{number}/#"), false, 2, false);
        world.subscribe_with(alice, "im/presence/+", false, 2, false);
    }
    world.pass(60 * SECOND);
    world.forget_inboxes();
    let mut refused = 0;
    for _ in 0..300 {
        world.publish(alice, "im/me/active", "0").unwrap().unwrap();
        if let Some(Err(refusal)) = world.publish(alice, "im/me/active", "1") {
            assert_eq!(refusal.code, "quota");
            refused += 1;
        }
    }
    assert_eq!(refused, 100);
    let told = world.take_json("alice", "im/#");
    let is_refusal = |event: &serde_json::Value| {
        event["kind"] == "refused" && event["retry_ms"].as_u64().is_some_and(|millis| millis > 0)
    };
    assert!(told.iter().all(|(_, event)| is_refusal(event)), "{told:?}");
    assert_eq!(told.len(), 100);
}

#[test]
fn an_inactive_device_gets_messages_and_the_rest_along_with_them() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "one");
    let pocket = world.connect("alice");
    world.subscribe(pocket, "im/#");
    world.pass(60 * SECOND);
    world.publish(pocket, "im/me/active", "0").unwrap().unwrap();
    world.pass(60 * SECOND);
    world.forget_inboxes();
    let topics = |world: &mut World, device| -> Vec<String> {
        let got = world.take_from(device, "im/#").into_iter();
        got.map(|(topic, _)| topic).collect()
    };
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    world.pass(2 * SECOND);
    let alice = world.device("alice");
    assert_eq!(topics(&mut world, alice), ["im/in/@bob/event"]);
    assert_eq!(topics(&mut world, pocket), [] as [&str; 0]);
    world.say("bob", "im/to/@alice", "two");
    assert_eq!(
        topics(&mut world, pocket),
        [
            "im/in/@bob",
            "im/text/@bob",
            "im/in/@bob/event",
            "im/about/@bob"
        ]
    );
    // Nothing is told twice, and what changes later waits for somebody to look.
    world.say("alice", "im/to/@bob/read", r#"{"seq":2}"#);
    world.pass(5 * SECOND);
    // But what another device has read, it hears of at once.
    assert_eq!(topics(&mut world, pocket), ["im/in/@bob/event"]);
    world.publish(pocket, "im/me/active", "1").unwrap().unwrap();
    let told = world.take_from(pocket, "im/#");
    assert_eq!((told.len(), &*told[0].0), (1, "im/about/@bob"));
    assert_eq!(parse(&told[0].1)["unread_count"], 0);
    // Looked at, it gets everything as it happens.
    world.forget_inboxes();
    world.say("bob", "im/to/@alice", "three");
    world.pass(5 * SECOND);
    let alice = world.device("alice");
    let expected = topics(&mut world, alice);
    assert_eq!(topics(&mut world, pocket), expected);
}

#[test]
fn receipts_that_are_held_back_are_told_as_one() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    for text in ["1", "2", "3"] {
        world.say("alice", "im/to/eng", text);
    }
    let alice = world.device("alice");
    world.publish(alice, "im/me/active", "0").unwrap().unwrap();
    world.pass(5 * SECOND);
    world.forget_inboxes();
    for seq in 1..=3 {
        world.say("bob", "im/to/eng/read", &json!({"seq": seq}).to_string());
        world.pass(2 * SECOND);
    }
    assert_eq!(world.take("alice", "im/in/eng/event").len(), 0);
    world.publish(alice, "im/me/active", "1").unwrap().unwrap();
    let told = world.take_json("alice", "im/in/eng/event");
    assert_eq!((told.len(), &told[0].1["seq"]), (1, &json!(3)));
}

#[test]
fn the_operator_may_allow_less() {
    let mut world = World::with(Settings {
        filters_max: 16,
        questions_waiting_max: 1,
        groups_per_minute_max: 1,
        ..Settings::default()
    });
    for name in ["alice", "bob"] {
        world.add(name);
        let device = world.connect(name);
        world.subscribe(device, "im/#");
    }
    let alice = world.device("alice");
    for number in 0..20 {
        world.subscribe(alice, &format!("im/presence/n{number}"));
    }
    assert_eq!(world.chat.counters().filters_dropped, 5);

    let create = |world: &mut World, slug: &str| {
        let asked = json!({"slug": slug}).to_string();
        world.ask("alice", "group.create", &asked)["error"].clone()
    };
    let made: Vec<_> = ["a", "b", "c"].map(|slug| create(&mut world, slug)).into();
    assert_eq!(made, [Value::Null, Value::Null, "quota".into()]);

    world.say("alice", "im/to/@bob", "hi");
    world.holding_reads = true;
    for number in 0..3 {
        let topic = format!("im/ask/history/{number}");
        world.publish(alice, &topic, r#"{"conv":"@bob"}"#);
    }
    assert_eq!(world.chat.counters().reads_refused, 1);
}

#[test]
fn while_the_disk_is_full_nobody_writes_and_everybody_reads() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"g","accounts":["bob"]}"#,
    );
    world.say("alice", "im/to/@bob", "before");
    world.handle(Input::DiskFull(true));
    let stored = world.disk.keys.len();

    let refusal = world.refused("alice", "im/to/@bob", "more");
    assert_eq!(
        (refusal.kind, refusal.code),
        (RefusalKind::Quota, "disk_full")
    );
    for (method, asked) in [
        ("group.create", r#"{"slug":"h","accounts":["bob"]}"#),
        ("group.invite", r#"{"conv":"g","accounts":["bob"]}"#),
        ("profile.set", r#"{"name":"Alice"}"#),
    ] {
        let answer = world.ask("alice", method, asked);
        assert_eq!(answer["error"], "disk_full", "{method} {answer}");
    }
    assert_eq!(world.disk.keys.len(), stored);
    assert_eq!(world.chat.counters().disk_full_refused, 4);

    let page = world.ask("bob", "history", r#"{"conv":"@alice"}"#);
    assert_eq!(page["entries"][0]["text"], "before", "{page}");
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    let left = world.ask("bob", "group.leave", r#"{"conv":"g"}"#);
    assert!(left.get("error").is_none(), "{left}");
    let deleted = world.ask("alice", "group.delete", r#"{"conv":"g","slug":"g"}"#);
    assert_eq!(deleted, serde_json::json!({"conv": "g"}));

    world.handle(Input::DiskFull(false));
    world.say("alice", "im/to/@bob", "after");
    assert_eq!(world.texts("bob", "@alice"), ["before", "after"]);
}
