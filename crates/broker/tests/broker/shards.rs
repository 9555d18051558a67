//! Several shards: a client finds its session wherever it connects, and a message finds its subscribers
//! wherever they are, once.

use mqtt_codec::Version::{self, V5, V31, V311};

use crate::got::{Got, UNHEARD};
use crate::packets::{hello, message, options, ping, subscribe};
use crate::world::{ALL, Client, World, open_settings, resident};

const SHARDS: u16 = 4;

fn join_on(world: &mut World, shard: usize, hello: &crate::packets::Hello) -> Client {
    let client = world.open_on(shard, hello.version);
    world.send(client, &hello.bytes());
    assert!(matches!(
        world.take(client)[0],
        Got::Connack { code: 0, .. }
    ));
    client
}

fn world() -> World {
    World::with(SHARDS, open_settings())
}

/// Guests named 0..count, whose sessions are on every shard.
fn guests(world: &mut World, version: Version, count: usize) -> Vec<Client> {
    let guests = (0..count)
        .map(|number| {
            let hello = hello(version, &format!("guest-{number}"));
            join_on(world, number % usize::from(SHARDS), &hello)
        })
        .collect();
    for shard in &world.shards {
        assert!(shard.population().sessions > 0, "every shard has its share");
    }
    guests
}

// [5 MQTT-3.4.2-1]
#[test]
fn a_subscriber_counts_as_one_wherever_it_is_and_while_it_is_away() {
    for filter in ["t", "$share/g/t"] {
        for (offline, retain) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut homes = std::collections::BTreeSet::new();
            for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
                let mut world = world();
                let listener = world.join(&resident(V5, name));
                homes.insert(world.shard_of(listener));
                world.subscribe(listener, filter, 1);
                if offline {
                    world.cut(listener);
                }
                let publisher = world.guest(V5, "p");
                world.send(publisher, &message(V5, "t", "x", 1, 1, retain));
                world.send(publisher, &message(V5, "u", "x", 1, 2, retain));
                assert_eq!(
                    world.take(publisher),
                    [Got::Puback(1, 0), Got::Puback(2, UNHEARD)],
                    "{name}, {filter}, offline: {offline}, retain: {retain}"
                );
            }
            assert_eq!(homes.len(), usize::from(SHARDS));
        }
    }
}

#[test]
fn a_connection_goes_to_the_shard_of_its_session_with_all_it_has_sent() {
    for version in ALL {
        for shard in 0..usize::from(SHARDS) {
            for login in [false, true] {
                let mut world = world();
                let client = world.open_on(shard, version);
                let mut hello = hello(version, "c");
                if login {
                    hello = hello.login("alice");
                }
                let mut bytes = hello.bytes();
                bytes.extend(subscribe(version, 1, &[("t", options(0))]));
                bytes.extend(message(version, "t", "x", 0, 0, false));
                bytes.extend(ping());
                world.send(client, &bytes);
                let mut got = world.take(client);
                if login {
                    // An account without permission: the list has no rule, but here everything is open.
                    assert_eq!(got.len(), 4);
                }
                assert!(matches!(got.remove(0), Got::Connack { code: 0, .. }));
                assert_eq!(got.remove(0), Got::Suback(1, vec![0]));
                assert!(matches!(got.remove(0), Got::Publish(_)));
                assert_eq!(got, [Got::Pingresp]);
                let connections: usize = world
                    .shards
                    .iter()
                    .map(|shard| shard.population().connections)
                    .sum();
                assert_eq!(connections, 1);
            }
        }
    }
}

// [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
#[test]
fn a_take_over_works_from_any_shard() {
    let mut world = world();
    let mut old = join_on(&mut world, 0, &resident(V5, "c"));
    for shard in [1, 2, 3, 0] {
        let new = join_on(&mut world, shard, &resident(V5, "c"));
        assert_eq!(world.take(old), [Got::Disconnect(0x8E)]);
        assert!(world.is_closed(old));
        old = new;
    }
}

// [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
#[test]
fn of_two_connects_the_one_that_came_later_wins_however_long_their_passwords_take() {
    for version in ALL {
        for clean in [false, true] {
            for (first, second) in [(0, 0), (0, 3), (3, 1), (2, 0)] {
                let mut world = world();
                world.slow_logins = true;
                let hello = resident(version, "c").login("alice").clean(clean);
                let old = world.open_on(first, version);
                world.send(old, &hello.clone().will("t", "gone", 0, false).bytes());
                let new = world.open_on(second, version);
                world.send(new, &hello.bytes());
                world.check_last_login();
                assert!(matches!(
                    world.take(new)[..],
                    [Got::Connack { code: 0, .. }]
                ));
                world.subscribe(new, "t", 1);
                world.check_logins();
                assert_eq!(world.take(old), []);
                assert!(world.is_closed(old) && !world.is_closed(new));
                world.publish(new, "t", "x", 0);
                assert_eq!(world.texts(new), ["t x"]);
                // The other way round it is a take-over.
                let newest = world.open_on(first, version);
                world.send(newest, &hello.bytes());
                world.check_logins();
                assert!(world.is_closed(new) && !world.is_closed(newest));
            }
        }
    }
}

// [3.1.1 MQTT-4.5.0-1] [5 MQTT-4.5.0-1] [3.1.1 MQTT-3.8.4-6]
#[test]
fn a_message_reaches_every_subscriber_once_wherever_it_is() {
    for version in [V31, V311, V5] {
        for qos in 0..3 {
            let mut world = world();
            let guests = guests(&mut world, version, 24);
            for (number, guest) in guests.iter().enumerate() {
                world.subscribe(*guest, ["t/1", "t/+", "#"][number % 3], qos);
            }
            world.publish(guests[5], "t/1", "x", qos);
            for guest in guests {
                let got = world.take(guest);
                let messages = got.iter().filter(|got| matches!(got, Got::Publish(_)));
                assert_eq!(messages.count(), 1);
            }
        }
    }
}

#[test]
fn a_shard_that_loses_its_last_subscriber_is_not_bothered_any_more() {
    let mut world = world();
    let guests = guests(&mut world, V5, 24);
    for guest in &guests {
        world.subscribe(*guest, "t", 0);
    }
    for guest in &guests[1..] {
        world.cut(*guest);
    }
    let before: Vec<u64> = sent(&world);
    world.publish(guests[0], "t", "x", 0);
    assert_eq!(world.texts(guests[0]), ["t x"]);
    let after = sent(&world);
    assert_eq!(after.iter().sum::<u64>() - before.iter().sum::<u64>(), 1);
}

fn sent(world: &World) -> Vec<u64> {
    world
        .shards
        .iter()
        .map(|shard| shard.counters().publishes_sent)
        .collect()
}

#[test]
fn a_lasting_session_on_another_shard_gets_what_was_stored() {
    let mut world = world();
    let clients: Vec<String> = (0..12).map(|number| format!("lasting-{number}")).collect();
    for client_id in &clients {
        let client = join_on(&mut world, 0, &resident(V5, client_id));
        world.subscribe(client, "t", 1);
        world.cut(client);
    }
    let publishers = guests(&mut world, V5, 12);
    for (number, publisher) in publishers.iter().enumerate() {
        world.publish(*publisher, "t", &number.to_string(), 1);
        assert!(matches!(world.take(*publisher)[..], [Got::Puback(_, 0)]));
    }
    world.restart();
    for client_id in &clients {
        let client = world.open_on(1, V5);
        world.send(client, &resident(V5, client_id).bytes());
        let mut payloads: Vec<u32> = world
            .take(client)
            .into_iter()
            .filter_map(|got| match got {
                Got::Publish(message) => message.payload.parse().ok(),
                _ => None,
            })
            .collect();
        payloads.sort_unstable();
        assert_eq!(payloads, (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn messages_of_other_shards_before_a_subscription_are_not_its_business_after_a_restart() {
    let mut world = world();
    let waiting = join_on(&mut world, 0, &resident(V5, "waiting"));
    world.subscribe(waiting, "t", 1);
    let publishers = guests(&mut world, V5, 24);
    for publisher in &publishers {
        world.publish(*publisher, "t", "early", 1);
    }
    world.advance(50);
    let late: Vec<String> = (0..12).map(|number| format!("late-{number}")).collect();
    for client_id in &late {
        let client = join_on(&mut world, 0, &resident(V5, client_id));
        world.subscribe(client, "t", 1);
        world.cut(client);
    }
    for publisher in &publishers {
        world.publish(*publisher, "t", "late", 1);
    }
    world.restart();
    for client_id in &late {
        let client = world.join_and_keep(&resident(V5, client_id));
        let texts = world.texts(client);
        assert_eq!(texts, vec!["t late"; 24]);
    }
}

#[test]
fn an_acknowledged_message_is_older_than_a_subscription_of_the_same_millisecond() {
    let mut world = World::with(2, open_settings());
    let names = ["a", "b", "d", "e", "f", "g", "h", "i"];
    let lasting: Vec<Client> = names
        .iter()
        .map(|name| world.join(&resident(V5, name)))
        .collect();
    let (here, there): (Vec<Client>, Vec<Client>) = lasting
        .iter()
        .partition(|client| world.shard_of(**client) == 0);
    // Nobody of the other shard is interested: it hears nothing of these.
    world.subscribe(here[0], "t", 1);
    for _ in 0..50 {
        world.publish(here[0], "t", "early", 1);
        world.take(here[0]);
    }
    world.subscribe(there[0], "t", 1);
    let name = names[lasting
        .iter()
        .position(|one| *one == there[0])
        .expect("one of them")];
    world.restart();
    let client = world.join_and_keep(&resident(V5, name));
    assert_eq!(world.texts(client), Vec::<String>::new());
}

// [3.1.1 MQTT-3.3.1-5] [5 MQTT-3.3.1-5]
#[test]
fn a_retained_message_is_known_on_every_shard_and_the_last_one_wins() {
    let mut world = world();
    let guests = guests(&mut world, V5, 24);
    for (number, guest) in guests.iter().enumerate() {
        let payload = number.to_string();
        world.publish_retain(*guest, "t", &payload, (number % 3) as u8, true);
    }
    for guest in &guests {
        world.take(*guest);
        world.subscribe(*guest, "t", 0);
        assert_eq!(world.texts(*guest), ["t 23"]);
    }
    world.publish_retain(guests[3], "t", "", 0, true);
    for shard in &world.shards {
        assert_eq!(shard.population().retained, 0);
    }
}

// [3.1.1 MQTT-4.6.0-6] [5 MQTT-4.6.0-5]
#[test]
fn order_holds_across_shards() {
    let mut world = world();
    let guests = guests(&mut world, V5, 24);
    for guest in &guests {
        world.subscribe(*guest, "t", 1);
    }
    for number in 0..50 {
        world.publish(guests[2], "t", &number.to_string(), 1);
    }
    for guest in guests {
        let payloads: Vec<String> = world
            .take(guest)
            .into_iter()
            .filter_map(|got| match got {
                Got::Publish(message) => Some(message.payload),
                _ => None,
            })
            .collect();
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(payloads, expected);
    }
}

#[test]
fn a_retained_message_that_comes_late_from_another_shard_does_not_replace_a_later_one() {
    let mut world = World::with(2, open_settings());
    let client = world.guest(V5, "c");
    world.publish_retain(client, "t", "later", 0, true);
    let earlier = broker::Message {
        topic: "t".into(),
        payload: bytes::Bytes::from_static(b"earlier"),
        properties: bytes::Bytes::new(),
        qos: mqtt_codec::QoS::AtMostOnce,
        retain: true,
        expires_at: None,
        at: world.now,
        read_at: records::Moment::UNKNOWN,
    };
    let retained = broker::RetainedMessage::new(records::Stamp::new(256), None, &earlier);
    let forwarded = broker::Forwarded {
        message: earlier.into(),
        stamp: None,
        retained: Some(retained),
        clock: records::Stamp::new(256),
        publisher: records::SessionRef {
            shard: 1,
            slot: 0,
            generation: 0,
        },
        shared: Vec::new(),
    };
    let forwarded = std::sync::Arc::new(forwarded);
    for shard in 0..2 {
        world.input(shard, broker::Input::Forwarded(forwarded.clone()));
    }
    for client_id in ["a", "b", "d", "e"] {
        let client = world.guest(V5, client_id);
        world.subscribe(client, "t", 0);
        assert_eq!(world.texts(client), ["t later"]);
    }
}

/// Two threads that free each other's messages wait for each other in the allocator.
#[test]
fn the_shard_that_forwarded_a_message_lets_go_of_it_last() {
    let mut world = world();
    let guests = guests(&mut world, V5, 20);
    for guest in &guests {
        world.subscribe(*guest, "t", 0);
    }
    let peer = &world.peers[guests[0].0];
    let (maker, id) = (peer.shard, peer.id);
    let shard = &mut world.shards[maker];
    shard.receive(id, &message(V5, "t", "x", 0, 0, false), world.now);
    let mut letters = Vec::new();
    while let Some(output) = shard.poll_output() {
        match output {
            broker::Output::Forward { forwarded, .. } => letters.push(forwarded),
            broker::Output::Flush(id) => {
                let count = shard.outgoing(id).len();
                shard.wrote(id, count, world.now);
            }
            other => panic!("{other:?}"),
        }
    }
    let [letter] = &letters[..] else {
        panic!("it crosses once: {letters:?}")
    };
    let known = std::sync::Arc::downgrade(letter);
    shard.begin_turn(records::Moment::UNKNOWN);
    assert_eq!(
        known.strong_count(),
        2,
        "it is on its way, and not forgotten"
    );
    letters.clear();
    assert_eq!(known.strong_count(), 1, "whoever got it frees nothing");
    shard.begin_turn(records::Moment::UNKNOWN);
    assert_eq!(known.strong_count(), 0);
}
