//! How long acknowledgements and deliveries take is counted when they are written, from when their PUBLISH was read; and what is
//! told of clients that lose messages or do not keep up.

use broker::{BOUNDS_MICROS, ClientName, DropReason, Histogram};
use mqtt_codec::Version::{V5, V311};
use records::Moment;

use crate::chat::{self, accounts, deliver, live, packet};
use crate::packets::{four, hello, puback};
use crate::world::{World, resident};

/// One of each: how many, and the microseconds of all together.
fn of(histogram: &Histogram) -> (u64, u64) {
    (histogram.buckets.iter().sum(), histogram.sum_micros)
}

fn turn(world: &mut World, begin: u64, what: impl FnOnce(&mut World), end: u64) {
    for shard in &mut world.shards {
        shard.begin_turn(Moment::new(begin));
    }
    what(world);
    for shard in &mut world.shards {
        if shard.measures() {
            shard.end_turn(Moment::new(end));
        }
    }
}

#[test]
fn what_waits_for_the_disk_takes_as_long_as_the_disk() {
    let mut world = World::new();
    let reader = world.join(&resident(V5, "reader"));
    world.subscribe(reader, "t", 1);
    let writer = world.guest(V311, "writer");
    world.slow_disk = true;
    turn(
        &mut world,
        1_000,
        |world| {
            world.publish(writer, "t", "1", 1);
            world.publish(writer, "t", "2", 2);
            // Nobody durable waits for it, but it is behind the others.
            world.publish(writer, "elsewhere", "3", 1);
        },
        1_400,
    );
    assert_eq!(of(&world.shards[0].latencies().puback), (0, 0));
    world.slow_disk = false;
    turn(&mut world, 21_000, World::commit, 21_000);
    let took = world.shards[0].latencies();
    assert_eq!(of(&took.puback), (2, 2 * 20_000));
    assert_eq!(of(&took.pubrec), (1, 20_000));
    assert_eq!(of(&took.delivery), (2, 2 * 20_000));
    let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < 20_000);
    assert_eq!(took.delivery.buckets[bucket], 2);
}

#[test]
fn each_delivery_is_counted_and_what_is_sent_again_is_not() {
    let mut world = World::new();
    for name in ["a", "b"] {
        let reader = world.guest(V5, name);
        world.subscribe(reader, "t", 0);
    }
    let kept = world.join(&resident(V5, "kept"));
    world.subscribe(kept, "t", 1);
    let writer = world.guest(V5, "writer");
    turn(
        &mut world,
        100,
        |world| {
            world.publish(writer, "t", "1", 1);
            world.publish_retain(writer, "retained", "2", 0, true);
        },
        350,
    );
    assert_eq!(of(&world.shards[0].latencies().delivery), (3, 3 * 250));
    // It comes back and gets what it has not acknowledged, and another one a message that is retained.
    turn(
        &mut world,
        10_000,
        |world| {
            world.cut(kept);
            let kept = world.join_and_keep(&resident(V5, "kept"));
            assert!(world.messages(kept)[0].dup);
            let late = world.guest(V5, "late");
            world.subscribe(late, "retained", 0);
            assert_eq!(world.messages(late).len(), 1);
        },
        11_000,
    );
    assert_eq!(of(&world.shards[0].latencies().delivery).0, 3);
}

#[test]
fn what_waits_in_memory_for_a_window_takes_as_long_as_the_window() {
    let mut world = World::limited(|limits| limits.inflight_max = 1);
    let reader = world.guest(V5, "reader");
    world.subscribe(reader, "t", 1);
    let writer = world.guest(V5, "writer");
    let publish = |world: &mut World| {
        world.publish(writer, "t", "1", 1);
        world.publish(writer, "t", "2", 1);
    };
    turn(&mut world, 1_000, publish, 1_000);
    assert_eq!(of(&world.shards[0].latencies().delivery), (1, 0));
    let first = world.messages(reader).remove(0);
    let acknowledged = puback(first.packet_id.expect("QoS 1"));
    let acknowledge = |world: &mut World| world.send(reader, &acknowledged);
    turn(&mut world, 500_000, acknowledge, 501_000);
    assert_eq!(of(&world.shards[0].latencies().delivery), (2, 500_000));
}

#[test]
fn what_the_messenger_delivers_is_measured_from_when_it_was_read() {
    let mut world = chat::world();
    let reader = world.join(&chat::device(V5, "phone", "bob"));
    world.subscribe(reader, "im/in/#", 1);
    let said = broker::Message {
        read_at: Moment::new(3_000),
        ..(*packet("im/in/@alice", "{}", mqtt_codec::QoS::AtMostOnce)).clone()
    };
    let delivery = live(accounts(&["bob"]), vec![said.into()]);
    turn(&mut world, 7_000, |world| deliver(world, &delivery), 8_000);
    assert_eq!(of(&world.shards[0].latencies().delivery), (1, 5_000));
}

#[test]
fn who_loses_most_is_named_with_the_reason_until_it_was_taken() {
    let mut world = World::limited(|limits| {
        limits.outgoing_bytes_max = 1000;
        limits.queued_messages_max = 10;
        limits.stored_messages_max = 5;
    });
    let publisher = world.guest(V5, "p");
    let (slow, slower) = (world.guest(V5, "slow"), world.guest(V5, "slower"));
    world.subscribe(slow, "t", 0);
    world.subscribe(slower, "+", 0);
    let small = world.join(&hello(V5, "small").property(&four(0x27, 60)));
    world.subscribe(small, "t", 0);
    let absent = world.join(&resident(V5, "absent"));
    world.subscribe(absent, "q", 1);
    world.cut(absent);
    world.block(slow, true);
    world.block(slower, true);
    let payload = "x".repeat(100);
    for number in 0..40 {
        world.publish(publisher, "t", &payload, 0);
        world.publish(publisher, "u", &payload, 0);
        world.publish(publisher, "q", &number.to_string(), 1);
    }
    let counters = world.shards[0].counters();
    let dropped = world.shards[0].take_dropped();
    let guest = |id: &str| ClientName {
        account: None,
        client_id: id.into(),
    };
    let [live, queued, large] = &dropped[..] else {
        panic!("three reasons: {dropped:?}")
    };
    assert_eq!(live.reason, DropReason::SlowClient);
    assert_eq!(live.messages, counters.dropped_qos0);
    let worst: Vec<_> = live.worst.iter().map(|(client, _)| client).collect();
    assert_eq!(worst, [&guest("slower"), &guest("slow")]);
    assert_eq!(queued.reason, DropReason::QueueFull);
    assert_eq!(queued.worst, [(guest("absent"), 35)]);
    assert_eq!(large.reason, DropReason::TooLarge);
    assert_eq!(large.worst, [(guest("small"), 40)]);
    assert_eq!(world.shards[0].take_dropped(), []);
    // Whoever has gone is not named, and nobody is named in its place.
    world.publish(publisher, "t", &payload, 0);
    world.cut(slow);
    world.guest(V5, "another");
    let dropped = world.shards[0].take_dropped();
    let named = dropped.iter().flat_map(|dropped| &dropped.worst);
    assert!(named.clone().count() > 0);
    let others = [guest("slow"), guest("another")];
    assert!(named.clone().all(|(client, _)| !others.contains(client)));
}

#[test]
fn connected_clients_for_which_most_waits_are_named() {
    let mut world = World::limited(|limits| limits.outgoing_bytes_max = 1000);
    let publisher = world.guest(V5, "p");
    let payload = "x".repeat(20_000);
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let client = world.guest(V5, name);
        world.subscribe(client, &format!("+/{number}"), 0);
        world.block(client, true);
    }
    // Whoever is offline is not slow.
    let absent = world.join(&resident(V5, "absent"));
    world.subscribe(absent, "#", 1);
    world.cut(absent);
    for number in 0..names.len() {
        for _ in 0..2 * number {
            world.publish(publisher, &format!("t/{number}"), &payload, 1);
        }
    }
    world.low_water(0);
    let slowest = world.shards[0].slowest();
    let found: Vec<&str> = slowest.iter().map(|slow| &*slow.client.client_id).collect();
    assert_eq!(found, ["c7", "c6", "c5", "c4", "c3"]);
    assert_eq!(slowest[0].messages, 13, "one is in the buffer");
    assert!(slowest[0].bytes > 14 * 20_000);
}
