//! Shared subscriptions: of a group one member gets each message, whoever and wherever it is.

use mqtt_codec::Version::{V5, V31, V311};

use crate::got::Got;
use crate::packets::{hello, message, puback, pubcomp, pubrec, raw, subscribe_as, unsubscribe};
use crate::world::{ALL, Client, World, open_settings, resident};

/// How many messages each client got; it acknowledges those of QoS 1.
fn counts(world: &mut World, clients: &[Client]) -> Vec<usize> {
    let mut counts = Vec::new();
    for client in clients {
        let got = world.take(*client);
        let messages = got.into_iter().filter_map(|got| match got {
            Got::Publish(message) => Some(message),
            _ => None,
        });
        let messages: Vec<_> = messages.collect();
        counts.push(messages.len());
        for id in messages.iter().filter_map(|message| message.packet_id) {
            if !world.is_closed(*client) {
                world.send(*client, &puback(id));
            }
        }
    }
    counts
}

// [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-3]
#[test]
fn each_message_goes_to_one_member_of_each_group_at_its_granted_quality() {
    for version in ALL {
        let mut world = World::new();
        let members: Vec<Client> = (0..4)
            .map(|number| world.guest(version, &format!("m{number}")))
            .collect();
        for member in &members[..3] {
            world.subscribe(*member, "$share/g/t/#", 1);
        }
        world.subscribe(members[3], "$share/other/t/+", 0);
        let plain = world.guest(version, "plain");
        world.subscribe(plain, "t/#", 2);
        let publisher = world.guest(version, "p");
        for _ in 0..9 {
            world.publish(publisher, "t/1", "x", 2);
        }
        for member in &members[..3] {
            let got = world.messages(*member);
            assert_eq!(got.len(), 3);
            assert!(
                got.iter()
                    .all(|message| message.qos == 1 && !message.retain)
            );
        }
        let other = world.messages(members[3]);
        assert_eq!(other.len(), 9);
        assert!(other.iter().all(|message| message.qos == 0));
        assert_eq!(counts(&mut world, &[plain]), [9]);
    }
}

#[test]
fn a_session_gets_shared_and_plain_copies_alike() {
    let mut world = World::new();
    let client = world.guest(V5, "c");
    world.send(
        client,
        &subscribe_as(7, &[("$share/g/t", crate::packets::options(0))]),
    );
    world.take(client);
    world.subscribe(client, "t", 0);
    world.publish(client, "t", "x", 0);
    let got = world.messages(client);
    assert_eq!(got.len(), 2);
    let mut identifiers: Vec<Vec<u32>> = got.into_iter().map(|got| got.identifiers).collect();
    identifiers.sort();
    assert_eq!(identifiers, [vec![], vec![7]]);
}

#[test]
fn members_that_are_away_are_passed_over() {
    let mut world = World::new();
    let offline = world.join(&resident(V5, "offline"));
    let here = world.guest(V5, "here");
    for client in [offline, here] {
        world.subscribe(client, "$share/g/t", 1);
    }
    world.cut(offline);
    let publisher = world.guest(V5, "p");
    for _ in 0..4 {
        world.publish(publisher, "t", "x", 1);
    }
    assert_eq!(counts(&mut world, &[here]), [4]);
    // Nobody is there: a lasting member waits for it.
    world.cut(here);
    world.publish(publisher, "t", "y", 1);
    let offline = world.join_and_keep(&resident(V5, "offline"));
    assert_eq!(world.texts(offline), ["t y"]);
}

#[test]
fn a_member_that_unsubscribes_gets_no_more() {
    for version in [V311, V5] {
        let mut world = World::new();
        let members = [world.guest(version, "a"), world.guest(version, "b")];
        for member in members {
            world.subscribe(member, "$share/g/t", 0);
        }
        let filters = ["$share/other/t", "t", "$share/g/t"];
        world.send(members[0], &unsubscribe(version, 9, &filters));
        let got = world.take(members[0]);
        if version == V5 {
            assert_eq!(got, [Got::Unsuback(9, vec![0x11, 0x11, 0])]);
        }
        let publisher = world.guest(version, "p");
        for _ in 0..4 {
            world.publish(publisher, "t", "x", 0);
        }
        assert_eq!(counts(&mut world, &members), [0, 4]);
        world.cut(members[1]);
        assert_eq!(world.shards[0].population().subscriptions, 0);
    }
}

#[test]
fn a_shared_subscription_brings_no_retained_messages() {
    for version in [V31, V311, V5] {
        let mut world = World::new();
        let publisher = world.guest(version, "p");
        world.publish_retain(publisher, "t", "kept", 0, true);
        let client = world.guest(version, "c");
        world.subscribe(client, "$share/g/t", 1);
        assert_eq!(world.take(client), []);
    }
}

// [5 MQTT-4.8.2-4]
#[test]
fn a_broken_exactly_once_delivery_is_finished_with_the_same_member() {
    let mut world = World::new();
    let first = world.join(&resident(V5, "first"));
    world.subscribe(first, "$share/g/t", 2);
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "x", 2);
    let id = world.messages(first)[0].packet_id.expect("an id");
    let second = world.guest(V5, "second");
    world.subscribe(second, "$share/g/t", 2);
    world.cut(first);
    assert_eq!(world.take(second), []);
    let first = world.join_and_keep(&resident(V5, "first"));
    let again = world.messages(first);
    assert_eq!((again[0].packet_id, again[0].dup), (Some(id), true));
    world.send(first, &pubrec(id));
    assert_eq!(world.take(first), [Got::Pubrel(id, 0)]);
    world.send(first, &pubcomp(id));
    assert_eq!(world.take(second), []);
}

// [5 MQTT-4.8.2-5] [5 MQTT-4.8.2-6]
#[test]
fn what_a_member_refused_or_took_to_its_end_goes_to_nobody_else() {
    let mut world = World::new();
    let members = [world.guest(V5, "a"), world.guest(V5, "b")];
    for member in members {
        world.subscribe(member, "$share/g/t", 2);
    }
    let publisher = world.guest(V5, "p");
    world.publish(publisher, "t", "1", 1);
    world.publish(publisher, "t", "2", 2);
    world.publish(publisher, "t", "3", 2);
    let first = world.messages(members[0]);
    let second = world.messages(members[1]);
    assert_eq!((first.len(), second.len()), (2, 1));
    let id = |message: &crate::got::Message| message.packet_id.expect("an id").to_be_bytes();
    world.send(members[0], &raw(0x40, &[&id(&first[0]), &[0x80]]));
    world.send(members[0], &raw(0x50, &[&id(&first[1]), &[0x97]]));
    world.cut(members[1]);
    assert_eq!(world.take(members[0]), []);
}

#[test]
fn a_group_spreads_over_shards_and_each_message_comes_once() {
    let mut world = World::with(4, open_settings());
    let members: Vec<Client> = (0..24)
        .map(|number| world.guest(V5, &format!("m{number}")))
        .collect();
    for member in &members {
        world.subscribe(*member, "$share/g/t", 1);
    }
    let publishers: Vec<Client> = (0..8)
        .map(|number| world.guest(V5, &format!("p{number}")))
        .collect();
    for round in 0..240 {
        world.publish(publishers[round % 8], "t", "x", 1);
    }
    let got = counts(&mut world, &members);
    assert_eq!(got.iter().sum::<usize>(), 240);
    assert!(got.iter().all(|count| *count > 0), "{got:?}");
    // Whoever stays gets everything.
    for member in &members[1..] {
        world.cut(*member);
    }
    for publisher in &publishers {
        world.publish(*publisher, "t", "x", 1);
    }
    assert_eq!(counts(&mut world, &members[..1]), [8]);
}

#[test]
fn lasting_members_come_and_go_and_survive_a_restart() {
    let mut world = World::with(4, open_settings());
    let ids: Vec<String> = (0..16).map(|number| format!("lasting-{number}")).collect();
    for client_id in &ids {
        let client = world.join(&resident(V5, client_id));
        world.subscribe(client, "$share/g/t", 1);
    }
    world.restart();
    let members: Vec<Client> = ids
        .iter()
        .map(|client_id| world.join(&resident(V5, client_id)))
        .collect();
    let publisher = world.guest(V5, "p");
    for _ in 0..160 {
        world.publish(publisher, "t", "x", 1);
    }
    let got = counts(&mut world, &members);
    assert_eq!(got.iter().sum::<usize>(), 160);
    assert!(got.iter().all(|count| *count > 0), "{got:?}");
    // Those who are offline, on whatever shard, are passed over.
    for member in &members[1..] {
        world.cut(*member);
    }
    for _ in 0..20 {
        world.publish(publisher, "t", "x", 1);
    }
    assert_eq!(counts(&mut world, &members[..1]), [20]);
    world.send(members[0], &unsubscribe(V5, 1, &["$share/g/t"]));
    assert_eq!(world.take(members[0]), [Got::Unsuback(1, vec![0])]);
}

#[test]
fn a_member_that_is_slow_acknowledges_what_it_got() {
    let mut world = World::limited(|limits| limits.inflight_max = 2);
    let member = world.join(&hello(V5, "m"));
    world.subscribe(member, "$share/g/t", 1);
    let publisher = world.guest(V5, "p");
    for packet_id in 1..=5 {
        let payload = packet_id.to_string();
        world.send(publisher, &message(V5, "t", &payload, 1, packet_id, false));
    }
    let mut payloads = Vec::new();
    loop {
        let got = world.messages(member);
        if got.is_empty() {
            break;
        }
        for message in got {
            payloads.push(message.payload);
            world.send(member, &puback(message.packet_id.expect("an id")));
        }
    }
    assert_eq!(payloads, ["1", "2", "3", "4", "5"]);
}
