//! Rows that can be read, and say what this program has not written there; or that are not there. The store's sums have not
//! noticed. Without accounts, tokens and the clock of positions the messenger does not begin. Every other row is met when it is
//! needed: what needs it is refused, it is told then, and everything else is served. Nobody gets what is another's.

use chat::Settings;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Dedup, Entry, Joined, Member,
    PartitionId, Place, Pos, Seq, Table, key,
};

use crate::world::{World, parse};

/// alice and bob have talked, carol listens; the three have a group.
fn world() -> World {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", r#"{"mid":"m","text":"one"}"#);
    world.say("bob", "im/to/@alice", "two");
    world.say("alice", "im/to/@bob", "three");
    let asked = r#"{"slug":"eng","open":true,"accounts":["bob","carol"]}"#;
    world.ask("alice", "group.create", asked);
    world.say("alice", "im/to/eng", "all");
    world
}

fn chat_of(world: &World) -> ConversationId {
    world.chat_of("alice", "bob")
}

fn put(world: &mut World, key: Vec<u8>, value: Vec<u8>) {
    world.disk.keys.insert(key, value);
}

fn take(world: &mut World, key: &[u8]) -> Vec<u8> {
    world.disk.keys.remove(key).unwrap()
}

/// Starts again, with everybody's device back; what was told.
fn begin(world: &mut World) -> Vec<String> {
    world.disk.damaged.take();
    world.restart();
    for name in ["alice", "bob", "carol"] {
        let device = world.connect(name);
        world.subscribe(device, "im/in/#");
        world.subscribe(device, "im/answer/#");
        world.subscribe(device, "im/ack/#");
    }
    world.disk.damaged.take()
}

/// Why the messenger does not begin.
fn refused(world: &World) -> String {
    let begun = world.disk.try_recover(Settings::default(), world.now);
    begun.map(|_| ()).unwrap_err().to_string()
}

fn texts(world: &mut World, name: &str, conv: &str) -> Vec<String> {
    let page = world.ask(name, "history", &format!(r#"{{"conv":"{conv}"}}"#));
    let entries = page["entries"].as_array().unwrap().iter();
    entries
        .filter_map(|entry| entry["text"].as_str())
        .map(str::to_owned)
        .collect()
}

/// What is told of one row when somebody writes to it, which is refused; the group goes on.
fn told_when_needed(world: &mut World) -> String {
    let told = begin(world);
    assert!(told.is_empty(), "nobody needs it yet: {told:?}");
    for _ in 0..2 {
        let refusal = world.refused("alice", "im/to/@bob", "hi");
        assert_eq!(refusal.code, "unavailable");
    }
    let told = world.disk.damaged.take();
    assert_eq!((told.len(), &told[0]), (2, &told[1]), "once for each");
    world.say("alice", "im/to/eng", "goes on");
    assert_eq!(world.texts("carol", "eng"), ["goes on"]);
    assert_eq!(world.disk.damaged.take(), [""; 0]);
    told.into_iter().next().unwrap()
}

fn change_member(world: &mut World, account: AccountId, change: impl FnOnce(&mut Member)) {
    let at = key::member(chat_of(world), account);
    let mut member = Member::decode(&take(world, &at)).unwrap();
    change(&mut member);
    put(world, at, member.encode());
}

#[test]
fn an_undamaged_store_has_nothing_to_tell() {
    let mut world = world();
    assert!(begin(&mut world).is_empty());
    world.say("alice", "im/to/@bob", "hi");
    world.say("alice", "im/to/eng", "hi");
    world.ask("bob", "sync", r#"{"since":"0-","states":true}"#);
    world.ask("bob", "conversations", "");
    world.ask("bob", "members", r#"{"conv":"eng"}"#);
    assert_eq!(world.disk.damaged.take(), [""; 0]);
}

#[test]
fn without_accounts_tokens_and_the_clock_of_positions_nothing_begins() {
    let mut world = world();
    let token = key::token(&[7; 32]);
    put(&mut world, token, b"x".to_vec());
    assert!(
        refused(&world).starts_with("token 0707"),
        "{}",
        refused(&world)
    );
    for (table, named) in [
        (Table::Account, "account 1: account is cut short at 1 bytes"),
        (
            Table::Meta,
            "fact \"positions/4f\": key of table Meta is malformed: 1 bytes",
        ),
    ] {
        let mut world = self::world();
        let first = world.disk.in_range(table.range()).next();
        let (at, value) = first.map(|(at, value)| (at.to_vec(), value)).unwrap();
        put(&mut world, at, value[..1].to_vec());
        assert_eq!(refused(&world), named);
    }
    // Every later entry would have the same place.
    let at = key::positions(PartitionId::new(0));
    put(&mut world, at, key::encode_number(u64::MAX));
    take(&mut world, &key::token(&[7; 32]));
    assert!(refused(&world).ends_with("that no server has counted to"));
}

#[test]
fn two_accounts_of_one_name_and_numbers_beyond_all_counting_are_refused() {
    let mut world = world();
    let alice = world.disk.keys[&key::account(AccountId::new(1))].clone();
    put(&mut world, key::account(AccountId::new(9)), alice.clone());
    assert_eq!(
        refused(&world),
        "account 9: another account has the same name"
    );
    // The next account would get the same number, and everything that is its.
    take(&mut world, &key::account(AccountId::new(9)));
    take(&mut world, &key::account(AccountId::new(1)));
    put(&mut world, key::account(AccountId::MAX), alice);
    let number = u64::MAX;
    assert_eq!(
        refused(&world),
        format!("account {number}: it names a number that no server has counted to")
    );
}

#[test]
fn what_cannot_be_read_of_a_conversation_refuses_what_needs_it_and_harms_no_other() {
    let world = self::world();
    let id = chat_of(&world);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let rows = [
        (
            key::conversation(id),
            format!("conversation {id}: conversation is cut short at 1 bytes"),
        ),
        (
            key::member(id, bob),
            format!("member {bob} of conversation {id}: member is cut short at 1 bytes"),
        ),
        (
            key::pair_address(alice, bob),
            format!(
                "address of accounts {alice} and {bob}: key of table Address is malformed: 1 bytes"
            ),
        ),
    ];
    for (at, named) in rows {
        let mut world = self::world();
        let value = take(&mut world, &at);
        put(&mut world, at, value[..1].to_vec());
        assert_eq!(told_when_needed(&mut world), named);
    }
    // A key that is none.
    let mut world = self::world();
    put(
        &mut world,
        [&key::member(id, bob)[..], b"x"].concat(),
        Vec::new(),
    );
    assert!(told_when_needed(&mut world).contains("is malformed"));
    // Numbers and places that were never given: later ones could not be told from them.
    for (seq, pos) in [(Seq::new(4), Pos::MAX), (Seq::MAX, Pos::new(1))] {
        let mut world = self::world();
        put(&mut world, key::entry(id, seq, pos), Vec::new());
        let told = told_when_needed(&mut world);
        assert!(told.ends_with("that no server has counted to"), "{told}");
    }
}

#[test]
fn a_number_that_was_never_given_stops_its_partition_and_no_other() {
    let mut world = world();
    let partition = PartitionId::of_group("new");
    let id = ConversationId::in_partition(partition, (1 << 40) - 1);
    put(&mut world, key::conversation(id), Vec::new());
    begin(&mut world);
    let answer = world.ask("alice", "group.create", r#"{"slug":"new"}"#);
    assert_eq!(answer["error"], "unavailable");
    let told = world.disk.damaged.take();
    assert!(
        told[0].ends_with("that no server has counted to"),
        "{told:?}"
    );
    assert_eq!(
        world.ask("alice", "group.create", r#"{"slug":"other"}"#)["conv"],
        "other"
    );
}

#[test]
fn a_damaged_entry_is_left_out_and_what_stands_beside_it_is_served() {
    let mut world = world();
    let id = chat_of(&world);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = world
        .disk
        .in_range(key::entries(id))
        .map(|(at, value)| (at.to_vec(), value.to_vec()))
        .collect();
    let (at, sound) = rows[1].clone();
    let other = rows[2].1.clone();
    let no_json = [&sound[..sound.len() - 1], b"!"].concat();
    let no_text = [&sound[..sound.len() - 2], b"\xFF}"].concat();
    for value in [sound[..9].to_vec(), no_json, no_text, other, Vec::new()] {
        put(&mut world, at.clone(), value);
        assert!(
            begin(&mut world).is_empty(),
            "no entry is read at the start"
        );
        assert_eq!(texts(&mut world, "bob", "@alice"), ["one", "three"]);
        let told = world.disk.damaged.take();
        assert!(
            told[0].starts_with("entry ") && told[0].contains(&format!("of conversation {id}: ")),
            "{told:?}"
        );
        let bob = world.device("bob");
        let caught_up = world.catch_up(bob, Pos::ZERO);
        let texts = caught_up
            .packets
            .iter()
            .filter(|(topic, _)| topic == "im/in/@alice");
        assert_eq!((texts.count(), caught_up.more), (2, false));
        let synced = world.ask("bob", "sync", r#"{"since":"0-"}"#);
        // And of the group that it began, and a message.
        assert_eq!(synced["entries"].as_array().unwrap().len(), 4);
        world.say("bob", "im/to/@alice/read", r#"{"seq":3}"#);
    }
    // Page by page, too.
    let page = world.ask("bob", "history", r#"{"conv":"@alice","limit":2}"#);
    assert_eq!(page["more"], true);
    let before = format!(r#"{{"conv":"@alice","before":{}}}"#, page["next"]);
    let page = world.ask("bob", "history", &before);
    assert_eq!(page["entries"][0]["text"], "one");
}

#[test]
fn a_key_that_is_none_does_not_hide_what_stands_behind_it() {
    let mut world = world();
    let mut at = key::entry(chat_of(&world), Seq::new(1), Pos::new(1));
    at.push(0);
    put(&mut world, at, b"x".to_vec());
    begin(&mut world);
    let mut seen = Vec::new();
    let mut since = "0-".to_owned();
    for _ in 0..3 {
        let asked = format!(r#"{{"since":"{since}","limit":1}}"#);
        let page = world.ask("bob", "sync", &asked);
        seen.push(page["entries"][0]["seq"].as_u64());
        since = page["cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, [Some(1), Some(2), Some(3)]);
}

#[test]
fn the_place_of_a_lost_entry_is_not_given_again() {
    let mut world = world();
    let id = chat_of(&world);
    let newest = world.disk.in_range(key::entries(id)).next_back().unwrap();
    let at = newest.0.to_vec();
    let (_, _, pos) = key::parse_entry(&at).unwrap();
    take(&mut world, &at);
    begin(&mut world);
    world.say("bob", "im/to/@alice", "again three");
    // How far the two have read was put back.
    assert!(!world.disk.damaged.take().is_empty());
    let page = world.ask("bob", "history", r#"{"conv":"@alice","limit":1}"#);
    assert_eq!(page["entries"][0]["seq"], 3);
    let given: Pos = page["entries"][0]["pos"].as_str().unwrap().parse().unwrap();
    assert!(given > pos);
    // Whoever has got the lost one gets the new one, too.
    let asked = format!(r#"{{"since":"{pos}-"}}"#);
    let synced = world.ask("alice", "sync", &asked);
    let texts = synced["entries"].as_array().unwrap().iter();
    assert!(
        texts
            .into_iter()
            .any(|entry| entry["text"] == "again three")
    );
}

#[test]
fn what_is_remembered_of_a_mid_is_believed_only_if_the_message_is_there() {
    let mut world = world();
    let first = world.disk.in_range(Table::Dedup.range()).next();
    let (at, value) = first.map(|(at, value)| (at.to_vec(), value)).unwrap();
    let mut dedup = Dedup::decode(&value).unwrap();
    dedup.seq = Seq::new(77);
    for value in [dedup.encode(), b"x".to_vec()] {
        put(&mut world, at.clone(), value);
        begin(&mut world);
        let refusal = world.refused("alice", "im/to/@bob", r#"{"mid":"m","text":"one"}"#);
        assert_eq!(refusal.code, "unavailable");
        assert_eq!(world.disk.damaged.take().len(), 1);
        assert_eq!(texts(&mut world, "bob", "@alice").len(), 3);
        world.say("alice", "im/to/@bob/read", r#"{"seq":3}"#);
    }
}

#[test]
fn a_direct_chat_is_read_by_nobody_but_the_two() {
    let told = |id| format!("conversation {id}: it is a direct chat whose members are not its two");
    // carol is a member, or one of the two is none.
    for member in [Some("carol"), None] {
        let mut world = world();
        let id = chat_of(&world);
        let at = key::member(id, world.id("bob"));
        let row = take(&mut world, &at);
        if let Some(name) = member {
            let other = world.id(name);
            put(&mut world, key::member(id, other), row);
        }
        assert_eq!(told_when_needed(&mut world), told(id));
    }
    // carol's list says that it is hers.
    let mut world = world();
    let (id, bob, carol) = (chat_of(&world), world.id("bob"), world.id("carol"));
    let row = Joined::decode(&world.disk.keys[&key::joined(bob, id)]).unwrap();
    put(&mut world, key::joined(carol, id), row.encode());
    begin(&mut world);
    let device = world.device("carol");
    let packets = world.catch_up(device, Pos::ZERO).packets;
    assert!(packets.iter().all(|(topic, _)| topic.contains("/eng")));
    let synced = world.ask("carol", "sync", r#"{"since":"0-"}"#).to_string();
    let listed = world.ask("carol", "conversations", "").to_string();
    for text in ["one", "two", "three"] {
        assert!(!synced.contains(text) && !listed.contains(text), "{text}");
    }
    let told = world.disk.damaged.take();
    let named = format!("conversation {id} of account {carol}: it is a member of");
    assert!(told[0].starts_with(&named), "{told:?}");
    assert!(texts(&mut world, "carol", "@alice").is_empty());
}

#[test]
fn an_address_that_leads_elsewhere_is_not_believed() {
    // The chat's record says that it is carol's.
    let mut world = world();
    let (id, carol) = (chat_of(&world), world.id("carol"));
    let at = key::conversation(id);
    let mut record = Conversation::decode(&world.disk.keys[&at]).unwrap();
    record.kind = ConversationKind::Direct {
        low: world.id("alice"),
        high: carol,
    };
    put(&mut world, at, record.encode());
    let told = told_when_needed(&mut world);
    assert!(told.ends_with("members are not its two"), "{told}");
    assert!(texts(&mut world, "carol", "@alice").is_empty());
    world.say("carol", "im/to/@alice", "their own");
    assert_eq!(texts(&mut world, "alice", "@carol"), ["their own"]);
    // Another group claims the slug of eng: an acknowledgement of its message brings it to memory, and no more.
    let mut world = self::world();
    world.ask("bob", "group.create", r#"{"slug":"ops"}"#);
    let (eng, ops) = (world.conversation("eng"), world.conversation("ops"));
    let record = world.disk.keys[&key::conversation(eng)].clone();
    put(&mut world, key::conversation(ops), record);
    begin(&mut world);
    let account = world.id("bob");
    world.handle(chat::Input::Received {
        account,
        conversation: ops,
        seq: Seq::new(1),
    });
    let told = world.disk.damaged.take();
    let named = format!("conversation {ops}: its address leads to another");
    assert!(told[0].starts_with(&named), "{told:?}");
    world.say("alice", "im/to/eng", "goes on");
    assert_eq!(texts(&mut world, "carol", "eng"), ["all", "goes on"]);
    assert_eq!(world.refused("bob", "im/to/ops", "hi").code, "unavailable");
}

#[test]
fn the_number_of_a_lost_account_is_not_given_to_another_one() {
    let mut world = world();
    let carol = world.id("carol");
    world.say("carol", "im/to/@alice", "for alice alone");
    take(&mut world, &key::account(carol));
    world.restart();
    assert!(world.add("dave") > carol);
}

#[test]
fn the_place_of_a_lost_conversation_is_not_given_to_another_one() {
    let mut world = world();
    let eng = world.conversation("eng");
    // Its address is free, if that is lost as well.
    take(&mut world, &key::conversation(eng));
    begin(&mut world);
    let answer = world.ask("carol", "group.create", r#"{"slug":"eng"}"#);
    assert_eq!(answer["error"], "unavailable");
    take(&mut world, &key::group_address("eng"));
    world.ask("carol", "group.create", r#"{"slug":"eng"}"#);
    assert_ne!(world.conversation("eng"), eng);
    world.say("carol", "im/to/eng", "first");
    assert_eq!(texts(&mut world, "carol", "eng"), ["first"]);
    // In the list of those who were in it, it stands no more.
    let listed = world.ask("bob", "conversations", "");
    let listed: Vec<_> = listed["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["conv"].clone())
        .collect();
    assert_eq!(listed, ["@alice"]);
}

#[test]
fn a_marker_beyond_the_last_message_is_put_back() {
    let mut world = world();
    let (id, bob) = (chat_of(&world), world.id("bob"));
    change_member(&mut world, bob, |member| member.read = Seq::new(1 << 40));
    assert!(begin(&mut world).is_empty());
    world.say("alice", "im/to/@bob", "four");
    assert_eq!(
        world.disk.damaged.take(),
        [format!(
            "member {bob} of conversation {id}: it has read messages that are not there"
        )]
    );
    world.say("bob", "im/to/@alice/read", r#"{"seq":4}"#);
    let listed = world.ask("bob", "conversations", "{}");
    assert_eq!(listed["conversations"][0]["unread_count"], 0);
}

#[test]
fn a_damaged_row_of_a_list_is_left_out_and_told() {
    let mut world = world();
    let (id, bob) = (chat_of(&world), world.id("bob"));
    put(&mut world, key::joined(bob, id), b"x".to_vec());
    put(&mut world, key::usage(bob), b"x".to_vec());
    begin(&mut world);
    let listed = world.ask("bob", "conversations", "{}");
    assert_eq!(listed["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(listed["conversations"][0]["conv"], "eng");
    assert!(!world.disk.damaged.take().is_empty());
    // The chat itself goes on.
    world.say("alice", "im/to/@bob", "four");
    let told = world.disk.damaged.take();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(world.texts("bob", "@alice"), ["four"]);
    // What bob has stored counts on from nothing.
    world.say("bob", "im/to/@alice", "five");
    let told = world.disk.damaged.take();
    assert!(
        told.iter()
            .any(|told| told.starts_with("usage of account 2: "))
    );
    // A member is left out of the group's.
    let mut world = self::world();
    let eng = world.conversation("eng");
    put(&mut world, key::member(eng, bob), b"x".to_vec());
    begin(&mut world);
    let answer = world.ask("alice", "members", r#"{"conv":"eng"}"#);
    assert_eq!(answer["members"].as_array().unwrap().len(), 2);
    assert_eq!(world.disk.damaged.take().len(), 1);
}

#[test]
fn a_place_in_a_list_may_say_another_name_and_no_more() {
    let mut world = world();
    let (id, bob) = (chat_of(&world), world.id("bob"));
    let at = key::joined(bob, id);
    let mut row = Joined::decode(&take(&mut world, &at)).unwrap();
    row.place = Place::Direct {
        peer: AccountId::new(77),
    };
    put(&mut world, at, row.encode());
    begin(&mut world);
    let device = world.device("bob");
    world.subscribe(device, "im/#");
    let bobs = world.ask("bob", "sync", r#"{"since":"0-"}"#);
    let entries = bobs["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["conv"] == "eng"), "{bobs}");
    world.say("alice", "im/to/@bob", "four");
    assert_eq!(world.texts("bob", "@alice"), ["four"]);
}

#[test]
fn an_entry_is_an_event_or_has_a_number() {
    let world = world();
    let (_, value) = world
        .disk
        .in_range(Table::Entry.range())
        .next_back()
        .unwrap();
    let mut entry = Entry::decode(&value).unwrap();
    assert_eq!(parse(&entry.wire)["kind"], "message");
    entry.seq = None;
    let told = Entry::decode(&entry.encode().into()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "entry is malformed: a message without a number"
    );
}
