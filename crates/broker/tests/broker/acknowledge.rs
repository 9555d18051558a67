//! QoS 2 both ways, acknowledgements in order, and the windows of both sides.

use mqtt_codec::Version::{self, V5, V31, V311};

use crate::got::{Got, Message, UNHEARD};
use crate::packets::{
    RECEIVE_MAXIMUM, again, four, hello, message, options, ping, puback, pubcomp, pubrec, pubrel,
    raw, two,
};
use crate::world::{ALL, Client, World, resident};

/// The single message a client got.
fn one(world: &mut World, client: Client) -> Message {
    let mut got = world.messages(client);
    assert_eq!(got.len(), 1, "{got:?}");
    got.remove(0)
}

fn id_of(message: &Message) -> u16 {
    message.packet_id.expect("QoS 1 or 2")
}

// [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10] [5 MQTT-4.3.3-11] [5 MQTT-4.3.3-12] [5 MQTT-3.7.2-1]
#[test]
fn an_exactly_once_publish_is_delivered_once_however_often_it_comes() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let subscriber = world.guest(version, "s");
        world.subscribe(subscriber, "t", 0);
        let publish = message(version, "t", "x", 2, 5, false);
        world.send(publisher, &publish);
        world.send(publisher, &again(publish.clone()));
        world.send(publisher, &publish);
        assert_eq!(
            world.take(publisher),
            [Got::Pubrec(5, 0), Got::Pubrec(5, 0), Got::Pubrec(5, 0)]
        );
        assert_eq!(world.texts(subscriber), ["t x"]);
        world.send(publisher, &pubrel(5));
        assert_eq!(world.take(publisher), [Got::Pubcomp(5, 0)]);
        world.send(publisher, &publish);
        assert_eq!(world.take(publisher), [Got::Pubrec(5, 0)]);
        assert_eq!(world.texts(subscriber), ["t x"]);
    }
}

// [3.1.1 MQTT-4.3.2-2] [5 MQTT-4.3.2-5]
#[test]
fn after_puback_the_same_identifier_is_a_new_message() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let subscriber = world.guest(version, "s");
        world.subscribe(subscriber, "t", 0);
        let publish = message(version, "t", "x", 1, 5, false);
        world.send(publisher, &publish);
        world.send(publisher, &again(publish));
        assert_eq!(
            world.take(publisher),
            [Got::Puback(5, 0), Got::Puback(5, 0)]
        );
        assert_eq!(world.texts(subscriber), ["t x", "t x"]);
    }
}

#[test]
fn a_pubrel_of_nothing_is_completed_with_a_reason() {
    for (version, reason) in [(V31, 0), (V311, 0), (V5, 0x92)] {
        let mut world = World::new();
        let client = world.guest(version, "c");
        world.send(client, &pubrel(9));
        assert_eq!(world.take(client), [Got::Pubcomp(9, reason)]);
    }
}

// [3.1.1 MQTT-4.3.3-1] [5 MQTT-4.3.3-3] [5 MQTT-4.3.3-4] [5 MQTT-4.3.3-5] [5 MQTT-4.3.3-6] [5 MQTT-3.6.2-1]
// [3.1.1 MQTT-2.3.1-6] [5 MQTT-2.2.1-5] [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
#[test]
fn an_exactly_once_delivery_goes_on_where_it_was() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let subscriber = world.join(&resident(version, "s"));
        world.subscribe(subscriber, "t", 2);
        world.publish(publisher, "t", "x", 2);
        let first = one(&mut world, subscriber);
        let id = id_of(&first);
        assert!(!first.dup);

        // No PUBREC: the same PUBLISH again.
        world.cut(subscriber);
        let subscriber = world.join(&resident(version, "s"));
        let subscriber = rejoin(&mut world, version, subscriber);
        let second = one(&mut world, subscriber);
        assert_eq!((second.packet_id, second.dup), (Some(id), true));
        world.send(subscriber, &pubrec(id));
        assert_eq!(world.take(subscriber), [Got::Pubrel(id, 0)]);

        // PUBREC came: PUBREL only, from here on.
        let subscriber = rejoin(&mut world, version, subscriber);
        assert_eq!(world.take(subscriber), [Got::Pubrel(id, 0)]);
        world.send(subscriber, &pubrec(id));
        assert_eq!(world.take(subscriber), [Got::Pubrel(id, 0)]);
        world.send(subscriber, &pubcomp(id));
        let subscriber = rejoin(&mut world, version, subscriber);
        assert_eq!(world.take(subscriber), []);
    }
}

/// Loses the connection and takes the session up again; what came behind CONNACK is left to be looked at.
fn rejoin(world: &mut World, version: Version, client: Client) -> Client {
    world.cut(client);
    let client = world.open(version);
    world.send(client, &resident(version, "s").bytes());
    let rest = world.take_bytes(client);
    let connack = 2 + usize::from(rest[1]);
    assert_eq!(rest[0], 0x20);
    world.put_back(client, &rest[connack..]);
    client
}

// [3.1.1 MQTT-4.4.0-1] [3.1.1 MQTT-3.3.1-1] [5 MQTT-4.4.0-1] [5 MQTT-3.3.1-1]
#[test]
fn everything_unacknowledged_is_sent_again_in_order_and_only_then() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let subscriber = world.join(&resident(version, "s"));
        world.subscribe(subscriber, "t", 2);
        for (payload, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 2), ("5", 1)] {
            world.publish(publisher, "t", payload, qos);
        }
        let first = world.messages(subscriber);
        world.send(subscriber, &puback(id_of(&first[2])));
        world.send(subscriber, &pubrec(id_of(&first[1])));
        world.take(subscriber);
        // Time alone resends nothing.
        world.advance(3_600_000);
        assert_eq!(world.take(subscriber), []);
        let subscriber = rejoin(&mut world, version, subscriber);
        let id = |index: usize| id_of(&first[index]);
        let expected: Vec<(u16, Option<&str>)> = vec![
            (id(0), Some("1")),
            (id(1), None),
            (id(3), Some("4")),
            (id(4), Some("5")),
        ];
        let got: Vec<(u16, Option<String>)> = world
            .take(subscriber)
            .into_iter()
            .map(|got| match got {
                Got::Publish(message) => {
                    assert!(message.dup);
                    (id_of(&message), Some(message.payload))
                }
                Got::Pubrel(id, 0) => (id, None),
                other => panic!("{other:?}"),
            })
            .collect();
        let got: Vec<(u16, Option<&str>)> = got
            .iter()
            .map(|(id, payload)| (*id, payload.as_deref()))
            .collect();
        assert_eq!(got, expected);
    }
}

// [5 MQTT-4.4.0-2] [5 MQTT-4.8.2-6]
#[test]
fn a_refused_delivery_is_over() {
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        let mut world = World::new();
        let publisher = world.guest(V5, "p");
        let subscriber = world.join(&resident(V5, "s"));
        world.subscribe(subscriber, "t", qos);
        world.publish(publisher, "t", "x", qos);
        let id = id_of(&one(&mut world, subscriber));
        world.send(subscriber, &raw(first, &[&id.to_be_bytes(), &[0x80]]));
        assert_eq!(world.take(subscriber), []);
        let subscriber = rejoin(&mut world, V5, subscriber);
        assert_eq!(world.take(subscriber), []);
    }
}

// [5 MQTT-4.3.3-7] [5 MQTT-4.3.3-13]
#[test]
fn a_flow_that_has_begun_is_finished_though_its_message_expires() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    let subscriber = world.join(&resident(V5, "s"));
    world.subscribe(subscriber, "t", 2);
    let expiry = four(crate::packets::MESSAGE_EXPIRY, 10);
    let publish = crate::packets::message_with(V5, "t", "x", 2, 5, false, &expiry);
    world.send(publisher, &publish);
    assert_eq!(world.take(publisher), [Got::Pubrec(5, 0)]);
    let id = id_of(&one(&mut world, subscriber));
    world.advance(20_000);
    let subscriber = rejoin(&mut world, V5, subscriber);
    let second = one(&mut world, subscriber);
    assert_eq!((second.packet_id, second.dup), (Some(id), true));
    world.send(publisher, &again(publish));
    world.send(publisher, &pubrel(5));
    assert_eq!(
        world.take(publisher),
        [Got::Pubrec(5, 0), Got::Pubcomp(5, 0)]
    );
    world.send(subscriber, &pubrec(id));
    assert_eq!(world.take(subscriber), [Got::Pubrel(id, 0)]);
    world.send(subscriber, &pubcomp(id));
}

// [5 MQTT-3.3.4-9] [5 MQTT-4.9.0-1] [5 MQTT-4.9.0-2]
#[test]
fn no_more_deliveries_are_under_way_than_the_client_takes() {
    for qos in [1, 2] {
        let mut world = World::new();
        let publisher = world.guest(V5, "p");
        let hello = hello(V5, "s").property(&two(RECEIVE_MAXIMUM, 2));
        let subscriber = world.join(&hello);
        world.subscribe(subscriber, "t", qos);
        for payload in ["1", "2", "3", "4", "5"] {
            world.publish(publisher, "t", payload, qos);
        }
        let mut got = world.messages(subscriber);
        assert_eq!(got.len(), 2);
        while got.len() < 5 {
            let id = id_of(&got[got.len() - 2]);
            if qos == 1 {
                world.send(subscriber, &puback(id));
            } else {
                world.send(subscriber, &pubrec(id));
                assert_eq!(world.take(subscriber), [Got::Pubrel(id, 0)]);
                world.send(subscriber, &pubcomp(id));
            }
            got.push(one(&mut world, subscriber));
        }
        let payloads: Vec<&str> = got.iter().map(|message| &*message.payload).collect();
        assert_eq!(payloads, ["1", "2", "3", "4", "5"]);
    }
}

// [5 MQTT-3.3.4-10] [5 MQTT-4.9.0-3]
#[test]
fn a_full_window_holds_back_nothing_but_publishes_of_its_kind() {
    let mut world = World::new();
    let hello = hello(V5, "s").property(&two(RECEIVE_MAXIMUM, 1));
    let client = world.join(&hello);
    world.subscribe(client, "t", 1);
    for payload in ["1", "2"] {
        world.publish(client, "t", payload, 1);
    }
    let got = world.take(client);
    let publishes = got.iter().filter(|got| matches!(got, Got::Publish(_)));
    assert_eq!(publishes.count(), 1);
    world.send(client, &ping());
    world.send(
        client,
        &crate::packets::subscribe(V5, 99, &[("u", options(0))]),
    );
    world.send(client, &message(V5, "v", "x", 1, 100, false));
    world.send(client, &message(V5, "v", "x", 2, 101, false));
    world.send(client, &pubrel(101));
    assert_eq!(
        world.take(client),
        [
            Got::Pingresp,
            Got::Suback(99, vec![0]),
            Got::Puback(100, UNHEARD),
            Got::Pubrec(101, UNHEARD),
            Got::Pubcomp(101, 0)
        ]
    );
}

#[test]
fn a_client_that_exceeds_our_receive_maximum_is_disconnected() {
    let mut world = World::limited(|limits| limits.receive_maximum = 2);
    let listener = world.guest(V5, "listener");
    world.subscribe(listener, "t", 0);
    let client = world.guest(V5, "c");
    for packet_id in [1, 2] {
        world.send(client, &message(V5, "t", "x", 2, packet_id, false));
    }
    // A repetition is not one more.
    world.send(client, &again(message(V5, "t", "x", 2, 2, false)));
    assert_eq!(
        world.take(client),
        [Got::Pubrec(1, 0), Got::Pubrec(2, 0), Got::Pubrec(2, 0)]
    );
    world.send(client, &pubrel(1));
    world.send(client, &message(V5, "t", "x", 2, 3, false));
    assert_eq!(world.take(client), [Got::Pubcomp(1, 0), Got::Pubrec(3, 0)]);
    world.send(client, &message(V5, "t", "x", 2, 4, false));
    assert_eq!(world.take(client), [Got::Disconnect(0x93)]);
    assert!(world.is_closed(client));
}

#[test]
fn what_waits_for_the_disk_counts_once_against_the_receive_maximum() {
    let mut world = World::limited(|limits| limits.receive_maximum = 3);
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "t", 1);
    let client = world.guest(V5, "c");
    world.slow_disk = true;
    world.send(client, &message(V5, "t", "x", 2, 1, false));
    world.send(client, &message(V5, "t", "x", 1, 2, false));
    world.send(client, &message(V5, "t", "x", 2, 3, false));
    assert!(!world.is_closed(client));
    world.commit();
    assert_eq!(
        world.take(client),
        [Got::Pubrec(1, 0), Got::Puback(2, 0), Got::Pubrec(3, 0)]
    );
    world.send(client, &message(V5, "t", "x", 1, 4, false));
    world.send(client, &message(V5, "t", "x", 1, 5, false));
    assert_eq!(world.take(client), [Got::Disconnect(0x93)]);
}

#[test]
fn an_old_client_that_publishes_much_at_once_is_slowed_down_rather_than_disconnected() {
    let mut world = World::limited(|limits| limits.receive_maximum = 4);
    let lasting = world.join(&resident(V311, "lasting"));
    world.subscribe(lasting, "t", 1);
    let client = world.guest(V311, "c");
    world.slow_disk = true;
    let burst: Vec<u8> = (1..=40)
        .flat_map(|packet_id| message(V311, "t", "x", 1, packet_id, false))
        .collect();
    world.send(client, &burst);
    assert_eq!(world.take(client), []);
    while !world.appends.is_empty() {
        assert!(world.appends.len() <= 6);
        world.commit();
    }
    let expected: Vec<Got> = (1..=40)
        .map(|packet_id| Got::Puback(packet_id, 0))
        .collect();
    assert_eq!(world.take(client), expected);
}

// [3.1.1 MQTT-4.6.0-6]
#[test]
fn acknowledgements_leave_in_the_order_of_their_messages() {
    for version in ALL {
        let mut world = World::new();
        let lasting = world.join(&resident(version, "lasting"));
        world.subscribe(lasting, "stored", 1);
        world.subscribe(lasting, "plain", 0);
        let client = world.guest(version, "c");
        world.slow_disk = true;
        world.send(client, &message(version, "stored", "x", 1, 1, false));
        world.send(client, &message(version, "plain", "x", 1, 2, false));
        world.send(client, &message(version, "plain", "x", 2, 3, false));
        assert_eq!(world.take(client), []);
        world.commit();
        assert_eq!(
            world.take(client),
            [Got::Puback(1, 0), Got::Puback(2, 0), Got::Pubrec(3, 0)]
        );
    }
}

// [5 MQTT-3.1.2-24] [5 MQTT-3.1.2-25]
#[test]
fn a_delivery_that_a_new_connection_is_too_small_for_does_not_hold_up_the_others() {
    const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    for qos in [1, 2] {
        let mut world = World::new();
        let publisher = world.guest(V5, "p");
        let client = world.join(&resident(V5, "s"));
        world.subscribe(client, "t", qos);
        world.publish(publisher, "t", &"x".repeat(200), qos);
        assert_eq!(world.messages(client).len(), 1);
        world.cut(client);
        let small = resident(V5, "s")
            .property(&four(MAXIMUM_PACKET_SIZE, 100))
            .property(&two(RECEIVE_MAXIMUM, 1));
        let client = world.join_and_keep(&small);
        world.publish(publisher, "t", "y", qos);
        if qos == 2 {
            // The client may hold the first one's identifier.
            let got = world.take(client);
            let [Got::Pubrel(packet_id, _)] = got[..] else {
                panic!("not a PUBREL: {got:?}");
            };
            world.send(client, &pubcomp(packet_id));
        }
        assert_eq!(one(&mut world, client).payload, "y");
    }
}

// [3.1.1 MQTT-4.8.0-1] [5 MQTT-4.13.1-1]
#[test]
fn an_acknowledgement_of_another_kind_ends_the_connection_and_one_of_nothing_does_not() {
    for version in ALL {
        // What comes in the place of a delivery's own answer.
        type Wrong = fn(u16) -> Vec<u8>;
        let cases: [(u8, Wrong); 4] = [(1, pubrec), (1, pubcomp), (2, puback), (2, pubcomp)];
        for (qos, wrong) in cases {
            let mut world = World::new();
            let publisher = world.guest(version, "p");
            let client = world.join(&resident(version, "s"));
            world.subscribe(client, "t", qos);
            world.send(client, &puback(999));
            world.send(client, &pubcomp(999));
            assert!(!world.is_closed(client), "an echo");
            world.publish(publisher, "t", "x", qos);
            let id = one(&mut world, client).packet_id.unwrap();
            world.send(client, &wrong(id));
            let expected = [Got::Disconnect(0x82)];
            let expected = if version == V5 { &expected[..] } else { &[] };
            assert_eq!(world.take(client), expected);
            assert!(world.is_closed(client));
            // It is not lost: the next connection gets it.
            let client = world.join_and_keep(&resident(version, "s"));
            let again = one(&mut world, client);
            assert_eq!((again.packet_id, again.dup), (Some(id), true));
            // PUBCOMP has its turn behind PUBREL.
            if qos == 2 {
                world.send(client, &pubrec(id));
                assert_eq!(world.take(client), [Got::Pubrel(id, 0)]);
                world.send(client, &puback(id));
                assert!(world.is_closed(client));
            }
        }
    }
}

// [5 MQTT-4.3.3-4]
#[test]
fn a_pubrec_that_refuses_what_is_unknown_is_not_answered() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    world.send(client, &raw(0x50, &[&[0, 9, 0x97]]));
    assert_eq!(world.take(client), []);
    assert!(!world.is_closed(client));
    world.send(client, &raw(0x50, &[&[0, 9, 0x10]]));
    assert_eq!(world.take(client), [Got::Pubrel(9, 0x92)]);
}
