//! What the shard does when too much waits on disk in the whole server.

use std::sync::Arc;

use broker::{Holder, Input, Pressure, Shed};
use mqtt_codec::Version::{V5, V311};
use records::{Stamp, key};

use crate::connect::refused;
use crate::got::Got;
use crate::packets::{goodbye, hello, message, options, puback, pubrel, subscribe};
use crate::world::{Client, World, account, open_settings, resident};

fn press(world: &mut World, full: bool) {
    for shard in 0..world.shards.len() {
        let pressure = Pressure {
            full,
            disk_full: false,
        };
        world.input(shard, Input::Storage(pressure));
    }
}

/// Accounts lose so much in a hundred of what waits for them, as far as it was stamped before.
fn shed(world: &mut World, before: Stamp, percents: &[(Holder, u32)]) {
    let part = |percent: u32| (percent * Shed::PARTS).div_ceil(100);
    let parts = percents
        .iter()
        .map(|(holder, percent)| (*holder, part(*percent)));
    let order = Arc::new(Shed {
        parts: parts.collect(),
        before,
    });
    for shard in 0..world.shards.len() {
        world.input(shard, Input::Shed(order.clone()));
    }
}

fn dropped(world: &World) -> u64 {
    let shards = world.shards.iter();
    shards.map(|shard| shard.counters().dropped_queued).sum()
}

/// The stamps of the messages on disk.
fn stamps(world: &World) -> Vec<Stamp> {
    let keys = world.store.keys();
    keys.filter_map(|at| key::parse_queue(at).ok()).collect()
}

const YOUNG: Stamp = Stamp::new(u64::MAX);

#[test]
fn an_account_that_holds_most_loses_what_has_waited_longest_and_nobody_else_does() {
    let mut world = World::with(2, open_settings());
    let filters = ["a", "+", "b", "$share/g/b"];
    let names = ["one", "two", "three", "four"];
    let accounts = ["alice", "alice", "bob", "bob"];
    let hello = |index: usize| resident(V5, names[index]).login(accounts[index]);
    for (index, filter) in filters.into_iter().enumerate() {
        let client = world.join(&hello(index));
        world.subscribe(client, filter, 1);
        world.cut(client);
    }
    let publisher = world.guest(V5, "p");
    for number in 0..20 {
        let topic = ["a", "b"][number % 2];
        world.publish(publisher, topic, &number.to_string(), 1);
    }
    let stamps = stamps(&world);
    assert_eq!(stamps.len(), 20, "each is stored once");
    let survey = world.survey(&stamps);
    let [alice, bob] = ["alice", "bob"].map(account);
    let expected = [(None, 10), (alice, 30), (bob, 10)];
    assert_eq!(survey.holders(), &expected.into(), "a group is nobody's");

    let percents = [(alice, 50), (None, 10)];
    shed(&mut world, YOUNG, &percents);
    // "+" waits for all of them.
    assert_eq!(dropped(&world), 5 + 10 + 1);
    let survey = world.survey(&stamps);
    let expected = [(None, 9), (alice, 15), (bob, 10)];
    assert_eq!(survey.holders(), &expected.into());
    for (number, stamp) in stamps.iter().enumerate() {
        // Bob still waits for every second one.
        let needed = number >= 10 || number % 2 == 1;
        assert_eq!(survey.is_needed(number), needed, "{number}");
        if !needed {
            world
                .store
                .retain(|at, _| key::parse_queue(at) != Ok(*stamp));
        }
    }
    // After a restart as before one.
    for restarted in [false, true] {
        if restarted {
            // What groups have lost is struck out with the next cursors.
            world.advance(10_000);
            world.restart();
        }
        for (index, (first, count)) in [(10, 5), (10, 10), (1, 10), (3, 9)].into_iter().enumerate()
        {
            let client = world.join_and_keep(&hello(index));
            let texts = world.texts(client);
            assert_eq!(texts.len(), count, "{}: {texts:?}", names[index]);
            let newer = |text: &String| text[2..].parse::<u32>().expect("a number") >= first;
            assert!(texts.iter().all(newer), "{}: {texts:?}", names[index]);
            // Nothing is acknowledged: all of it comes again.
            world.cut(client);
        }
    }
}

#[test]
fn what_is_under_way_to_a_client_that_does_not_acknowledge_gives_way_as_well() {
    let mut settings = open_settings();
    settings.limits.inflight_max = 3;
    let mut world = World::with(1, settings);
    let slow = world.join(&resident(V5, "slow").login("alice"));
    world.subscribe(slow, "t", 1);
    let publisher = world.guest(V5, "p");
    for number in 0..6 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    let stamps = stamps(&world);
    let alice = account("alice");
    let needed = |world: &mut World| {
        let survey = world.survey(&stamps);
        let needed = (0..6).filter(|segment| survey.is_needed(*segment));
        needed.collect::<Vec<_>>()
    };
    assert_eq!(needed(&mut world), [0, 1, 2, 3, 4, 5]);
    shed(&mut world, stamps[1], &[(alice, 100)]);
    assert_eq!(
        needed(&mut world),
        [1, 2, 3, 4, 5],
        "the others are too young"
    );
    shed(&mut world, YOUNG, &[(alice, 40)]);
    assert_eq!(needed(&mut world), [3, 4, 5]);
    assert_eq!(dropped(&world), 0);
    shed(&mut world, YOUNG, &[(alice, 67)]);
    assert_eq!(needed(&mut world), [5]);
    assert_eq!(dropped(&world), 2);
    // It gets what had been sent, and goes on with what is left.
    let messages = world.messages(slow);
    let texts: Vec<&str> = messages.iter().map(|message| &*message.payload).collect();
    assert_eq!(texts, ["0", "1", "2"]);
    for message in &messages {
        world.send(slow, &puback(message.packet_id.expect("it has one")));
    }
    assert_eq!(world.texts(slow), ["t 5"]);
}

/// A group with a lasting member that is offline, and a worker of alice's that is there and acknowledges nothing.
fn group_of_alices(world: &mut World) -> Client {
    let keeper = world.join(&resident(V5, "keeper"));
    world.subscribe(keeper, "$share/g/t", 1);
    world.cut(keeper);
    let worker = world.join(&hello(V5, "worker").login("alice"));
    world.subscribe(worker, "$share/g/t", 1);
    worker
}

#[test]
fn what_is_under_way_from_a_group_goes_to_another_member_though_it_has_been_let_go() {
    let mut world = World::with(1, open_settings());
    let worker = group_of_alices(&mut world);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "once", 1);
    assert_eq!(world.texts(worker), ["t once"]);
    let stamps = stamps(&world);
    assert!(world.survey(&stamps).is_needed(0));
    shed(&mut world, YOUNG, &[(account("alice"), 100)]);
    assert!(world.survey(&stamps).is_unneeded(0));
    world.store.retain(|at, _| key::parse_queue(at).is_err());
    let other = world.guest(V5, "other");
    world.subscribe(other, "$share/g/t", 1);
    world.cut(worker);
    assert_eq!(world.texts(other), ["t once"]);
    assert_eq!(dropped(&world), 0);
}

#[test]
fn what_groups_have_given_a_client_that_does_not_acknowledge_is_let_go_too() {
    let mut settings = open_settings();
    settings.limits.inflight_max = 1;
    let mut world = World::with(1, settings);
    let worker = group_of_alices(&mut world);
    let publisher = world.guest(V5, "p");
    for number in 0..5 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    assert_eq!(world.texts(worker), ["t 0"]);
    let stamps = stamps(&world);
    let needed = |world: &mut World| {
        let survey = world.survey(&stamps);
        (0..5).filter(|segment| survey.is_needed(*segment)).count()
    };
    assert_eq!(needed(&mut world), 5);
    shed(&mut world, YOUNG, &[(account("alice"), 100), (None, 100)]);
    assert_eq!(needed(&mut world), 0);
    assert_eq!(dropped(&world), 4, "the first is in memory");
}

#[test]
fn what_there_is_no_room_for_is_refused_and_not_acknowledged() {
    let mut world = World::new();
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "stored/#", 2);
    let live = world.guest(V5, "live");
    world.subscribe(live, "#", 2);
    press(&mut world, true);

    let new = world.join(&resident(V5, "new"));
    for (qos, refused) in [(1, Got::Puback(7, 0x97)), (2, Got::Pubrec(7, 0x97))] {
        world.send(new, &message(V5, "stored/a", "x", qos, 7, false));
        assert_eq!(world.take(new), [refused]);
    }
    // What need not be stored goes on.
    world.send(new, &message(V5, "stored/a", "live", 0, 0, false));
    world.send(new, &message(V5, "other", "unstored", 1, 8, false));
    assert_eq!(world.take(new), [Got::Puback(8, 0)]);
    assert_eq!(world.texts(live), ["stored/a live", "other unstored"]);
    world.send(new, &goodbye(V5));

    for qos in [1, 2] {
        let old = world.join(&resident(V311, "old"));
        world.send(old, &message(V311, "stored/b", "x", qos, 9, false));
        assert!(world.is_closed(old));
        assert_eq!(world.take(old), [], "it has no word for no");
    }
    assert_eq!(world.shards[0].counters().storage_refused, 4);
    assert_eq!(world.texts(lasting), ["stored/a live"]);
    assert!(stamps(&world).is_empty());

    // There is room again: what comes again is new.
    press(&mut world, false);
    let old = world.join(&resident(V311, "old"));
    let mut again = message(V311, "stored/b", "again", 2, 9, false);
    again[0] |= 0b1000;
    world.send(old, &again);
    world.send(old, &pubrel(9));
    assert_eq!(world.texts(lasting), ["stored/b again"]);
}

fn fill_disk(world: &mut World, disk_full: bool) {
    for shard in 0..world.shards.len() {
        let pressure = Pressure {
            disk_full,
            ..Pressure::default()
        };
        world.input(shard, Input::Storage(pressure));
    }
}

#[test]
fn while_the_disk_is_full_nothing_is_taken_that_would_have_to_be_stored() {
    let mut world = World::new();
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "stored/#", 1);
    let live = world.guest(V5, "live");
    world.subscribe(live, "#", 1);
    fill_disk(&mut world, true);
    let before = world.store.len();

    let new = world.guest(V5, "new");
    world.send(new, &message(V5, "stored/a", "x", 1, 7, false));
    assert_eq!(world.take(new), [Got::Puback(7, 0x97)]);
    world.send(new, &message(V5, "kept", "x", 1, 8, true));
    assert_eq!(world.take(new), [Got::Puback(8, 0x97)]);
    world.send(lasting, &message(V5, "other", "x", 2, 9, false));
    assert_eq!(world.take(lasting), [Got::Pubrec(9, 0x97)]);
    for hello in [
        resident(V5, "newcomer"),
        hello(V5, "leaves a will").will("w", "x", 0, false),
    ] {
        let client = world.connect(&hello);
        assert_eq!(world.take(client), [refused(0x97)]);
    }
    world.send(lasting, &subscribe(V5, 3, &[("more", options(1))]));
    assert_eq!(world.take(lasting), [Got::Suback(3, vec![0x97])]);
    let old = world.guest(V311, "old");
    world.send(old, &message(V311, "kept", "x", 1, 9, true));
    assert!(world.is_closed(old), "it has no word for no");
    assert_eq!(world.store.len(), before, "something was stored");

    // What need not be stored goes on, a stored session comes back, and a retained message can be deleted.
    world.subscribe(new, "stored/#", 1);
    world.send(new, &message(V5, "stored/a", "live", 0, 0, false));
    world.send(new, &message(V5, "other", "unstored", 1, 8, false));
    assert_eq!(world.texts(live), ["stored/a live", "other unstored"]);
    world.cut(lasting);
    let lasting = world.join(&resident(V5, "lasting"));
    world.send(new, &message(V5, "kept", "", 1, 10, true));
    assert_eq!(world.take(new).last(), Some(&Got::Puback(10, 0)));

    fill_disk(&mut world, false);
    world.publish(new, "stored/a", "room", 1);
    assert_eq!(world.texts(lasting), ["stored/a room"]);
    world.subscribe(lasting, "more", 1);
}
