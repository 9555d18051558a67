//! What holds whatever happens: numbers without gaps, deliveries in order, nothing told before it is on disk, the same mid one
//! message, and the same messenger after a crash.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use records::{ConversationId, Entry, Pos, Table};
use serde_json::{Value, json};

use crate::world::World;

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Debug, Clone)]
enum Step {
    Send {
        from: usize,
        to: usize,
        mid: Option<u8>,
    },
    SendGroup {
        from: usize,
        mid: Option<u8>,
    },
    Join {
        who: usize,
    },
    Leave {
        who: usize,
    },
    Read {
        who: usize,
        of: usize,
        seq: u64,
    },
    Acknowledge {
        who: usize,
    },
    Profile {
        who: usize,
    },
    Commit,
    Pass {
        millis: u64,
    },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    let mid = || proptest::option::of(0..4_u8);
    prop_oneof![
        6 => (who.clone(), who.clone(), mid()).prop_map(|(from, to, mid)| Step::Send { from, to, mid }),
        6 => (who.clone(), mid()).prop_map(|(from, mid)| Step::SendGroup { from, mid }),
        1 => who.clone().prop_map(|who| Step::Join { who }),
        1 => who.clone().prop_map(|who| Step::Leave { who }),
        2 => (who.clone(), who.clone(), 1..5_u64).prop_map(|(who, of, seq)| Step::Read { who, of, seq }),
        2 => who.clone().prop_map(|who| Step::Acknowledge { who }),
        1 => who.prop_map(|who| Step::Profile { who }),
        8 => Just(Step::Commit),
        3 => (0..3_000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Crash),
    ]
}

/// A world that holds its appends back, with a group of everybody.
fn world() -> World {
    let mut world = World::of(&NAMES);
    world.ask(
        "alice",
        "group.create",
        r#"{"slug":"eng","open":true,"accounts":["bob","carol"]}"#,
    );
    world.forget_inboxes();
    world.holding = true;
    world
}

fn connect_all(world: &mut World) {
    for name in NAMES {
        let device = world.connect(name);
        world.subscribe(device, "im/#");
    }
    world.holding = true;
}

fn take(world: &mut World, step: &Step) {
    let appends = world.appends;
    let mut publish = |who: usize, topic: String, payload: String| {
        world.publish(who, &topic, payload);
    };
    let message = |mid: &Option<u8>| match mid {
        Some(mid) => json!({"text": "hi", "mid": format!("m{mid}")}).to_string(),
        None => "hi".to_owned(),
    };
    match step {
        Step::Send { from, to, mid } => {
            publish(*from, format!("im/to/@{}", NAMES[*to]), message(mid))
        }
        Step::SendGroup { from, mid } => publish(*from, "im/to/eng".to_owned(), message(mid)),
        Step::Join { who } => publish(
            *who,
            "im/ask/group.join".to_owned(),
            r#"{"conv":"eng"}"#.to_owned(),
        ),
        Step::Leave { who } => publish(
            *who,
            "im/ask/group.leave".to_owned(),
            r#"{"conv":"eng"}"#.to_owned(),
        ),
        Step::Read { who, of, seq } => {
            let payload = json!({"seq": seq}).to_string();
            publish(*who, format!("im/to/@{}/read", NAMES[*of]), payload);
        }
        Step::Acknowledge { who } => world.acknowledge(NAMES[*who]),
        Step::Profile { who } => {
            let payload = json!({"display": format!("n{appends}")}).to_string();
            publish(*who, "im/ask/profile.set".to_owned(), payload);
        }
        Step::Commit => drop(world.commit_one()),
        Step::Pass { millis } => world.pass(*millis),
        Step::Crash => {
            world.restart();
            connect_all(world);
        }
    }
}

/// Every stored entry, in the order of its table.
fn entries(world: &World) -> Vec<Entry> {
    world
        .disk
        .in_range(Table::Entry.range())
        .map(|(_, value)| Entry::decode(&value).unwrap())
        .collect()
}

fn check_store(world: &World) -> Result<(), TestCaseError> {
    let mut numbers: BTreeMap<ConversationId, u64> = BTreeMap::new();
    let mut positions = BTreeSet::new();
    let mut mids = BTreeSet::new();
    for (key, value) in world.disk.in_range(Table::Entry.range()) {
        let (conversation, _, _) = records::key::parse_entry(key).unwrap();
        let entry = Entry::decode(&value).unwrap();
        prop_assert!(positions.insert(entry.pos), "a position was given twice");
        let wire: Value = serde_json::from_slice(&entry.wire).unwrap();
        prop_assert_eq!(wire["pos"].as_str().unwrap(), entry.pos.to_string());
        let Some(seq) = entry.seq else { continue };
        let last = numbers.entry(conversation).or_default();
        *last += 1;
        prop_assert_eq!(seq.value(), *last, "numbers have a gap");
        prop_assert_eq!(wire["seq"].as_u64(), Some(seq.value()));
        if let Some(mid) = wire["mid"].as_str() {
            prop_assert!(
                mids.insert((conversation, entry.from, mid.to_owned())),
                "a mid was taken twice"
            );
        }
    }
    Ok(())
}

/// What has reached the devices since the last look: everything in order, once, and on disk.
fn check_told(
    world: &mut World,
    seen: &mut BTreeMap<(usize, String), u64>,
) -> Result<(), TestCaseError> {
    let stored: BTreeSet<String> = world.disk.ever.iter().map(Pos::to_string).collect();
    for device in 0..world.devices.len() {
        for (topic, payload) in world.take_from(device, "im/#") {
            if topic.starts_with("im/text/") {
                continue;
            }
            // How a conversation is that was left.
            if payload.is_empty() && topic.starts_with("im/about/") {
                continue;
            }
            let told: Value = serde_json::from_slice(&payload).unwrap();
            if let Some(pos) = told["pos"].as_str().filter(|pos| *pos != "0") {
                prop_assert!(
                    stored.contains(pos),
                    "{topic} {told} was told before it was on disk"
                );
            }
            let level = topic.split('/').nth(2).unwrap_or_default().to_owned();
            if topic == format!("im/in/{level}") {
                let seq = told["seq"].as_u64().unwrap();
                let last = seen.entry((device, level)).or_default();
                prop_assert!(seq > *last, "{topic} {seq} after {last}");
                *last = seq;
            }
        }
    }
    Ok(())
}

/// Everything an account can see, but for cursors, which begin anew after a crash.
fn view(world: &mut World, name: &str) -> Vec<Value> {
    let plain = |mut answer: Value| {
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("cursor");
        }
        answer
    };
    let mut view = vec![plain(world.ask(name, "conversations", ""))];
    let convs: Vec<String> = view[0]["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["conv"].as_str().unwrap().to_owned())
        .collect();
    for conv in convs {
        let asked = json!({"conv": conv}).to_string();
        for method in ["members", "history"] {
            world.pass(100);
            view.push(world.ask(name, method, &asked));
        }
    }
    view.push(plain(world.ask(name, "sync", r#"{"since":"0-"}"#)));
    view.push(world.ask(name, "profile.get", ""));
    view
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn order_and_numbers_hold_and_nothing_is_told_early(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = world();
        let mut seen = BTreeMap::new();
        for step in &steps {
            take(&mut world, step);
            if matches!(step, Step::Crash) {
                seen.clear();
            }
            check_told(&mut world, &mut seen)?;
        }
        world.commit();
        check_told(&mut world, &mut seen)?;
        check_store(&world)?;
    }

    #[test]
    fn every_member_gets_every_message_once_and_acknowledged_is_stored(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = world();
        let mut got: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let steps = steps
            .iter()
            .filter(|step| !matches!(step, Step::Crash | Step::Leave { .. } | Step::Join { .. }));
        for step in steps {
            take(&mut world, step);
        }
        world.commit();
        for device in 0..NAMES.len() {
            let messages = world.take_from(device, "im/in/+");
            let positions = messages
                .iter()
                .map(|(_, payload)| serde_json::from_slice::<Value>(payload).unwrap()["pos"].as_str().unwrap().to_owned());
            got.insert(device, positions.collect());
            prop_assert!(world.devices[device].acks.values().all(|ack| ack.is_ok() || ack.is_err()));
        }
        for (device, got) in got {
            let account = world.devices[device].account;
            let expected: Vec<String> = {
                let mut mine: Vec<_> = entries_of(&world, account);
                mine.sort();
                mine.into_iter().map(|pos| Pos::new(pos).to_string()).collect()
            };
            prop_assert_eq!(got, expected);
        }
        let counted = world.chat.counters().messages;
        let stored = entries(&world).iter().filter(|entry| entry.seq.is_some()).count();
        prop_assert_eq!(counted, stored as u64);
    }

    #[test]
    fn after_a_crash_everybody_sees_the_same(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = world();
        for step in &steps {
            take(&mut world, step);
        }
        world.commit();
        world.pass(60_000);
        let committed = world.chat.committed_pos();
        let before = NAMES.map(|name| view(&mut world, name));
        world.restart();
        connect_all(&mut world);
        world.holding = false;
        let after = NAMES.map(|name| view(&mut world, name));
        prop_assert_eq!(before, after);
        prop_assert!(world.chat.committed_pos() >= committed);
        prop_assert!(committed >= *world.disk.ever.last().unwrap());
    }
}

/// Positions of the messages in conversations an account is in.
fn entries_of(world: &World, account: records::AccountId) -> Vec<u64> {
    world
        .disk
        .in_range(Table::Entry.range())
        .filter(|(key, _)| {
            let (conversation, _, _) = records::key::parse_entry(key).unwrap();
            let member = records::key::member(conversation, account);
            world.disk.keys.contains_key(&member)
        })
        .map(|(_, value)| Entry::decode(&value).unwrap())
        .filter(|entry| entry.seq.is_some())
        .map(|entry| entry.pos.value())
        .collect()
}
