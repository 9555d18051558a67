//! Rows that can be read, and say what this program has not written there; or that are not there. The store's sums have not
//! noticed. What is refused is told when the messenger begins, what is left out is told too, and nobody gets what is another's.

use chat::Settings;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Entry, Member, Pos, Seq, Table, key,
};

use crate::world::World;

const CHAT: ConversationId = ConversationId::new(1);

/// alice and bob have talked, carol listens.
fn world() -> World {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@bob", r#"{"mid":"m","text":"one"}"#);
    world.say("bob", "im/to/@alice", "two");
    world.say("alice", "im/to/@bob", "three");
    world
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
        world.subscribe(device, "im/#");
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
        .map(|entry| entry["text"].as_str().unwrap().to_owned())
        .collect()
}

fn change_member(world: &mut World, account: AccountId, change: impl FnOnce(&mut Member)) {
    let at = key::member(CHAT, account);
    let mut member = Member::decode(&take(world, &at)).unwrap();
    change(&mut member);
    put(world, at, member.encode());
}

#[test]
fn an_undamaged_store_has_nothing_to_tell() {
    assert!(begin(&mut world()).is_empty());
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    for (table, named) in [
        (Table::Account, "account 1: account is cut short at 1 bytes"),
        (
            Table::Conversation,
            "conversation 1: conversation is cut short at 1 bytes",
        ),
        (
            Table::Member,
            "member 1 of conversation 1: member is cut short at 1 bytes",
        ),
    ] {
        let mut world = world();
        let first = world.disk.in_range(table.range()).next();
        let (at, value) = first.map(|(at, value)| (at.to_vec(), value)).unwrap();
        put(&mut world, at, value[..1].to_vec());
        assert_eq!(refused(&world), named);
    }
    let mut world = world();
    put(&mut world, vec![Table::Member as u8, 7], Vec::new());
    assert_eq!(
        refused(&world),
        "key 2107: key of table Member is malformed: 2 bytes"
    );
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
    // Every later entry would have the same place.
    let mut world = self::world();
    put(&mut world, key::entry(CHAT, Pos::MAX), Vec::new());
    assert!(refused(&world).starts_with("entry ffffffffffffffff of conversation 1: "));
    let mut world = self::world();
    put(&mut world, key::seq(CHAT, Seq::MAX), Vec::new());
    assert!(refused(&world).ends_with("that no server has counted to"));
}

#[test]
fn a_damaged_entry_is_left_out_and_what_stands_beside_it_is_served() {
    let mut world = world();
    let second = world.disk.keys[&key::seq(CHAT, Seq::new(2))].clone();
    let at = key::entry(CHAT, key::decode_pos(&second).unwrap());
    let sound = world.disk.keys[&at].clone();
    let third = key::decode_pos(&world.disk.keys[&key::seq(CHAT, Seq::new(3))]).unwrap();
    let other = world.disk.keys[&key::entry(CHAT, third)].clone();
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
            told[0].starts_with("entry 2 of conversation 1: "),
            "{told:?}"
        );
        let bob = world.device("bob");
        let caught_up = world.catch_up(bob, Pos::ZERO);
        assert_eq!((caught_up.packets.len(), caught_up.more), (4, false));
        let synced = world.ask("bob", "sync", r#"{"since":"0"}"#);
        assert_eq!(synced["entries"].as_array().unwrap().len(), 2);
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
    let mut at = key::entry(CHAT, Pos::new(1));
    at.push(0);
    put(&mut world, at, b"x".to_vec());
    begin(&mut world);
    let mut seen = Vec::new();
    let mut since = "0".to_owned();
    for _ in 0..3 {
        let page = world.ask(
            "bob",
            "sync",
            &format!(r#"{{"since":"{since}","limit":1}}"#),
        );
        seen.push(page["entries"][0]["seq"].as_u64());
        since = page["pos"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_number_whose_row_is_lost_is_not_given_again() {
    let mut world = world();
    take(&mut world, &key::seq(CHAT, Seq::new(3)));
    assert_eq!(
        begin(&mut world),
        ["number 3 of conversation 1: it is missing, though its message is there"]
    );
    world.say("bob", "im/to/@alice", "four");
    let page = world.ask("bob", "history", r#"{"conv":"@alice"}"#);
    assert_eq!(page["entries"][3]["seq"], 4);
}

#[test]
fn the_place_of_a_lost_entry_is_not_given_again() {
    let mut world = world();
    let committed = world.chat.committed_pos();
    take(&mut world, &key::entry(CHAT, committed));
    begin(&mut world);
    assert_eq!(world.chat.committed_pos(), committed);
    world.say("bob", "im/to/@alice", "four");
    let bob = world.device("bob");
    // One message, in two packets.
    assert_eq!(world.catch_up(bob, committed).packets.len(), 2);
}

#[test]
fn a_number_that_leads_to_another_message_is_not_believed() {
    let mut world = world();
    let first = world.disk.keys[&key::seq(CHAT, Seq::new(1))].clone();
    put(&mut world, key::seq(CHAT, Seq::new(3)), first);
    begin(&mut world);
    // Lists go without, and a page is not counted from there.
    let listed = world.ask("bob", "conversations", "{}");
    assert!(listed["conversations"][0]["head"].is_null(), "{listed}");
    let page = world.ask("bob", "history", r#"{"conv":"@alice","before":3}"#);
    assert_eq!(page["error"], "unavailable");
    assert_eq!(
        world.disk.damaged.take()[0],
        "number 3 of conversation 1: no message of this number stands there"
    );
    assert_eq!(texts(&mut world, "bob", "@alice"), ["one", "two", "three"]);
}

#[test]
fn what_is_remembered_of_a_mid_is_believed_only_if_the_message_is_there() {
    let mut world = world();
    let (at, value) = world
        .disk
        .in_range(Table::Dedup.range())
        .next()
        .map(|(at, value)| (at.to_vec(), value))
        .unwrap();
    let mut dedup = records::Dedup::decode(&value).unwrap();
    dedup.seq = Seq::new(77);
    put(&mut world, at, dedup.encode());
    begin(&mut world);
    let refusal = world.refused("alice", "im/to/@bob", r#"{"mid":"m","text":"one"}"#);
    assert_eq!(refusal.code, "unavailable");
    assert_eq!(texts(&mut world, "bob", "@alice").len(), 3);
}

#[test]
fn a_direct_chat_is_read_by_nobody_but_the_two() {
    // carol is a member.
    let mut world = world();
    let (bob, carol) = (world.id("bob"), world.id("carol"));
    let member = take(&mut world, &key::member(CHAT, bob));
    put(&mut world, key::member(CHAT, carol), member);
    assert_eq!(
        begin(&mut world),
        ["conversation 1: it is a direct chat whose members are not its two"]
    );
    let device = world.device("carol");
    assert!(world.catch_up(device, Pos::ZERO).packets.is_empty());
    // carol is one of the two.
    let mut world = self::world();
    let at = key::conversation(CHAT);
    let mut record = Conversation::decode(&world.disk.keys[&at]).unwrap();
    record.kind = ConversationKind::Direct {
        low: world.id("alice"),
        high: carol,
    };
    put(&mut world, at, record.encode());
    begin(&mut world);
    assert!(texts(&mut world, "carol", "@alice").is_empty());
    // Whose it was begins anew, and that survives the next start.
    world.say("alice", "im/to/@bob", "again");
    begin(&mut world);
    assert_eq!(texts(&mut world, "bob", "@alice"), ["again"]);
}

#[test]
fn a_direct_chat_that_has_lost_a_member_might_be_anybodys() {
    // What alice has noted for herself reads like a chat with carol that has lost its second member.
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.say("alice", "im/to/@alice", "a note");
    let at = key::conversation(CHAT);
    let mut record = Conversation::decode(&world.disk.keys[&at]).unwrap();
    record.kind = ConversationKind::Direct {
        low: world.id("alice"),
        high: world.id("carol"),
    };
    put(&mut world, at, record.encode());
    assert_eq!(
        begin(&mut world),
        ["conversation 1: it is a direct chat whose members are not its two"]
    );
    let device = world.device("carol");
    assert!(world.catch_up(device, Pos::ZERO).packets.is_empty());
    assert!(texts(&mut world, "carol", "@alice").is_empty());
}

#[test]
fn two_direct_chats_of_the_same_two_are_not_taken_for_one() {
    let mut world = world();
    let first = world.disk.keys[&key::conversation(CHAT)].clone();
    let other = ConversationId::new(7);
    put(&mut world, key::conversation(other), first);
    for name in ["alice", "bob"] {
        let id = world.id(name);
        let member = world.disk.keys[&key::member(CHAT, id)].clone();
        put(&mut world, key::member(other, id), member);
    }
    let told = begin(&mut world);
    let rival = "conversation 7: the same two accounts have another direct chat";
    assert_eq!(told.last().map(String::as_str), Some(rival));
    assert_eq!(texts(&mut world, "bob", "@alice").len(), 3);
}

#[test]
fn the_number_of_a_lost_account_is_not_given_to_another_one() {
    let mut world = world();
    let carol = world.id("carol");
    world.say("carol", "im/to/@alice", "for alice alone");
    take(&mut world, &key::account(carol));
    world.restart();
    let told = world.disk.damaged.take();
    assert!(
        told[0].ends_with("an account of it does not exist"),
        "{told:?}"
    );
    assert!(world.add("dave") > carol);
}

#[test]
fn the_place_of_a_lost_conversation_is_not_given_to_another_one() {
    let mut world = world();
    let committed = world.chat.committed_pos();
    take(&mut world, &key::conversation(CHAT));
    let told = begin(&mut world);
    assert!(
        told.contains(&"entry 1 of conversation 1: its conversation does not exist".to_owned()),
        "{told:?}"
    );
    assert_eq!(world.chat.committed_pos(), committed);
    world.ask("carol", "group.create", r#"{"slug":"eng"}"#);
    world.say("carol", "im/to/eng", "first");
    let page = world.ask("carol", "history", r#"{"conv":"eng"}"#);
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "hers, and that she came");
}

#[test]
fn a_marker_beyond_the_last_message_is_put_back() {
    let mut world = world();
    let bob = world.id("bob");
    change_member(&mut world, bob, |member| member.read = Seq::new(1 << 40));
    assert_eq!(
        begin(&mut world),
        ["member 2 of conversation 1: it has read messages that are not there"]
    );
    world.say("alice", "im/to/@bob", "four");
    let listed = world.ask("bob", "conversations", "{}");
    assert_eq!(listed["conversations"][0]["unread"], 1);
}

#[test]
fn an_entry_is_an_event_or_has_a_number() {
    let world = world();
    let (_, value) = world.disk.in_range(Table::Entry.range()).next().unwrap();
    let mut entry = Entry::decode(&value).unwrap();
    entry.seq = None;
    let told = Entry::decode(&entry.encode().into()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "entry is malformed: a message without a number"
    );
}
