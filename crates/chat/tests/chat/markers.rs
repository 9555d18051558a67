//! Read and received markers: growing, stored before they are acknowledged, told to the authors of what they newly cover.

use records::Millis;
use serde_json::{Value, json};

use crate::world::World;

const SECOND: u64 = 1_000;

fn receipts(world: &mut World, name: &str, conv: &str) -> Vec<Value> {
    world
        .take_json(name, &format!("im/in/{conv}/event"))
        .into_iter()
        .map(|(_, event)| event)
        .filter(|event| event["kind"] != "member")
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
    let expected = json!({"kind": "read", "from": "bob", "seq": 2});
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
    let expected = json!({"kind": "received", "from": "bob", "seq": 2});
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
    assert_eq!(told, [json!({"kind": "read", "from": "bob", "seq": 4})]);
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
