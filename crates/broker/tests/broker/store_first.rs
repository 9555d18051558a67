//! Nothing is acknowledged, and nothing durable delivered, before it is on disk; what is not promised does
//! not wait for the disk.

use mqtt_codec::Version::{V5, V311};

use crate::got::{Got, UNHEARD};
use crate::packets::{
    again, hello, message, options, pubcomp, pubrec, pubrel, subscribe, unsubscribe,
};
use crate::world::{ALL, World, resident};

#[test]
fn connack_of_a_lasting_session_waits_for_the_disk() {
    for version in ALL {
        let mut world = World::new();
        world.slow_disk = true;
        let guest = world.connect(&hello(version, "guest"));
        assert_eq!(world.take(guest).len(), 1);
        let lasting = world.connect(&resident(version, "lasting"));
        assert_eq!(world.take(lasting), []);
        world.commit();
        assert_eq!(world.take(lasting).len(), 1);
    }
}

// [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1]
#[test]
fn nothing_overtakes_a_connack_that_waits() {
    for version in ALL {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        world.publish(publisher, "t", "1", 1);
        world.cut(client);
        world.publish(publisher, "t", "2", 1);
        world.slow_disk = true;
        let client = world.connect(&resident(version, "c"));
        world.publish(publisher, "t", "0", 0);
        world.publish(publisher, "t", "3", 1);
        assert_eq!(world.take_bytes(client), []);
        while !world.appends.is_empty() {
            world.commit();
        }
        let got = world.take(client);
        assert!(matches!(got[0], Got::Connack { code: 0, .. }));
        let payloads: Vec<&str> = got[1..]
            .iter()
            .map(|got| match got {
                Got::Publish(message) => &*message.payload,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(payloads, ["1", "2", "3"]);
    }
}

#[test]
fn suback_and_unsuback_of_a_lasting_session_wait_for_the_disk() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.slow_disk = true;
        world.send(client, &subscribe(version, 1, &[("t", options(1))]));
        assert_eq!(world.take(client), []);
        world.commit();
        assert_eq!(world.take(client), [Got::Suback(1, vec![1])]);
        world.send(client, &unsubscribe(version, 2, &["t"]));
        assert_eq!(world.take(client), []);
        world.commit();
        assert!(matches!(world.take(client)[..], [Got::Unsuback(2, _)]));
    }
}

#[test]
fn a_message_somebody_durable_waits_for_is_stored_before_it_goes_anywhere() {
    for version in ALL {
        for qos in [1, 2] {
            let mut world = World::new();
            let lasting = world.join(&resident(version, "lasting"));
            world.subscribe(lasting, "t", 2);
            let live = world.guest(version, "live");
            world.subscribe(live, "t", 0);
            let publisher = world.guest(version, "p");
            world.slow_disk = true;
            world.send(publisher, &message(version, "t", "x", qos, 7, false));
            for client in [publisher, live, lasting] {
                assert_eq!(world.take(client), []);
            }
            while !world.appends.is_empty() {
                world.commit();
            }
            assert_eq!(world.texts(live), ["t x"]);
            assert_eq!(world.texts(lasting), ["t x"]);
            let answer = if qos == 1 {
                Got::Puback(7, 0)
            } else {
                Got::Pubrec(7, 0)
            };
            assert_eq!(world.take(publisher), [answer]);
        }
    }
}

#[test]
fn what_nobody_durable_waits_for_does_not_wait_for_the_disk() {
    let mut world = World::new();
    let live = world.guest(V5, "live");
    world.subscribe(live, "t", 2);
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "t", 0);
    world.subscribe(lasting, "other", 1);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    world.send(publisher, &message(V5, "t", "0", 0, 0, false));
    world.send(publisher, &message(V5, "t", "1", 1, 1, false));
    world.send(publisher, &message(V5, "other", "0", 0, 0, false));
    assert_eq!(world.take(publisher), [Got::Puback(1, 0)]);
    assert_eq!(world.texts(live), ["t 0", "t 1"]);
    assert_eq!(world.texts(lasting), ["t 0", "t 1", "other 0"]);
    assert!(world.appends.is_empty());
}

#[test]
fn a_retained_message_is_acknowledged_from_disk() {
    let mut world = World::new();
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    world.send(publisher, &message(V5, "t", "x", 1, 1, true));
    assert_eq!(world.take(publisher), []);
    world.commit();
    assert_eq!(world.take(publisher), [Got::Puback(1, UNHEARD)]);
}

#[test]
fn a_lasting_publishers_exactly_once_receipt_is_on_disk_before_pubrec() {
    let mut world = World::new();
    let publisher = world.join(&resident(V311, "p"));
    world.slow_disk = true;
    world.send(publisher, &message(V311, "t", "x", 2, 1, false));
    assert_eq!(world.take(publisher), []);
    world.commit();
    assert_eq!(world.take(publisher), [Got::Pubrec(1, 0)]);
    // The identifier may be used anew once it is forgotten on disk, too.
    world.send(publisher, &pubrel(1));
    assert_eq!(world.take(publisher), []);
    world.commit();
    assert_eq!(world.take(publisher), [Got::Pubcomp(1, 0)]);
}

#[test]
fn a_repetition_on_a_new_connection_is_not_acknowledged_before_the_first_is_on_disk() {
    for version in ALL {
        let mut world = World::new();
        let lasting = world.join(&resident(version, "lasting"));
        world.subscribe(lasting, "t", 1);
        let publisher = world.join(&resident(version, "p"));
        world.slow_disk = true;
        let publish = message(version, "t", "x", 2, 1, false);
        world.send(publisher, &publish);
        world.cut(publisher);
        let publisher = world.connect(&resident(version, "p"));
        world.send(publisher, &again(publish));
        assert_eq!(world.take(publisher), []);
        while !world.appends.is_empty() {
            world.commit();
        }
        assert!(matches!(
            world.take(publisher)[..],
            [Got::Connack { code: 0, .. }, Got::Pubrec(1, 0)]
        ));
        assert_eq!(world.texts(lasting), ["t x"]);
    }
}

#[test]
fn an_exactly_once_delivery_to_a_lasting_session_is_remembered_step_by_step() {
    let mut world = World::new();
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "t", 2);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    world.send(publisher, &message(V5, "t", "x", 2, 1, false));
    world.commit();
    assert_eq!(world.take(lasting), [], "the identifier is not on disk yet");
    world.commit();
    let got = world.messages(lasting);
    assert!(!got[0].dup);
    let id = got[0].packet_id.expect("QoS 2");
    world.send(lasting, &pubrec(id));
    assert_eq!(world.take(lasting), []);
    world.commit();
    assert_eq!(world.take(lasting), [Got::Pubrel(id, 0)]);
    world.send(lasting, &pubcomp(id));
    world.commit();
    assert_eq!(world.take(lasting), []);
}

#[test]
fn publishers_are_not_read_while_the_disk_is_far_behind() {
    let mut world = World::limited(|limits| limits.appends_max = 8);
    let lasting = world.join(&resident(V5, "lasting"));
    world.subscribe(lasting, "t", 1);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    let burst: Vec<u8> = (1..=100)
        .flat_map(|packet_id| message(V5, "t", "x", 1, packet_id, false))
        .collect();
    world.send(publisher, &burst);
    assert_eq!(world.appends.len(), 8);
    let mut acknowledged = 0;
    while !world.appends.is_empty() {
        assert!(world.appends.len() <= 8);
        world.commit();
        acknowledged += world.take(publisher).len();
    }
    assert_eq!(acknowledged, 100);
    assert_eq!(world.messages(lasting).len(), 100);
}

#[test]
fn a_message_that_was_on_its_way_before_a_durable_subscription_is_none_of_its_business() {
    for version in [V311, V5] {
        let mut world = World::new();
        let publisher = world.join(&resident(version, "p"));
        let subscriber = world.join(&resident(version, "s"));
        world.slow_disk = true;
        // It waits for the disk because its packet identifier has to be remembered.
        world.publish(publisher, "t", "1", 2);
        world.send(subscriber, &subscribe(version, 1, &[("t", options(2))]));
        world.publish(publisher, "t", "2", 2);
        world.slow_disk = false;
        world.commit();
        world.settle();
        let got = world.take(subscriber);
        assert_eq!(got[0], Got::Suback(1, vec![2]));
        assert_eq!(got.len(), 2, "{got:?}");
        world.cut(subscriber);
        let subscriber = world.join_and_keep(&resident(version, "s"));
        assert_eq!(world.texts(subscriber), ["t 2"]);
    }
}
