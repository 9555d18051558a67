//! Presence, typing and `im/about`: who is told, when, and how often.

use serde_json::{Value, json};

use crate::world::{START, World};

const SECOND: u64 = 1_000;

fn presence(world: &mut World, name: &str) -> Vec<(String, Value)> {
    world
        .take_json(name, "im/presence/+")
        .into_iter()
        .map(|(topic, payload)| (topic["im/presence/".len()..].to_owned(), payload))
        .collect()
}

fn states(world: &mut World, name: &str) -> Vec<String> {
    presence(world, name)
        .into_iter()
        .map(|(_, payload)| payload["state"].as_str().unwrap().to_owned())
        .collect()
}

/// Alice listens, bob is away; the two have talked. Quiet times are over.
fn listening() -> (World, usize) {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    let bob = world.device("bob");
    world.disconnect(bob);
    world.pass(60 * SECOND);
    world.forget_inboxes();
    (world, bob)
}

#[test]
fn a_peer_is_told_who_comes_and_after_a_grace_who_goes() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    let came = world.now.value();
    assert_eq!(
        presence(&mut world, "alice"),
        [("bob".to_owned(), json!({"state": "online", "since": came}))]
    );
    world.pass(20 * SECOND);
    world.disconnect(bob);
    let went = world.now.value();
    world.pass(5 * SECOND - 1);
    assert_eq!(presence(&mut world, "alice"), []);
    world.pass(1);
    assert_eq!(
        presence(&mut world, "alice"),
        [("bob".to_owned(), json!({"state": "offline", "since": went}))]
    );
}

#[test]
fn whoever_begins_to_listen_before_a_change_is_taken_back_hears_of_that() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    let alice = world.device("alice");
    world.unsubscribe(alice, "im/#");
    world.subscribe(alice, "im/presence/+");
    assert_eq!(states(&mut world, "alice"), ["online", "busy"]);
    world.say("bob", "im/me/status", r#"{"state":"online"}"#);
    world.pass(60 * SECOND);
    assert_eq!(states(&mut world, "alice"), ["online"]);
}

#[test]
fn a_peer_is_told_who_comes_though_the_store_was_too_busy() {
    let (mut world, bob) = listening();
    // The messenger has forgotten whom bob talks to.
    world.pass(600 * SECOND);
    world.forget_inboxes();
    world.holding_reads = true;
    world.reconnect(bob);
    assert_eq!(states(&mut world, "alice"), [] as [&str; 0]);
    world.refuse_all();
    assert_eq!(states(&mut world, "alice"), [] as [&str; 0]);
    world.pass(5 * SECOND);
    assert_eq!(states(&mut world, "alice"), ["online"]);
}

#[test]
fn a_device_that_comes_back_at_once_was_never_gone() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    world.pass(20 * SECOND);
    presence(&mut world, "alice");
    for _ in 0..3 {
        world.disconnect(bob);
        world.pass(4 * SECOND);
        world.reconnect(bob);
        world.pass(SECOND);
    }
    world.pass(60 * SECOND);
    assert_eq!(presence(&mut world, "alice"), []);
}

#[test]
fn every_absence_has_its_own_grace() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    world.pass(20 * SECOND);
    presence(&mut world, "alice");
    world.disconnect(bob);
    world.pass(4 * SECOND);
    world.reconnect(bob);
    world.disconnect(bob);
    world.pass(4 * SECOND);
    assert_eq!(presence(&mut world, "alice"), []);
    world.pass(SECOND);
    assert_eq!(states(&mut world, "alice"), ["offline"]);
}

#[test]
fn one_change_is_told_at_once_and_the_newest_state_ten_seconds_later() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    world.say("bob", "im/me/status", r#"{"state":"busy","text":"회의"}"#);
    world.say("bob", "im/me/status", r#"{"state":"away","text":"점심"}"#);
    assert_eq!(states(&mut world, "alice"), ["online"]);
    world.pass(10 * SECOND - 1);
    assert_eq!(states(&mut world, "alice"), [] as [&str; 0]);
    world.pass(1);
    let told = presence(&mut world, "alice");
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].1["state"], &told[0].1["text"]),
        (&json!("away"), &json!("점심"))
    );
    // A change that was taken back is not told at all.
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    world.say("bob", "im/me/status", r#"{"state":"away","text":"점심"}"#);
    world.pass(60 * SECOND);
    assert_eq!(states(&mut world, "alice"), [] as [&str; 0]);
}

#[test]
fn an_account_without_an_active_device_is_away() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    let second = world.connect("bob");
    world.pass(20 * SECOND);
    states(&mut world, "alice");
    world.publish(bob, "im/me/active", "0").unwrap().unwrap();
    world.pass(20 * SECOND);
    assert_eq!(states(&mut world, "alice"), [] as [&str; 0]);
    world.publish(second, "im/me/active", "0").unwrap().unwrap();
    assert_eq!(states(&mut world, "alice"), ["away"]);
    world.pass(20 * SECOND);
    world.publish(second, "im/me/active", "1").unwrap().unwrap();
    assert_eq!(states(&mut world, "alice"), ["online"]);
    for wrong in ["", "2", "true"] {
        assert_eq!(
            world.refused("bob", "im/me/active", wrong).code,
            "payload_format"
        );
    }
}

#[test]
fn a_device_nobody_looks_at_is_left_alone_until_somebody_does() {
    let (mut world, bob) = listening();
    let pocket = world.connect("alice");
    world.subscribe(pocket, "im/#");
    world.forget_inboxes();
    world.publish(pocket, "im/me/active", "0").unwrap().unwrap();
    world.reconnect(bob);
    world.say("bob", "im/to/@alice/typing", "");
    world.say("bob", "im/to/@alice", "hi");
    let topics = |world: &mut World, device| -> Vec<String> {
        let got = world.take_from(device, "im/#").into_iter();
        got.map(|(topic, _)| topic)
            .filter(|topic| !topic.starts_with("im/about/") && !topic.starts_with("im/text/"))
            .collect()
    };
    let alice = world.device("alice");
    let all = ["im/presence/bob", "im/in/@bob/typing", "im/in/@bob"];
    assert_eq!(topics(&mut world, alice), all);
    // The rest comes along with the message.
    assert_eq!(
        topics(&mut world, pocket),
        ["im/in/@bob", "im/presence/bob"]
    );
    world.disconnect(bob);
    world.pass(30 * SECOND);
    let receipt = "im/in/@bob/event";
    assert_eq!(topics(&mut world, alice), [receipt, "im/presence/bob"]);
    assert_eq!(topics(&mut world, pocket), [] as [&str; 0]);
    world.publish(pocket, "im/me/active", "1").unwrap().unwrap();
    assert_eq!(topics(&mut world, pocket), ["im/presence/bob", receipt]);
    world.reconnect(bob);
    world.forget_inboxes();
    world.publish(pocket, "im/me/active", "1").unwrap().unwrap();
    assert_eq!(topics(&mut world, pocket), [] as [&str; 0]);
    world.pass(2 * SECOND);
    world.forget_inboxes();
    world.say("bob", "im/to/@alice/typing", "");
    assert_eq!(topics(&mut world, pocket), ["im/in/@bob/typing"]);
}

#[test]
fn a_status_lasts_as_long_as_a_device_is_there() {
    let (mut world, bob) = listening();
    world.reconnect(bob);
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    world.pass(20 * SECOND);
    world.disconnect(bob);
    world.pass(20 * SECOND);
    world.reconnect(bob);
    assert_eq!(
        states(&mut world, "alice"),
        ["online", "busy", "offline", "online"]
    );
    // Also when it comes back before everything about it was forgotten.
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    world.pass(20 * SECOND);
    world.disconnect(bob);
    world.pass(6 * SECOND);
    world.reconnect(bob);
    world.pass(20 * SECOND);
    assert_eq!(states(&mut world, "alice"), ["busy", "offline", "online"]);
    for (wrong, code) in [
        (r#"{"state":"offline"}"#, "payload_format"),
        (r#"{"state":"asleep"}"#, "payload_format"),
        ("{}", "missing_key"),
        ("busy", "invalid_json"),
    ] {
        let refusal = world.refused("bob", "im/me/status", wrong);
        assert_eq!(refusal.code, code, "{wrong}");
        let field = (code != "invalid_json").then_some("state");
        assert_eq!(refusal.field.as_deref(), field, "{wrong}");
    }
}

#[test]
fn a_wildcard_covers_peers_and_a_name_everybody_one_shares_a_group_with() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    world.say("alice", "im/to/@carol", "hi");
    world.pass(20 * SECOND);
    let listener = world.connect("alice");
    let told = |world: &mut World, filter: &str| -> Vec<String> {
        world.subscribe(listener, filter);
        let got = world.take_from(listener, "im/presence/+");
        world.unsubscribe(listener, filter);
        got.into_iter().map(|(topic, _)| topic).collect()
    };
    assert_eq!(told(&mut world, "im/presence/+"), ["im/presence/carol"]);
    assert_eq!(told(&mut world, "im/presence/#"), ["im/presence/carol"]);
    assert_eq!(told(&mut world, "im/#"), ["im/presence/carol"]);
    assert_eq!(told(&mut world, "im/presence/bob"), ["im/presence/bob"]);
    assert_eq!(told(&mut world, "im/presence/alice"), ["im/presence/alice"]);
    assert_eq!(told(&mut world, "im/presence/dave"), [] as [&str; 0]);
    assert_eq!(told(&mut world, "im/presence/nobody"), [] as [&str; 0]);
    assert_eq!(told(&mut world, "im/in/#"), [] as [&str; 0]);
}

#[test]
fn a_change_is_told_to_who_named_the_account_and_shares_a_group() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob","carol"]}"#,
    );
    for name in ["alice", "dave"] {
        let device = world.device(name);
        world.subscribe(device, "im/presence/bob");
    }
    world.pass(20 * SECOND);
    world.forget_inboxes();
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    let told = ["alice", "carol", "dave"].map(|name| world.take(name, "im/presence/bob").len());
    // Alice holds im/# too: her one delivery matches both, as for any broker.
    assert_eq!(told, [1, 0, 0]);
    let alice = world.device("alice");
    world.unsubscribe(alice, "im/presence/bob");
    world.pass(20 * SECOND);
    world.say("bob", "im/me/status", r#"{"state":"away"}"#);
    assert_eq!(world.take("alice", "im/presence/bob"), []);
}

#[test]
fn who_begins_to_talk_learns_how_the_other_is() {
    let mut world = World::of(&["alice", "bob"]);
    world.pass(20 * SECOND);
    assert_eq!(presence(&mut world, "alice"), []);
    world.say("bob", "im/to/@alice", "hi");
    let told = presence(&mut world, "alice");
    assert_eq!(
        told,
        [("bob".to_owned(), json!({"state": "online", "since": START}))]
    );
    assert_eq!(presence(&mut world, "bob").len(), 1);
}

#[test]
fn last_seen_is_not_known_after_a_restart() {
    let (mut world, _) = listening();
    let second = world.connect("alice");
    world.subscribe(second, "im/presence/+");
    let known = world.take_from(second, "im/presence/bob");
    assert_eq!(
        crate::world::parse(&known[0].1),
        json!({"state": "offline", "since": START})
    );
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/presence/+");
    assert_eq!(
        presence(&mut world, "alice"),
        [("bob".to_owned(), json!({"state": "offline"}))]
    );
}

#[test]
fn nothing_of_presence_is_written() {
    let (mut world, bob) = listening();
    let appends = world.appends;
    world.reconnect(bob);
    world.say("bob", "im/me/status", r#"{"state":"busy"}"#);
    world.say("bob", "im/me/active", "0");
    world.say("bob", "im/to/@alice/typing", "");
    world.pass(60 * SECOND);
    assert_eq!(world.appends, appends);
}

#[test]
fn typing_is_told_to_the_others_once_in_two_seconds() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob","carol"]}"#,
    );
    world.forget_inboxes();
    for _ in 0..3 {
        world.say("alice", "im/to/eng/typing", "");
        world.pass(SECOND);
    }
    for name in ["bob", "carol"] {
        let told = world.take_json(name, "im/in/eng/typing");
        let expected = ("im/in/eng/typing".to_owned(), json!({"from": "alice"}));
        assert_eq!(told, [expected.clone(), expected], "{name}");
    }
    assert_eq!(world.take("alice", "im/in/eng/typing"), []);
    world.say("alice", "im/to/@bob/typing", "");
    assert_eq!(
        world.refused("alice", "im/to/@nobody/typing", "").code,
        "no_such_account"
    );
    world.say("alice", "im/to/@bob", "hi");
    world.pass(2 * SECOND);
    world.say("alice", "im/to/@bob/typing", "");
    assert_eq!(
        world.take("bob", "im/in/+/typing")[0].0,
        "im/in/@alice/typing"
    );
}

#[test]
fn about_is_told_on_subscribing_as_retain_handling_says() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    let pos = world.pos_of("alice", "@bob", 1);
    let expected = json!({
        "conv": "@alice", "kind": "direct", "title": "alice",
        "last": {"seq": 1, "pos": pos, "at": START},
        "head": {"kind": "message", "seq": 1, "pos": pos, "from": "alice", "device": world.device_id("alice-0"), "at": START, "text": "hi"},
        "read": 0, "unread_count": 1, "member_count": 2,
        "peer": {"account": "alice", "display": "alice", "read": 1, "received": 1},
    });
    let bob = world.connect("bob");
    world.subscribe(bob, "im/about/#");
    let mut told = world.take_from(bob, "im/about/#");
    told.sort();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].0, "im/about/@alice");
    assert_eq!(crate::world::parse(&told[0].1), expected);
    let cases = [
        (false, 0, false, true),
        (true, 0, false, true),
        (false, 1, false, true),
        (true, 1, false, false),
        (false, 2, false, false),
        (true, 2, true, true),
    ];
    for (existed, retain_handling, resumed, wanted) in cases {
        world.subscribe_with(bob, "im/about/+", existed, retain_handling, resumed);
        let told = world.take_from(bob, "im/about/#");
        assert_eq!(
            !told.is_empty(),
            wanted,
            "{existed} {retain_handling} {resumed}"
        );
    }
    world.subscribe(bob, "im/about/eng");
    let told = world.take_from(bob, "im/about/#");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "im/about/eng");
}

#[test]
fn about_is_told_after_a_restart_with_what_the_store_knows() {
    let mut world = World::of(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    for name in ["bob", "carol", "dave", "erin", "frank"] {
        world.say("alice", &format!("im/to/@{name}"), name);
    }
    world.restart();
    let alice = world.connect("alice");
    world.subscribe(alice, "im/about/+");
    let told = world.take_json("alice", "im/about/+");
    let mut heads: Vec<_> = told
        .iter()
        .map(|(_, about)| about["head"]["text"].as_str().unwrap())
        .collect();
    heads.sort_unstable();
    assert_eq!(heads, ["bob", "carol", "dave", "erin", "frank"]);
}

#[test]
fn about_is_told_on_change_at_most_once_a_second() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "first");
    let first = world.take_json("bob", "im/about/+");
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1["unread_count"], 1);
    for _ in 0..5 {
        world.say("alice", "im/to/@bob", "more");
    }
    assert_eq!(world.take("bob", "im/about/+"), []);
    world.pass(SECOND);
    let gathered = world.take_json("bob", "im/about/+");
    assert_eq!(gathered.len(), 1);
    assert_eq!(gathered[0].1["unread_count"], 6);
    world.pass(10 * SECOND);
    assert_eq!(world.take("bob", "im/about/+"), []);
}

#[test]
fn about_is_gathered_for_whoever_listens_whatever_the_others_do() {
    let mut world = World::of(&["alice", "bob"]);
    world.add("carol");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob","carol"]}"#,
    );
    world.pass(5 * SECOND);
    world.forget_inboxes();
    world.say("alice", "im/to/eng", "one");
    world.say("alice", "im/to/eng", "two");
    let told = world.take_json("bob", "im/about/eng");
    assert_eq!((told.len(), &told[0].1["unread_count"]), (1, &json!(1)));
    world.pass(SECOND);
    let told = world.take_json("bob", "im/about/eng");
    assert_eq!((told.len(), &told[0].1["unread_count"]), (1, &json!(2)));
}

#[test]
fn about_is_not_told_to_who_does_not_listen_or_has_gone() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.device("bob");
    world.unsubscribe(bob, "im/#");
    world.subscribe(bob, "im/in/#");
    world.say("alice", "im/to/@bob", "hi");
    world.pass(5 * SECOND);
    let topics: Vec<_> = world
        .take("bob", "#")
        .into_iter()
        .map(|(topic, _)| topic)
        .collect();
    assert_eq!(topics, ["im/in/@alice"]);
}
