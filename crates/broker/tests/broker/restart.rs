//! A process that dies and starts again: what was acknowledged is there, exactly-once stays exactly once.

use mqtt_codec::Version::{self, V5, V31, V311};
use records::key;

use crate::got::{Got, Message};
use crate::packets::{
    again, hello, message, options, puback, pubcomp, pubrec, pubrel, subscribe_as, unsubscribe,
};
use crate::world::{ALL, Client, World, resident};

/// Connects a lasting session that has to be known, and returns what follows its CONNACK.
fn back(world: &mut World, version: Version, client_id: &str) -> (Client, Vec<Got>) {
    let client = world.connect(&resident(version, client_id));
    let mut got = world.take(client);
    match got.remove(0) {
        Got::Connack {
            present, code: 0, ..
        } => assert_eq!(present, version != V31),
        other => panic!("not accepted: {other:?}"),
    }
    (client, got)
}

fn messages(got: Vec<Got>) -> Vec<Message> {
    got.into_iter()
        .map(|got| match got {
            Got::Publish(message) => message,
            other => panic!("not a message: {other:?}"),
        })
        .collect()
}

// [3.1.1 MQTT-4.1.0-1] [3.1.1 MQTT-3.1.2-5] [5 MQTT-4.1.0-1] [5 MQTT-3.1.2-23]
#[test]
fn sessions_subscriptions_and_waiting_messages_survive() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t/#", 1);
        world.cut(client);
        let publisher = world.guest(version, "p");
        for number in 0..600 {
            world.publish(publisher, "t/1", &number.to_string(), 1);
        }
        world.restart();
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t/2", "after", 1);
        let (client, got) = back(&mut world, version, "c");
        let mut got = messages(got);
        loop {
            let acks: Vec<u8> = got
                .iter()
                .rev()
                .take(256)
                .flat_map(|message| puback(message.packet_id.expect("QoS 1")))
                .collect();
            world.send(client, &acks);
            let more = world.messages(client);
            if more.is_empty() {
                break;
            }
            got.extend(more);
        }
        let payloads: Vec<String> = got.into_iter().map(|message| message.payload).collect();
        let mut expected: Vec<String> = (0..600).map(|number| number.to_string()).collect();
        expected.push("after".into());
        assert_eq!(payloads, expected);
    }
}

#[test]
fn what_was_acknowledged_does_not_come_again() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    let publisher = world.guest(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t", payload, 1);
    }
    let got = world.messages(client);
    world.send(client, &puback(got[0].packet_id.expect("QoS 1")));
    world.send(client, &puback(got[1].packet_id.expect("QoS 1")));
    // Cursors are written within a second.
    world.advance(1500);
    world.restart();
    let (_, got) = back(&mut world, V5, "c");
    let payloads: Vec<String> = messages(got)
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(payloads, ["3"]);
}

#[test]
fn messages_before_a_subscription_are_none_of_its_business_after_a_restart_either() {
    let mut world = World::new();
    let other = world.join(&resident(V5, "other"));
    world.subscribe(other, "t", 1);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "early", 1);
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.publish(publisher, "t", "late", 1);
    world.restart();
    let (_, got) = back(&mut world, V5, "c");
    let payloads: Vec<String> = messages(got)
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(payloads, ["late"]);
}

// [5 MQTT-3.8.3-3]
#[test]
fn no_local_holds_across_a_restart() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    let mut own = crate::packets::options(1);
    own.no_local = true;
    world.subscribe_with(client, "t", own);
    let other = world.join(&resident(V5, "other"));
    world.subscribe(other, "t", 1);
    world.publish(client, "t", "mine", 1);
    world.publish(other, "t", "yours", 1);
    world.restart();
    let (_, got) = back(&mut world, V5, "c");
    let payloads: Vec<String> = messages(got)
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(payloads, ["yours"]);
}

// [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10] [3.1.1 MQTT-4.1.0-1]
#[test]
fn an_exactly_once_publish_repeated_after_a_restart_is_not_delivered_again() {
    for version in ALL {
        let mut world = World::new();
        let watcher = world.join(&resident(version, "watcher"));
        world.subscribe(watcher, "t", 1);
        let publisher = world.join(&resident(version, "p"));
        let publish = message(version, "t", "x", 2, 7, false);
        world.send(publisher, &publish);
        assert_eq!(world.take(publisher), [Got::Pubrec(7, 0)]);
        world.restart();
        let (publisher, _) = back(&mut world, version, "p");
        world.send(publisher, &again(publish.clone()));
        assert_eq!(world.take(publisher), [Got::Pubrec(7, 0)]);
        world.send(publisher, &pubrel(7));
        assert_eq!(world.take(publisher), [Got::Pubcomp(7, 0)]);
        world.restart();
        // Released, it is a new message.
        let (publisher, _) = back(&mut world, version, "p");
        world.send(publisher, &publish);
        assert_eq!(world.take(publisher), [Got::Pubrec(7, 0)]);
        let (_, got) = back(&mut world, version, "watcher");
        assert_eq!(messages(got).len(), 2);
    }
}

// [3.1.1 MQTT-4.3.3-1] [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.3.3-3] [5 MQTT-4.3.3-5] [5 MQTT-4.3.3-6] [5 MQTT-4.4.0-1]
#[test]
fn an_exactly_once_delivery_goes_on_after_a_restart_at_every_step() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 2);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "x", 2);
        let first = world.messages(client).remove(0);
        let id = first.packet_id.expect("QoS 2");

        world.restart();
        let (client, got) = back(&mut world, version, "c");
        let second = messages(got).remove(0);
        assert_eq!((second.packet_id, second.dup), (Some(id), true));
        world.send(client, &pubrec(id));
        assert_eq!(world.take(client), [Got::Pubrel(id, 0)]);

        world.restart();
        let (client, got) = back(&mut world, version, "c");
        assert_eq!(got, [Got::Pubrel(id, 0)]);
        world.send(client, &pubcomp(id));
        assert_eq!(world.take(client), []);

        world.restart();
        let (client, got) = back(&mut world, version, "c");
        assert_eq!(got, []);
        // What comes next is sound, and nothing is left behind once cursors are written.
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "y", 2);
        let next = world.messages(client).remove(0);
        let id = next.packet_id.expect("QoS 2");
        world.send(client, &pubrec(id));
        world.send(client, &pubcomp(id));
        world.advance(3000);
        let left = world
            .store
            .keys()
            .filter(|at| records::key::parse_outgoing(at).is_ok());
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn identifiers_of_deliveries_from_before_a_restart_are_not_given_anew() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t", payload, 2);
    }
    let got = world.messages(client);
    let ids: Vec<u16> = got.iter().filter_map(|message| message.packet_id).collect();
    world.send(client, &pubrec(ids[1]));
    world.take(client);
    world.restart();
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "4", 1);
    let (_, got) = back(&mut world, V5, "c");
    let mut seen = Vec::new();
    for got in got {
        match got {
            Got::Publish(message) => {
                seen.push((message.packet_id.expect("an id"), message.payload))
            }
            Got::Pubrel(id, 0) => seen.push((id, "released".into())),
            other => panic!("{other:?}"),
        }
    }
    seen.sort();
    let mut distinct: Vec<u16> = seen.iter().map(|(id, _)| *id).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{seen:?}");
    assert!(seen.contains(&(ids[0], "1".into())));
    assert!(seen.contains(&(ids[1], "released".into())));
    assert!(seen.contains(&(ids[2], "3".into())));
}

#[test]
fn an_identifier_that_waits_for_its_message_is_not_given_to_another() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    world.publish_retain(publisher, "kept", "kept", 1, true);
    world.publish(publisher, "t", "1", 2);
    world.publish(publisher, "t", "2", 2);
    let before = world.messages(client);
    world.restart();
    world.slow_store = true;
    let (client, got) = back(&mut world, V5, "c");
    assert_eq!(got, []);
    // Something else is delivered before the store has brought the message.
    world.subscribe(client, "kept", 1);
    world.bring();
    let got = world.messages(client);
    let mut ids: Vec<(&str, Option<u16>)> = got
        .iter()
        .map(|message| (&*message.payload, message.packet_id))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids[0], ("1", before[0].packet_id));
    assert_eq!(ids[1], ("2", before[1].packet_id));
    assert_eq!(ids[2].0, "kept");
    assert!(!before.iter().any(|message| message.packet_id == ids[2].1));
}

#[test]
fn a_finished_delivery_behind_an_unfinished_one_is_not_begun_again() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "1", 2);
    world.publish(publisher, "t", "2", 2);
    let got = world.messages(client);
    let second = got[1].packet_id.expect("an id");
    world.send(client, &pubrec(second));
    world.send(client, &pubcomp(second));
    // The cursors are written, and stand before the first.
    world.advance(3000);
    world.restart();
    let (_, got) = back(&mut world, V5, "c");
    let payloads: Vec<String> = messages(got)
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(payloads, ["1"]);
}

#[test]
fn a_client_that_leaves_while_the_store_is_asked_gets_everything_later() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "1", 1);
    world.publish(publisher, "t", "2", 1);
    world.slow_store = true;
    let (client, got) = back(&mut world, V5, "c");
    assert_eq!(got, []);
    world.cut(client);
    world.bring();
    let (client, got) = back(&mut world, V5, "c");
    assert_eq!(got, []);
    world.bring();
    assert_eq!(world.texts(client), ["t 1", "t 2"]);
}

#[test]
fn what_was_not_on_disk_was_not_acknowledged() {
    let mut world = World::new();
    let lasting = world.join(&resident(V311, "lasting"));
    world.subscribe(lasting, "t", 1);
    let publisher = world.join(&resident(V311, "p"));
    world.slow_disk = true;
    let publish = message(V311, "t", "x", 2, 7, false);
    world.send(publisher, &publish);
    assert_eq!(world.take(publisher), []);
    world.restart();
    world.slow_disk = false;
    let (publisher, _) = back(&mut world, V311, "p");
    world.send(publisher, &again(publish));
    assert_eq!(world.take(publisher), [Got::Pubrec(7, 0)]);
    let (_, got) = back(&mut world, V311, "lasting");
    assert_eq!(messages(got).len(), 1);
}

// [5 MQTT-4.1.0-2]
#[test]
fn a_session_that_was_left_before_the_restart_still_ends_in_time() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    world.advance(1_800_000);
    world.restart();
    assert_eq!(world.shards[0].population().sessions, 1);
    world.advance(1_900_000);
    assert_eq!(world.shards[0].population().sessions, 0);
    assert!(world.store.is_empty());
}

#[test]
fn guests_leave_nothing() {
    let mut world = World::new();
    let client = world.join(&hello(V5, "c"));
    world.subscribe(client, "t", 2);
    world.publish(client, "t", "x", 2);
    world.restart();
    assert!(world.store.is_empty());
    assert_eq!(world.shards[0].population().sessions, 0);
}

#[test]
fn a_begun_delivery_whose_message_is_gone_leaves_nothing_behind() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "x", 2);
    let id = world.messages(client)[0].packet_id.expect("QoS 2");
    world.restart();
    // Still waited for, but taken out of the store by an operator.
    world
        .store
        .retain(|at, _| records::key::parse_queue(at).is_err());
    let (client, got) = back(&mut world, V5, "c");
    assert_eq!(got, []);
    world.advance(3000);
    assert_eq!(world.take(client), [Got::Pubrel(id, 0)]);
    world.send(client, &pubcomp(id));
    let left = world
        .store
        .keys()
        .filter(|at| records::key::parse_outgoing(at).is_ok());
    assert_eq!(left.count(), 0);
}

// [5 MQTT-4.3.3-5]
#[test]
fn an_exactly_once_delivery_goes_on_as_one_though_its_subscription_was_lowered() {
    for version in [V311, V5] {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 2);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "x", 2);
        let begun = world.messages(client);
        world.subscribe(client, "t", 1);
        world.restart();
        let (client, got) = back(&mut world, version, "c");
        let got = messages(got);
        assert_eq!((got[0].qos, got[0].dup), (2, true));
        assert_eq!(got[0].packet_id, begun[0].packet_id);
        let packet_id = got[0].packet_id.expect("QoS 2");
        world.send(client, &pubrec(packet_id));
        assert_eq!(world.take(client), [Got::Pubrel(packet_id, 0)]);
    }
}

// [3.1.1 MQTT-3.10.4-3] [5 MQTT-3.10.4-3] [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]
#[test]
fn an_exactly_once_delivery_is_finished_as_it_began_though_its_subscription_is_gone() {
    for anew in [false, true] {
        let mut world = World::new();
        let client = world.join(&resident(V5, "c"));
        let mut options = options(2);
        options.retain_as_published = true;
        world.send(client, &subscribe_as(7, &[("t", options)]));
        world.take(client);
        let publisher = world.guest(V5, "p");
        world.publish_retain(publisher, "t", "x", 2, true);
        let first = world.messages(client).remove(0);
        assert_eq!((first.retain, &first.identifiers[..]), (true, &[7][..]));
        world.send(client, &unsubscribe(V5, 2, &["t"]));
        if anew {
            let mut other = crate::packets::options(2);
            other.retain_handling = 2;
            world.send(client, &subscribe_as(8, &[("t", other)]));
        }
        world.restart();
        let (client, got) = back(&mut world, V5, "c");
        let packet_id = first.packet_id.expect("QoS 2");
        assert_eq!(messages(got), [Message { dup: true, ..first }]);
        world.send(client, &pubrec(packet_id));
        world.send(client, &pubcomp(packet_id));
        world.advance(3000);
        assert!(
            world
                .store
                .keys()
                .all(|at| key::parse_outgoing(at).is_err())
        );
    }
}
