//! From a publisher to its subscribers: who gets a message, how, in which order.

use mqtt_codec::Version::{V5, V31, V311};

use crate::got::{Got, UNHEARD};
use crate::packets::{again, hello, message, options, ping, puback, subscribe_as};
use crate::world::{ALL, World, open_settings, resident};

// [3.1.1 MQTT-3.3.4-1] [3.1.1 MQTT-2.3.1-6] [5 MQTT-3.3.4-1] [5 MQTT-2.2.1-5] [5 MQTT-4.3.2-4] [5 MQTT-4.3.3-8]
// [5 MQTT-3.4.2-1] [5 MQTT-3.5.2-1]
#[test]
fn a_publish_is_answered_by_its_quality_of_service() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        world.send(client, &message(version, "t", "x", 0, 0, false));
        assert_eq!(world.take(client), []);
        let unheard = if version == V5 { UNHEARD } else { 0 };
        world.send(client, &message(version, "t", "x", 1, 77, false));
        assert_eq!(world.take(client), [Got::Puback(77, unheard)]);
        world.send(client, &message(version, "t", "x", 2, 78, false));
        assert_eq!(world.take(client), [Got::Pubrec(78, unheard)]);
        let listener = world.guest(version, "listener");
        world.subscribe(listener, "+", 0);
        world.send(client, &message(version, "t", "x", 1, 79, false));
        assert_eq!(world.take(client), [Got::Puback(79, 0)]);
        world.send(client, &message(version, "t", "x", 2, 80, false));
        assert_eq!(world.take(client), [Got::Pubrec(80, 0)]);
    }
}

// [3.1.1 MQTT-3.8.4-6] [3.1.1 MQTT-4.3.1-1] [3.1.1 MQTT-2.3.1-5] [5 MQTT-3.8.4-8] [5 MQTT-4.3.1-1] [5 MQTT-2.2.1-2]
// [3.1.1 MQTT-4.3.2-1] [5 MQTT-4.3.2-2] [5 MQTT-4.3.3-2] [3.1.1 MQTT-4.5.0-1] [5 MQTT-4.5.0-1]
#[test]
fn a_message_is_delivered_at_the_lower_of_published_and_granted() {
    for version in ALL {
        for granted in 0..3 {
            for published in 0..3 {
                let mut world = World::new();
                let publisher = world.guest(version, "p");
                let subscriber = world.guest(version, "s");
                world.subscribe(subscriber, "t", granted);
                world.publish(publisher, "t", "x", published);
                let got = world.messages(subscriber);
                assert_eq!(got.len(), 1);
                let delivered = granted.min(published);
                assert_eq!(got[0].qos, delivered);
                assert_eq!(got[0].packet_id.is_some(), delivered > 0);
                assert_ne!(got[0].packet_id, Some(0));
                assert!(!got[0].dup);
            }
        }
    }
}

// [3.1.1 MQTT-3.3.1-3] [5 MQTT-3.3.1-3] [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]
#[test]
fn the_dup_flag_of_the_publisher_is_its_own_business() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let subscriber = world.guest(version, "s");
        for (filter, qos) in [("a", 0), ("b", 1), ("c", 2)] {
            world.subscribe(subscriber, filter, qos);
            let packet = again(message(version, filter, "x", 2, 9 + u16::from(qos), false));
            world.send(publisher, &packet);
        }
        let got = world.messages(subscriber);
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|message| !message.dup));
    }
}

// [3.1.1 MQTT-3.3.2-3] [5 MQTT-3.3.2-3] [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]
#[test]
fn filters_match_what_the_specification_says() {
    let cases: [(&str, &[&str]); 8] = [
        ("a/b", &["a/b"]),
        ("a/+", &["a/b", "a/", "a/$x"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/", "a/$x"]),
        ("+/b", &["a/b", "/b"]),
        ("+", &["a"]),
        ("/+", &["/b"]),
        ("#", &["a", "a/b", "a/b/c", "/b", "a/", "a/$x"]),
        ("+/+/c", &["a/b/c"]),
    ];
    for version in ALL {
        for (filter, expected) in cases {
            let mut world = World::new();
            let client = world.guest(version, "c");
            world.subscribe(client, filter, 0);
            for topic in ["a", "a/b", "a/b/c", "/b", "a/", "a/$x"] {
                world.publish(client, topic, "", 0);
            }
            let topics: Vec<String> = world
                .messages(client)
                .into_iter()
                .map(|message| message.topic)
                .collect();
            let mut sorted = expected.to_vec();
            sorted.sort_by_key(|topic| {
                ["a", "a/b", "a/b/c", "/b", "a/", "a/$x"]
                    .iter()
                    .position(|other| other == topic)
            });
            assert_eq!(topics, sorted, "{filter}");
        }
    }
}

// [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
#[test]
fn topics_of_the_server_meet_no_leading_wildcard_and_take_no_publish() {
    for (version, refusal) in [(V31, 0), (V311, 0), (V5, 0x87)] {
        let mut world = World::new();
        let client = world.join(&hello(version, "c").login("root"));
        for filter in ["#", "+/x", "$SYS/x"] {
            world.subscribe(client, filter, 0);
        }
        world.send(client, &message(version, "$SYS/x", "mine", 1, 5, false));
        assert_eq!(world.take(client), [Got::Puback(5, refusal)]);
        assert!(!world.is_closed(client));
    }
    // A will or a message another shard lets through is matched all the same.
    assert!(!mqtt_codec::topic::matches("#", "$SYS/x"));
    assert!(!mqtt_codec::topic::matches("+/x", "$SYS/x"));
    assert!(mqtt_codec::topic::matches("$SYS/#", "$SYS/x"));
}

// [3.1.1 MQTT-3.3.5-1] [5 MQTT-3.3.4-2]
#[test]
fn overlapping_subscriptions_give_one_copy_at_the_highest_quality() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        world.subscribe(client, "t/#", 0);
        world.subscribe(client, "t/+", 2);
        world.subscribe(client, "t/1", 1);
        let packet = message(version, "t/1", "x", 2, 9, false);
        world.send(client, &packet);
        let got: Vec<u8> = world
            .take(client)
            .into_iter()
            .filter_map(|got| match got {
                Got::Publish(message) => Some(message.qos),
                _ => None,
            })
            .collect();
        assert_eq!(got, [2]);
    }
}

// [5 MQTT-3.3.4-3] [5 MQTT-3.3.4-4] [5 MQTT-3.3.4-5]
#[test]
fn a_copy_carries_the_identifiers_of_all_matching_subscriptions() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    let other = world.guest(V5, "other");
    world.subscribe(other, "t/#", 0);
    for (identifier, filter) in [(7, "t/#"), (268_435_455, "t/+"), (300, "u")] {
        let packet = crate::packets::subscribe_as(identifier, &[(filter, options(1))]);
        world.send(client, &packet);
        assert_eq!(world.take(client), [Got::Suback(1, vec![1])]);
    }
    world.subscribe(client, "t/1", 0);
    world.publish(other, "t/1", "x", 1);
    let mut got = world.messages(client);
    got[0].identifiers.sort_unstable();
    assert_eq!(got[0].identifiers, [7, 268_435_455]);
    assert_eq!(got.len(), 1);
    let mut plain = world.take(other);
    plain.retain(|got| matches!(got, Got::Publish(_)));
    assert!(matches!(&plain[..], [Got::Publish(message)] if message.identifiers.is_empty()));
    // Replacing without an identifier takes it away.
    world.subscribe(client, "t/#", 0);
    world.subscribe(client, "t/+", 0);
    world.publish(other, "t/2", "x", 1);
    assert!(world.messages(client)[0].identifiers.is_empty());
}

// [5 MQTT-3.8.3-3]
#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    let other = world.guest(V5, "other");
    let mut own = options(1);
    own.no_local = true;
    world.subscribe_with(client, "t", own);
    world.subscribe(other, "t", 0);
    world.publish(client, "t", "mine", 0);
    world.publish(other, "t", "yours", 0);
    assert_eq!(world.texts(client), ["t yours"]);
    assert_eq!(world.texts(other), ["t mine", "t yours"]);
}

// [5 MQTT-3.8.3-3]: found by the differential test.
#[test]
fn no_local_lends_neither_qos_nor_identifier_to_another_subscription() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    let mut own = options(1);
    own.no_local = true;
    for (identifier, filter, options) in [(1, "t", own), (2, "t/#", options(0))] {
        world.send(client, &subscribe_as(identifier, &[(filter, options)]));
    }
    world.take(client);
    world.publish(client, "t", "mine", 1);
    let told = world.take(client).into_iter().find_map(|got| match got {
        Got::Publish(message) => Some((message.qos, message.identifiers)),
        _ => None,
    });
    assert_eq!(told, Some((0, vec![2])));
}

// [3.1.1 MQTT-4.6.0-5] [3.1.1 MQTT-4.6.0-6] [5 MQTT-4.6.0-5] [5 MQTT-4.6.0-6]
#[test]
fn messages_of_a_publisher_stay_in_order() {
    for version in ALL {
        for qos in 0..3 {
            let mut world = World::new();
            let publisher = world.guest(version, "p");
            let live = world.guest(version, "live");
            world.subscribe(live, "t/#", qos);
            let lasting = world.join(&resident(version, "lasting"));
            world.subscribe(lasting, "t/#", qos);
            for number in 1..=50u16 {
                let payload = number.to_string();
                let packet = message(version, "t/1", &payload, qos, number, false);
                world.send(publisher, &packet);
            }
            let expected: Vec<String> = (1..=50).map(|number| format!("t/1 {number}")).collect();
            assert_eq!(world.texts(live), expected);
            assert_eq!(world.texts(lasting), expected);
        }
    }
}

// [3.1.1 MQTT-3.3.5-2] [5 MQTT-3.4.2-1]
#[test]
fn a_publish_that_is_not_allowed_reaches_nobody() {
    for (version, answers) in [
        (V31, [Got::Puback(1, 0), Got::Pubrec(2, 0)]),
        (V311, [Got::Puback(1, 0), Got::Pubrec(2, 0)]),
        (V5, [Got::Puback(1, 0x87), Got::Pubrec(2, 0x87)]),
    ] {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        let mut world = World::with(1, settings);
        let root = world.join(&hello(version, "r").login("root"));
        world.subscribe(root, "#", 0);
        let bob = world.join(&hello(version, "b").login("bob"));
        world.send(bob, &message(version, "t", "x", 1, 1, false));
        world.send(bob, &message(version, "t", "x", 2, 2, false));
        world.send(bob, &message(version, "t", "x", 0, 0, true));
        assert_eq!(world.take(bob), answers);
        assert_eq!(world.texts(root), [""; 0]);
        assert!(!world.is_closed(bob));
        assert_eq!(world.shards[0].counters().publishes_refused, 3);
    }
}

// [5 MQTT-4.3.3-9]
#[test]
fn after_a_refused_exactly_once_publish_its_identifier_is_free() {
    let mut settings = open_settings();
    settings.allow_anonymous = false;
    let mut world = World::with(1, settings);
    let bob = world.join(&hello(V5, "b").login("bob"));
    for _ in 0..2 {
        // Refused again, rather than taken for a repetition.
        world.send(bob, &message(V5, "t", "x", 2, 2, false));
        assert_eq!(world.take(bob), [Got::Pubrec(2, 0x87)]);
    }
}

// [5 MQTT-3.1.2-29]
#[test]
fn who_wants_no_problem_information_gets_no_reason_string() {
    for (flag, longer) in [(0u8, false), (1, true)] {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        let mut world = World::with(1, settings);
        let hello = hello(V5, "b").login("bob").property(&[0x17, flag]);
        let bob = world.join(&hello);
        world.send(bob, &message(V5, "t", "x", 1, 1, false));
        let packet = world.take_bytes(bob);
        assert_eq!(&packet[2..5], [0, 1, 0x87]);
        assert_eq!(packet.len() > 6, longer, "{packet:02x?}");
    }
}

// [5 MQTT-3.4.2-2] [5 MQTT-3.5.2-2] [5 MQTT-3.4.2-3] [5 MQTT-3.5.2-3]
#[test]
fn a_reason_string_that_does_not_fit_is_left_out() {
    for qos in [1, 2] {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        let mut world = World::with(1, settings);
        let small = crate::packets::four(crate::packets::MAXIMUM_PACKET_SIZE, 30);
        let bob = world.join(&hello(V5, "b").login("bob").property(&small));
        world.send(bob, &message(V5, "t", "x", qos, 1, false));
        let packet = world.take_bytes(bob);
        assert_eq!(packet[2..], [0, 1, 0x87], "{packet:02x?}");
    }
}

// [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4] [5 MQTT-4.3.2-1] [5 MQTT-4.3.3-1]
#[test]
fn the_server_gives_each_delivery_an_identifier_of_its_own() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        let publisher = world.guest(version, "p");
        world.subscribe(client, "t", 2);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            world.publish(publisher, "t", "x", 1 + number % 2);
        }
        for message in world.messages(client) {
            let packet_id = message.packet_id.expect("QoS 1 or 2");
            assert_ne!(packet_id, 0);
            assert!(seen.insert(packet_id), "{packet_id} is in use");
        }
        assert_eq!(seen.len(), 200);
    }
}

// [3.1.1 MQTT-3.12.4-1] [5 MQTT-3.12.4-1]
#[test]
fn every_ping_is_answered() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        let three = [ping(), ping(), ping()].concat();
        world.send(client, &three);
        assert_eq!(
            world.take(client),
            [Got::Pingresp, Got::Pingresp, Got::Pingresp]
        );
    }
}

// [3.1.1 MQTT-4.3.2-1] [5 MQTT-4.3.2-3]
#[test]
fn a_delivery_is_finished_by_its_own_puback_only() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        world.publish(client, "t", "x", 1);
        let sent = world
            .take(client)
            .into_iter()
            .find_map(|got| match got {
                Got::Publish(message) => message.packet_id,
                _ => None,
            })
            .expect("one delivery");
        world.send(client, &puback(sent.wrapping_add(1)));
        world.cut(client);
        let again = world.connect(&resident(version, "c"));
        let redelivered: Vec<_> = world
            .take(again)
            .into_iter()
            .filter_map(|got| match got {
                Got::Publish(message) => Some((message.packet_id, message.dup)),
                _ => None,
            })
            .collect();
        assert_eq!(redelivered, [(Some(sent), true)]);
        world.send(again, &puback(sent));
        world.cut(again);
        let done = world.connect(&resident(version, "c"));
        assert_eq!(world.take(done).len(), 1);
    }
}
