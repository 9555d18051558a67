//! Slow and absent clients: what they cost is bounded, QoS 0 drops its oldest, stored messages come from the
//! store again, and nobody else waits.

use mqtt_codec::Version::{V5, V311};

use crate::got::Got;
use crate::packets::{hello, message, options, ping, puback, subscribe};
use crate::world::{World, resident};

#[test]
fn a_client_that_takes_nothing_loses_its_oldest_qos_0_messages_only() {
    let mut world = World::limited(|limits| {
        limits.outgoing_bytes_max = 1000;
        limits.queued_messages_max = 10;
    });
    let publisher = world.guest(V5, "p");
    let slow = world.guest(V5, "slow");
    let quick = world.guest(V5, "quick");
    for client in [slow, quick] {
        world.subscribe(client, "t", 0);
    }
    world.block(slow, true);
    let payload = "x".repeat(100);
    for number in 0..100 {
        world.publish(publisher, "t", &format!("{number:03}{payload}"), 0);
    }
    assert_eq!(world.messages(quick).len(), 100);
    let dropped = world.shards[0].counters().dropped_qos0;
    assert!(dropped > 70, "{dropped}");
    world.block(slow, false);
    let got = world.messages(slow);
    assert_eq!(got.len() as u64, 100 - dropped);
    // The beginning that was in the buffer already, then the newest.
    assert_eq!(&got[0].payload[..3], "000");
    assert_eq!(&got[got.len() - 1].payload[..3], "099");
    assert_eq!(&got[got.len() - 10].payload[..3], "090");
}

#[test]
fn bytes_of_waiting_messages_are_bounded_too() {
    let mut world = World::limited(|limits| {
        limits.outgoing_bytes_max = 1000;
        limits.queued_bytes_max = 10_000;
    });
    let slow = world.guest(V5, "slow");
    world.subscribe(slow, "t", 1);
    world.block(slow, true);
    let publisher = world.guest(V5, "p");
    let payload = "x".repeat(900);
    for _ in 0..100 {
        world.publish(publisher, "t", &payload, 1);
    }
    assert!(world.shards[0].counters().dropped_queued > 80);
    world.block(slow, false);
    assert!(world.messages(slow).len() < 20);
}

#[test]
fn an_absent_sessions_stored_messages_are_read_in_batches_as_its_window_opens() {
    let mut world = World::limited(|limits| limits.inflight_max = 10);
    let client = world.join(&resident(V311, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V311, "p");
    for number in 0..1000 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    let client = world.join_and_keep(&resident(V311, "c"));
    let mut payloads = Vec::new();
    loop {
        let got = world.messages(client);
        if got.is_empty() {
            break;
        }
        assert!(got.len() <= 10);
        for message in got {
            payloads.push(message.payload);
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
            if payloads.len() > 2000 {
                panic!("messages come again and again");
            }
        }
    }
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(payloads, expected);
    assert!(world.fetches >= 1000 / broker::FETCH_MAX);
}

#[test]
fn an_absent_session_keeps_the_newest_when_too_much_waits() {
    let mut world = World::limited(|limits| limits.stored_messages_max = 5);
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V5, "p");
    for number in 0..20 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    assert_eq!(world.shards[0].counters().dropped_queued, 15);
    let client = world.join_and_keep(&resident(V5, "c"));
    let payloads: Vec<String> = world
        .messages(client)
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(payloads, ["15", "16", "17", "18", "19"]);
}

#[test]
fn a_client_that_never_acknowledges_takes_no_more_than_its_window() {
    let mut world = World::limited(|limits| limits.inflight_max = 10);
    let client = world.guest(V311, "c");
    world.subscribe(client, "t", 1);
    let publisher = world.guest(V311, "p");
    for _ in 0..50 {
        world.publish(publisher, "t", "x", 1);
    }
    assert_eq!(world.messages(client).len(), 10);
}

#[test]
fn a_client_that_does_not_take_the_last_bytes_is_closed_all_the_same() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    world.block(client, true);
    world.send(client, &message(V5, "a/#", "x", 0, 0, false));
    assert!(!world.is_closed(client));
    world.advance(20_000);
    assert!(world.is_closed(client));
    assert_eq!(world.shards[0].population().connections, 0);
}

#[test]
fn a_large_fan_out_is_cut_into_turns_and_complete() {
    let mut world = World::new();
    let clients: Vec<_> = (0..100)
        .map(|number| world.guest(V5, &format!("c{number}")))
        .collect();
    for client in &clients {
        world.subscribe(*client, "t", 0);
    }
    let publisher = world.guest(V5, "p");
    let payload = "x".repeat(10_000);
    let burst: Vec<u8> = (0..20)
        .flat_map(|_| message(V5, "t", &payload, 0, 0, false))
        .collect();
    world.send(publisher, &burst);
    world.send(publisher, &ping());
    assert_eq!(world.take(publisher), [Got::Pingresp]);
    for client in clients {
        assert_eq!(world.messages(client).len(), 20);
    }
}

#[test]
fn a_connection_that_came_and_went_leaves_nothing() {
    let mut world = World::new();
    for round in 0..3 {
        let client = world.join(&hello(V5, "c").will("w", "x", 1, false));
        world.subscribe(client, "t/#", 2);
        world.publish(client, "t/1", "x", 2);
        world.cut(client);
        let population = world.shards[0].population();
        assert_eq!(population, broker::Population::default(), "round {round}");
    }
}

#[test]
fn the_store_may_bring_less_than_was_asked_for() {
    let mut world = World::limited(|limits| limits.inflight_max = 10);
    world.fetch_max = 3;
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V5, "p");
    for number in 0..50 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    let client = world.join_and_keep(&resident(V5, "c"));
    let mut payloads = Vec::new();
    for message in std::iter::from_fn(|| {
        let got = world.messages(client);
        for message in &got {
            let packet_id = message.packet_id.expect("QoS 1");
            world.send(client, &puback(packet_id));
        }
        (!got.is_empty()).then_some(got)
    })
    .flatten()
    {
        payloads.push(message.payload);
    }
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(payloads, expected);
}

#[test]
fn a_client_that_only_writes_is_not_read_until_it_reads() {
    let mut world = World::limited(|limits| limits.outgoing_bytes_max = 1000);
    let client = world.guest(V5, "c");
    world.block(client, true);
    let pings = ping().repeat(100_000);
    world.send(client, &pings);
    let waiting = world.outgoing(client);
    assert!(waiting <= 4002, "{waiting}");
    assert_eq!(world.shards[0].counters().choked, 1);
    let quick = world.guest(V5, "quick");
    world.send(quick, &ping());
    assert_eq!(world.take(quick), [Got::Pingresp]);
    world.block(client, false);
    assert_eq!(world.take(client).len(), 100_000);
}

#[test]
fn what_waited_for_room_in_the_buffer_goes_on_when_there_is_some() {
    let mut world = World::limited(|limits| limits.outgoing_bytes_max = 1000);
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.subscribe(client, "filler", 0);
    let publisher = world.guest(V5, "p");
    for number in 0..5 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    world.cut(client);
    // The second connection takes nothing: its buffer is full before anything can be sent again.
    let client = world.open(V5);
    world.block(client, true);
    world.send(client, &resident(V5, "c").bytes());
    let payload = "x".repeat(2000);
    world.publish(publisher, "filler", &payload, 0);
    for number in 5..8 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    world.block(client, false);
    let payloads: Vec<String> = world
        .take(client)
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(message) if message.topic == "t" => Some(message.payload),
            _ => None,
        })
        .collect();
    let expected: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    assert_eq!(payloads, expected);
}

#[test]
fn a_session_that_comes_and_goes_often_is_looked_at_once() {
    let mut world = World::new();
    for _ in 0..500 {
        let client = world.join(&resident(V5, "c"));
        world.cut(client);
        world.advance(1000);
    }
    assert_eq!(world.shards[0].population().sessions, 1);
    let mut looks = 0;
    while let Some(due) = world.shards[0].poll_timeout() {
        let wait = due.since(world.now) + 1;
        world.advance(wait);
        looks += 1;
        assert!(looks < 20, "looked at again and again");
    }
    assert_eq!(world.shards[0].population().sessions, 0);
}

#[test]
fn topics_are_bounded_in_length_and_depth() {
    for version in [V311, V5] {
        let mut world = World::limited(|limits| {
            limits.topic_bytes_max = 20;
            limits.topic_levels_max = 4;
        });
        let client = world.guest(version, "c");
        world.subscribe(client, "#", 0);
        let (taken, refused) = ("a/b/c/d", ["a/b/c/d/e", "x23456789012345678901"]);
        world.publish(client, taken, "x", 1);
        assert_eq!(world.take(client).len(), 2);
        for topic in refused {
            let code = if version == V5 { 0x90 } else { 0 };
            let packet_id = world.publish(client, topic, "x", 1);
            assert_eq!(world.take(client), [Got::Puback(packet_id, code)]);
            let code = if version == V5 { 0x8F } else { 0x80 };
            world.send(client, &subscribe(version, 9, &[(topic, options(0))]));
            assert_eq!(world.take(client), [Got::Suback(9, vec![code])]);
        }
        let counters = world.shards[0].counters();
        assert_eq!(
            (counters.publishes_refused, counters.subscriptions_refused),
            (2, 2)
        );
    }
}
