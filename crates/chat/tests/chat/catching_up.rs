//! What clients miss and how they get it: cursors, what was left and joined again, what changes without an entry, and devices that
//! come back.

use records::Pos;
use serde_json::{Value, json};

use crate::world::{World, parse};

const SECOND: u64 = 1_000;

fn sync(world: &mut World, name: &str, since: &str) -> Value {
    world.ask(name, "sync", &json!({"since": since}).to_string())
}

fn cursor(world: &mut World, name: &str) -> String {
    let listed = world.ask(name, "conversations", "");
    listed["cursor"].as_str().unwrap().to_owned()
}

/// What entries say, or what they are.
fn said(answer: &Value) -> Vec<String> {
    let entries = answer["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let word = ["text", "action", "kind"]
                .iter()
                .find_map(|key| entry[*key].as_str());
            word.unwrap().to_owned()
        })
        .collect()
}

fn group(world: &mut World, asked: &Value) {
    let answer = world.ask("alice", "group.create", &asked.to_string());
    assert_eq!(answer["conv"], asked["slug"], "{answer}");
}

fn conv(world: &mut World, name: &str, method: &str, conv: &str) {
    let answer = world.ask(name, method, &json!({"conv": conv}).to_string());
    assert_eq!(answer["error"], Value::Null, "{answer}");
}

#[test]
fn a_bare_position_is_a_cursor_that_is_ten_seconds_older() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "one");
    world.pass(2 * SECOND);
    world.say("alice", "im/to/@bob", "two");
    world.pass(9 * SECOND);
    world.say("alice", "im/to/@bob", "three");
    let pos = world.pos_of("bob", "@alice", 3);
    let answer = sync(&mut world, "bob", &pos);
    assert_eq!(said(&answer), ["two", "three"]);
    let answer = sync(&mut world, "bob", &format!("{pos}-"));
    assert_eq!(said(&answer), [""; 0]);
    assert_eq!(answer["cursor"], format!("{pos}-"));
}

#[test]
fn sync_tells_of_what_was_left_and_deleted() {
    let mut world = World::of(&["alice", "bob"]);
    for slug in ["eng", "ops"] {
        group(&mut world, &json!({"slug": slug, "accounts": ["bob"]}));
    }
    let since = cursor(&mut world, "bob");
    world.say("alice", "im/to/eng", "before");
    conv(&mut world, "bob", "group.leave", "eng");
    world.say("alice", "im/to/eng", "after");
    world.ask("alice", "group.delete", r#"{"conv":"ops","slug":"ops"}"#);
    let answer = sync(&mut world, "bob", &since);
    assert_eq!(said(&answer), ["before", "leave", "left", "left"]);
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!(
        entries[2],
        json!({"conv": "eng", "kind": "left", "pos": entries[1]["pos"]})
    );
    assert_eq!(entries[3]["conv"], "ops");
    assert_eq!(entries[3]["deleted"], true);
    let end = answer["cursor"].as_str().unwrap().to_owned();
    assert_eq!(said(&sync(&mut world, "bob", &end)), [""; 0]);
    // Page by page it is the same.
    let (mut paged, mut at) = (Vec::new(), since);
    loop {
        let asked = json!({"since": at, "limit": 1}).to_string();
        let answer = world.ask("bob", "sync", &asked);
        paged.extend(answer["entries"].as_array().unwrap().clone());
        at = answer["cursor"].as_str().unwrap().to_owned();
        if answer["more"] == false {
            break;
        }
    }
    assert_eq!(paged, *entries);
}

#[test]
fn sync_tells_whoever_comes_into_a_group_that_another_one_of_that_address_was_deleted() {
    let mut world = World::of(&["alice", "bob"]);
    let asked = json!({"slug": "eng", "accounts": ["bob"]});
    group(&mut world, &asked);
    world.say("alice", "im/to/eng", "old");
    conv(&mut world, "bob", "group.leave", "eng");
    let since = cursor(&mut world, "bob");
    world.ask("alice", "group.delete", r#"{"conv":"eng","slug":"eng"}"#);
    assert_eq!(said(&sync(&mut world, "bob", &since)), [""; 0]);
    group(&mut world, &json!({"slug": "eng"}));
    world.say("alice", "im/to/eng", "before");
    let asked = r#"{"conv":"eng","accounts":["bob"]}"#;
    world.ask("alice", "group.invite", asked);
    world.say("alice", "im/to/eng", "new");
    let answer = sync(&mut world, "bob", &since);
    assert_eq!(said(&answer), ["left", "join", "new"]);
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!(entries[0]["deleted"], true);
    let pos = |entry: &Value| u64::from_str_radix(entry["pos"].as_str().unwrap(), 16).unwrap();
    assert!(pos(&entries[0]) < pos(&entries[1]), "{answer}");
    // Page by page as well, the two together.
    let first = json!({"since": since, "limit": 1}).to_string();
    let page = world.ask("bob", "sync", &first);
    assert_eq!(said(&page), ["left", "join"]);
    let next = page["cursor"].as_str().unwrap().to_owned();
    assert_eq!(said(&sync(&mut world, "bob", &next)), ["new"]);
    let end = answer["cursor"].as_str().unwrap().to_owned();
    // Whoever comes back into the same group keeps what is known of it.
    conv(&mut world, "bob", "group.leave", "eng");
    world.ask("alice", "group.invite", asked);
    assert_eq!(said(&sync(&mut world, "bob", &end)), ["leave", "join"]);
}

#[test]
fn what_was_said_while_one_was_no_member_is_a_gap() {
    let mut world = World::of(&["alice", "bob"]);
    let asked = json!({"slug": "eng", "open": true, "accounts": ["bob"]});
    group(&mut world, &asked);
    let since = cursor(&mut world, "bob");
    let whole = "0-".to_owned();
    world.say("alice", "im/to/eng", "1");
    conv(&mut world, "bob", "group.leave", "eng");
    world.say("alice", "im/to/eng", "2");
    world.say("alice", "im/to/eng", "3");
    conv(&mut world, "bob", "group.join", "eng");
    world.say("alice", "im/to/eng", "4");
    conv(&mut world, "bob", "group.leave", "eng");
    conv(&mut world, "bob", "group.join", "eng");
    world.say("alice", "im/to/eng", "5");
    for from in [&since, &whole] {
        let answer = sync(&mut world, "bob", from);
        let numbers = answer["entries"].as_array().unwrap().iter();
        let numbers: Vec<_> = numbers.filter_map(|entry| entry["seq"].as_u64()).collect();
        assert_eq!(numbers, [1, 4, 5], "{answer}");
        assert_eq!(
            answer["gaps"],
            json!([{"conv": "eng", "after_seq": 1, "before_seq": 4}])
        );
    }
    // With the page that has the entry behind it, and not again.
    let (mut gaps, mut at) = (0, since);
    for _ in 0..20 {
        let asked = json!({"since": at, "limit": 1}).to_string();
        let answer = world.ask("bob", "sync", &asked);
        if let Some(gap) = answer.get("gaps") {
            assert_eq!(answer["entries"][0]["action"], "join", "{gap}");
            gaps += 1;
        }
        at = answer["cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(gaps, 1);
    // A newcomer has a gap before everything.
    world.add("carol");
    let carol = world.connect("carol");
    world.subscribe(carol, "im/#");
    conv(&mut world, "carol", "group.join", "eng");
    let answer = sync(&mut world, "carol", "0-");
    assert_eq!(said(&answer), ["join"]);
    assert_eq!(
        answer["gaps"],
        json!([{"conv": "eng", "after_seq": 0, "before_seq": 6}])
    );
}

#[test]
fn sync_tells_what_has_changed_without_an_entry_if_that_is_wanted() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "one");
    world.say("alice", "im/to/@carol", "one");
    world.pass(2 * SECOND);
    let since = cursor(&mut world, "alice");
    let state = |world: &mut World, name: &str, since: &str| {
        let asked = json!({"since": since, "states": true}).to_string();
        world.ask(name, "sync", &asked)["states"].clone()
    };
    assert_eq!(state(&mut world, "alice", &since), json!([]));
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    world.pass(2 * SECOND);
    let changed = json!([{
        "conv": "@bob", "read": 1, "unread_count": 0, "member_count": 2,
        "peer": {"account": "bob", "display": "bob", "read": 1, "received": 1},
    }]);
    assert_eq!(state(&mut world, "alice", &since), changed);
    let of_bob = state(&mut world, "bob", &since);
    assert_eq!(
        (&of_bob[0]["conv"], &of_bob[0]["unread_count"]),
        (&json!("@alice"), &json!(0))
    );
    let plain = sync(&mut world, "alice", &since);
    assert_eq!((plain.get("state"), said(&plain)), (None, Vec::new()));
    let since = plain["cursor"].as_str().unwrap().to_owned();
    assert_eq!(state(&mut world, "alice", &since), json!([]));
}

#[test]
fn too_much_that_is_new_begins_anew_from_the_list() {
    let mut world = World::with(chat::Settings {
        messages_per_second_max: 1_000_000,
        messages_burst_max: 1_000_000,
        ..chat::Settings::default()
    });
    world.add("alice");
    let alice = world.connect("alice");
    world.subscribe(alice, "im/answer/#");
    let since = cursor(&mut world, "alice");
    for number in 0..1_001 {
        let name = format!("n{number}");
        world.add(&name);
        world.say("alice", &format!("im/to/@{name}"), "hi");
        if number == 999 {
            let answer = sync(&mut world, "alice", &since);
            assert_eq!((answer.get("reset"), &answer["more"]), (None, &json!(true)));
        }
    }
    let mut answer = sync(&mut world, "alice", &since);
    assert_eq!(answer["reset"], true);
    let at = answer["cursor"].as_str().unwrap().to_owned();
    let mut listed = 0;
    loop {
        listed += answer["conversations"].as_array().unwrap().len();
        if answer["more"] == false {
            break;
        }
        let asked = json!({"before": answer["next"]}).to_string();
        answer = world.ask("alice", "conversations", &asked);
    }
    assert_eq!(listed, 1_001);
    assert_eq!(said(&sync(&mut world, "alice", &at)), [""; 0]);
}

#[test]
fn lists_come_in_pages_of_a_given_length() {
    let mut world = World::of(&["alice"]);
    for number in 0..5 {
        let name = format!("n{number}");
        world.add(&name);
        world.say("alice", &format!("im/to/@{name}"), "hi");
    }
    let (mut seen, mut asked) = (Vec::new(), json!({"limit": 2}));
    loop {
        let answer = world.ask("alice", "conversations", &asked.to_string());
        let rows = answer["conversations"].as_array().unwrap();
        assert!(rows.len() <= 2);
        seen.extend(
            rows.iter()
                .map(|row| row["conv"].as_str().unwrap().to_owned()),
        );
        if answer["more"] == false {
            assert_eq!(answer.get("next"), None);
            break;
        }
        asked = json!({"limit": 2, "before": answer["next"]});
    }
    assert_eq!(seen, ["@n4", "@n3", "@n2", "@n1", "@n0"]);
}

#[test]
fn what_whoever_joins_may_read_is_the_groups_own() {
    let mut world = World::of(&["alice", "bob"]);
    for history in ["all", "joined"] {
        let asked = json!({"slug": history, "open": true, "history": history});
        let answer = world.ask("alice", "group.create", &asked.to_string());
        assert_eq!(answer["history"], history);
        let topic = format!("im/to/{history}");
        world.say("alice", &topic, "1");
        conv(&mut world, "bob", "group.join", history);
        world.say("alice", &topic, "2");
        conv(&mut world, "bob", "group.leave", history);
        world.say("alice", &topic, "3");
        conv(&mut world, "bob", "group.join", history);
        world.say("alice", &topic, "4");
        let mut page = |asked: Value| {
            let mut all = json!({"conv": history});
            all.as_object_mut()
                .unwrap()
                .extend(asked.as_object().unwrap().clone());
            let answer = world.ask("bob", "history", &all.to_string());
            let entries = answer["entries"].as_array().unwrap().iter();
            let texts: Vec<String> = entries
                .filter_map(|entry| Some(entry["text"].as_str()?.to_owned()))
                .collect();
            (texts.join(" "), answer["more"] == true)
        };
        let (whole, around, before, after) = match history {
            "all" => ("1 2 3 4", "2 3", "1 2", "2 3 4"),
            _ => ("2 4", "2", "2", "2 4"),
        };
        assert_eq!(page(json!({})), (whole.to_owned(), false));
        assert_eq!(page(json!({"before_seq": 3})), (before.to_owned(), false));
        assert_eq!(page(json!({"after_seq": 1})), (after.to_owned(), false));
        let (texts, _) = page(json!({"around_seq": 3, "limit": 4}));
        assert!(texts.contains(around), "{texts}");
        // Sync and sessions that come back give what is said while one is a member in any case.
        let answer = sync(&mut world, "bob", "0-");
        let entries = answer["entries"].as_array().unwrap().iter();
        let texts: Vec<_> = entries
            .filter(|entry| entry["conv"] == history)
            .filter_map(|entry| entry["text"].as_str())
            .collect();
        assert_eq!(texts, ["2", "4"]);
        let bob = world.device("bob");
        let packets = world.catch_up(bob, Pos::ZERO).packets.into_iter();
        let lines: Vec<_> = packets
            .filter(|(topic, _)| *topic == format!("im/text/{history}"))
            .map(|(_, line)| String::from_utf8_lossy(&line).into_owned())
            .collect();
        assert_eq!(lines, ["alice: 2", "alice: 4"]);
    }
    let asked = r#"{"slug":"x","history":"none"}"#;
    let answer = world.ask("alice", "group.create", asked);
    assert_eq!(answer["error"], "payload_format");
}

#[test]
fn a_device_that_was_away_hears_that_the_other_has_left() {
    let mut world = World::of(&["alice", "bob"]);
    for slug in ["eng", "ops"] {
        group(&mut world, &json!({"slug": slug, "accounts": ["bob"]}));
    }
    let phone = world.connect("bob");
    world.subscribe(phone, "im/#");
    let since = world.chat.committed_pos();
    world.disconnect(phone);
    world.say("alice", "im/to/eng", "before");
    conv(&mut world, "bob", "group.leave", "eng");
    world.say("alice", "im/to/eng", "after");
    world.ask("alice", "group.delete", r#"{"conv":"ops","slug":"ops"}"#);
    world.resume(phone, Some(since));
    let caught_up = world.catch_up(phone, since);
    let told: Vec<(&str, String)> = caught_up
        .packets
        .iter()
        .map(|(topic, payload)| {
            let word = match &payload[..] {
                b"" => "empty".to_owned(),
                payload if topic.starts_with("im/text/") => String::from_utf8_lossy(payload).into(),
                payload => {
                    let told = parse(payload);
                    let word = ["text", "action", "kind"]
                        .iter()
                        .find_map(|key| told[*key].as_str());
                    word.unwrap().to_owned()
                }
            };
            (topic.as_str(), word)
        })
        .collect();
    let expected = [
        ("im/in/eng", "before"),
        ("im/text/eng", "alice: before"),
        ("im/in/eng/event", "leave"),
        ("im/me/event", "left"),
        ("im/about/eng", "empty"),
        ("im/me/event", "left"),
        ("im/about/ops", "empty"),
    ];
    assert_eq!(told, expected.map(|(topic, word)| (topic, word.to_owned())));
    let deleted = parse(&caught_up.packets[5].1);
    assert_eq!(
        deleted,
        json!({"kind": "left", "conv": "ops", "deleted": true})
    );
    assert!(!caught_up.more);
}

#[test]
fn to_a_device_that_comes_back_about_counts_from_where_it_had_come() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "1");
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    let phone = world.connect("bob");
    let since = world.chat.committed_pos();
    world.disconnect(phone);
    for text in ["2", "3", "4"] {
        world.say("alice", "im/to/@bob", text);
    }
    world.pass(5 * SECOND);
    let about = |world: &mut World| -> Vec<(u64, u64)> {
        let told = world.take_from(phone, "im/about/@alice").into_iter();
        told.map(|(_, payload)| {
            let about = parse(&payload);
            assert_eq!(about["head"]["seq"], about["last"]["seq"]);
            let last = about["last"]["seq"].as_u64().unwrap();
            (last, about["unread_count"].as_u64().unwrap())
        })
        .collect()
    };
    world.resume(phone, Some(since));
    world.subscribe_with(phone, "im/about/#", true, 0, true);
    assert_eq!(about(&mut world), [(1, 0)]);
    // What has changed since is told as it is.
    world.say("alice", "im/to/@bob", "5");
    assert_eq!(about(&mut world), [(5, 4)]);
    // Also what changes while the first is being read.
    world.disconnect(phone);
    world.pass(5 * SECOND);
    let since = world.chat.committed_pos();
    world.say("alice", "im/to/@bob", "6");
    world.resume(phone, Some(since));
    world.pass(5 * SECOND);
    world.holding_reads = true;
    world.subscribe_with(phone, "im/about/#", true, 0, true);
    world.say("alice", "im/to/@bob", "7");
    world.read_all();
    world.pass(5 * SECOND);
    assert_eq!(about(&mut world), [(5, 4), (7, 6)]);
    // A filter that is new tells how things are.
    world.subscribe_with(phone, "im/about/+", false, 0, false);
    assert_eq!(about(&mut world), [(7, 6)]);
}

#[test]
fn a_page_has_a_bound_however_many_groups_were_left() {
    let mut world = World::with(chat::Settings {
        messages_burst_max: 1_000_000,
        messages_per_second_max: 1_000_000,
        groups_per_minute_max: 1_000_000,
        page_entries_max: 10,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob"] {
        world.add(name);
        let device = world.connect(name);
        world.subscribe(device, "im/answer/#");
    }
    for number in 0..35 {
        let slug = format!("g{number}");
        group(&mut world, &json!({"slug": slug, "accounts": ["bob"]}));
        let asked = json!({"conv": slug, "slug": slug}).to_string();
        world.ask("alice", "group.delete", &asked);
    }
    let (mut seen, mut at) = (0, "0-".to_owned());
    loop {
        let answer = sync(&mut world, "bob", &at);
        let entries = answer["entries"].as_array().unwrap();
        assert!(entries.len() <= 11, "{}", entries.len());
        assert!(entries.iter().all(|entry| entry["deleted"] == true));
        seen += entries.len();
        at = answer["cursor"].as_str().unwrap().to_owned();
        if answer["more"] == false {
            break;
        }
    }
    assert_eq!(seen, 35);
}
