//! What MQTT 5 adds to a message on its way: properties, aliases, expiry, sizes.

use mqtt_codec::Version::{V5, V311};

use crate::got::Got;
use crate::packets::{
    MAXIMUM_PACKET_SIZE, MESSAGE_EXPIRY, TOPIC_ALIAS, four, hello, message, message_with, options,
    ping, properties, raw, string, subscribe, text, two, unsubscribe, user,
};
use crate::world::{World, resident};

// [5 MQTT-3.3.2-4] [5 MQTT-3.3.2-15] [5 MQTT-3.3.2-16] [5 MQTT-3.3.2-17] [5 MQTT-3.3.2-18] [5 MQTT-3.3.2-20]
#[test]
fn properties_are_forwarded_as_they_came() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let subscribers = [world.guest(V5, "s"), world.join(&resident(V5, "lasting"))];
    for subscriber in subscribers {
        world.subscribe(subscriber, "t", 1);
    }
    let list = [
        user("z", "1"),
        string(0x09, [1, 0, 255]),
        user("a", ""),
        user("z", "1"),
        vec![0x01, 1],
        string(0x08, "answer/to/me"),
        string(0x03, "text/plain; charset=utf-8"),
    ]
    .concat();
    world.send(publisher, &message_with(V5, "t", "x", 1, 1, false, &list));
    for subscriber in subscribers {
        let got = world.messages(subscriber).remove(0);
        let pairs: Vec<(&str, &str)> = got
            .user
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(pairs, [("z", "1"), ("a", ""), ("z", "1")]);
        assert_eq!(got.correlation, Some(vec![1, 0, 255]));
        assert_eq!(got.format, Some(1));
        assert_eq!(got.response_topic.as_deref(), Some("answer/to/me"));
        assert_eq!(
            got.content_type.as_deref(),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(got.expiry, None);
    }
}

#[test]
fn an_older_client_gets_the_message_without_its_properties() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let old = world.guest(V311, "old");
    world.subscribe(old, "t", 0);
    let list = user("a", "b");
    world.send(publisher, &message_with(V5, "t", "x", 0, 0, false, &list));
    assert_eq!(world.take_bytes(old), message(V311, "t", "x", 0, 0, false));
}

// [5 MQTT-2.2.2-1]
#[test]
fn without_properties_their_length_is_zero() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    world.send(client, &subscribe(V5, 1, &[("t", options(0))]));
    assert_eq!(world.take_bytes(client), [0x90, 4, 0, 1, 0, 0]);
    world.send(client, &message(V5, "t", "x", 0, 0, false));
    assert_eq!(world.take_bytes(client), [0x30, 5, 0, 1, b't', 0, b'x']);
    world.send(client, &unsubscribe(V5, 2, &["t"]));
    assert_eq!(world.take_bytes(client), [0xB0, 4, 0, 2, 0, 0]);
}

// [5 MQTT-3.3.2-5] [5 MQTT-3.3.2-6]
#[test]
fn the_expiry_is_what_is_left_and_nothing_is_delivered_after_it() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    let expiring = |secs| message_with(V5, "t", "x", 1, 1, false, &four(MESSAGE_EXPIRY, secs));
    world.send(publisher, &expiring(100));
    assert_eq!(world.messages(client)[0].expiry, Some(100));
    world.send(client, &crate::packets::puback(1));
    world.cut(client);
    world.send(publisher, &expiring(100));
    world.send(publisher, &expiring(20));
    world.advance(30_000);
    let client = world.connect(&resident(V5, "c"));
    let left: Vec<Option<u32>> = world
        .take(client)
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(message) => Some(message.expiry),
            _ => None,
        })
        .collect();
    assert_eq!(left, [Some(70)]);
    assert_eq!(world.shards[0].counters().expired, 1);
}

// [5 MQTT-3.3.2-6]
#[test]
fn each_subscriber_is_told_what_is_left_when_it_is_its_turn() {
    let mut world = World::limited(|limits| limits.outgoing_bytes_max = 100);
    let quick = world.guest(V5, "quick");
    let slow = world.guest(V5, "slow");
    for client in [quick, slow] {
        world.subscribe(client, "#", 1);
    }
    world.block(slow, true);
    let publisher = world.guest(V5, "p");
    let filler = "x".repeat(200);
    world.send(publisher, &message(V5, "filler", &filler, 0, 0, false));
    let expiring = message_with(V5, "t", "x", 1, 1, false, &four(MESSAGE_EXPIRY, 100));
    world.send(publisher, &expiring);
    world.advance(30_000);
    world.block(slow, false);
    assert_eq!(world.messages(quick)[1].expiry, Some(100));
    assert_eq!(world.messages(slow)[1].expiry, Some(70));
}

// [5 MQTT-3.3.2-12] [5 MQTT-3.3.2-7]
#[test]
fn a_client_may_use_every_alias_up_to_the_announced_maximum_on_its_connection() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    let watcher = world.guest(V5, "w");
    world.subscribe(watcher, "#", 0);
    for alias in 1..=32u16 {
        let list = two(TOPIC_ALIAS, alias);
        let topic = format!("t/{alias}");
        world.send(client, &message_with(V5, &topic, "set", 0, 0, false, &list));
    }
    for alias in [32u16, 1] {
        let list = two(TOPIC_ALIAS, alias);
        world.send(client, &message_with(V5, "", "used", 0, 0, false, &list));
    }
    // Given anew.
    let list = two(TOPIC_ALIAS, 1);
    world.send(client, &message_with(V5, "u", "set", 0, 0, false, &list));
    world.send(client, &message_with(V5, "", "used", 0, 0, false, &list));
    let texts = world.texts(watcher);
    assert_eq!(texts.len(), 36);
    assert_eq!(texts[32..], ["t/32 used", "t/1 used", "u set", "u used"]);
    // On the next connection none is set.
    world.cut(client);
    let client = world.join(&resident(V5, "c"));
    world.send(client, &message_with(V5, "", "used", 0, 0, false, &list));
    assert_eq!(world.take(client), [Got::Disconnect(0x82)]);
    assert_eq!(world.take(watcher), []);
}

// [5 MQTT-3.1.2-26] [5 MQTT-3.1.2-27] [5 MQTT-3.3.2-11] [5 MQTT-3.3.2-8]
#[test]
fn the_server_uses_no_aliases_the_client_did_not_allow() {
    for maximum in [None, Some(0), Some(5)] {
        let mut world = World::new();
        let mut hello = hello(V5, "c");
        if let Some(maximum) = maximum {
            hello = hello.property(&two(0x22, maximum));
        }
        let client = world.join(&hello);
        world.subscribe(client, "#", 0);
        for number in 0..20 {
            world.publish(client, &format!("a/long/topic/{}", number % 3), "x", 0);
        }
        let got = world.messages(client);
        assert_eq!(got.len(), 20);
        let limit = maximum.unwrap_or(0);
        assert!(
            got.iter()
                .all(|message| message.alias.unwrap_or(0) <= limit)
        );
        assert!(got.iter().all(|message| message.alias != Some(0)));
    }
}

// [5 MQTT-3.1.2-24] [5 MQTT-3.1.2-25]
#[test]
fn a_message_too_large_for_a_client_is_dropped_for_it_alone() {
    for qos in 0..3 {
        let mut world = World::new();
        let publisher = world.guest(V5, "p");
        let small = world.join(&resident(V5, "small").property(&four(MAXIMUM_PACKET_SIZE, 64)));
        let large = world.guest(V5, "large");
        for client in [small, large] {
            world.subscribe(client, "t", qos);
        }
        let exact = "x".repeat(64 - 2 - 3 - 1 - if qos > 0 { 2 } else { 0 });
        for payload in ["1", &"x".repeat(100), &exact, &format!("{exact}y"), "2"] {
            world.publish(publisher, "t", payload, qos);
        }
        assert_eq!(world.messages(large).len(), 5);
        let got = world.messages(small);
        assert!(got.iter().all(|message| message.bytes <= 64));
        let payloads: Vec<&str> = got.iter().map(|message| &*message.payload).collect();
        assert_eq!(payloads, ["1", &exact, "2"]);
        assert_eq!(world.shards[0].counters().dropped_too_large, 2);
        // As if it had been delivered: it does not come again.
        world.cut(small);
        let again = world.connect(&resident(V5, "small"));
        let redelivered = world.take(again).len() - 1;
        assert_eq!(redelivered, if qos == 0 { 0 } else { 3 });
    }
}

// [5 MQTT-3.9.2-1] [5 MQTT-3.9.2-2] [5 MQTT-3.11.2-1] [5 MQTT-3.11.2-2] [5 MQTT-3.6.2-2] [5 MQTT-3.6.2-3]
// [5 MQTT-3.7.2-2] [5 MQTT-3.7.2-3] [5 MQTT-3.14.2-1] [5 MQTT-3.14.2-2] [5 MQTT-3.14.2-3] [5 MQTT-3.14.2-4]
#[test]
fn answers_fit_the_smallest_client() {
    let mut world = World::new();
    let hello = hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, 16));
    let client = world.open(V5);
    world.send(client, &hello.bytes());
    world.take_bytes(client);
    let long = "x".repeat(5000);
    for (packet, expected) in [
        (
            subscribe(V5, 1, &[(&long, options(0))]),
            vec![0x90, 4, 0, 1, 0, 0x8F],
        ),
        (unsubscribe(V5, 2, &["none"]), vec![0xB0, 4, 0, 2, 0, 0x11]),
        (crate::packets::pubrel(3), vec![0x70, 3, 0, 3, 0x92]),
        (crate::packets::pubrec(4), vec![0x62, 3, 0, 4, 0x92]),
        (ping(), vec![0xD0, 0]),
        (vec![0xF0, 0], vec![0xE0, 1, 0x82]),
    ] {
        world.send(client, &packet);
        assert_eq!(world.take_bytes(client), expected);
    }
    assert!(world.is_closed(client));
}

#[test]
fn an_alias_with_a_topic_counts_as_its_topic() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    world.subscribe(client, "t", 0);
    let list = properties(&[&two(TOPIC_ALIAS, 3)]);
    world.send(client, &raw(0x30, &[&text("t"), &list, b"x"]));
    let got = world.messages(client);
    assert_eq!((&*got[0].topic, got[0].alias), ("t", None));
}
