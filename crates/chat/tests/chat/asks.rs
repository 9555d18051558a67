//! Questions and their answers: where they go, what stands in them, and how large they get.

use bytes::Bytes;
use serde_json::json;

use crate::world::{START, World};

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
        let told = world.take_json("alice", "#");
        let (topic, event) = &told[0];
        assert_eq!((told.len(), &**topic), (1, "im/me/event"));
        assert_eq!(event["kind"], "refused");
        assert_eq!(event["topic"], "im/ask/profile.get");
        assert_eq!(event["error"], "payload_format");
    }
}

#[test]
fn a_question_that_cannot_be_answered_is_answered_with_an_error() {
    let mut world = World::of(&["alice"]);
    for (method, asked, error) in [
        ("search", r#"{"text":"x"}"#, "not_supported"),
        ("nonsense", "", "not_supported"),
        ("history", "", "missing_key"),
        ("history", "[]", "payload_format"),
        ("history", "{", "invalid_json"),
        ("history", "\u{0}", "invalid_json"),
        ("history", r#"{"conv":7}"#, "payload_format"),
        ("history", r#"{"conv":"eng"}"#, "no_such_conversation"),
        ("history", r#"{"conv":"@nobody"}"#, "no_such_account"),
        (
            "history",
            r#"{"conv":"@alice","before_seq":1,"after_seq":1}"#,
            "payload_format",
        ),
        ("members", r#"{"conv":"@alice"}"#, "no_such_conversation"),
        ("profile.get", r#"{"account":"nobody"}"#, "no_such_account"),
        ("conversations", r#"{"before":"xyz"}"#, "payload_format"),
    ] {
        let answer = world.ask("alice", method, asked);
        assert_eq!(answer["error"], error, "{method} {asked}");
        assert!(answer["detail"].as_str().unwrap().contains(' '));
    }
    // What only the store knows is found out where it is read.
    assert_eq!(world.chat.counters().asks_failed, 11);
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
    assert_eq!(asked[1]["account"], "alice");
    assert_eq!(asked[2]["error"], "quota");
    world.say("alice", "im/to/@alice", "hi");
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
    let listed = answer["conversations"].as_array().unwrap();
    let pos: Vec<&str> = listed
        .iter()
        .map(|row| row["last"]["pos"].as_str().unwrap())
        .collect();
    assert!(pos[0] > pos[1] && pos[1] > pos[2], "{pos:?}");
    let last = |pos: &str, seq: u64| json!({"seq": seq, "pos": pos, "at": START});
    let devices =
        json!({"alice-0": world.device_id("alice-0"), "carol-2": world.device_id("carol-2")});
    let message = |pos: &str, from: &str, device: &str, text: &str| json!({"kind": "message", "seq": 1, "pos": pos, "from": from, "device": devices[device], "at": START, "text": text});
    let expected = json!({
        "conversations": [
            {
                "conv": "@carol", "kind": "direct", "title": "carol", "last": last(pos[0], 1),
                "head": message(pos[0], "carol", "carol-2", "to alice"),
                "read": 0, "unread_count": 1, "member_count": 2,
                "peer": {"account": "carol", "display": "carol", "read": 1, "received": 1},
            },
            {
                "conv": "eng", "kind": "group", "title": "Engineering", "last": last(pos[1], 0),
                "head": null, "read": 0, "unread_count": 0, "member_count": 1, "open": false, "history": "all",
            },
            {
                "conv": "@bob", "kind": "direct", "title": "bob", "last": last(pos[2], 1),
                "head": message(pos[2], "alice", "alice-0", "to bob"),
                "read": 1, "unread_count": 0, "member_count": 2,
                "peer": {"account": "bob", "display": "bob", "read": 0, "received": 0},
            },
        ],
        "cursor": format!("{}-", pos[0]), "more": false,
    });
    assert_eq!(answer, expected);
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/#");
    let again = world.ask("alice", "conversations", "");
    assert_eq!(again["conversations"], expected["conversations"]);
    // No entry stands between the two cursors.
    let asked = json!({"since": again["cursor"]}).to_string();
    assert_eq!(world.ask("alice", "sync", &asked)["entries"], json!([]));
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
    assert_eq!((listed.len(), &answer["more"]), (10, &json!(false)));
    // Long titles fill a page for good.
    world.pass(60_000);
    for number in 0..1_500 {
        let title = "가".repeat(80);
        let asked = json!({"slug": format!("g{number}"), "title": title}).to_string();
        world.pass(6_000);
        assert_eq!(
            world.ask("alice", "group.create", &asked)["member_count"],
            1
        );
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
        asked = json!({"before": answer["next"]}).to_string();
    }
    assert_eq!(seen.len(), 1_510);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1_510);
}

#[test]
fn members_are_listed_with_their_roles_and_markers() {
    let mut world = talked();
    world.say("bob", "im/to/@alice/read", r#"{"seq":4}"#);
    let answer = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    let expected = json!({"members": [
        {"account": "alice", "display": "alice", "role": "member", "read": 9, "received": 9},
        {"account": "bob", "display": "bob", "role": "member", "read": 4, "received": 4},
    ], "more": false});
    assert_eq!(answer, expected);
    let answer = world.ask("alice", "members", r#"{"conv":"@bob","after":"alice"}"#);
    assert_eq!(answer["members"].as_array().unwrap().len(), 1);
}

#[test]
fn a_new_name_is_the_title_of_the_peers_chats() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "hi");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["carol"]}"#,
    );
    world.pass(5_000);
    world.forget_inboxes();
    world.ask("bob", "profile.set", r#"{"display":"Bob 밥"}"#);
    let told = world.take_json("alice", "im/about/+");
    assert_eq!((told.len(), &*told[0].0), (1, "im/about/@bob"));
    assert_eq!(told[0].1["title"], "Bob 밥");
    assert_eq!(world.take("carol", "im/about/+").len(), 0);
    world.pass(5_000);
    world.ask("bob", "profile.set", r#"{"text":"here"}"#);
    assert_eq!(world.take("alice", "im/about/+").len(), 0);
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
    let expected = json!({"account": "alice", "display": "앨리스", "text": "점심"});
    assert_eq!(answer, expected);
    for name in ["alice", "bob"] {
        let told = world.take_json(name, "im/me/event");
        assert_eq!(told.len(), 1, "{name}");
        assert_eq!(told[0].1["kind"], "profile");
        assert_eq!(told[0].1["display"], "앨리스");
    }
    assert_eq!(world.take("carol", "im/#"), []);
    assert_eq!(
        world.ask("carol", "profile.get", r#"{"account":"alice"}"#),
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

#[test]
fn a_server_says_what_it_can_do_and_within_which_limits() {
    let mut world = World::with(chat::Settings {
        text_bytes_max: 1_000,
        ..chat::Settings::default()
    });
    world.add("alice");
    let device = world.connect("alice");
    world.subscribe(device, "im/#");
    let answer = world.ask("alice", "server", "");
    assert_eq!(answer["contract"], 1);
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["account"], "alice");
    assert_eq!(answer["device"], world.device_id("alice-0"));
    let features = answer["features"].as_array().unwrap();
    assert!(features.contains(&json!("sync")));
    assert!(features.iter().map(|name| name.as_str()).is_sorted());
    let limits = answer["limits"].as_object().unwrap();
    assert_eq!(limits["text_bytes_max"], 1_000);
    for (name, limit) in limits {
        assert!(limit.as_u64().is_some_and(|limit| limit > 0), "{name}");
    }
}

#[test]
fn members_are_paged_like_everything_else() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let asked = r#"{"slug":"eng","accounts":["bob","carol"]}"#;
    world.ask("alice", "group.create", asked);
    let mut asked = json!({"conv": "eng", "limit": 2});
    let mut seen = Vec::new();
    loop {
        let page = world.ask("alice", "members", &asked.to_string());
        let members = page["members"].as_array().unwrap();
        let names = members.iter().map(|member| member["account"].clone());
        seen.push(names.collect::<Vec<_>>());
        assert_eq!(page["more"], page.get("next").is_some());
        if page["more"] == false {
            break;
        }
        asked["after"] = page["next"].clone();
    }
    assert_eq!(seen, [vec!["alice", "bob"], vec!["carol"]]);
}
