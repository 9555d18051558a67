//! What the shard does when too much waits on disk in the whole server.

use broker::{Input, Pressure};
use mqtt_codec::Version::{V5, V311};
use records::{Stamp, key};

use crate::connect::refused;
use crate::got::Got;
use crate::packets::{goodbye, hello, message, options, pubrel, subscribe};
use crate::world::{World, open_settings, resident};

fn press(world: &mut World, drop_before: Stamp, full: bool) {
    for shard in 0..world.shards.len() {
        let pressure = Pressure {
            drop_before,
            full,
            disk_full: false,
        };
        world.input(shard, Input::Storage(pressure));
    }
}

/// The stamps of the messages on disk.
fn stamps(world: &World) -> Vec<Stamp> {
    let keys = world.store.keys();
    keys.filter_map(|at| key::parse_queue(at).ok()).collect()
}

#[test]
fn what_has_waited_longest_in_the_whole_server_is_dropped_and_counted() {
    let mut world = World::with(2, open_settings());
    let filters = ["a", "+", "b", "$share/g/b"];
    let names = ["one", "two", "three", "four"];
    for (name, filter) in names.into_iter().zip(filters) {
        let client = world.join(&resident(V5, name));
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
    press(&mut world, stamps[10], false);
    let dropped: u64 = world
        .shards
        .iter()
        .map(|shard| shard.counters().dropped_queued)
        .sum();
    // "+" waits for all of them, and "b" has two who wait.
    assert_eq!(dropped, 5 + 10 + 5 + 5);
    let needed = (0..2).map(|shard| world.low_water(shard)).min();
    assert_eq!(needed, Some(stamps[10]), "the older ones can be deleted");
    world.store.retain(|at, _| match key::parse_queue(at) {
        Ok(stamp) => stamp >= stamps[10],
        Err(_) => true,
    });
    // After a restart as before one.
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        for (name, count) in names.into_iter().zip([5, 10, 5, 5]) {
            let client = world.join_and_keep(&resident(V5, name));
            let texts = world.texts(client);
            assert_eq!(texts.len(), count, "{name}: {texts:?}");
            let newer = |text: &String| text[2..].parse::<u32>().expect("a number") >= 10;
            assert!(texts.iter().all(newer), "{name}: {texts:?}");
            // Nothing is acknowledged: all of it comes again.
            world.cut(client);
        }
    }
}

#[test]
fn what_there_is_no_room_for_is_refused_and_not_acknowledged() {
    let mut world = World::new();
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "stored/#", 2);
    let live = world.guest(V5, "live");
    world.subscribe(live, "#", 2);
    press(&mut world, Stamp::ZERO, true);

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
    press(&mut world, Stamp::ZERO, false);
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
