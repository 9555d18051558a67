//! Groups: beginning, coming and going, and what everybody hears of it.

use records::{Pos, Table, key};
use serde_json::{Value, json};

use crate::world::{START, World};

/// What happened to whom; several names are joined by a plus.
fn actions(events: &[(String, Value)]) -> Vec<(String, String)> {
    let names = |event: &Value| -> Vec<String> {
        let names = event["accounts"].as_array().unwrap().iter();
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    events
        .iter()
        .map(|(_, event)| {
            let action = event["action"].as_str().unwrap();
            (action.to_owned(), names(event).join("+"))
        })
        .collect()
}

fn roles(world: &mut World, name: &str, conv: &str) -> Vec<(String, String)> {
    let answer = world.ask(name, "members", &format!(r#"{{"conv":"{conv}"}}"#));
    let members = answer["members"].as_array().unwrap();
    let text = |member: &Value, key: &str| member[key].as_str().unwrap().to_owned();
    members
        .iter()
        .map(|member| (text(member, "account"), text(member, "role")))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(one, other)| ((*one).to_owned(), (*other).to_owned()))
        .collect()
}

#[test]
fn whoever_creates_a_group_owns_it_and_everybody_named_is_in_it() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    let answer = world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","title":"  개발 ","accounts":["bob","@carol","bob","alice"]}"#,
    );
    let last = answer["last"].clone();
    let expected = json!({
        "conv": "eng", "kind": "group", "title": "개발", "last": last, "head": null,
        "read": 0, "unread_count": 0, "member_count": 3, "open": false, "history": "all",
    });
    assert_eq!(answer, expected);
    assert_eq!((&last["seq"], &last["at"]), (&json!(0), &json!(START)));
    assert_eq!(
        roles(&mut world, "bob", "eng"),
        pairs(&[("alice", "owner"), ("bob", "member"), ("carol", "member")])
    );
    for name in ["alice", "bob", "carol"] {
        let told = world.take_json(name, "im/me/event");
        let begun = json!({"kind": "conversation", "conv": "eng"});
        assert_eq!(told, [("im/me/event".to_owned(), begun)]);
        let events = world.take_json(name, "im/in/eng/event");
        assert_eq!(actions(&events), pairs(&[("join", "alice+bob+carol")]));
        let first = json!({
            "pos": last["pos"], "kind": "member", "action": "join",
            "accounts": ["alice", "bob", "carol"], "from": "alice", "at": START,
        });
        assert_eq!(events[0].1, first);
    }
    assert_eq!(world.take("dave", "im/#"), []);
}

#[test]
fn a_group_shares_one_topic_and_one_payload() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob","carol"]}"#,
    );
    world.say("bob", "im/to/eng", "hi");
    let got: Vec<_> = ["alice", "bob", "carol"]
        .map(|name| world.take(name, "im/in/eng"))
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(got.len(), 3);
    for (topic, payload) in &got {
        assert_eq!(topic, "im/in/eng");
        assert_eq!(payload.as_ptr(), got[0].1.as_ptr());
    }
}

#[test]
fn who_is_not_in_a_group_neither_writes_reads_nor_learns_who_is() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask("alice", "group.create", r#"{"slug":"eng"}"#);
    world.say("alice", "im/to/eng", "secret");
    assert_eq!(world.refused("bob", "im/to/eng", "hi").code, "not_a_member");
    assert_eq!(
        world.refused("bob", "im/to/eng/read", r#"{"seq":1}"#).code,
        "not_a_member"
    );
    assert_eq!(
        world.refused("bob", "im/to/eng/typing", "").code,
        "not_a_member"
    );
    for method in ["history", "members", "group.leave"] {
        let answer = world.ask("bob", method, r#"{"conv":"eng"}"#);
        assert_eq!(answer["error"], "not_a_member", "{method}");
    }
    let answer = world.ask("bob", "sync", r#"{"since":"0"}"#);
    assert_eq!(answer["entries"], json!([]));
    assert_eq!(world.take("bob", "im/in/#"), []);
    assert_eq!(
        world.refused("bob", "im/to/ops", "hi").code,
        "no_such_conversation"
    );
}

#[test]
fn a_closed_group_is_entered_by_invitation_of_who_keeps_order() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    world.say("alice", "im/to/eng", "before");
    world.forget_inboxes();
    let answer = world.ask("carol", "group.join", r#"{"conv":"eng"}"#);
    assert_eq!(answer["error"], "not_allowed");
    let invite = r#"{"conv":"eng","accounts":["carol","alice"]}"#;
    assert_eq!(
        world.ask("bob", "group.invite", invite)["error"],
        "not_allowed"
    );
    assert_eq!(
        world.ask("carol", "group.invite", invite)["error"],
        "not_a_member"
    );
    let answer = world.ask("alice", "group.invite", invite);
    assert_eq!(
        answer,
        json!({"conv": "eng", "accounts": ["carol"], "member_count": 3})
    );
    let told = world.take_json("carol", "im/me/event");
    assert_eq!(told[0].1, json!({"kind": "conversation", "conv": "eng"}));
    for name in ["alice", "bob", "carol"] {
        let events = world.take_json(name, "im/in/eng/event");
        assert_eq!(actions(&events), pairs(&[("join", "carol")]));
        assert_eq!(events[0].1["from"], "alice");
    }
    // Nothing older was delivered, nothing older counts as unread, and all of it can be read.
    assert_eq!(world.take("carol", "im/in/eng"), []);
    let listed = world.ask("carol", "conversations", "");
    assert_eq!(listed["conversations"][0]["unread_count"], 0);
    let history = world.ask("carol", "history", r#"{"conv":"eng"}"#);
    assert_eq!(history["entries"][1]["text"], "before");
}

#[test]
fn an_open_group_is_entered_by_anybody_and_every_member_invites() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask("alice", "group.create", r#"{"slug":"all","open":true}"#);
    let answer = world.ask("bob", "group.join", r#"{"conv":"all"}"#);
    assert_eq!(
        (&answer["conv"], &answer["member_count"]),
        (&json!("all"), &json!(2))
    );
    let appends = world.appends;
    assert_eq!(world.ask("bob", "group.join", r#"{"conv":"all"}"#), answer);
    assert_eq!(world.appends, appends);
    let answer = world.ask(
        "bob",
        "group.invite",
        r#"{"conv":"all","accounts":["carol"]}"#,
    );
    assert_eq!(answer["accounts"], json!(["carol"]));
}

#[test]
fn who_leaves_hears_so_and_nothing_more() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["bob"]}"#,
    );
    world.forget_inboxes();
    assert_eq!(
        world.ask("bob", "group.leave", r#"{"conv":"eng"}"#),
        json!({"conv": "eng"})
    );
    let told = world.take_json("bob", "im/me/event");
    assert_eq!(told[0].1, json!({"kind": "left", "conv": "eng"}));
    assert_eq!(
        world.take_json("bob", "im/about/eng").last().unwrap().1,
        Value::Null,
        "what was kept of it is emptied"
    );
    // Who goes gets the same entry, as the last one.
    for name in ["alice", "bob"] {
        assert_eq!(
            actions(&world.take_json(name, "im/in/eng/event")),
            pairs(&[("leave", "bob")])
        );
    }
    world.say("alice", "im/to/eng", "gone?");
    world.pass(5_000);
    for filter in ["im/in/#", "im/about/#", "im/me/#"] {
        assert_eq!(world.take("bob", filter), []);
    }
    assert_eq!(
        world.ask("bob", "conversations", "")["conversations"],
        json!([])
    );
}

#[test]
fn ownership_goes_to_who_has_been_there_longest() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","accounts":["carol"]}"#,
    );
    world.ask(
        "alice",
        "group.invite",
        r#"{"conv":"eng","accounts":["bob"]}"#,
    );
    world.forget_inboxes();
    world.ask("alice", "group.leave", r#"{"conv":"eng"}"#);
    assert_eq!(
        actions(&world.take_json("bob", "im/in/eng/event")),
        pairs(&[("leave", "alice"), ("role", "carol")])
    );
    assert_eq!(
        roles(&mut world, "bob", "eng"),
        pairs(&[("bob", "member"), ("carol", "owner")])
    );
}

#[test]
fn a_deleted_group_is_gone_and_its_slug_is_free_again() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask("alice", "group.create", r#"{"slug":"eng","open":true}"#);
    let (conversation, _) = world
        .disk
        .in_range(Table::Conversation.range())
        .next()
        .unwrap();
    let first = key::parse_conversation(conversation).unwrap();
    world.say("alice", "im/to/eng", r#"{"text":"secret","mid":"m"}"#);
    let deleted = world.ask("alice", "group.delete", r#"{"conv":"eng","slug":"eng"}"#);
    assert_eq!(deleted, json!({"conv": "eng"}));
    let left = world.take_json("alice", "im/me/event");
    assert_eq!(
        left.last().unwrap().1,
        json!({"kind": "left", "conv": "eng", "deleted": true})
    );
    assert_eq!(world.chat.counters().groups_ended, 1);
    for range in [key::entries(first), key::members(first)] {
        assert_eq!(world.disk.in_range(range).count(), 0);
    }
    for name in ["alice", "bob"] {
        assert_eq!(
            world.refused(name, "im/to/eng", "hi").code,
            "no_such_conversation"
        );
        assert_eq!(
            world.ask(name, "group.join", r#"{"conv":"eng"}"#)["error"],
            "no_such_conversation"
        );
    }
    let committed = world.chat.committed_pos();
    world.restart();
    assert!(world.chat.committed_pos() >= committed);
    let bob = world.connect("bob");
    world.subscribe(bob, "im/#");
    world.ask("bob", "group.create", r#"{"slug":"eng"}"#);
    world.say("bob", "im/to/eng", "mine");
    let answer = world.ask("bob", "history", r#"{"conv":"eng"}"#);
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[1]["seq"]), (2, &json!(1)));
    assert_eq!(world.disk.in_range(key::entries(first)).count(), 0);
}

#[test]
fn what_a_crash_leaves_of_an_ended_group_goes_at_the_next_start() {
    let mut world = World::of(&["alice"]);
    for slug in ["a", "b", "c"] {
        world.ask("alice", "group.create", &json!({"slug": slug}).to_string());
        world.say("alice", &format!("im/to/{slug}"), "hi");
    }
    let ids = ["a", "b", "c"].map(|slug| world.conversation(slug));
    world.keeping = true;
    for slug in ["c", "a", "b"] {
        let asked = json!({"conv": slug, "slug": slug});
        world.ask("alice", "group.delete", &asked.to_string());
    }
    let entries = |world: &World| world.disk.in_range(Table::Entry.range()).count();
    let records = |world: &World| world.disk.in_range(Table::Conversation.range()).count();
    let members = |world: &World| world.disk.in_range(Table::Member.range()).count();
    assert_eq!((entries(&world), records(&world)), (6, 3));
    assert_eq!(members(&world), 3);
    world.keeping = false;
    world.restart();
    assert_eq!((entries(&world), records(&world)), (0, 3));
    assert_eq!(members(&world), 0);
    // Once nothing is left of them, they are not looked for again.
    world.restart();
    let left = |world: &World| world.disk.in_range(key::all_ended()).count();
    assert_eq!(left(&world), 0);
    let appends = world.appends;
    world.restart();
    assert_eq!(world.appends, appends);
    assert_eq!(world.disk.damaged.take(), [""; 0]);
    // What is left says which ids are taken.
    let alice = world.connect("alice");
    world.subscribe(alice, "im/#");
    for slug in ["a", "b", "c"] {
        world.ask("alice", "group.create", &json!({"slug": slug}).to_string());
        assert!(!ids.contains(&world.conversation(slug)), "{slug}");
    }
}

#[test]
fn a_group_that_has_lost_its_members_keeps_what_was_said() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask("alice", "group.create", r#"{"slug":"eng","open":true}"#);
    world.say("alice", "im/to/eng", "kept");
    let alice = world.id("alice");
    // Nobody has left it.
    world
        .disk
        .keys
        .retain(|key, _| !key::parse_member(key).is_ok_and(|(_, account)| account == alice));
    let id = world.conversation("eng");
    world.restart();
    assert_eq!(world.disk.damaged.take(), [""; 0], "nobody needs it");
    let bob = world.connect("bob");
    world.subscribe(bob, "im/#");
    assert_eq!(
        world.ask("bob", "group.create", r#"{"slug":"eng"}"#)["error"],
        "exists"
    );
    let what = "it is a group without members: kept, but nobody sees it";
    assert_eq!(
        world.disk.damaged.take(),
        [format!("conversation {id}: {what}")]
    );
    world.ask("bob", "group.join", r#"{"conv":"eng"}"#);
    let page = world.ask("bob", "history", r#"{"conv":"eng"}"#);
    assert_eq!(page["entries"][1]["text"], "kept");
    assert_eq!(roles(&mut world, "bob", "eng"), pairs(&[("bob", "owner")]));
}

#[test]
fn groups_are_not_made_without_end() {
    let mut world = World::of(&["alice"]);
    let mut made = 0;
    let mut make = |world: &mut World| {
        made += 1;
        let asked = json!({"slug": format!("g{made}")}).to_string();
        world.ask("alice", "group.create", &asked)["error"] == "quota"
    };
    let refused = (0..30).filter(|_| make(&mut world)).count();
    assert_eq!(refused, 10);
    world.pass(60_000);
    let refused = (0..30).filter(|_| make(&mut world)).count();
    assert_eq!(refused, 20);
    world.say("alice", "im/to/g1", "messages are counted apart");
}

#[test]
fn others_cannot_fill_an_accounts_conversations() {
    let mut world = World::with(chat::Settings {
        conversations_per_account_max: 2,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob", "carol"] {
        world.add(name);
        let device = world.connect(name);
        world.subscribe(device, "im/#");
    }
    for slug in ["a", "b"] {
        let asked = json!({"slug": slug, "accounts": ["bob"]}).to_string();
        world.ask("alice", "group.create", &asked);
    }
    world.say("carol", "im/to/@bob", "hi");
    world.say("bob", "im/to/@alice", "hi");
    world.ask("bob", "group.create", r#"{"slug":"c"}"#);
    let full =
        |world: &mut World| world.ask("bob", "group.create", r#"{"slug":"d"}"#)["error"] == "quota";
    assert!(full(&mut world));
    world.say("bob", "im/to/@carol", "that one carol began");
    // Still so after a restart.
    world.restart();
    let bob = world.connect("bob");
    world.subscribe(bob, "im/#");
    assert!(full(&mut world));
    world.ask("bob", "group.leave", r#"{"conv":"a"}"#);
    assert!(full(&mut world));
    world.ask("bob", "group.delete", r#"{"conv":"c","slug":"c"}"#);
    assert!(!full(&mut world));
}

#[test]
fn a_group_that_cannot_be_made_leaves_nothing_behind() {
    let mut world = World::of(&["alice", "bob"]);
    let appends = world.appends;
    for (asked, error) in [
        (r#"{"slug":"En g"}"#, "payload_format"),
        (r#"{"slug":"@bob"}"#, "payload_format"),
        (r#"{}"#, "missing_key"),
        (r#"{"slug":"eng","title":"a\u0007b"}"#, "payload_format"),
        (r#"{"slug":"eng","accounts":["nobody"]}"#, "no_such_account"),
        (r#"{"slug":"eng","accounts":"bob"}"#, "payload_format"),
    ] {
        assert_eq!(
            world.ask("alice", "group.create", asked)["error"],
            error,
            "{asked}"
        );
    }
    let many: Vec<String> = (0..101).map(|number| format!("n{number}")).collect();
    let asked = json!({"slug": "eng", "accounts": many}).to_string();
    assert_eq!(world.ask("alice", "group.create", &asked)["error"], "quota");
    assert_eq!(world.appends, appends);
    assert_eq!(
        world.ask("alice", "group.create", r#"{"slug":"eng"}"#)["title"],
        "eng"
    );
}

#[test]
fn limits_of_members_and_conversations_hold() {
    let mut world = World::with(chat::Settings {
        group_members_max: 2,
        conversations_per_account_max: 2,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob", "carol", "dave"] {
        world.add(name);
        let device = world.connect(name);
        world.subscribe(device, "im/#");
    }
    let asked = r#"{"slug":"a","accounts":["bob","carol"]}"#;
    assert_eq!(world.ask("alice", "group.create", asked)["error"], "quota");
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"a","open":true,"accounts":["bob"]}"#,
    );
    assert_eq!(
        world.ask("carol", "group.join", r#"{"conv":"a"}"#)["error"],
        "quota"
    );
    world.ask("alice", "group.create", r#"{"slug":"b","open":true}"#);
    assert_eq!(
        world.ask("alice", "group.create", r#"{"slug":"c"}"#)["error"],
        "quota"
    );
    assert_eq!(world.refused("alice", "im/to/@carol", "hi").code, "quota");
    world.say("carol", "im/to/@bob", "hi");
    world.ask("carol", "group.join", r#"{"conv":"b"}"#);
    assert_eq!(world.refused("carol", "im/to/@dave", "hi").code, "quota");
    // Who leaves has room again, as carol is still there.
    world.ask("alice", "group.leave", r#"{"conv":"b"}"#);
    world.say("alice", "im/to/@carol", "hi");
}

#[test]
fn a_direct_chat_is_no_group() {
    let mut world = World::of(&["alice", "bob"]);
    world.say("alice", "im/to/@bob", "hi");
    assert_eq!(
        world.ask("alice", "group.leave", r#"{"conv":"@bob"}"#)["error"],
        "not_allowed"
    );
    let invite = r#"{"conv":"@bob","accounts":["alice"]}"#;
    assert_eq!(
        world.ask("alice", "group.invite", invite)["error"],
        "no_such_conversation"
    );
    let join = r#"{"conv":"@bob"}"#;
    assert_eq!(
        world.ask("alice", "group.join", join)["error"],
        "no_such_conversation"
    );
}

#[test]
fn who_comes_back_does_not_get_what_happened_in_between() {
    let mut world = World::of(&["alice", "bob"]);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","open":true,"accounts":["bob"]}"#,
    );
    world.say("alice", "im/to/eng", "one");
    world.ask("bob", "group.leave", r#"{"conv":"eng"}"#);
    world.say("alice", "im/to/eng", "two");
    world.ask("bob", "group.join", r#"{"conv":"eng"}"#);
    world.say("alice", "im/to/eng", "three");
    let bob = world.device("bob");
    let missed = world.catch_up(bob, Pos::ZERO);
    let lines: Vec<_> = missed
        .packets
        .iter()
        .filter(|(topic, _)| topic == "im/text/eng")
        .map(|(_, payload)| String::from_utf8_lossy(payload).into_owned())
        .collect();
    assert_eq!(lines, ["alice: one", "alice: three"]);
}

#[test]
fn an_invitation_of_many_is_one_event() {
    const INVITED: usize = 100;
    let mut world = World::of(&["alice"]);
    let names: Vec<String> = (0..INVITED).map(|number| format!("n{number}")).collect();
    for name in &names {
        world.add(name);
        world.connect(name);
    }
    world.ask("alice", "group.create", r#"{"slug":"eng"}"#);
    world.pass(5_000);
    let (delivered, appends) = (world.delivered, world.appends);
    let asked = json!({"conv": "eng", "accounts": names}).to_string();
    assert_eq!(
        world.ask("alice", "group.invite", &asked)["member_count"],
        101
    );
    world.pass(5_000);
    assert_eq!(world.appends, appends + 1);
    // The event to all, to each newcomer that it is in, to alice how the group is, and her answer.
    let told = world.delivered - delivered;
    assert_eq!(told, (INVITED + 1) + INVITED + 1 + 1);
    let page = world.ask("alice", "history", r#"{"conv":"eng","limit":1}"#);
    assert_eq!(page["entries"][0]["accounts"], json!(names));
}
