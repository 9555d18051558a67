//! Groups that everybody has left are kept, and groups are deleted on purpose only. The first account, `root`, administers.

use chat::{AccountAnswer, AccountError, Input, RequestId, Settings};
use records::{Table, key};
use serde_json::{Value, json};

use crate::world::World;

fn ask(world: &mut World, name: &str, method: &str, conv: &str) -> Value {
    world.ask(name, method, &json!({"conv": conv}).to_string())
}

fn delete(world: &mut World, name: &str, conv: &str) -> Value {
    let asked = json!({"conv": conv, "slug": conv}).to_string();
    world.ask(name, "group.delete", &asked)
}

fn delete_as_operator(world: &mut World, slug: &str) -> Result<AccountAnswer, AccountError> {
    let request = RequestId(u64::MAX);
    let slug = slug.to_owned();
    world.handle(Input::DeleteGroup { request, slug });
    world.answered.remove(&request.0).unwrap()
}

fn make(world: &mut World, name: &str, asked: &Value) {
    let answer = world.ask(name, "group.create", &asked.to_string());
    assert_eq!(answer["conv"], asked["slug"]);
}

fn listen(world: &mut World, name: &str) {
    let device = world.connect(name);
    world.subscribe(device, "im/#");
}

fn texts(world: &mut World, name: &str, conv: &str) -> Vec<String> {
    let page = ask(world, name, "history", conv);
    let entries = page["entries"].as_array().unwrap();
    let texts = entries.iter().filter_map(|entry| entry["text"].as_str());
    texts.map(str::to_owned).collect()
}

#[test]
fn a_group_that_all_have_left_keeps_what_was_said_and_its_address() {
    let mut world = World::of(&["root", "alice", "bob"]);
    let asked = json!({"slug": "eng", "open": true, "accounts": ["bob"]});
    make(&mut world, "alice", &asked);
    world.say("alice", "im/to/eng", "kept");
    world.forget_inboxes();
    assert_eq!(
        ask(&mut world, "alice", "group.leave", "eng"),
        json!({"conv": "eng"})
    );
    assert_eq!(
        ask(&mut world, "bob", "group.leave", "eng"),
        json!({"conv": "eng"})
    );
    let told = world.take_json("bob", "im/me/event");
    assert_eq!(told[0].1, json!({"kind": "left", "conv": "eng"}));
    for restarted in [false, true] {
        if restarted {
            world.restart();
            assert_eq!(
                world.disk.damaged.take(),
                [""; 0],
                "nobody has lost anything"
            );
            listen(&mut world, "alice");
            listen(&mut world, "bob");
        }
        for name in ["alice", "bob"] {
            assert_eq!(world.refused(name, "im/to/eng", "hi").code, "not_a_member");
            assert_eq!(
                ask(&mut world, name, "history", "eng")["error"],
                "not_a_member"
            );
            let taken = world.ask(name, "group.create", r#"{"slug":"eng"}"#);
            assert_eq!(taken["error"], "exists");
            assert_eq!(
                world.ask(name, "conversations", "")["conversations"],
                json!([])
            );
        }
    }
    assert_eq!(world.chat.counters().groups_ended, 0);
    // It is open: whoever comes first owns it, or nobody could invite or delete.
    ask(&mut world, "alice", "group.join", "eng");
    ask(&mut world, "bob", "group.join", "eng");
    assert_eq!(texts(&mut world, "bob", "eng"), ["kept"]);
    let members = ask(&mut world, "bob", "members", "eng");
    let roles = |index: usize| members["members"][index]["role"].clone();
    assert_eq!((roles(0), roles(1)), (json!("owner"), json!("member")));
    let page = ask(&mut world, "bob", "history", "eng");
    let leaves: Vec<_> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "leave")
        .map(|entry| (entry["accounts"].clone(), entry["last"].clone()))
        .collect();
    assert_eq!(
        leaves,
        [
            (json!(["alice"]), Value::Null),
            (json!(["bob"]), json!(true))
        ]
    );
}

#[test]
fn a_closed_group_that_all_have_left_is_closed_to_them_too() {
    let mut world = World::of(&["root", "alice"]);
    make(&mut world, "alice", &json!({"slug": "eng"}));
    ask(&mut world, "alice", "group.leave", "eng");
    assert_eq!(
        ask(&mut world, "alice", "group.join", "eng")["error"],
        "not_allowed"
    );
}

#[test]
fn a_removed_accounts_groups_are_kept() {
    let mut world = World::of(&["root", "alice", "bob"]);
    make(&mut world, "bob", &json!({"slug": "eng"}));
    world.say("bob", "im/to/eng", "kept");
    let name = "bob".to_owned();
    world
        .command(chat::AccountCommand::Remove { name })
        .unwrap();
    world.restart();
    assert_eq!(world.disk.damaged.take(), [""; 0]);
    listen(&mut world, "alice");
    let taken = world.ask("alice", "group.create", r#"{"slug":"eng"}"#);
    assert_eq!(taken["error"], "exists");
    assert_eq!(delete(&mut world, "alice", "eng")["error"], "not_a_member");
    assert_eq!(
        delete_as_operator(&mut world, "eng"),
        Ok(AccountAnswer::Done)
    );
    make(&mut world, "alice", &json!({"slug": "eng"}));
}

#[test]
fn an_owner_deletes_a_group_and_every_member_is_told() {
    let mut world = World::of(&["root", "alice", "bob", "carol", "dave"]);
    make(
        &mut world,
        "alice",
        &json!({"slug": "eng", "accounts": ["bob", "carol"]}),
    );
    make(
        &mut world,
        "alice",
        &json!({"slug": "ops", "accounts": ["bob"]}),
    );
    world.say("alice", "im/to/eng", "gone");
    world.say("alice", "im/to/ops", "stays");
    world.forget_inboxes();
    assert_eq!(delete(&mut world, "bob", "eng")["error"], "not_allowed");
    assert_eq!(delete(&mut world, "dave", "eng")["error"], "not_a_member");
    assert_eq!(
        delete(&mut world, "alice", "nothing")["error"],
        "no_such_conversation"
    );
    assert_eq!(delete(&mut world, "alice", "@bob")["error"], "not_allowed");
    for confirmation in [
        json!({"slug": "ops"}),
        json!({"slug": ""}),
        json!({"slug": true}),
    ] {
        let mut asked = json!({"conv": "eng"});
        asked
            .as_object_mut()
            .unwrap()
            .extend(confirmation.as_object().unwrap().clone());
        let answer = world.ask("alice", "group.delete", &asked.to_string());
        assert_eq!(answer["error"], "payload_format", "{asked}");
        assert_eq!(answer["field"], "slug", "{asked}");
    }
    let answer = world.ask("alice", "group.delete", r#"{"conv":"eng"}"#);
    assert_eq!(answer["error"], "missing_key");
    assert_eq!(answer["field"], "slug");
    assert_eq!(world.chat.counters().groups_ended, 0);
    let eng = world.conversation("eng");
    assert_eq!(delete(&mut world, "alice", "eng"), json!({"conv": "eng"}));
    for name in ["alice", "bob", "carol"] {
        let told = world.take_json(name, "im/me/event");
        let expected = json!({"kind": "left", "conv": "eng", "deleted": true});
        assert_eq!(told, [("im/me/event".to_owned(), expected)]);
        assert_eq!(
            world.refused(name, "im/to/eng", "hi").code,
            "no_such_conversation"
        );
        assert_eq!(world.take(name, "im/in/#"), []);
    }
    assert_eq!(world.take("dave", "im/me/#"), []);
    for range in [key::entries(eng), key::members(eng)] {
        assert_eq!(world.disk.in_range(range).count(), 0);
    }
    world.pass(10_000);
    for restarted in [false, true] {
        if restarted {
            world.restart();
            assert_eq!(world.disk.damaged.take(), [""; 0]);
            listen(&mut world, "bob");
        }
        let listed = world.ask("bob", "conversations", "");
        assert_eq!(listed["conversations"].as_array().unwrap().len(), 1);
        assert_eq!(texts(&mut world, "bob", "ops"), ["stays"]);
    }
}

#[test]
fn who_owned_a_group_and_left_it_last_deletes_it_and_nobody_else() {
    let mut world = World::of(&["root", "alice", "bob"]);
    make(
        &mut world,
        "alice",
        &json!({"slug": "eng", "accounts": ["bob"]}),
    );
    ask(&mut world, "alice", "group.leave", "eng");
    ask(&mut world, "bob", "group.leave", "eng");
    world.restart();
    listen(&mut world, "alice");
    listen(&mut world, "bob");
    assert_eq!(delete(&mut world, "alice", "eng")["error"], "not_a_member");
    assert_eq!(delete(&mut world, "bob", "eng"), json!({"conv": "eng"}));
    make(&mut world, "alice", &json!({"slug": "eng"}));
}

#[test]
fn an_administrator_deletes_any_group() {
    let mut world = World::of(&["root", "alice", "bob"]);
    make(
        &mut world,
        "alice",
        &json!({"slug": "eng", "accounts": ["bob"]}),
    );
    make(&mut world, "alice", &json!({"slug": "ops"}));
    ask(&mut world, "alice", "group.leave", "ops");
    world.forget_inboxes();
    assert_eq!(delete(&mut world, "root", "eng"), json!({"conv": "eng"}));
    assert_eq!(world.take_json("bob", "im/me/event")[0].1["deleted"], true);
    assert_eq!(
        delete_as_operator(&mut world, "ops"),
        Ok(AccountAnswer::Done)
    );
    let none = AccountError::NoSuchGroup("ops".to_owned());
    assert_eq!(delete_as_operator(&mut world, "ops"), Err(none));
    let none = AccountError::NoSuchGroup("@bob".to_owned());
    assert_eq!(delete_as_operator(&mut world, "@bob"), Err(none));
    assert_eq!(world.disk.in_range(Table::Entry.range()).count(), 0);
    assert_eq!(world.disk.in_range(Table::Member.range()).count(), 0);
}

#[test]
fn groups_that_all_have_left_count_for_who_made_them() {
    let mut world = World::with(Settings {
        conversations_per_account_max: 2,
        ..Settings::default()
    });
    for name in ["root", "alice", "bob"] {
        world.add(name);
        listen(&mut world, name);
    }
    for slug in ["a", "b"] {
        make(&mut world, "alice", &json!({"slug": slug, "open": true}));
        ask(&mut world, "alice", "group.leave", slug);
    }
    let mut tried = 0;
    let mut full = |world: &mut World| {
        tried += 1;
        let asked = json!({"slug": format!("c{tried}")}).to_string();
        let answer = world.ask("alice", "group.create", &asked);
        answer["error"] == "quota"
    };
    assert!(full(&mut world), "leaving makes no room for more");
    world.restart();
    listen(&mut world, "alice");
    listen(&mut world, "bob");
    assert!(full(&mut world));
    // Somebody else's now.
    ask(&mut world, "bob", "group.join", "a");
    assert!(!full(&mut world));
    assert!(full(&mut world));
    ask(&mut world, "bob", "group.leave", "a");
    assert_eq!(delete(&mut world, "alice", "b"), json!({"conv": "b"}));
    assert!(full(&mut world), "that of bob's counts again");
    assert_eq!(delete(&mut world, "bob", "a"), json!({"conv": "a"}));
    assert!(!full(&mut world));
}

#[test]
fn a_group_of_many_is_deleted_with_few_writes() {
    const MEMBERS: usize = 500;
    let mut world = World::of(&["root", "alice"]);
    make(&mut world, "alice", &json!({"slug": "eng"}));
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("m{number}")).collect();
    for some in names.chunks(50) {
        for name in some {
            world.add(name);
        }
        let asked = json!({"conv": "eng", "accounts": some}).to_string();
        world.ask("alice", "group.invite", &asked);
        world.pass(60_000);
    }
    assert_eq!(
        ask(&mut world, "alice", "members", "eng")["members"]
            .as_array()
            .unwrap()
            .len(),
        MEMBERS + 1
    );
    world.holding = true;
    let asked = r#"{"conv":"eng","slug":"eng"}"#;
    let alice = world.device("alice");
    world.publish(alice, "im/ask/group.delete", asked);
    let held: Vec<_> = world
        .held
        .iter()
        .map(|(_, _, writes)| writes.len())
        .collect();
    // A row of each member's list, and few besides: members and entries go as ranges.
    let few = MEMBERS + 1 + 8;
    assert!(held.iter().all(|writes| *writes <= few), "{held:?}");
    world.commit();
    assert_eq!(world.disk.in_range(Table::Member.range()).count(), 0);
}
