//! `im/about`: what it shows, and what becomes of it while it cannot be read, or changes meanwhile.

use chat::Settings;
use serde_json::{Value, json};

use crate::world::{World, parse};

const SECOND: u64 = 1_000;

#[test]
fn what_is_shown_of_a_long_message_is_its_beginning() {
    let mut world = World::of(&["alice", "bob"]);
    let payload = json!({
        "text": "가".repeat(20_000), "att": ["y".repeat(2_000)], "x": {"small": 1}, "mid": "m",
    });
    world.say("alice", "im/to/@bob", &payload.to_string());
    let check = |about: &Value| {
        let head = &about["head"];
        assert_eq!(head["text"].as_str().unwrap(), "가".repeat(341));
        assert_eq!((&head["cut"], &head["seq"]), (&json!(true), &json!(1)));
        assert_eq!((head.get("att"), &head["x"]), (None, &json!({"small": 1})));
    };
    check(&world.take_json("bob", "im/about/@alice").pop().unwrap().1);
    check(&world.ask("bob", "conversations", "")["conversations"][0]);
    // The same when it comes from the store.
    world.restart();
    let bob = world.connect("bob");
    world.subscribe(bob, "im/#");
    check(&world.take_json("bob", "im/about/@alice").pop().unwrap().1);
    check(&world.ask("bob", "conversations", "")["conversations"][0]);
    // The message itself is whole.
    let answer = world.ask("bob", "history", r#"{"conv":"@alice"}"#);
    assert_eq!(answer["entries"][0]["text"].as_str().unwrap().len(), 60_000);
}

/// After a restart, with everything in memory again that alice and bob need.
fn begun_again(world: &mut World) -> (usize, usize) {
    world.restart();
    let (alice, bob) = (world.connect("alice"), world.connect("bob"));
    for device in [alice, bob] {
        world.subscribe(device, "im/about/none");
    }
    world
        .publish(alice, "im/to/@bob/read", r#"{"seq":1}"#)
        .unwrap()
        .unwrap();
    world.pass(5 * SECOND);
    (alice, bob)
}

#[test]
fn a_description_that_is_read_late_is_told_again_if_it_is_old_by_then() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "one");
    let (alice, bob) = begun_again(&mut world);
    world.holding_reads = true;
    world.subscribe(bob, "im/about/#");
    assert_eq!(world.reads(), 1);
    world.publish(alice, "im/to/@bob", "two").unwrap().unwrap();
    world.pass(2 * SECOND);
    world.read_all();
    let told = world.take_from(bob, "im/about/@alice");
    assert_eq!(parse(&told.last().unwrap().1)["unread_count"], 2);
}

#[test]
fn a_description_that_cannot_be_read_is_told_when_it_can() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "one");
    for broken in [false, true] {
        let (alice, bob) = begun_again(&mut world);
        let fail = |world: &mut World| {
            world.disk.broken = broken;
            match broken {
                true => world.read_all(),
                false => world.refuse_all(),
            }
            world.disk.broken = false;
            assert_eq!(world.take_from(bob, "im/about/@alice"), []);
        };
        // On subscribing.
        world.holding_reads = true;
        world.subscribe(bob, "im/about/#");
        fail(&mut world);
        world.pass(5 * SECOND);
        let told = world.take_from(bob, "im/about/@alice");
        assert_eq!(told.len(), 1);
        let unread = parse(&told[0].1)["unread_count"].as_u64().unwrap();
        // On a change.
        world.holding_reads = true;
        world.publish(alice, "im/to/@bob", "two").unwrap().unwrap();
        fail(&mut world);
        world.pass(5 * SECOND);
        let told = world.take_from(bob, "im/about/@alice");
        assert_eq!(told.len(), 1);
        assert_eq!(parse(&told[0].1)["unread_count"], unread + 1);
    }
}

#[test]
fn what_can_never_be_described_is_not_tried_for_ever() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "one");
    let (_, bob) = begun_again(&mut world);
    world.disk.broken = true;
    world.subscribe(bob, "im/about/#");
    let mut tried = 0;
    for _ in 0..2_000 {
        world.holding_reads = true;
        world.pass(SECOND);
        tried += world.reads();
        world.read_all();
    }
    assert_eq!(tried, 6);
}

#[test]
fn who_leaves_while_a_conversation_is_being_described_ends_with_an_empty_one() {
    let mut world = World::of(&["alice", "bob"]);
    let asked = r#"{"slug":"eng","accounts":["bob"]}"#;
    world.ask("alice", "group.create", asked);
    world.pass(5 * SECOND);
    world.forget_inboxes();
    // For all who listen, and for one device that asks.
    for by_device in [false, true] {
        world.holding_reads = true;
        let bob = world.device("bob");
        if by_device {
            world.subscribe(bob, "im/about/eng");
        } else {
            world.say("alice", "im/to/eng", "hi");
        }
        // It is read before bob leaves, and what was read arrives after that.
        let read = world.run_reads();
        world.holding_reads = true;
        world.publish(bob, "im/ask/group.leave", r#"{"conv":"eng"}"#);
        world.arrive(read);
        world.read_all();
        world.pass(5 * SECOND);
        let told = world.take_from(bob, "im/about/eng");
        assert!(
            told.len() > 1 && told.last().unwrap().1.is_empty(),
            "{told:?}"
        );
        world.ask(
            "alice",
            "group.invite",
            r#"{"conv":"eng","accounts":["bob"]}"#,
        );
        world.pass(5 * SECOND);
        world.forget_inboxes();
    }
}

#[test]
fn how_a_large_group_is_its_members_are_told_in_pieces() {
    const MEMBERS: usize = 600;
    let mut world = World::with(Settings {
        messages_burst_max: 1_000_000,
        ..Settings::default()
    });
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("m{number}")).collect();
    for name in &names {
        world.add(name);
        let device = world.connect(name);
        world.subscribe(device, "im/answer/#");
        world.subscribe(device, "im/about/#");
    }
    world.ask(&names[0], "group.create", r#"{"slug":"eng"}"#);
    for some in names[1..].chunks(100) {
        let asked = json!({"conv": "eng", "accounts": some}).to_string();
        let invited = world.ask(&names[0], "group.invite", &asked);
        assert_eq!(invited["error"], Value::Null, "{invited}");
    }
    world.pass(10 * SECOND);
    world.forget_inboxes();

    let told = |world: &mut World, unread: u64| {
        let has_heard = |name: &&String| {
            let heard = world.take_json(name, "im/about/eng");
            assert!(heard.len() <= 1, "{name} hears {}", heard.len());
            heard
                .iter()
                .any(|(_, about)| about["unread_count"] == unread)
        };
        names[1..].iter().filter(has_heard).count()
    };
    world.say(&names[0], "im/to/eng", "one");
    assert_eq!(told(&mut world, 1), 255, "the sender is among the first");
    world.pass(1);
    assert_eq!(told(&mut world, 1), 256);
    // What changes before all have been told reaches the others with it, and those who have been told a second later.
    world.say(&names[0], "im/to/eng", "two");
    assert_eq!(told(&mut world, 2), 0);
    world.pass(1);
    assert_eq!(told(&mut world, 2), MEMBERS - 512);
    world.pass(SECOND);
    assert_eq!(told(&mut world, 2), 256 - 1);
    world.pass(2);
    assert_eq!(told(&mut world, 2), MEMBERS - 256);
    world.pass(10 * SECOND);
    assert_eq!(told(&mut world, 2), 0);
}
