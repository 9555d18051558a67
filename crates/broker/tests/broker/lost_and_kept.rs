//! What a session must not lose and what must not be kept: entries that arrive while a backlog drains, waiting
//! messages of a repeated SUBSCRIBE, what is left of exactly-once deliveries, stored messages nobody waits for.

use mqtt_codec::Version::V5;
use records::key;

use crate::chat::{catch_up, deliver, device, entry, world};
use crate::got::Got;
use crate::packets::{RECEIVE_MAXIMUM, options, puback, pubcomp, pubrec, two, unsubscribe};
use crate::world::{ALL, Client, World, resident};

/// Acknowledges one message after the other and returns the payloads, until nothing more comes.
fn drain(world: &mut World, client: Client) -> Vec<String> {
    let mut payloads = Vec::new();
    let mut got = world.messages(client);
    while !got.is_empty() {
        for message in got {
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
            payloads.push(message.payload);
        }
        got = world.messages(client);
    }
    payloads
}

fn outgoing_records(world: &World) -> usize {
    let keys = world.store.keys();
    keys.filter(|at| key::parse_outgoing(at).is_ok()).count()
}

#[test]
fn what_arrives_while_the_last_of_the_backlog_waits_for_room_is_asked_for_again() {
    let mut world = world();
    let hello = device(V5, "phone", "alice")
        .persistent()
        .property(&two(RECEIVE_MAXIMUM, 3));
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 1);
    world.cut(client);
    for pos in 1..=200 {
        deliver(&mut world, &entry(pos));
    }
    let client = world.join_and_keep(&hello);
    assert_eq!(catch_up(&mut world, 200, 200), 1);
    // The window is full and the store has said that there is no more.
    deliver(&mut world, &entry(201));
    let mut payloads = drain(&mut world, client);
    catch_up(&mut world, 201, 200);
    payloads.extend(drain(&mut world, client));
    deliver(&mut world, &entry(202));
    payloads.extend(drain(&mut world, client));
    let expected: Vec<String> = (1..=202).map(|pos| pos.to_string()).collect();
    assert_eq!(payloads, expected);
}

// [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3]
#[test]
fn a_subscription_repeated_before_a_restart_keeps_what_waits() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        let publisher = world.guest(version, "p");
        world.cut(client);
        world.publish(publisher, "t", "waits", 1);
        let client = world.join_and_keep(&resident(version, "c"));
        world.subscribe(client, "t", 2);
        world.publish(publisher, "t", "later", 1);
        world.restart();
        // After a restart it is still known since when the filter is held.
        let client = world.join_and_keep(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        world.restart();
        let client = world.join_and_keep(&resident(version, "c"));
        assert_eq!(drain(&mut world, client), ["waits", "later"]);
    }
}

#[test]
fn a_subscription_that_was_given_up_or_not_durable_begins_anew() {
    for given_up in [true, false] {
        let mut world = World::new();
        let other = world.join(&resident(V5, "other"));
        world.subscribe(other, "t", 1);
        let client = world.join(&resident(V5, "c"));
        world.subscribe(client, "t", 1);
        // Something older waits all the time, and holds the session's cursor back.
        world.subscribe(client, "u", 1);
        let publisher = world.guest(V5, "p");
        world.publish(publisher, "u", "older", 1);
        if given_up {
            world.send(client, &unsubscribe(V5, 9, &["t"]));
        } else {
            world.subscribe(client, "t", 0);
        }
        world.publish(publisher, "t", "between", 1);
        world.take(client);
        world.subscribe(client, "t", 1);
        world.publish(publisher, "t", "after", 1);
        world.restart();
        let client = world.join_and_keep(&resident(V5, "c"));
        assert_eq!(drain(&mut world, client), ["older", "after"]);
    }
}

#[test]
fn a_delivery_nothing_asks_for_after_a_restart_leaves_nothing_and_holds_nothing_up() {
    for version in ALL {
        for steps in 0..3 {
            let mut world = World::new();
            let client = world.join(&resident(version, "c"));
            world.subscribe(client, "t", 2);
            world.subscribe(client, "u", 1);
            let publisher = world.guest(version, "p");
            world.publish(publisher, "t", "x", 2);
            let id = world.messages(client)[0].packet_id.expect("QoS 2");
            world.send(client, &unsubscribe(version, 9, &["t"]));
            if steps > 0 {
                world.send(client, &pubrec(id));
            }
            if steps > 1 {
                world.send(client, &pubcomp(id));
            }
            assert_eq!(outgoing_records(&world), 1);
            world.restart();
            let client = world.connect(&resident(version, "c"));
            let got = world.take(client);
            if steps == 0 {
                // [3.1.1 MQTT-3.10.4-3] [5 MQTT-3.10.4-3]
                assert!(matches!(&got[1], Got::Publish(again) if again.dup));
                world.send(client, &pubrec(id));
                assert_eq!(world.take(client), [Got::Pubrel(id, 0)]);
            }
            if steps < 2 {
                world.send(client, &pubcomp(id));
            }
            let publisher = world.guest(version, "p");
            world.publish(publisher, "u", "1", 1);
            world.publish(publisher, "u", "2", 1);
            assert_eq!(world.texts(client), ["u 1", "u 2"]);
            world.advance(4500);
            assert_eq!(world.take(client), []);
            assert_eq!(outgoing_records(&world), 0, "after {steps} steps");
        }
    }
}

#[test]
fn a_delivery_whose_message_was_thrown_away_leaves_nothing() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "x", 2);
    let id = world.messages(client)[0].packet_id.expect("QoS 2");
    world.send(client, &unsubscribe(V5, 9, &["t"]));
    world.store.retain(|at, _| key::parse_queue(at).is_err());
    world.restart();
    let client = world.join(&resident(V5, "c"));
    world.advance(1500);
    assert_eq!(world.take(client), [Got::Pubrel(id, 0)]);
    assert_eq!(outgoing_records(&world), 1, "until the client has let go");
    world.send(client, &pubcomp(id));
    assert_eq!(outgoing_records(&world), 0);
}

#[test]
fn an_entry_that_never_comes_up_again_is_not_remembered_for_ever() {
    let mut world = world();
    let hello = device(V5, "phone", "alice").persistent();
    let client = world.join(&hello);
    world.subscribe(client, "im/in/#", 2);
    deliver(&mut world, &entry(1));
    let first = world.messages(client)[0].packet_id.expect("QoS 2");
    world.restart();
    let client = world.join(&hello);
    let place = world.services.iter().position(
        |service| matches!(service, broker::Service::CatchUp { since, .. } if since.floor().value() < 1),
    );
    let broker::Service::CatchUp { session, .. } = world
        .services
        .remove(place.expect("it asks what it has missed"))
    else {
        panic!("it asks what it has missed");
    };
    // The conversation was left meanwhile: the store has only what came later.
    let answer = broker::Input::CaughtUp {
        session,
        entries: vec![entry(2)],
        upto: records::Cursor::at(records::Pos::new(2)),
        more: false,
    };
    world.input(0, answer);
    let id = world.messages(client)[0].packet_id.expect("QoS 2");
    assert_ne!(id, first, "the client may hold the first one's identifier");
    world.send(client, &pubrec(id));
    world.send(client, &pubcomp(id));
    world.take(client);
    world.advance(3000);
    assert_eq!(world.take(client), [Got::Pubrel(first, 0)]);
    world.send(client, &pubcomp(first));
    assert_eq!(outgoing_records(&world), 0);
}

#[test]
fn an_idle_shard_lets_go_of_what_nobody_waits_for() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "x", 1);
    let stored = world.store.keys().find_map(|at| key::parse_queue(at).ok());
    let stored = stored.expect("it is in the queue table");
    assert!(world.low_water(0) <= stored);
    assert_eq!(drain(&mut world, client), ["x"]);
    assert!(world.low_water(0) > stored);
    // Nothing happens here any more; what other shards stamp meanwhile is let go all the same.
    world.advance(60_000);
    let now = world.now;
    let water = world.low_water(0);
    assert!(water.value() >> 8 >= now.value() * 1000);
    // What this shard stores from here on stands above what it has said.
    world.subscribe_with(client, "u", options(1));
    world.publish(publisher, "u", "y", 1);
    let newest = world
        .store
        .keys()
        .filter_map(|at| key::parse_queue(at).ok());
    assert!(newest.max().expect("it is in the queue table") > water);
}

#[test]
fn what_is_on_its_way_to_the_disk_is_still_needed() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    world.publish(publisher, "t", "x", 1);
    world.trim();
    world.commit();
    world.trim();
    world.slow_disk = false;
    let client = world.join_and_keep(&resident(V5, "c"));
    assert_eq!(drain(&mut world, client), ["x"]);
}
