//! Questions and their answers: where they go, what stands in them, and how large they get.

use bytes::Bytes;
use records::Pos;
use serde_json::{Value, json};

use crate::world::{START, World, parse};

fn numbers(answer: &Value) -> Vec<u64> {
    let entries = answer["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["seq"].as_u64().unwrap_or(0))
        .collect()
}

/// Alice and bob, and messages 1 to 9, with a group's events in between.
fn talked() -> World {
    let mut world = World::of(&["alice", "bob"]);
    for number in 1..=9 {
        world.say("alice", "im/to/@bob", &number.to_string());
    }
    world
}

#[test]
fn an_answer_goes_where_the_question_says() {
    let mut world = World::of(&["alice"]);
    let alice = world.device("alice");
    let second = world.connect("alice");
    world.subscribe(second, "im/#");
    world.forget_inboxes();
    let mut asked = |topic: &str, response: Option<&str>| {
        world.publish_raw(alice, |publish| {
            publish.topic = topic.into();
            publish.response_topic = response.map(Into::into);
            publish.correlation = response.map(|_| Bytes::from_static(b"\x00c"));
        });
        let got = std::mem::take(&mut world.devices[alice].inbox);
        assert!(world.devices[second].inbox.is_empty());
        got.into_iter()
            .map(|(topic, _, correlation)| (topic, correlation))
            .collect::<Vec<_>>()
    };
    let to = |topic: &str, correlation: Option<&'static [u8]>| {
        vec![(topic.to_owned(), correlation.map(Bytes::from_static))]
    };
    assert_eq!(asked("im/ask/profile.get/7", None), to("im/answer/7", None));
    assert_eq!(
        asked("im/ask/profile.get", None),
        to("im/answer/profile.get", None)
    );
    assert_eq!(
        asked("im/ask/profile.get/7", Some("im/answer/a/b")),
        to("im/answer/a/b", Some(b"\x00c"))
    );
    assert_eq!(
        asked("im/ask/history", Some("im/answer/h")),
        to("im/answer/h", Some(b"\x00c"))
    );
}

#[test]
fn a_response_topic_outside_the_answers_is_refused() {
    let mut world = World::of(&["alice"]);
    let alice = world.device("alice");
    for response in [
        "im/answer/",
        "im/answer",
        "im/in/eng",
        "other",
        "im/answer/+",
        "im/answer/a/#",
        "",
    ] {
        let ack = world.publish_raw(alice, |publish| {
            publish.topic = "im/ask/profile.get".into();
            publish.response_topic = Some(response.into());
        });
        match &world.devices[alice].acks[&ack] {
            Err(refusal) => assert_eq!(refusal.kind, chat::RefusalKind::PayloadFormat),
            Ok(()) => panic!("{response:?}"),
        }
    }
    assert_eq!(world.take("alice", "#"), []);
}

#[test]
fn a_question_that_cannot_be_answered_is_answered_with_an_error() {
    let mut world = World::of(&["alice"]);
    for (method, asked, error) in [
        ("search", r#"{"text":"x"}"#, "not_supported"),
        ("nonsense", "", "not_supported"),
        ("history", "", "payload_format"),
        ("history", "[]", "payload_format"),
        ("history", "{", "payload_format"),
        ("history", "\u{0}", "payload_format"),
        ("history", r#"{"conv":7}"#, "payload_format"),
        ("history", r#"{"conv":"eng"}"#, "no_such_conversation"),
        ("history", r#"{"conv":"@nobody"}"#, "no_such_account"),
        (
            "history",
            r#"{"conv":"@alice","before":1,"after":1}"#,
            "payload_format",
        ),
        ("members", r#"{"conv":"@alice"}"#, "no_such_conversation"),
        ("profile.get", r#"{"name":"nobody"}"#, "no_such_account"),
        ("conversations", r#"{"before":"xyz"}"#, "payload_format"),
    ] {
        let answer = world.ask("alice", method, asked);
        assert_eq!(answer["error"], error, "{method} {asked}");
        assert!(answer["detail"].as_str().unwrap().contains(' '));
    }
    assert_eq!(world.chat.counters().asks_failed, 13);
}

#[test]
fn questions_have_a_quota_of_their_own() {
    let mut world = World::with(chat::Settings {
        messages_per_second_max: 1,
        messages_burst_max: 2,
        ..chat::Settings::default()
    });
    world.add("alice");
    let alice = world.connect("alice");
    world.subscribe(alice, "im/answer/#");
    let asked: Vec<_> = (0..3)
        .map(|_| world.ask("alice", "profile.get", ""))
        .collect();
    assert_eq!(asked[1]["name"], "alice");
    assert_eq!(asked[2]["error"], "quota");
    world.say("alice", "im/to/@alice", "hi");
}

#[test]
fn history_pages_in_every_direction() {
    let mut world = talked();
    let mut page = |asked: &str| {
        let asked = format!(r#"{{"conv":"@bob",{asked}}}"#);
        let answer = world.ask("alice", "history", &asked);
        assert_eq!(answer["conv"], "@bob");
        (numbers(&answer), answer["more"].as_bool().unwrap())
    };
    for (asked, expected) in [
        (r#""limit":3"#, (vec![7, 8, 9], true)),
        (r#""limit":9"#, ((1..=9).collect(), false)),
        (r#""limit":0"#, (vec![9], true)),
        (r#""limit":100000"#, ((1..=9).collect(), false)),
        (r#""before":4,"limit":2"#, (vec![2, 3], true)),
        (r#""before":3,"limit":2"#, (vec![1, 2], false)),
        (r#""before":1"#, (vec![], false)),
        (r#""before":99,"limit":2"#, (vec![8, 9], true)),
        (r#""after":7,"limit":2"#, (vec![8, 9], false)),
        (r#""after":6,"limit":2"#, (vec![7, 8], true)),
        (r#""after":0,"limit":2"#, (vec![1, 2], true)),
        (r#""after":9"#, (vec![], false)),
        (r#""after":99"#, (vec![], false)),
        (r#""around":5,"limit":4"#, (vec![3, 4, 5, 6], true)),
        (r#""around":5,"limit":1"#, (vec![5], true)),
        (r#""around":1,"limit":100"#, ((1..=9).collect(), false)),
    ] {
        assert_eq!(page(asked), expected, "{asked}");
    }
}

#[test]
fn events_stand_between_the_messages() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","members":["bob"]}"#,
    );
    world.say("alice", "im/to/eng", "one");
    world.ask(
        "alice",
        "group.invite",
        r#"{"conv":"eng","accounts":["carol"]}"#,
    );
    world.say("bob", "im/to/eng", "two");
    let answer = world.ask("carol", "history", r#"{"conv":"eng"}"#);
    assert_eq!(numbers(&answer), [0, 0, 1, 0, 2]);
    assert_eq!(answer["entries"][3]["account"], "carol");
    let answer = world.ask("carol", "history", r#"{"conv":"eng","before":2,"limit":2}"#);
    assert_eq!(numbers(&answer), [1, 0]);
}

#[test]
fn a_chat_that_has_not_begun_is_empty() {
    let mut world = World::of(&["alice", "bob"]);
    let answer = world.ask("alice", "history", r#"{"conv":"@bob"}"#);
    assert_eq!(
        answer,
        json!({"conv": "@bob", "entries": [], "more": false})
    );
}

#[test]
fn a_page_fits_the_packets_of_ordinary_clients() {
    const PAGE_BYTES: usize = 256 * 1024;
    let mut world = World::of(&["alice", "bob"]);
    let text = "x".repeat(60_000);
    for _ in 0..9 {
        world.say("alice", "im/to/@bob", &text);
    }
    for (asked, expected) in [
        (r#"{"conv":"@bob"}"#, vec![6, 7, 8, 9]),
        (r#"{"conv":"@bob","after":0}"#, vec![1, 2, 3, 4]),
        (r#"{"conv":"@bob","around":5}"#, vec![3, 4, 5, 6]),
    ] {
        let answer = world.ask("alice", "history", asked);
        assert_eq!(numbers(&answer), expected, "{asked}");
        assert_eq!(answer["more"], true);
        assert!(answer.to_string().len() <= PAGE_BYTES + 100);
    }
    let answer = world.ask("alice", "sync", r#"{"since":"0"}"#);
    assert_eq!(numbers(&answer), [1, 2, 3, 4]);
    assert_eq!(
        (&answer["more"], &answer["pos"]),
        (&json!(true), &json!("4"))
    );
}

#[test]
fn a_message_larger_than_a_page_comes_alone() {
    let mut world = World::with(chat::Settings {
        text_bytes_max: 1_000_000,
        ..chat::Settings::default()
    });
    world.add("alice");
    let alice = world.connect("alice");
    world.subscribe(alice, "im/answer/+");
    for _ in 0..3 {
        world.say("alice", "im/to/@alice", &"x".repeat(400_000));
    }
    let answer = world.ask("alice", "history", r#"{"conv":"@alice"}"#);
    assert_eq!(numbers(&answer), [3]);
    let answer = world.ask("alice", "history", r#"{"conv":"@alice","after":1}"#);
    assert_eq!((numbers(&answer), &answer["more"]), (vec![2], &json!(true)));
    let answer = world.ask("alice", "sync", r#"{"since":"1"}"#);
    assert_eq!((numbers(&answer), &answer["pos"]), (vec![2], &json!("2")));
}

#[test]
fn conversations_are_listed_with_the_newest_first() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "to bob");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","title":"Engineering"}"#,
    );
    world.say("carol", "im/to/@alice", "to alice");
    let answer = world.ask("alice", "conversations", "");
    let message = |pos: &str, from: &str, device: &str, text: &str| json!({"v": 1, "seq": 1, "pos": pos, "from": from, "device": device, "at": START, "text": text});
    let expected = json!({
        "conversations": [
            {
                "conv": "@carol", "kind": "direct", "title": "carol",
                "head": message("3", "carol", "carol-2", "to alice"),
                "read": 0, "unread": 1, "members": 2,
                "peer": {"name": "carol", "display": "carol", "read": 1, "received": 1},
            },
            {
                "conv": "eng", "kind": "group", "title": "Engineering", "head": null,
                "read": 0, "unread": 0, "members": 1,
            },
            {
                "conv": "@bob", "kind": "direct", "title": "bob",
                "head": message("1", "alice", "alice-0", "to bob"),
                "read": 1, "unread": 0, "members": 2,
                "peer": {"name": "bob", "display": "bob", "read": 0, "received": 0},
            },
        ],
        "pos": "3",
    });
    assert_eq!(answer, expected);
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/#");
    assert_eq!(world.ask("alice", "conversations", ""), expected);
}

#[test]
fn a_long_list_of_conversations_comes_in_pages() {
    let mut world = World::of(&["alice"]);
    let text = "x".repeat(50_000);
    for number in 0..10 {
        let name = format!("n{number}");
        world.add(&name);
        world.say("alice", &format!("im/to/@{name}"), &text);
    }
    let answer = world.ask("alice", "conversations", "");
    let listed = answer["conversations"].as_array().unwrap();
    // Of long messages a list shows the beginning.
    for row in listed {
        let head = &row["head"];
        let text = head["text"].as_str().unwrap();
        assert_eq!((text.len(), &head["cut"]), (1_024, &json!(true)));
    }
    assert_eq!((listed.len(), answer.get("more")), (10, None));
    // Long titles fill a page for good.
    world.pass(60_000);
    for number in 0..1_500 {
        let title = "가".repeat(80);
        let asked = json!({"slug": format!("g{number}"), "title": title}).to_string();
        world.pass(6_000);
        assert_eq!(world.ask("alice", "group.create", &asked)["members"], 1);
    }
    let mut seen = Vec::new();
    let mut asked = String::new();
    for _ in 0..10 {
        let answer = world.ask("alice", "conversations", &asked);
        assert!(answer.to_string().len() < 300 * 1024);
        let listed = answer["conversations"].as_array().unwrap();
        seen.extend(
            listed
                .iter()
                .map(|row| row["conv"].as_str().unwrap().to_owned()),
        );
        if answer["more"] != json!(true) {
            break;
        }
        asked = json!({"before": answer["before"]}).to_string();
    }
    assert_eq!(seen.len(), 1_510);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1_510);
}

#[test]
fn sync_pages_everything_of_all_conversations_in_order() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    for number in 0..30 {
        let (from, to) = match number % 3 {
            0 => ("alice", "im/to/@bob"),
            1 => ("carol", "im/to/@alice"),
            _ => ("bob", "im/to/@alice"),
        };
        world.say(from, to, &number.to_string());
    }
    world.say("bob", "im/to/@carol", "none of alice's business");
    let mut since = "0".to_owned();
    let mut texts = Vec::new();
    for page in 1.. {
        let asked = json!({"since": since, "limit": 7}).to_string();
        let answer = world.ask("alice", "sync", &asked);
        for entry in answer["entries"].as_array().unwrap() {
            let conv = match texts.len() % 3 {
                1 => "@carol",
                _ => "@bob",
            };
            assert_eq!(entry["conv"], conv);
            texts.push(entry["text"].as_str().unwrap().to_owned());
        }
        since = answer["pos"].as_str().unwrap().to_owned();
        if answer["more"] == json!(false) {
            assert_eq!(page, 5);
            break;
        }
    }
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    assert_eq!(since, world.chat.committed_pos().to_string());
    let asked = json!({"since": since}).to_string();
    let answer = world.ask("alice", "sync", &asked);
    assert_eq!(answer, json!({"entries": [], "pos": since, "more": false}));
}

#[test]
fn sync_begins_anew_where_the_position_says_nothing() {
    let mut world = talked();
    for asked in [
        "",
        r#"{"since":"xyz"}"#,
        r#"{"since":"ffff"}"#,
        r#"{"since":"0a"}"#,
    ] {
        let answer = world.ask("alice", "sync", asked);
        assert_eq!(answer["reset"], true, "{asked}");
        assert_eq!(answer["pos"], "9");
        assert_eq!(answer["conversations"][0]["head"]["text"], "9");
    }
}

#[test]
fn a_session_that_was_away_gets_what_it_missed_as_it_would_have() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "bob",
        "group.create",
        r#"{"slug":"eng","members":["alice"]}"#,
    );
    let since = world.chat.committed_pos();
    let alice = world.device("alice");
    world.forget_inboxes();
    world.say("bob", "im/to/@alice", "one\u{1b}\ntwo");
    world.say("alice", "im/to/eng", r#"{"att":[1],"mid":"m"}"#);
    world.ask("bob", "group.leave", r#"{"conv":"eng"}"#);
    let live: Vec<_> = world
        .take_from(alice, "im/#")
        .into_iter()
        .filter(|(topic, _)| topic.starts_with("im/in/") || topic.starts_with("im/text/"))
        .collect();
    assert_eq!(live.len(), 6);
    let missed = world.catch_up(alice, since);
    assert_eq!(missed.packets, live);
    assert_eq!(missed.upto, world.chat.committed_pos());
    assert!(!missed.more);
    let missed = world.catch_up(alice, missed.upto);
    assert!(missed.packets.is_empty());
}

#[test]
fn a_long_absence_is_caught_up_with_in_pages() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    for number in 0..450 {
        world.pass(100);
        let (from, to) = if number % 2 == 0 {
            ("bob", "im/to/@alice")
        } else {
            ("carol", "im/to/@alice")
        };
        world.say(from, to, &number.to_string());
    }
    let alice = world.device("alice");
    let mut since = Pos::ZERO;
    let mut texts = Vec::new();
    let mut pages = 0;
    loop {
        let page = world.catch_up(alice, since);
        assert!(page.packets.len() <= 400);
        for (topic, payload) in page.packets {
            if topic.starts_with("im/in/") {
                texts.push(parse(&payload)["text"].as_str().unwrap().to_owned());
            }
        }
        since = page.upto;
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(pages, 3);
    let expected: Vec<_> = (0..450).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    // Large messages make smaller pages.
    let text = "x".repeat(60_000);
    for _ in 0..20 {
        world.say("bob", "im/to/@alice", &text);
    }
    let page = world.catch_up(alice, since);
    assert_eq!(page.packets.len(), 2 * 17);
    assert!(page.more);
}

#[test]
fn a_catch_up_does_not_run_ahead_of_what_is_told_before_it() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    world.holding = true;
    let (alice, bob) = (world.device("alice"), world.device("bob"));
    world.publish(bob, "im/to/@alice", "two");
    let (session, account) = (world.devices[alice].session, world.devices[alice].account);
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since: Pos::ZERO,
    });
    world.publish(bob, "im/to/@alice", "three");
    assert!(world.caught_up.is_empty());
    assert!(world.commit_one());
    let page = world.caught_up.pop().unwrap();
    assert_eq!(
        (page.packets.len(), page.upto, page.more),
        (4, Pos::new(2), false)
    );
}

#[test]
fn a_catch_up_that_is_read_late_does_not_repeat_what_was_told_meanwhile() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    world.holding_reads = true;
    let alice = world.device("alice");
    let (session, account) = (world.devices[alice].session, world.devices[alice].account);
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since: Pos::ZERO,
    });
    world.say("bob", "im/to/@alice", "two");
    world.read_all();
    let page = world.caught_up.pop().unwrap();
    assert_eq!(
        (page.packets.len(), page.upto, page.more),
        (2, Pos::new(1), false)
    );
}

#[test]
fn a_session_of_a_store_that_cannot_be_read_stays_behind() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    let alice = world.device("alice");
    world.disk.broken = true;
    // It is told that there is more, asks again at once, and then waits for five seconds.
    for _ in 0..3 {
        let page = world.catch_up(alice, Pos::ZERO);
        assert_eq!(
            (page.packets.len(), page.upto, page.more),
            (0, Pos::ZERO, true)
        );
        let (session, account) = (world.devices[alice].session, world.devices[alice].account);
        for _ in 0..3 {
            world.handle(chat::Input::CatchUp {
                session,
                account,
                since: Pos::ZERO,
            });
        }
        world.pass(4_999);
        assert!(world.caught_up.is_empty());
        world.pass(1);
        assert_eq!(world.caught_up.len(), 1);
        world.caught_up.clear();
        world.pass(5_000);
    }
    world.disk.broken = false;
    let page = world.catch_up(alice, Pos::ZERO);
    assert_eq!((page.packets.len(), page.more), (2, false));
}

#[test]
fn a_session_that_comes_back_catches_up_at_once() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    let alice = world.device("alice");
    for _ in 0..3 {
        assert_eq!(world.catch_up(alice, Pos::ZERO).packets.len(), 2);
        world.disconnect(alice);
        world.reconnect(alice);
        world.subscribe(alice, "im/in/#");
    }
    // One that has everything may ask again and again: something may have come meanwhile.
    let since = world.chat.committed_pos();
    for _ in 0..3 {
        assert!(!world.catch_up(alice, since).more);
    }
}

#[test]
fn members_are_listed_with_their_roles_and_markers() {
    let mut world = talked();
    world.say("bob", "im/to/@alice/read", r#"{"seq":4}"#);
    let answer = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    let expected = json!({"members": [
        {"name": "alice", "display": "alice", "role": "member", "read": 9, "received": 9},
        {"name": "bob", "display": "bob", "role": "member", "read": 4, "received": 4},
    ]});
    assert_eq!(answer, expected);
    let answer = world.ask("alice", "members", r#"{"conv":"@bob","after":"alice"}"#);
    assert_eq!(answer["members"].as_array().unwrap().len(), 1);
}

#[test]
fn a_profile_is_changed_and_told_to_ones_devices_and_peers() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "hi");
    world.forget_inboxes();
    let answer = world.ask(
        "alice",
        "profile.set",
        r#"{"display":" 앨리스 ","text":"점심"}"#,
    );
    let expected = json!({"name": "alice", "display": "앨리스", "text": "점심"});
    assert_eq!(answer, expected);
    for name in ["alice", "bob"] {
        let told = world.take_json(name, "im/me/event");
        assert_eq!(told.len(), 1, "{name}");
        assert_eq!(told[0].1["kind"], "profile");
        assert_eq!(told[0].1["display"], "앨리스");
    }
    assert_eq!(world.take("carol", "im/#"), []);
    assert_eq!(
        world.ask("carol", "profile.get", r#"{"name":"alice"}"#),
        expected
    );
    let appends = world.appends;
    assert_eq!(
        world.ask("alice", "profile.set", r#"{"display":"앨리스"}"#),
        expected
    );
    assert_eq!(world.appends, appends);
    assert_eq!(
        world.ask("alice", "profile.set", r#"{"display":" "}"#)["error"],
        "payload_format"
    );
    assert_eq!(
        world.ask("bob", "conversations", "")["conversations"][0]["title"],
        "앨리스"
    );
    let answer = world.ask("alice", "profile.set", r#"{"text":""}"#);
    assert_eq!(answer["text"], "");
}
