//! Target `losses`: the messenger begins with rows of a life that has been, some of which are damaged, and goes on. If it does
//! not begin, it says why. What was not damaged is served; what was reaches nobody as something else, and nobody gets a place
//! that was another's.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat::{Audience, Delivery};
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Entry, Member, Pos, Table, Token,
    key,
};
use serde_json::Value;

use super::disk::Disk;
use super::faults::{self, Faults};
use super::history::{self, CONVERSATIONS, MID};
use super::world::World;
use super::{NAMES, steps};
use crate::allocations::most_held;
use crate::feed::Feed;

/// A start may hold so much, and as much again for every so many bytes of rows.
const MEMORY_MAX: usize = 3 * 1024 * 1024;
const MEMORY_PER_BYTE_MAX: usize = 64;
/// Pages until a conversation must have been read.
const PAGES_MAX: usize = 20;

/// What stood on disk before the damage.
struct Before {
    entries: BTreeMap<Pos, (ConversationId, Bytes)>,
    conversations: BTreeMap<ConversationId, ConversationKind>,
    members: BTreeMap<ConversationId, BTreeSet<AccountId>>,
    /// By device.
    accounts: Vec<AccountId>,
}

/// First comes what is added to the history, then the damage, then the steps of `messenger`.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World::new();
    history::live(&mut world, &mut feed);
    let before = Before::of(&world);
    let faults = faults::inflict(&mut world.disk, &mut feed);
    world.disk.told.set(0);
    let size: usize = world.disk.keys.values().map(|value| value.len() + 32).sum();
    let (begun, memory) = most_held(|| world.restart());
    assert!(
        memory <= MEMORY_MAX + size * MEMORY_PER_BYTE_MAX,
        "{memory} bytes for {size}"
    );
    if let Err(error) = begun {
        assert!(faults.count > 0, "{error}");
        assert!(error.to_string().contains(": "), "which row? {error}");
        return;
    }
    if faults.count == 0 {
        assert_eq!(world.disk.told.get(), 0, "nothing was damaged");
    }
    world.heard = Some(Vec::new());
    repeat(&mut world, &faults);
    for device in 0..NAMES.len() {
        before.check_served(&mut world, device, &faults);
        world.catch_up(device, 0);
        go_on(&mut world, device);
    }
    newcomer(&mut world);
    steps(&mut world, &mut feed);
    world.end();
    for delivery in world.heard.take().unwrap_or_default() {
        before.check_heard(&world, &delivery, &faults);
    }
    // What it has written since is no worse than what it found.
    world.restart().expect("it began with these rows before");
}

impl Before {
    fn of(world: &World) -> Self {
        let disk = &world.disk;
        let mut entries = BTreeMap::new();
        for (at, value) in disk.range(&Table::Entry.range()) {
            let (conversation, _, pos) = key::parse_entry(at).expect("a sound key");
            let entry = Entry::decode(&value).expect("a sound entry");
            entries.insert(pos, (conversation, entry.wire));
        }
        let mut conversations = BTreeMap::new();
        for (at, value) in disk.range(&Table::Conversation.range()) {
            let id = key::parse_conversation(at).expect("a sound key");
            let record = Conversation::decode(&value).expect("a sound conversation");
            conversations.insert(id, record.kind);
        }
        let mut members: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (at, value) in disk.range(&Table::Member.range()) {
            let (conversation, account) = key::parse_member(at).expect("a sound key");
            Member::decode(&value).expect("a sound member");
            members.entry(conversation).or_default().insert(account);
        }
        let accounts = (0..NAMES.len()).filter_map(|device| world.account(device));
        Self {
            entries,
            conversations,
            members,
            accounts: accounts.collect(),
        }
    }

    /// Every conversation of a device's account whose own rows are whole is there, but for damaged entries.
    fn check_served(&self, world: &mut World, device: usize, faults: &Faults) {
        for (id, members) in &self.members {
            let whole = !faults.conversations.contains(id)
                && members
                    .iter()
                    .all(|member| !faults.accounts.contains(member));
            if !whole || !members.contains(&self.accounts[device]) {
                continue;
            }
            // What a damaged record of another conversation says may come in between.
            if faults.count > 1 && !faults.spare_structure() {
                continue;
            }
            let read = read_all(world, device, &self.name(*id, device));
            let stored = self.entries.iter().filter(|(_, (owner, _))| owner == id);
            let stored = stored.map(|(pos, _)| *pos);
            let lost: Vec<Pos> = stored
                .filter(|pos| !faults.entries.contains(pos) && !read.contains(pos))
                .collect();
            assert!(lost.is_empty(), "{lost:?} of {id} are not served");
        }
    }

    /// What a device's account calls a conversation.
    fn name(&self, id: ConversationId, device: usize) -> String {
        match &self.conversations[&id] {
            ConversationKind::Group { slug, .. } => slug.to_string(),
            ConversationKind::Direct { low, high } => {
                let own = self.accounts[device];
                let peer = if *low == own { high } else { low };
                let peer = self.accounts.iter().position(|account| account == peer);
                format!("@{}", NAMES[peer.expect("three accounts are all")])
            }
            ConversationKind::Ended { .. } => unreachable!("it has no members"),
        }
    }

    fn check_heard(&self, world: &World, delivery: &Delivery, faults: &Faults) {
        let receivers: Vec<AccountId> = match &delivery.audience {
            Audience::Accounts(accounts) => accounts.to_vec(),
            Audience::Session(session) => {
                world.account(session.slot as usize).into_iter().collect()
            }
        };
        for packet in &delivery.packets {
            let conv = packet.topic.split('/').nth(2).unwrap_or_default();
            if packet.topic.starts_with("im/in/") || packet.topic.starts_with("im/about/") {
                assert!(
                    conv.len() > usize::from(conv.starts_with('@')),
                    "{packet:?}"
                );
            }
            let Ok(payload) = serde_json::from_slice::<Value>(&packet.payload) else {
                continue;
            };
            let mut told = Vec::new();
            entries_in(payload, &mut told);
            for entry in told {
                self.check_entry(&entry, &receivers, faults);
            }
        }
    }

    /// An entry that has gone out is the one that was stored, and goes to those it was for.
    fn check_entry(&self, entry: &Value, receivers: &[AccountId], faults: &Faults) {
        let Some(pos) = pos_of(entry) else {
            return;
        };
        let Some((conversation, wire)) = self.entries.get(&pos) else {
            return;
        };
        if faults.reworded.contains(&pos) {
            return;
        }
        let mut entry = entry.clone();
        if let Some(object) = entry.as_object_mut() {
            object.remove("conv");
        }
        let stored: Value = serde_json::from_slice(wire).expect("JSON goes out");
        assert!(entry.get("cut").is_some() || entry == stored, "{entry}");
        // Rows that agree with each other in a lie cannot be told from the truth.
        if let ConversationKind::Direct { low, high } = &self.conversations[conversation]
            && faults.count <= 1
            && !faults.entries.contains(&pos)
        {
            let outsider = receivers.iter().find(|one| *one != low && *one != high);
            assert!(outsider.is_none(), "{outsider:?} gets {entry}");
        }
    }
}

/// Everybody asks for everything, non-members as well, and writes and begins something.
fn go_on(world: &mut World, device: usize) {
    for conv in CONVERSATIONS {
        let asked = format!(r#"{{"conv":"{conv}"}}"#);
        world.publish(device, "im/ask/history", asked.as_bytes(), 1);
        world.publish(device, &format!("im/to/{conv}"), b"still here", 1);
    }
    let group = format!(r#"{{"slug":"new-{device}"}}"#);
    world.publish(device, "im/ask/group.create", group.as_bytes(), 1);
}

/// Positions of a conversation's history, page by page from its end.
fn read_all(world: &mut World, device: usize, conv: &str) -> BTreeSet<Pos> {
    let mut read = BTreeSet::new();
    let mut before = String::new();
    for _ in 0..PAGES_MAX {
        let asked = format!(r#"{{"conv":"{conv}","limit":7{before}}}"#);
        let mark = world.heard.as_ref().map_or(0, Vec::len);
        world.publish(device, "im/ask/history/page", asked.as_bytes(), 1);
        let answers = world.heard.as_ref().and_then(|heard| heard.get(mark..));
        let packets = answers.into_iter().flatten().flat_map(|one| &one.packets);
        let answer = packets
            .filter(|packet| &*packet.topic == "im/answer/page")
            .find_map(|packet| serde_json::from_slice::<Value>(&packet.payload).ok());
        let answer = answer.expect("a question is answered");
        let entries = answer["entries"].as_array();
        let entries = entries.unwrap_or_else(|| panic!("{conv} is not served: {answer}"));
        read.extend(entries.iter().filter_map(pos_of));
        if answer["more"] != true {
            return read;
        }
        before = format!(r#","before":{}"#, answer["next"]);
        // Questions are counted.
        world.pass(1_000);
    }
    panic!("{conv} has no end");
}

/// A message that is sent once more is the one that it was.
fn repeat(world: &mut World, faults: &Faults) {
    let topic = "im/to/@bob";
    world.publish(0, topic, br#"{"mid":"m1","text":"hi"}"#, 1);
    // What is remembered of it counts only while the message stands where that says.
    if faults.mids || !faults.entries.is_empty() || !faults.spare_structure() {
        return;
    }
    let heard = world.heard.as_deref().unwrap_or_default();
    let acks = heard.iter().flat_map(|one| &one.packets);
    let ack = acks
        .filter(|packet| *packet.topic == *format!("im/ack/{MID}"))
        .find_map(|packet| serde_json::from_slice::<Value>(&packet.payload).ok());
    let ack = ack.expect("it asks for an answer");
    assert_eq!(
        (&ack["ok"], &ack["seq"]),
        (&true.into(), &1.into()),
        "{ack}"
    );
}

/// An account that is new has a number that no row names.
fn newcomer(world: &mut World) {
    let named = accounts_in(&world.disk);
    world.add("dave");
    let id = world.id("dave");
    assert!(id.is_none_or(|id| !named.contains(&id)), "{id:?}");
}

fn accounts_in(disk: &Disk) -> BTreeSet<AccountId> {
    let mut named = BTreeSet::new();
    for (at, value) in &disk.keys {
        match Table::of(at) {
            Ok(Table::Account) => named.extend(key::parse_account(at)),
            Ok(Table::Token) => named.extend(Token::decode(value).map(|token| token.account)),
            Ok(Table::Joined) => named.extend(key::parse_joined(at).map(|(account, _)| account)),
            _ => {}
        }
    }
    named
}

/// Entries in what has gone out: objects that say what they are, with a position and a time. What people have added themselves is
/// theirs.
fn entries_in(value: Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(values) => {
            for value in values {
                entries_in(value, found);
            }
        }
        Value::Object(object)
            if ["kind", "pos", "at"]
                .iter()
                .all(|key| object.contains_key(*key)) =>
        {
            found.push(Value::Object(object));
        }
        Value::Object(object) => {
            for (_, value) in object {
                entries_in(value, found);
            }
        }
        _ => {}
    }
}

fn pos_of(entry: &Value) -> Option<Pos> {
    entry["pos"].as_str()?.parse().ok()
}
