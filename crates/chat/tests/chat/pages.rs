//! What is stored, page by page: `history`, `sync`, and what a session gets that was away.

use records::{Cursor, Pos};
use serde_json::{Value, json};

use crate::world::{World, parse};

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
        (r#""before_seq":4,"limit":2"#, (vec![2, 3], true)),
        (r#""before_seq":3,"limit":2"#, (vec![1, 2], false)),
        (r#""before_seq":1"#, (vec![], false)),
        (r#""before_seq":99,"limit":2"#, (vec![8, 9], true)),
        (r#""after_seq":7,"limit":2"#, (vec![8, 9], false)),
        (r#""after_seq":6,"limit":2"#, (vec![7, 8], true)),
        (r#""after_seq":0,"limit":2"#, (vec![1, 2], true)),
        (r#""after_seq":9"#, (vec![], false)),
        (r#""after_seq":99"#, (vec![], false)),
        (r#""around_seq":5,"limit":4"#, (vec![3, 4, 5, 6], true)),
        (r#""around_seq":5,"limit":1"#, (vec![5], true)),
        (r#""around_seq":1,"limit":100"#, ((1..=9).collect(), false)),
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
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    world.say("alice", "im/to/eng", "one");
    world.ask(
        "alice",
        "group.invite",
        r#"{"conv":"eng","accounts":["carol"]}"#,
    );
    world.say("bob", "im/to/eng", "two");
    let answer = world.ask("carol", "history", r#"{"conv":"eng"}"#);
    assert_eq!(numbers(&answer), [0, 1, 0, 2]);
    assert_eq!(answer["entries"][2]["accounts"], json!(["carol"]));
    let answer = world.ask(
        "carol",
        "history",
        r#"{"conv":"eng","before_seq":2,"limit":2}"#,
    );
    assert_eq!(numbers(&answer), [1, 0]);
}

#[test]
fn pages_lead_on_past_events_by_position() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask("alice", "group.create", r#"{"slug":"eng","open":true}"#);
    for text in ["1", "2", "3"] {
        world.say("alice", "im/to/eng", text);
    }
    for _ in 0..150 {
        world.pass(1_000);
        world.ask("bob", "group.join", r#"{"conv":"eng"}"#);
        world.ask("bob", "group.leave", r#"{"conv":"eng"}"#);
    }
    world.say("alice", "im/to/eng", "4");
    let mut walk = |key: &str, first: Value| {
        let (mut pages, mut seen) = (0, Vec::new());
        let mut asked = first;
        loop {
            let answer = world.ask("alice", "history", &asked.to_string());
            let entries = answer["entries"].as_array().unwrap();
            let mut positions: Vec<_> = entries
                .iter()
                .map(|entry| entry["pos"].as_str().unwrap().parse::<Pos>().unwrap())
                .collect();
            assert!(positions.is_sorted());
            let end = if key == "before" {
                positions[0]
            } else {
                *positions.last().unwrap()
            };
            assert_eq!(answer["next"], end.to_string());
            pages += 1;
            seen.append(&mut positions);
            if answer["more"] == false {
                break;
            }
            asked = json!({"conv": "eng", key: answer["next"]});
        }
        seen.sort();
        seen.dedup();
        (pages, seen.len())
    };
    assert_eq!(walk("before", json!({"conv": "eng"})), (2, 305));
    assert_eq!(
        walk("before", json!({"conv": "eng", "before_seq": 4})),
        (2, 304)
    );
    assert_eq!(
        walk("after", json!({"conv": "eng", "after_seq": 0})),
        (2, 305)
    );
    assert_eq!(
        walk("after", json!({"conv": "eng", "after": "0"})),
        (2, 305)
    );
    assert_eq!(
        walk("after", json!({"conv": "eng", "after_seq": 3})),
        (2, 301)
    );
    let end = world.ask("alice", "history", r#"{"conv":"eng","after_seq":4}"#);
    assert_eq!(end, json!({"conv": "eng", "entries": [], "more": false}));
    for wrong in [r#""xyz""#, r#""""#, "-1", "1.5", "{}", "true"] {
        for key in ["before", "after", "before_seq", "after_seq"] {
            if key.ends_with("_seq") && wrong.parse::<u64>().is_ok() {
                continue;
            }
            let asked = format!(r#"{{"conv":"eng","{key}":{wrong}}}"#);
            let answer = world.ask("alice", "history", &asked);
            assert_eq!(answer["error"], "payload_format", "{asked}");
        }
    }
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
        (r#"{"conv":"@bob","after_seq":0}"#, vec![1, 2, 3, 4]),
        (r#"{"conv":"@bob","around_seq":5}"#, vec![3, 4, 5, 6]),
    ] {
        let answer = world.ask("alice", "history", asked);
        assert_eq!(numbers(&answer), expected, "{asked}");
        assert_eq!(answer["more"], true);
        assert!(answer.to_string().len() <= PAGE_BYTES + 100);
    }
    let answer = world.ask("alice", "sync", r#"{"since":"0"}"#);
    assert_eq!(numbers(&answer), [1, 2, 3, 4]);
    assert_eq!(answer["more"], true);
    let asked = json!({"since": answer["cursor"]}).to_string();
    let answer = world.ask("alice", "sync", &asked);
    assert_eq!(numbers(&answer), [5, 6, 7, 8]);
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
    let answer = world.ask("alice", "history", r#"{"conv":"@alice","after_seq":1}"#);
    assert_eq!((numbers(&answer), &answer["more"]), (vec![2], &json!(true)));
    let first = world.ask("alice", "sync", r#"{"since":"0-"}"#);
    assert_eq!((numbers(&first), &first["more"]), (vec![1], &json!(true)));
    let asked = json!({"since": first["cursor"]}).to_string();
    let answer = world.ask("alice", "sync", &asked);
    assert_eq!((numbers(&answer), &answer["more"]), (vec![2], &json!(true)));
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
    let mut since = "0-".to_owned();
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
        since = answer["cursor"].as_str().unwrap().to_owned();
        if answer["more"] == json!(false) {
            assert_eq!(page, 5);
            break;
        }
    }
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    assert_eq!(since, format!("{}-", world.chat.committed_pos()));
    let asked = json!({"since": since}).to_string();
    let answer = world.ask("alice", "sync", &asked);
    assert_eq!(
        answer,
        json!({"entries": [], "cursor": since, "more": false})
    );
}

#[test]
fn sync_begins_anew_where_the_position_says_nothing() {
    let mut world = talked();
    for asked in [
        "",
        r#"{"since":"xyz"}"#,
        r#"{"since":"fffffffffffffff"}"#,
        r#"{"since":"fffffffffffffff-"}"#,
        r#"{"since":"ffffffffffffffff"}"#,
        r#"{"since":"0a"}"#,
        r#"{"since":"0a-"}"#,
        r#"{"since":"0--"}"#,
    ] {
        let answer = world.ask("alice", "sync", asked);
        assert_eq!(answer["reset"], true, "{asked}");
        assert_eq!(answer["cursor"], format!("{}-", world.chat.committed_pos()));
        assert_eq!(answer["conversations"][0]["head"]["text"], "9");
    }
}

#[test]
fn a_session_that_was_away_gets_what_it_missed_as_it_would_have() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "bob",
        "group.create",
        r#"{"slug":"eng","accounts":["alice"]}"#,
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
    assert_eq!(missed.upto, Cursor::at(world.chat.committed_pos()));
    assert!(!missed.more);
    let missed = world.catch_up(alice, missed.upto.floor());
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
        since = page.upto.floor();
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
fn a_catch_up_ends_before_what_has_still_to_be_told() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    let one = world.chat.committed_pos();
    world.forget_inboxes();
    world.holding = true;
    let (alice, bob) = (world.device("alice"), world.device("bob"));
    world.publish(bob, "im/to/@alice", "two");
    let (session, account) = (world.devices[alice].session, world.devices[alice].account);
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since: Cursor::default(),
    });
    world.publish(bob, "im/to/@alice", "three");
    let page = world.caught_up.pop().unwrap();
    assert_eq!(
        (page.packets.len(), page.upto, page.more),
        (2, Cursor::at(one), false)
    );
    world.commit();
    assert_eq!(world.texts("alice", "@bob"), ["two", "three"]);
}

#[test]
fn a_catch_up_that_is_read_late_does_not_repeat_what_was_told_meanwhile() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "one");
    let one = world.chat.committed_pos();
    world.holding_reads = true;
    let alice = world.device("alice");
    let (session, account) = (world.devices[alice].session, world.devices[alice].account);
    world.handle(chat::Input::CatchUp {
        session,
        account,
        since: Cursor::default(),
    });
    world.say("bob", "im/to/@alice", "two");
    world.read_all();
    let page = world.caught_up.pop().unwrap();
    assert_eq!(
        (page.packets.len(), page.upto, page.more),
        (2, Cursor::at(one), false)
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
            (0, Cursor::default(), true)
        );
        let (session, account) = (world.devices[alice].session, world.devices[alice].account);
        for _ in 0..3 {
            world.handle(chat::Input::CatchUp {
                session,
                account,
                since: Cursor::default(),
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
