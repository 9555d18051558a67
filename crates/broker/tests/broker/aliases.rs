//! Topic aliases that the server sets by itself: only as many as the client allows, on this connection only, and never
//! for a topic the client could not tell.

use std::collections::BTreeMap;

use mqtt_codec::Version::{V5, V311};

use crate::got::{Got, Message};
use crate::packets::{
    Hello, MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM, four, hello, options, puback, pubcomp, pubrec,
    subscribe_as, two,
};
use crate::world::{Client, World, resident};

const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC: &str = "sensors/floor-3/room-12/temperature";

fn allowing(hello: Hello, maximum: u16) -> Hello {
    hello.property(&two(TOPIC_ALIAS_MAXIMUM, maximum))
}

/// What a client that keeps strictly to the specification makes of the packets of one connection.
struct Strict {
    maximum: u16,
    topics: BTreeMap<u16, String>,
}

impl Strict {
    fn new(maximum: u16) -> Self {
        Self {
            maximum,
            topics: BTreeMap::new(),
        }
    }

    /// The topic of a message, through its alias.
    fn topic(&mut self, message: &Message) -> String {
        let Some(alias) = message.alias else {
            assert!(!message.topic.is_empty(), "neither topic nor alias");
            return message.topic.clone();
        };
        assert!(alias > 0 && alias <= self.maximum, "alias {alias}");
        if !message.topic.is_empty() {
            self.topics.insert(alias, message.topic.clone());
        }
        self.topics[&alias].clone()
    }

    fn texts(&mut self, world: &mut World, client: Client) -> Vec<String> {
        let messages = world.messages(client);
        let mut text = |message: &Message| format!("{} {}", self.topic(message), message.payload);
        messages.iter().map(&mut text).collect()
    }
}

// [5 MQTT-3.1.2-26] [5 MQTT-3.1.2-27] [5 MQTT-3.3.2-8] [5 MQTT-3.3.2-12]
#[test]
fn a_topic_that_comes_again_travels_under_an_alias() {
    for qos in 0..3 {
        let mut world = World::new();
        let client = world.join(&allowing(hello(V5, "c"), 4));
        let plain = world.guest(V5, "plain");
        let old = world.guest(V311, "old");
        let publisher = world.guest(V5, "p");
        for client in [client, plain, old] {
            world.subscribe(client, TOPIC, qos);
        }
        let mut strict = Strict::new(4);
        for number in 0..4 {
            world.publish(publisher, TOPIC, &number.to_string(), qos);
            let got = world.messages(client);
            assert_eq!(got.len(), 1);
            assert_eq!(strict.topic(&got[0]), TOPIC);
            assert_eq!(got[0].payload, number.to_string());
            assert_eq!(got[0].qos, qos);
            assert_eq!(got[0].alias.is_some(), number > 0);
            assert_eq!(got[0].topic.is_empty(), number > 1);
            let packet_id = got[0].packet_id.unwrap_or_default();
            match qos {
                0 => {}
                1 => world.send(client, &puback(packet_id)),
                _ => world.send(client, &[pubrec(packet_id), pubcomp(packet_id)].concat()),
            }
            world.take(client);
        }
        let saved = 2 * (TOPIC.len() as u64 - 3);
        assert_eq!(world.shards[0].counters().alias_bytes_saved, saved);
        for client in [plain, old] {
            for message in world.messages(client) {
                assert_eq!((message.alias, &*message.topic), (None, TOPIC));
            }
        }
    }
}

#[test]
fn more_topics_than_aliases_are_all_told_apart() {
    let mut world = World::new();
    let client = world.join(&allowing(hello(V5, "c"), 3));
    world.subscribe(client, "t/#", 0);
    let publisher = world.guest(V5, "p");
    let mut strict = Strict::new(3);
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    for step in 0..400_usize {
        let topic = format!("t/number/{}", (step * step / 7) % 10);
        world.publish(publisher, &topic, &step.to_string(), 0);
        expected.push(format!("{topic} {step}"));
        got.extend(strict.texts(&mut world, client));
    }
    assert_eq!(got, expected);
    assert_eq!(strict.topics.len(), 3);
}

// [5 MQTT-3.3.2-7]
#[test]
fn an_alias_ends_with_its_connection() {
    let mut world = World::new();
    let hello = allowing(resident(V5, "c"), 8).property(&two(RECEIVE_MAXIMUM, 2));
    let client = world.join(&hello);
    world.subscribe(client, TOPIC, 1);
    let publisher = world.guest(V5, "p");
    for number in 0..6 {
        world.publish(publisher, TOPIC, &number.to_string(), 1);
    }
    let got = world.messages(client);
    assert_eq!(got.len(), 2);
    assert_eq!(got[1].alias, Some(1));
    world.cut(client);
    let client = world.join_and_keep(&hello);
    let mut strict = Strict::new(8);
    let mut payloads = Vec::new();
    loop {
        let got = world.messages(client);
        if got.is_empty() {
            break;
        }
        for message in got {
            // What is sent again names its topic until the alias is set again.
            assert_eq!(strict.topic(&message), TOPIC);
            payloads.push(message.payload);
            world.send(client, &puback(message.packet_id.expect("QoS 1")));
        }
    }
    assert_eq!(payloads, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn retained_messages_and_subscription_identifiers_go_under_aliases_too() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    world.publish_retain(publisher, TOPIC, "kept", 0, true);
    let client = world.join(&allowing(hello(V5, "c"), 8));
    let mut strict = Strict::new(8);
    for identifier in 1..4 {
        world.send(client, &subscribe_as(identifier, &[(TOPIC, options(0))]));
        let mut topics = Vec::new();
        for got in world.take(client) {
            if let Got::Publish(message) = got {
                assert_eq!(message.identifiers, [identifier]);
                assert!(message.retain);
                topics.push(strict.topic(&message));
            }
        }
        assert_eq!(topics, [TOPIC]);
    }
    assert_eq!(strict.topics.len(), 1);
}

// [5 MQTT-3.1.2-24]
#[test]
fn a_packet_does_not_outgrow_the_clients_maximum_by_its_alias() {
    for room in 0..10 {
        let mut world = World::new();
        let exact = 2 + 2 + TOPIC.len() as u32 + 1 + 4;
        let hello = allowing(hello(V5, "c"), 4).property(&four(MAXIMUM_PACKET_SIZE, exact + room));
        let client = world.join(&hello);
        world.subscribe(client, TOPIC, 0);
        let publisher = world.guest(V5, "p");
        for _ in 0..3 {
            world.publish(publisher, TOPIC, "1234", 0);
        }
        let got = world.messages(client);
        assert_eq!(got.len(), 3);
        let mut strict = Strict::new(4);
        for message in &got {
            assert!(message.bytes <= (exact + room) as usize);
            assert_eq!(strict.topic(message), TOPIC);
        }
        assert_eq!(strict.topics.len(), usize::from(room >= 5));
    }
}

#[test]
fn the_operator_may_allow_fewer_or_none() {
    for (allowed, expected) in [(0, 0), (1, 1), (5, 2)] {
        let mut world = World::limited(|limits| limits.topic_aliases_sent_max = allowed);
        let client = world.join(&allowing(hello(V5, "c"), 100));
        world.subscribe(client, "#", 0);
        let publisher = world.guest(V5, "p");
        for _ in 0..3 {
            for topic in ["one/long/topic", "another/long/topic"] {
                world.publish(publisher, topic, "x", 0);
            }
        }
        let mut strict = Strict::new(100);
        for message in world.messages(client) {
            strict.topic(&message);
        }
        assert_eq!(strict.topics.len(), expected);
    }
}
