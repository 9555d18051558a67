//! Read and received markers: growing, stored before they are acknowledged, told to the authors of what they newly cover.

use records::Millis;
use serde_json::{Value, json};

use crate::world::{World, parse};

const SECOND: u64 = 1_000;

fn receipts(world: &mut World, name: &str, conv: &str) -> Vec<Value> {
    world
        .take_json(name, &format!("im/in/{conv}/event"))
        .into_iter()
        .map(|(_, event)| event)
        .filter(|event| event["kind"] != "member" && event["from"] != json!([name]))
        .collect()
}

fn pair() -> World {
    let mut world = World::of(&["alice", "bob"]);
    for text in ["1", "2", "3"] {
        world.say("alice", "im/to/@bob", text);
    }
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world
}

#[test]
fn a_read_marker_is_stored_and_then_told_to_the_author_within_a_second() {
    let mut world = pair();
    world.holding = true;
    let bob = world.device("bob");
    assert_eq!(
        world.publish(bob, "im/to/@alice/read", r#"{"seq":2}"#),
        None
    );
    world.commit();
    assert_eq!(world.devices[bob].acks.values().next_back(), Some(&Ok(())));
    assert_eq!(receipts(&mut world, "alice", "@bob"), [] as [Value; 0]);
    world.pass(SECOND);
    let expected = json!({"kind": "read", "from": ["bob"], "seq": 2});
    assert_eq!(receipts(&mut world, "alice", "@bob"), [expected]);
    assert_eq!(receipts(&mut world, "bob", "@alice"), [] as [Value; 0]);
    let listed = world.ask("bob", "conversations", "");
    assert_eq!(listed["conversations"][0]["read"], 2);
    assert_eq!(listed["conversations"][0]["unread_count"], 1);
}

#[test]
fn markers_of_one_second_are_told_as_one() {
    let mut world = pair();
    for seq in [1, 2, 3] {
        world.say("bob", "im/to/@alice/read", &format!(r#"{{"seq":{seq}}}"#));
    }
    world.pass(SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["seq"], 3);
}

#[test]
fn a_read_marker_only_grows_and_stays_within_the_conversation() {
    let mut world = pair();
    world.say("bob", "im/to/@alice/read", r#"{"seq":2}"#);
    let appends = world.appends;
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    assert_eq!(world.appends, appends);
    for wrong in [r#"{"seq":4}"#, r#"{"seq":0}"#] {
        assert_eq!(
            world.refused("bob", "im/to/@alice/read", wrong).code,
            "no_such_message"
        );
    }
    for (wrong, code) in [
        ("", "invalid_json"),
        ("2", "payload_format"),
        (r#"{"seq":-1}"#, "payload_format"),
        (r#"{"seq":"2"}"#, "payload_format"),
        (r#"{"seq":1.5}"#, "payload_format"),
        (r#"{"seq":1,"mid":"a/b"}"#, "payload_format"),
        ("{}", "missing_key"),
        ("{", "invalid_json"),
    ] {
        assert_eq!(world.refused("bob", "im/to/@alice/read", wrong).code, code);
    }
    let answer = world.ask("bob", "members", r#"{"conv":"@alice"}"#);
    assert_eq!(answer["members"][1]["read"], 2);
}

#[test]
fn a_devices_acknowledgement_is_a_received_marker_written_and_told_after_a_second() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "1");
    world.say("alice", "im/to/@bob", "2");
    world.forget_inboxes();
    let appends = world.appends;
    world.acknowledge("bob");
    assert_eq!(world.appends, appends);
    world.pass(SECOND);
    assert_eq!(world.appends, appends + 1);
    let expected = json!({"kind": "received", "from": ["bob"], "seq": 2});
    assert_eq!(receipts(&mut world, "alice", "@bob"), [expected]);
    let answer = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(answer["members"][1]["received"], 2);
    assert_eq!(answer["members"][1]["read"], 0);
}

#[test]
fn a_received_marker_is_told_only_once_it_is_on_disk() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "1");
    world.acknowledge("bob");
    world.holding = true;
    world.pass(SECOND);
    assert_eq!(world.waiting(), 1);
    assert_eq!(receipts(&mut world, "alice", "@bob"), [] as [Value; 0]);
    world.commit();
    assert_eq!(receipts(&mut world, "alice", "@bob").len(), 1);
}

#[test]
fn what_is_read_need_not_be_received_again() {
    let mut world = pair();
    world.say("bob", "im/to/@alice/read", r#"{"seq":3}"#);
    world.acknowledge("bob");
    world.pass(SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["kind"], "read");
}

#[test]
fn a_received_marker_never_falls_back() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "1");
    world.acknowledge("bob");
    world.say("alice", "im/to/@bob", "2");
    world.say("bob", "im/to/@alice/read", r#"{"seq":2}"#);
    world.forget_inboxes();
    world.pass(SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["kind"], &told[0]["seq"]),
        (&json!("read"), &json!(2))
    );
    let answer = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(answer["members"][1]["received"], 2);
}

#[test]
fn who_answers_has_read() {
    let mut world = pair();
    world.say("bob", "im/to/@alice", "answer");
    world.pass(SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told, [json!({"kind": "read", "from": ["bob"], "seq": 4})]);
    let listed = world.ask("bob", "conversations", "");
    assert_eq!(listed["conversations"][0]["unread_count"], 0);
    let listed = world.ask("alice", "conversations", "");
    assert_eq!(listed["conversations"][0]["unread_count"], 1);
    assert_eq!(listed["conversations"][0]["peer"]["read"], 4);
}

#[test]
fn in_a_group_only_the_authors_of_what_is_newly_covered_are_told() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    let asked = r#"{"slug":"eng","accounts":["bob","carol","dave"]}"#;
    world.ask("alice", "group.create", asked);
    world.say("alice", "im/to/eng", "1");
    world.say("bob", "im/to/eng", "2");
    world.say("carol", "im/to/eng", "3");
    world.pass(2 * SECOND);
    world.say("dave", "im/to/eng/read", r#"{"seq":1}"#);
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world.say("dave", "im/to/eng/read", r#"{"seq":2}"#);
    world.pass(SECOND);
    assert_eq!(receipts(&mut world, "bob", "eng").len(), 1);
    for name in ["alice", "carol", "dave"] {
        assert_eq!(
            receipts(&mut world, name, "eng"),
            [] as [Value; 0],
            "{name}"
        );
    }
}

#[test]
fn authors_that_are_not_remembered_are_looked_up() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob","carol"]}"#,
    );
    world.say("alice", "im/to/eng", "first");
    for _ in 0..70 {
        world.say("bob", "im/to/eng", "more");
    }
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world.say("carol", "im/to/eng/read", r#"{"seq":71}"#);
    world.pass(SECOND);
    for name in ["alice", "bob"] {
        assert_eq!(receipts(&mut world, name, "eng").len(), 1, "{name}");
    }
    // After a restart nothing is remembered.
    world.restart();
    for name in ["alice", "bob", "carol"] {
        let device = world.connect(name);
        world.subscribe(device, "im/in/#");
    }
    world.say("carol", "im/to/eng", "72");
    world.say("bob", "im/to/eng/read", r#"{"seq":72}"#);
    world.pass(SECOND);
    assert_eq!(receipts(&mut world, "carol", "eng").len(), 1);
    assert_eq!(receipts(&mut world, "alice", "eng"), [] as [Value; 0]);
}

#[test]
fn in_large_groups_markers_are_kept_and_told_to_nobody() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"all","accounts":["bob"]}"#,
    );
    let names: Vec<String> = (0..49).map(|number| format!("n{number}")).collect();
    for name in &names {
        world.add(name);
    }
    let asked = json!({"conv": "all", "accounts": names}).to_string();
    assert_eq!(
        world.ask("alice", "group.invite", &asked)["member_count"],
        51
    );
    world.say("alice", "im/to/all", "hi");
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world.say("bob", "im/to/all/read", r#"{"seq":1}"#);
    world.acknowledge("bob");
    world.pass(2 * SECOND);
    assert_eq!(receipts(&mut world, "alice", "all"), [] as [Value; 0]);
    assert_eq!(
        world.ask("alice", "members", r#"{"conv":"all"}"#)["members"][1]["read"],
        1
    );
}

#[test]
fn a_read_marker_is_shown_to_ones_own_devices() {
    let mut world = pair();
    world.say("bob", "im/to/@alice/read", r#"{"seq":3}"#);
    world.pass(SECOND);
    let about = world.take_json("bob", "im/about/@alice");
    assert_eq!(about.len(), 1);
    assert_eq!(
        (&about[0].1["read"], &about[0].1["unread_count"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(world.take("alice", "im/about/#"), []);
}

#[test]
fn markers_are_still_there_after_a_restart() {
    let mut world = pair();
    world.say("bob", "im/to/@alice/read", r#"{"seq":2}"#);
    world.say("alice", "im/to/@bob", "4");
    world.acknowledge("bob");
    world.pass(SECOND);
    world.restart();
    let bob = world.connect("bob");
    world.subscribe(bob, "im/answer/#");
    let members = world.ask("bob", "members", r#"{"conv":"@alice"}"#);
    assert_eq!(members["members"][1]["read"], 2);
    assert_eq!(members["members"][1]["received"], 4);
}

#[test]
fn strangers_acknowledgements_move_nothing() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "1");
    let (_, conversation, seq) = world.receivable[0];
    let appends = world.appends;
    let (bob, carol) = (world.id("bob"), world.id("carol"));
    for (account, conversation, seq) in [
        (carol, conversation, seq),
        (bob, conversation, seq.next()),
        (bob, conversation.next(), seq),
        (records::AccountId::new(99), conversation, seq),
    ] {
        world.handle(chat::Input::Received {
            account,
            conversation,
            seq,
        });
    }
    world.pass(2 * SECOND);
    assert_eq!(world.appends, appends);
    assert_eq!(world.chat.counters().strays, 4);
    assert!(world.now > Millis::ZERO);
}

#[test]
fn what_one_device_reads_the_others_hear_at_once() {
    let mut world = pair();
    let pocket = world.connect("bob");
    world.subscribe(pocket, "im/in/#");
    world.publish(pocket, "im/me/active", "0").unwrap().unwrap();
    world.say("bob", "im/to/@alice/read", r#"{"seq":2}"#);
    let own = json!({"kind": "read", "from": ["bob"], "seq": 2});
    let told = world.take_from(pocket, "im/in/@alice/event");
    assert_eq!((told.len(), parse(&told[0].1)), (1, own.clone()));
    assert_eq!(
        world.take_json("bob", "im/in/@alice/event"),
        [("im/in/@alice/event".into(), own)]
    );
    assert_eq!(world.take("alice", "im/in/#"), []);
}

#[test]
fn whoever_reads_in_private_tells_nobody_else() {
    let mut world = pair();
    let seen = |world: &mut World| {
        let listed = world.ask("alice", "conversations", "");
        let peer = listed["conversations"][0]["peer"]["read"].clone();
        let members = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
        assert_eq!(members["members"][1]["read"], peer);
        peer.as_u64().unwrap()
    };
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    world.say("bob", "im/to/@alice/read", r#"{"seq":3,"private":true}"#);
    world.pass(2 * SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told, [json!({"kind": "read", "from": ["bob"], "seq": 1})]);
    for _ in 0..2 {
        assert_eq!(seen(&mut world), 1);
        let listed = world.ask("bob", "conversations", "");
        assert_eq!(listed["conversations"][0]["read"], 3);
        assert_eq!(listed["conversations"][0]["unread_count"], 0);
        let members = world.ask("bob", "members", r#"{"conv":"@alice"}"#);
        assert_eq!(members["members"][1]["read"], 3);
        // It is on disk.
        world.restart();
        for name in ["alice", "bob"] {
            let device = world.connect(name);
            world.subscribe(device, "im/#");
        }
    }
    // Then in public, which goes no further than it says.
    world.say("bob", "im/to/@alice/read", r#"{"seq":2}"#);
    world.pass(2 * SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(told, [json!({"kind": "read", "from": ["bob"], "seq": 2})]);
    assert_eq!(seen(&mut world), 2);
    // Whoever answers has read.
    world.say("bob", "im/to/@alice", "4");
    assert_eq!(seen(&mut world), 4);
}

#[test]
fn a_group_s_receipts_come_in_one() {
    let names: Vec<String> = (0..49).map(|number| format!("u{number:02}")).collect();
    let mut all = vec!["alice"];
    all.extend(names.iter().map(String::as_str));
    let mut world = World::of(&all);
    let asked = json!({"slug": "all", "accounts": names}).to_string();
    world.ask("alice", "group.create", &asked);
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world.say("alice", "im/to/all", "hi");
    for name in &names {
        world.acknowledge(name);
        world.say(name, "im/to/all/read", r#"{"seq":1}"#);
    }
    world.pass(2 * SECOND);
    let told = receipts(&mut world, "alice", "all");
    let kinds: Vec<_> = told.iter().map(|receipt| &receipt["kind"]).collect();
    assert_eq!(kinds, ["read"], "reading is receiving");
    assert_eq!(told[0]["from"], json!(names));
    // What is held back is told in one as well.
    world.say("alice", "im/to/all", "again");
    let alice = world.device("alice");
    world.publish(alice, "im/me/active", "0").unwrap().unwrap();
    for name in &names {
        world.acknowledge(name);
    }
    world.pass(2 * SECOND);
    assert_eq!(receipts(&mut world, "alice", "all"), [] as [Value; 0]);
    world.publish(alice, "im/me/active", "1").unwrap().unwrap();
    let told = receipts(&mut world, "alice", "all");
    assert_eq!(told, [json!({"kind": "received", "from": names, "seq": 2})]);
}

#[test]
fn what_was_fetched_can_be_marked_as_received() {
    let mut world = pair();
    for (wrong, code) in [
        (r#"{"seq":4}"#, "no_such_message"),
        (r#"{"seq":0}"#, "no_such_message"),
        ("{}", "missing_key"),
    ] {
        let refusal = world.refused("bob", "im/to/@alice/received", wrong);
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (code, Some("seq"))
        );
    }
    let stranger = world.refused("bob", "im/to/nowhere/received", r#"{"seq":1}"#);
    assert_eq!(stranger.code, "no_such_conversation");
    for seq in [2, 1, 3] {
        let payload = format!(r#"{{"seq":{seq}}}"#);
        world.say("bob", "im/to/@alice/received", &payload);
    }
    world.pass(2 * SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(
        told,
        [json!({"kind": "received", "from": ["bob"], "seq": 3})]
    );
    let members = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(members["members"][1]["received"], 3);
    assert_eq!(members["members"][1]["read"], 0);
}

#[test]
fn what_nobody_wrote_is_not_read_by_who_sends_it() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("bob", "im/to/@alice", "hi");
    world.say("alice", "im/to/@bob", r#"{"text":"I am away","auto":true}"#);
    let alice = world.device("alice");
    world.publish_raw(alice, |publish| {
        publish.topic = "im/to/@bob".into();
        publish.payload = "gone".into();
        publish.session_mid = Some(records::SessionMid::Will {
            account: publish.account,
            client_id: "phone".into(),
        });
    });
    let listed = world.ask("alice", "conversations", "");
    assert_eq!(listed["conversations"][0]["read"], 0);
    assert_eq!(listed["conversations"][0]["unread_count"], 3);
    let told = world.take_json("bob", "im/in/@alice");
    assert_eq!((told.len(), &told[1].1["auto"]), (3, &json!(true)));
    assert!(told[0].1.get("auto").is_none() && told[2].1.get("auto").is_none());
    // A person who answers has read it all.
    world.say("alice", "im/to/@bob", "I am back");
    let listed = world.ask("alice", "conversations", "");
    assert_eq!(listed["conversations"][0]["unread_count"], 0);
}

#[test]
fn reading_in_private_hides_nothing_else_and_shows_nothing_of_itself() {
    let mut world = World::of(&["alice", "bob"]);
    for text in ["1", "2", "3"] {
        world.say("alice", "im/to/@bob", text);
    }
    world.pass(2 * SECOND);
    world.forget_inboxes();
    let since = world.ask("alice", "conversations", "")["cursor"].clone();
    let states = |world: &mut World| {
        let asked = json!({"since": since, "states": true}).to_string();
        world.ask("alice", "sync", &asked)["states"].clone()
    };
    // Nothing of it reaches the other side, in whatever it asks.
    world.say("bob", "im/to/@alice/read", r#"{"seq":2,"private":true}"#);
    world.pass(2 * SECOND);
    assert_eq!(states(&mut world), json!([]));
    let members = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(members["members"][1]["received"], 0);
    // What the device acknowledges is told as ever.
    world.acknowledge("bob");
    world.pass(2 * SECOND);
    let told = receipts(&mut world, "alice", "@bob");
    assert_eq!(
        told,
        [json!({"kind": "received", "from": ["bob"], "seq": 3})]
    );
    assert_eq!(states(&mut world)[0]["peer"]["received"], 3);
    assert_eq!(states(&mut world)[0]["peer"]["read"], 0);
    // One's own marker does not go back when less is read in public.
    world.forget_inboxes();
    world.say("bob", "im/to/@alice/read", r#"{"seq":1}"#);
    assert_eq!(world.take("bob", "im/in/@alice/event"), []);
    let listed = world.ask("bob", "conversations", "");
    assert_eq!(listed["conversations"][0]["read"], 2);
}

#[test]
fn each_author_is_told_once_of_all_who_have_read() {
    let names: Vec<String> = (0..20).map(|number| format!("u{number:02}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&all);
    let asked = json!({"slug": "all", "accounts": names[1..]}).to_string();
    world.ask("u00", "group.create", &asked);
    // Each has written something that the others have not read.
    for name in &names {
        world.say(name, "im/to/all", r#"{"text":"hi","auto":true}"#);
    }
    world.pass(2 * SECOND);
    world.forget_inboxes();
    for name in &names {
        world.say(name, "im/to/all/read", r#"{"seq":20}"#);
    }
    world.pass(2 * SECOND);
    for name in &names {
        let told = receipts(&mut world, name, "all");
        let others: Vec<_> = names.iter().filter(|other| *other != name).collect();
        assert_eq!(told, [json!({"kind": "read", "from": others, "seq": 20})]);
    }
}

#[test]
fn markers_have_a_rate() {
    let mut world = World::with(chat::Settings {
        messages_burst_max: 10,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob"] {
        world.add(name);
        world.connect(name);
    }
    for _ in 0..10 {
        world.say("alice", "im/to/@bob", "hi");
    }
    world.pass(10 * SECOND);
    let bob = world.device("bob");
    let read = |world: &mut World, seq: u64| {
        let payload = format!(r#"{{"seq":{seq}}}"#);
        world.publish(bob, "im/to/@alice/read", payload).unwrap()
    };
    let outcomes: Vec<_> = (1..=10).map(|seq| read(&mut world, seq)).collect();
    assert!(outcomes.iter().all(Result::is_ok));
    let refusal = read(&mut world, 10).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_millis), ("quota", Some(20)));
}
