//! Conversations that are read when they are needed, forgotten when they are not, and dropped when somebody else owns them.

use chat::{Input, Settings};
use records::{ConversationId, PartitionId, Seq, Table, key};
use serde_json::json;

use crate::world::World;

const SECOND: u64 = 1_000;

/// So few that a conversation is forgotten as soon as others are used.
fn forgetful() -> Settings {
    Settings {
        loaded_bytes_max: 0,
        messages_burst_max: 1_000_000,
        ..Settings::default()
    }
}

fn listen(world: &mut World, names: &[&str]) {
    for name in names {
        let device = world.connect(name);
        for filter in ["im/in/#", "im/ack/#", "im/answer/#", "im/me/#"] {
            world.subscribe(device, filter);
        }
    }
}

fn with(settings: Settings, names: &[&str]) -> World {
    let mut world = World::with(settings);
    for name in names {
        world.add(name);
    }
    listen(&mut world, names);
    world
}

/// Begins again with the conversations of these accounts in memory, but no conversation.
fn begin_again(world: &mut World, names: &[&str]) {
    world.restart();
    listen(world, names);
    for name in names {
        let device = world.device(name);
        world.subscribe(device, "im/about/none");
    }
}

/// Something is done elsewhere: what was not used for a while is forgotten.
fn do_something_else(world: &mut World) {
    for number in 0..3 {
        let account = world.id("alice");
        let conversation = ConversationId::in_partition(PartitionId::new(number), 77);
        let seq = Seq::new(1);
        world.handle(Input::Received {
            account,
            conversation,
            seq,
        });
    }
}

/// The last word on a device's publishes.
fn last_word(world: &World, device: usize) -> Option<&'static str> {
    let (_, word) = world.devices[device].acks.last_key_value()?;
    Some(word.as_ref().map_or_else(|refusal| refusal.code, |()| "ok"))
}

/// Two slugs of one partition.
fn neighbours() -> [String; 2] {
    let first = "n0".to_owned();
    let partition = PartitionId::of_group(&first);
    let mut others = (1..).map(|number| format!("n{number}"));
    let second = others.find(|slug| PartitionId::of_group(slug) == partition);
    [first, second.unwrap()]
}

#[test]
fn what_is_not_in_memory_waits_in_order_and_keeps_nobody_else_waiting() {
    let mut world = with(Settings::default(), &["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", "zero");
    world.say("alice", "im/to/@carol", "zero");
    begin_again(&mut world, &["alice", "bob", "carol"]);
    world.say("alice", "im/to/@carol", "one");
    let loaded = world.chat.counters().conversations_loaded;
    world.forget_inboxes();
    world.holding_reads = true;
    let (alice, bob) = (world.device("alice"), world.device("bob"));
    world.subscribe(bob, "im/about/none");
    for text in ["one", "two"] {
        assert_eq!(world.publish(alice, "im/to/@bob", text), None);
    }
    assert_eq!(world.publish(bob, "im/to/@alice", "three"), None);
    assert_eq!(world.publish(alice, "im/to/@carol", "two"), Some(Ok(())));
    assert_eq!(world.texts("carol", "@alice"), ["two"]);
    assert_eq!(world.take("bob", "im/in/#"), []);
    assert_eq!(world.reads(), 1, "one reading for all that wait");
    world.read_all();
    assert_eq!(world.texts("bob", "@alice"), ["one", "two", "three"]);
    assert_eq!(world.texts("alice", "@bob"), ["one", "two", "three"]);
    assert_eq!(world.chat.counters().conversations_loaded, loaded + 1);
    assert_eq!(last_word(&world, bob), Some("ok"));
}

#[test]
fn what_cannot_be_read_is_refused_and_may_be_tried_again() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    world.say("alice", "im/to/@bob", "zero");
    begin_again(&mut world, &["alice", "bob"]);
    let alice = world.device("alice");
    for broken in [false, true] {
        world.holding_reads = true;
        let message = r#"{"mid":"m","text":"one"}"#;
        assert_eq!(world.publish(alice, "im/to/@bob", message), None);
        assert_eq!(
            world.publish(alice, "im/to/@bob/read", r#"{"seq":1}"#),
            None
        );
        world.disk.broken = broken;
        match broken {
            true => world.read_all(),
            false => world.refuse_all(),
        }
        world.disk.broken = false;
        assert_eq!(last_word(&world, alice), Some("unavailable"));
        let told = world.take_json("alice", "im/ack/m");
        assert_eq!(
            (told.len(), &told[0].1["error"]),
            (1, &json!("unavailable"))
        );
        assert_eq!(world.take("bob", "im/in/#"), []);
    }
    world.say("alice", "im/to/@bob", r#"{"mid":"m","text":"one"}"#);
    assert_eq!(world.texts("bob", "@alice"), ["one"]);
    // So are an account's own conversations, which a message needs as well.
    world.restart();
    listen(&mut world, &["alice"]);
    let alice = world.device("alice");
    world.holding_reads = true;
    assert_eq!(world.publish(alice, "im/to/@bob", "two"), None);
    // Questions that come behind it are answered, whatever becomes of it.
    let asked = r#"{"conv":"@bob"}"#;
    assert_eq!(world.publish(alice, "im/ask/history/h", asked), None);
    assert_eq!(world.publish(alice, "im/ask/group.join/j", asked), None);
    world.refuse_all();
    assert_eq!(last_word(&world, alice), Some("ok"));
    let refused = world.devices[alice].acks.values();
    assert_eq!(refused.filter(|word| word.is_err()).count(), 1);
    for topic in ["im/answer/h", "im/answer/j"] {
        let told = world.take_json("alice", topic);
        assert_eq!(
            (told.len(), &told[0].1["error"]),
            (1, &json!("unavailable"))
        );
    }
    world.say("alice", "im/to/@bob", "two");
}

#[test]
fn so_many_wait_for_one_conversation_and_no_more() {
    const WAITING_MAX: usize = 4_096;
    let mut world = with(forgetful(), &["alice", "bob"]);
    world.say("alice", "im/to/@bob", "zero");
    begin_again(&mut world, &["alice", "bob"]);
    world.holding_reads = true;
    let alice = world.device("alice");
    for _ in 0..WAITING_MAX {
        assert_eq!(world.publish(alice, "im/to/@bob", "x"), None);
    }
    let refused = world.publish(alice, "im/to/@bob", "x").unwrap();
    assert_eq!(refused.unwrap_err().code, "unavailable");
    assert_eq!(world.chat.counters().commands_refused, 1);
    world.read_all();
    let taken = world.devices[alice].acks.values();
    assert_eq!(taken.filter(|word| word.is_ok()).count(), WAITING_MAX);
    world.say("alice", "im/to/@bob", "y");
}

#[test]
fn a_conversation_that_two_ask_for_in_two_ways_is_one() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    world.say("alice", "im/to/@bob", "zero");
    let (_, conversation, seq) = world.receivable[0];
    for first in [0, 1] {
        begin_again(&mut world, &["alice", "bob"]);
        world.holding_reads = true;
        let (alice, account) = (world.device("alice"), world.id("bob"));
        world.publish(alice, "im/to/@bob", "more");
        world.handle(Input::Received {
            account,
            conversation,
            seq,
        });
        assert_eq!(world.reads(), 2);
        world.read_at(first);
        world.read_all();
        assert_eq!(world.texts("bob", "@alice"), ["more"]);
        world.pass(2 * SECOND);
    }
    let page = world.ask("alice", "history", r#"{"conv":"@bob"}"#);
    let numbers: Vec<_> = page["entries"].as_array().unwrap().iter().collect();
    assert_eq!(numbers.len(), 3);
    let members = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(members["members"][1]["received"], 1);
}

#[test]
fn what_was_read_before_a_conversation_was_forgotten_is_read_again() {
    let mut world = with(forgetful(), &["alice", "bob"]);
    let [slug, neighbour] = neighbours();
    for slug in [&slug, &neighbour] {
        let asked = json!({"slug": slug, "accounts": ["bob"]}).to_string();
        world.ask("alice", "group.create", &asked);
        world.say("alice", &format!("im/to/{slug}"), "zero");
    }
    let receivable = std::mem::take(&mut world.receivable);
    let bob = world.id("bob");
    for (other, again) in [(&slug, 1), (&neighbour, 0)] {
        begin_again(&mut world, &["alice", "bob"]);
        let alice = world.device("alice");
        world.holding_reads = true;
        let topic = format!("im/to/{slug}");
        assert_eq!(world.publish(alice, &topic, "late"), None);
        let read = world.run_reads();
        // Before that arrives, somebody else needs one of the two, changes it, and it is forgotten.
        let id = world.conversation(other);
        let known = receivable
            .iter()
            .find(|(account, of, _)| *account == bob && *of == id);
        let (account, conversation, seq) = *known.unwrap();
        world.handle(Input::Received {
            account,
            conversation,
            seq,
        });
        world.pass(2 * SECOND);
        do_something_else(&mut world);
        assert_eq!(world.chat.loaded_bytes(), 0);
        let loaded = world.chat.counters().conversations_loaded;
        world.arrive(read);
        assert_eq!(last_word(&world, alice), Some("ok"));
        let counters = world.chat.counters();
        assert_eq!(counters.conversations_loaded, loaded + again, "{other}");
    }
}

#[test]
fn what_was_forgotten_comes_back_as_it_was() {
    const WEEKS: u64 = 3 * 24 * 3600 * 1000;
    let mut world = with(forgetful(), &["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    for text in ["1", "2", "3"] {
        let message = json!({"mid": format!("m{text}"), "text": text}).to_string();
        world.say("alice", "im/to/eng", &message);
        world.say("alice", "im/to/@bob", &message);
        do_something_else(&mut world);
    }
    world.say("bob", "im/to/eng/read", r#"{"seq":2}"#);
    world.pass(2 * SECOND);
    do_something_else(&mut world);
    assert_eq!(world.chat.loaded_bytes(), 0, "every byte was counted once");
    let forgotten = world.chat.counters().conversations_forgotten;
    assert!(forgotten >= 6, "{forgotten}");
    // A marker falls back no more, a mid is known, numbers and roles go on.
    let appends = world.appends;
    world.say("bob", "im/to/eng/read", r#"{"seq":1}"#);
    world.forget_inboxes();
    world.say("alice", "im/to/eng", r#"{"mid":"m2","text":"2"}"#);
    assert_eq!(world.take_json("alice", "im/ack/m2")[0].1["seq"], 2);
    assert_eq!(world.appends, appends);
    let refused = world.refused("alice", "im/to/eng", r#"{"mid":"m2","text":"x"}"#);
    assert_eq!(refused.code, "mid_reused");
    world.pass(WEEKS);
    world.say("bob", "im/to/eng", "4");
    assert_eq!(world.texts("alice", "eng"), ["4"]);
    let invite = r#"{"conv":"eng","accounts":["carol"]}"#;
    assert_eq!(
        world.ask("bob", "group.invite", invite)["error"],
        "not_allowed"
    );
    assert_eq!(
        world.ask("alice", "group.invite", invite)["member_count"],
        3
    );
    let members = world.ask("carol", "members", r#"{"conv":"eng"}"#);
    assert_eq!(members["members"][1]["read"], 4);
}

#[test]
fn what_something_is_under_way_in_is_not_forgotten() {
    let mut world = with(forgetful(), &["alice", "bob"]);
    world.say("alice", "im/to/@bob", "zero");
    world.pass(2 * SECOND);
    do_something_else(&mut world);
    assert_eq!(world.chat.loaded_bytes(), 0);
    world.holding = true;
    let alice = world.device("alice");
    for _ in 0..3 {
        assert_eq!(world.publish(alice, "im/to/@bob", "x"), None);
        do_something_else(&mut world);
        assert!(world.chat.loaded_bytes() > 0);
    }
    world.commit();
    world.acknowledge("bob");
    do_something_else(&mut world);
    assert!(world.chat.loaded_bytes() > 0, "bob has received it");
    world.pass(2 * SECOND);
    do_something_else(&mut world);
    assert_eq!(world.chat.loaded_bytes(), 0);
    let members = world.ask("alice", "members", r#"{"conv":"@bob"}"#);
    assert_eq!(members["members"][1]["received"], 4);
}

#[test]
fn groups_that_are_made_and_deleted_leave_nothing_in_memory() {
    let settings = Settings {
        groups_per_minute_max: 1_000_000,
        ..forgetful()
    };
    let mut world = with(
        Settings {
            loaded_bytes_max: usize::MAX,
            ..settings
        },
        &["alice", "bob"],
    );
    for _ in 0..50 {
        world.ask(
            "alice",
            "group.create",
            r#"{"slug":"eng","accounts":["bob"]}"#,
        );
        world.say("bob", "im/to/eng", "hi");
        world.pass(2 * SECOND);
        world.ask("alice", "group.delete", r#"{"conv":"eng","slug":"eng"}"#);
    }
    assert_eq!(world.chat.loaded_bytes(), 0);
}

#[test]
fn a_partition_that_is_somebody_elses_is_dropped_and_the_others_go_on() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    for slug in ["a", "b"] {
        let asked = json!({"slug": slug, "accounts": ["bob"]}).to_string();
        world.ask("alice", "group.create", &asked);
        world.say("alice", &format!("im/to/{slug}"), "one");
    }
    world.pass(2 * SECOND);
    world.forget_inboxes();
    let (alice, bob) = (world.device("alice"), world.device("bob"));
    let fenced = PartitionId::of_group("a");
    let floor = world.chat.committed_pos();
    world.holding = true;
    let message = r#"{"mid":"m","text":"two"}"#;
    assert_eq!(world.publish(alice, "im/to/a", message), None);
    assert_eq!(world.publish(alice, "im/to/b", message), None);
    assert_eq!(world.publish(bob, "im/to/a/read", r#"{"seq":1}"#), None);
    world.publish(alice, "im/ask/group.leave/x", r#"{"conv":"a"}"#);
    world.fence(fenced);
    assert_eq!(last_word(&world, bob), Some("unavailable"));
    let told = world.take_json("alice", "im/ack/m");
    assert_eq!(
        (told.len(), &told[0].1["error"]),
        (1, &json!("unavailable"))
    );
    assert_eq!(
        world.take_json("alice", "im/answer/x")[0].1["error"],
        "unavailable"
    );
    for name in ["alice", "bob"] {
        assert_eq!(world.take(name, "im/in/#"), []);
    }
    let told = world.take_json("bob", "im/me/event");
    assert_eq!(told[0].1["topic"], "im/to/a/read");
    assert_eq!((told.len(), &told[0].1["retry_ms"]), (1, &json!(1000)));
    assert_eq!(world.take("alice", "im/me/#"), []);
    // The other one's is told as soon as it is on disk.
    world.commit();
    assert_eq!(world.texts("bob", "b"), ["two"]);
    assert!(world.chat.committed_pos() > floor);
    assert_eq!(world.chat.counters().partitions_fenced, 1);
    // What was refused never was: alice is in the group, two is its number, the mid is free.
    world.pass(5 * SECOND);
    assert_eq!(world.take("alice", "im/in/a/event"), []);
    world.take("alice", "im/ack/m");
    world.say("alice", "im/to/a", message);
    assert_eq!(world.take_json("alice", "im/ack/m")[0].1["seq"], 2);
    assert_eq!(world.texts("bob", "a"), ["two"]);
    world.say("bob", "im/to/a/read", r#"{"seq":1}"#);
    let listed = world.ask("bob", "members", r#"{"conv":"a"}"#);
    assert_eq!(listed["members"][1]["read"], 1);
}

#[test]
fn what_waits_for_rows_of_a_dropped_partition_may_be_tried_again() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"a","accounts":["bob"]}"#,
    );
    begin_again(&mut world, &["alice", "bob"]);
    let alice = world.device("alice");
    let partition = PartitionId::of_group("a");
    let slugs = (0..).map(|number| format!("g{number}"));
    let neighbour = slugs
        .into_iter()
        .find(|slug| PartitionId::of_group(slug) == partition);
    world.holding = true;
    let create = format!(r#"{{"slug":"{}"}}"#, neighbour.unwrap());
    world.publish(alice, "im/ask/group.create/x", create);
    assert_eq!(world.waiting(), 1);
    world.holding_reads = true;
    assert_eq!(world.publish(alice, "im/to/a", "one"), None);
    let late = world.run_reads();
    world.fence(partition);
    world.holding = false;
    assert_eq!(last_word(&world, alice), Some("unavailable"));
    // The other owner has done something, and was fenced in its turn.
    world.holding_reads = true;
    assert_eq!(world.publish(alice, "im/to/a", "two"), None);
    world.arrive(late);
    assert_eq!(last_word(&world, alice), Some("unavailable"), "that is old");
    world.read_all();
    assert_eq!(last_word(&world, alice), Some("ok"));
    assert_eq!(world.texts("bob", "a"), ["two"]);
}

#[test]
fn a_group_whose_beginning_was_refused_never_was() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    let alice = world.device("alice");
    let create = r#"{"slug":"a","accounts":["bob"]}"#;
    world.holding = true;
    world.publish(alice, "im/ask/group.create/x", create);
    assert_eq!(world.publish(alice, "im/to/a", "one"), None);
    world.fence(PartitionId::of_group("a"));
    world.holding = false;
    assert_eq!(
        world.take_json("alice", "im/answer/x")[0].1["error"],
        "unavailable"
    );
    assert_eq!(last_word(&world, alice), Some("unavailable"));
    assert_eq!(
        world.refused("alice", "im/to/a", "one").code,
        "no_such_conversation"
    );
    assert_eq!(world.take("bob", "#"), []);
    assert_eq!(world.chat.loaded_bytes(), 0);
    assert_eq!(world.ask("alice", "group.create", create)["conv"], "a");
    assert_eq!(world.take("bob", "im/me/event").len(), 1);
}

#[test]
fn appends_of_one_partition_wait_for_no_other() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    for slug in ["a", "b"] {
        let asked = json!({"slug": slug, "accounts": ["bob"]}).to_string();
        world.ask("alice", "group.create", &asked);
    }
    world.forget_inboxes();
    let floor = world.chat.committed_pos();
    world.holding = true;
    let alice = world.device("alice");
    for slug in ["a", "b", "a"] {
        world.publish(alice, &format!("im/to/{slug}"), "hi");
    }
    assert!(world.commit_of(PartitionId::of_group("b")));
    assert_eq!(world.texts("bob", "b"), ["hi"]);
    assert_eq!(world.take("bob", "im/in/a"), []);
    // Who comes now gets what was told, and what is older when it is there.
    assert_eq!(world.chat.committed_pos(), floor);
    let bob = world.device("bob");
    let caught_up = world.catch_up(bob, floor);
    let topics: Vec<&str> = caught_up
        .packets
        .iter()
        .map(|(topic, _)| &**topic)
        .collect();
    assert_eq!(topics, ["im/in/b", "im/text/b"]);
    assert_eq!(caught_up.upto.floor(), floor);
    world.want_catch_up(bob, caught_up.upto);
    assert!(world.caught_up.pop().unwrap().packets.is_empty());
    let mut since = format!("{floor}-");
    let mut synced = |world: &mut World| -> Vec<String> {
        let asked = json!({"since": since, "limit": 1}).to_string();
        let answer = world.ask("bob", "sync", &asked);
        since = answer["cursor"].as_str().unwrap().to_owned();
        let entries = answer["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["conv"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(synced(&mut world), ["b"]);
    assert_eq!(synced(&mut world), [""; 0]);
    assert!(world.commit_of(PartitionId::of_group("a")));
    assert!(world.chat.committed_pos() > floor);
    assert_eq!(synced(&mut world), ["a"]);
    assert_eq!(synced(&mut world), [""; 0]);
    world.commit();
    assert_eq!(synced(&mut world), ["a"]);
}

#[test]
fn positions_grow_after_a_crash_though_the_clock_goes_back() {
    const HOUR: u64 = 3_600_000;
    let mut world = with(Settings::default(), &["alice", "bob"]);
    let mut last = None;
    let mut cursor = "0-".to_owned();
    for round in 0..6 {
        for number in 0..3 {
            let text = format!("{round} {number}");
            world.say("alice", "im/to/@bob", &text);
            let asked = json!({"since": cursor}).to_string();
            let answer = world.ask("bob", "sync", &asked);
            let entries = answer["entries"].as_array().unwrap();
            assert_eq!((entries.len(), &entries[0]["text"]), (1, &json!(text)));
            let pos: records::Pos = entries[0]["pos"].as_str().unwrap().parse().unwrap();
            assert!(last < Some(pos));
            last = Some(pos);
            cursor = answer["cursor"].as_str().unwrap().to_owned();
            world.now = records::Millis::new(world.now.value() - 7 * SECOND);
        }
        world.now = records::Millis::new(world.now.value() - HOUR);
        if round % 2 == 0 {
            world.restart();
            listen(&mut world, &["alice", "bob"]);
        }
    }
}

#[test]
fn a_group_that_is_being_deleted_is_not_read_again() {
    let mut world = with(forgetful(), &["alice", "bob"]);
    world.ask("alice", "group.create", r#"{"slug":"a"}"#);
    let first = world.conversation("a");
    world.holding = true;
    let alice = world.device("alice");
    let delete = r#"{"conv":"a","slug":"a"}"#;
    world.publish(alice, "im/ask/group.delete/x", delete);
    // The disk does not know of it yet, whoever reads.
    let invite = r#"{"conv":"a","accounts":["bob"]}"#;
    world.publish(alice, "im/ask/group.invite/y", invite);
    assert_eq!(world.publish(alice, "im/to/a", "hi"), None);
    world.publish(alice, "im/ask/group.create/z", r#"{"slug":"a"}"#);
    world.commit();
    let answer = |world: &mut World, topic: &str| world.take_json("alice", topic)[0].1.clone();
    assert_eq!(answer(&mut world, "im/answer/x"), json!({"conv": "a"}));
    let none = "no_such_conversation";
    assert_eq!(answer(&mut world, "im/answer/y")["error"], none);
    assert_eq!(answer(&mut world, "im/answer/z")["member_count"], 1);
    assert_ne!(world.conversation("a"), first);
    assert_eq!(world.take("bob", "#"), []);
    assert_eq!(world.disk.in_range(Table::Member.range()).count(), 1);
    assert!(world.disk.keys.contains_key(&key::ended(first)));
}

#[test]
fn positions_are_not_given_twice_though_another_partitions_append_is_lost() {
    let mut world = with(Settings::default(), &["alice", "bob"]);
    world.holding = true;
    let alice = world.device("alice");
    for slug in ["a", "b"] {
        let asked = json!({"slug": slug}).to_string();
        world.publish(alice, "im/ask/group.create", asked);
    }
    // The first append of all is lost in the crash.
    assert!(world.commit_of(PartitionId::of_group("b")));
    let told = *world.disk.ever.last().unwrap();
    world.restart();
    listen(&mut world, &["alice"]);
    assert!(world.chat.committed_pos() > told);
    world.ask("alice", "group.create", r#"{"slug":"a"}"#);
    assert!(*world.disk.ever.last().unwrap() > told);
    let synced = world.ask("alice", "sync", r#"{"since":"0-"}"#);
    assert_eq!(synced["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn nobody_is_told_of_positions_of_an_append_that_was_refused() {
    let mut world = with(Settings::default(), &["alice"]);
    world.holding = true;
    let alice = world.device("alice");
    world.publish(alice, "im/ask/group.create", r#"{"slug":"a"}"#);
    let floor = world.chat.committed_pos();
    world.fence(PartitionId::of_group("a"));
    // After a crash the server would be behind it.
    assert_eq!(world.chat.committed_pos(), floor);
}
