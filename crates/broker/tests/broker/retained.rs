//! Retained messages: kept by topic, sent to new subscriptions, cleared by an empty one, bounded.

use mqtt_codec::SubscriptionOptions;
use mqtt_codec::Version::{V5, V31, V311};

use crate::got::Got;
use crate::packets::{
    MESSAGE_EXPIRY, four, message, message_with, options, subscribe, unsubscribe,
};
use crate::world::{ALL, World};

// [3.1.1 MQTT-3.3.1-5] [3.1.1 MQTT-3.3.1-6] [3.1.1 MQTT-3.3.1-8] [3.1.1 MQTT-3.3.1-7] [5 MQTT-3.3.1-5]
// [5 MQTT-3.3.1-9]
#[test]
fn a_new_subscription_gets_the_last_retained_message_of_each_topic() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        for (topic, payload, qos) in [
            ("t/1", "old", 2),
            ("t/1", "new", 1),
            ("t/2", "zero", 0),
            ("u", "no", 1),
        ] {
            world.publish_retain(publisher, topic, payload, qos, true);
        }
        let client = world.guest(version, "c");
        world.subscribe(client, "t/#", 2);
        let got: Vec<_> = world
            .messages(client)
            .into_iter()
            .map(|message| (message.topic, message.payload, message.qos, message.retain))
            .collect();
        assert_eq!(
            got,
            [
                ("t/1".to_string(), "new".to_string(), 1, true),
                ("t/2".to_string(), "zero".to_string(), 0, true)
            ]
        );
    }
}

// [3.1.1 MQTT-3.3.1-9] [5 MQTT-3.3.1-12]
#[test]
fn an_established_subscription_gets_it_as_an_ordinary_message() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        world.subscribe(client, "t", 1);
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "t", "x", 1, true);
        let got = world.messages(client);
        assert_eq!(got.len(), 1);
        assert!(!got[0].retain);
    }
}

// [5 MQTT-3.3.1-13] [5 MQTT-3.3.1-12]
#[test]
fn retain_as_published_keeps_the_flag_as_it_came() {
    for (as_published, flag, expected) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        let mut world = World::new();
        let client = world.guest(V5, "c");
        let mut options = options(1);
        options.retain_as_published = as_published;
        world.subscribe_with(client, "t", options);
        let publisher = world.guest(V5, "p");
        world.publish_retain(publisher, "t", "x", 1, flag);
        assert_eq!(world.messages(client)[0].retain, expected);
    }
}

// [3.1.1 MQTT-3.3.1-10] [3.1.1 MQTT-3.3.1-11] [5 MQTT-3.3.1-6] [5 MQTT-3.3.1-7]
#[test]
fn an_empty_retained_message_is_delivered_and_clears() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let early = world.guest(version, "early");
        world.subscribe(early, "t", 0);
        world.publish_retain(publisher, "t", "x", 1, true);
        world.publish_retain(publisher, "t", "", 1, true);
        assert_eq!(world.texts(early), ["t x", "t "]);
        let late = world.guest(version, "late");
        world.subscribe(late, "#", 0);
        assert_eq!(world.take(late), []);
        assert_eq!(world.shards[0].population().retained, 0);
        assert_eq!(world.shards[0].population().retained_bytes, 0);
    }
}

// [3.1.1 MQTT-3.3.1-12] [5 MQTT-3.3.1-8]
#[test]
fn an_ordinary_message_leaves_the_retained_one_alone() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "t", "kept", 1, true);
        world.publish(publisher, "t", "live", 1);
        world.publish(publisher, "t", "", 1);
        world.publish(publisher, "u", "never kept", 1);
        let client = world.guest(version, "c");
        world.subscribe(client, "#", 0);
        assert_eq!(world.texts(client), ["t kept"]);
    }
}

// [5 MQTT-3.3.1-9] [5 MQTT-3.3.1-10] [5 MQTT-3.3.1-11] [5 MQTT-3.8.4-4]
#[test]
fn retain_handling_decides_when_retained_messages_come() {
    for (retain_handling, first, second) in [(0, 1, 1), (1, 1, 0), (2, 0, 0)] {
        let mut world = World::new();
        let publisher = world.guest(V5, "p");
        world.publish_retain(publisher, "t", "kept", 0, true);
        let client = world.guest(V5, "c");
        let options = SubscriptionOptions {
            retain_handling,
            ..options(0)
        };
        world.subscribe_with(client, "t", options);
        assert_eq!(world.messages(client).len(), first);
        world.subscribe_with(client, "t", options);
        assert_eq!(world.messages(client).len(), second);
        // Gone and made anew, it is new.
        world.send(client, &unsubscribe(V5, 99, &["t"]));
        world.take(client);
        world.subscribe_with(client, "t", options);
        assert_eq!(world.messages(client).len(), first);
    }
}

// [3.1.1 MQTT-3.1.2-7]
#[test]
fn retained_messages_outlive_the_session_that_published_them() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "t", "kept", 1, true);
        world.cut(publisher);
        assert_eq!(world.shards[0].population().sessions, 0);
        let client = world.guest(version, "c");
        world.subscribe(client, "t", 0);
        assert_eq!(world.texts(client), ["t kept"]);
    }
}

// [3.1.1 MQTT-3.1.2-7] [3.1.1 MQTT-3.3.1-5]
#[test]
fn retained_messages_survive_a_restart_and_stay_cleared() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "a", "kept", 0, true);
        world.publish_retain(publisher, "b", "cleared", 1, true);
        world.publish_retain(publisher, "b", "", 1, true);
        world.restart();
        let client = world.guest(version, "c");
        world.subscribe(client, "#", 0);
        assert_eq!(world.texts(client), ["a kept"]);
    }
}

#[test]
fn a_large_tree_comes_in_slices_and_completely() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let count = 5000;
    for number in 0..count {
        let topic = format!("t/{number:05}");
        world.send(publisher, &message(V5, &topic, "x", 0, 0, true));
    }
    let client = world.guest(V5, "c");
    world.subscribe(client, "t/+", 0);
    assert_eq!(world.messages(client).len(), count);
    // With acknowledgements too, at the pace of the client.
    let client = world.guest(V5, "d");
    for number in 0..count {
        let topic = format!("u/{number:05}");
        world.send(publisher, &message(V5, &topic, "x", 1, 1, true));
    }
    world.subscribe(client, "u/+", 1);
    let mut got = 0;
    loop {
        let messages = world.messages(client);
        if messages.is_empty() {
            break;
        }
        got += messages.len();
        let acks: Vec<u8> = messages
            .iter()
            .flat_map(|message| crate::packets::puback(message.packet_id.expect("QoS 1")))
            .collect();
        world.send(client, &acks);
    }
    assert_eq!(got, count);
}

#[test]
fn a_retained_message_that_has_expired_is_gone() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let expiry = four(MESSAGE_EXPIRY, 10);
    world.send(publisher, &message_with(V5, "t", "x", 0, 0, true, &expiry));
    world.advance(4000);
    let early = world.guest(V5, "early");
    world.subscribe(early, "t", 0);
    assert_eq!(world.messages(early)[0].expiry, Some(6));
    world.advance(6000);
    let late = world.guest(V5, "late");
    world.subscribe(late, "t", 0);
    assert_eq!(world.take(late), []);
    assert_eq!(world.shards[0].population().retained, 0);
}

#[test]
fn retained_messages_are_bounded_in_number_and_bytes() {
    let mut world = World::limited(|limits| {
        limits.retained_messages_max = 2;
        limits.retained_bytes_max = 2000;
        limits.retained_messages_per_account_max = 2;
        limits.retained_bytes_per_account_max = 2000;
    });
    let publisher = world.guest(V5, "p");
    let listener = world.guest(V5, "listener");
    world.subscribe(listener, "#", 0);
    for (topic, payload, packet_id, reason) in [
        ("a", "x".to_string(), 1, 0),
        ("b", "x".repeat(2000), 2, 0x97),
        ("b", "x".to_string(), 3, 0),
        ("c", "x".to_string(), 4, 0x97),
        ("a", "y".to_string(), 5, 0),
        ("a", String::new(), 6, 0),
        ("c", "x".to_string(), 7, 0),
    ] {
        world.send(publisher, &message(V5, topic, &payload, 1, packet_id, true));
        assert_eq!(world.take(publisher), [Got::Puback(packet_id, reason)]);
    }
    assert_eq!(world.shards[0].counters().retained_refused, 2);
}

#[test]
fn the_suback_comes_before_the_retained_messages() {
    for version in [V31, V311, V5] {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "t", "x", 0, true);
        let client = world.guest(version, "c");
        world.send(client, &subscribe(version, 5, &[("t", options(0))]));
        assert!(matches!(
            world.take(client)[..],
            [Got::Suback(5, _), Got::Publish(_)]
        ));
    }
}
