//! Subscriptions that are replaced or given up while stored messages wait: after a restart these come as they would have
//! come without one, under the terms by which they were matched.

use mqtt_codec::SubscriptionOptions;
use mqtt_codec::Version::V5;
use records::{Subscription, key};

use crate::got::Got;
use crate::packets::{
    RECEIVE_MAXIMUM, options, puback, pubcomp, pubrec, subscribe, subscribe_as, two, unsubscribe,
};
use crate::world::{Client, World, resident};

/// As the product has it.
const FORMER_MAX: usize = 64;

/// What a client does with its subscriptions between messages.
#[derive(Debug, Clone, Copy)]
enum Change {
    Subscribe(&'static str, u32, SubscriptionOptions),
    Unsubscribe(&'static str),
}
use Change::{Subscribe, Unsubscribe};

/// What matters of a delivery: payload, QoS, RETAIN and identifiers.
type Delivery = (String, u8, bool, Vec<u32>);

fn as_published(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions {
        retain_as_published: true,
        ..options(qos)
    }
}

fn no_local(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions {
        no_local: true,
        ..options(qos)
    }
}

/// Takes all that comes to the end, answering; repetitions count once.
fn drain(world: &mut World, client: Client) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    loop {
        let got = world.take(client);
        if got.is_empty() {
            return deliveries;
        }
        for got in got {
            match got {
                Got::Publish(mut message) => {
                    // In which order they stand means nothing.
                    message.identifiers.sort_unstable();
                    match (message.qos, message.packet_id) {
                        (1, Some(id)) => world.send(client, &puback(id)),
                        (2, Some(id)) => world.send(client, &pubrec(id)),
                        _ => {}
                    }
                    deliveries.push((
                        message.payload,
                        message.qos,
                        message.retain,
                        message.identifiers,
                    ));
                }
                Got::Pubrel(id, 0) => world.send(client, &pubcomp(id)),
                other => panic!("neither a message nor PUBREL: {other:?}"),
            }
        }
    }
}

fn change(world: &mut World, client: Client, change: Change) {
    match change {
        Subscribe(filter, 0, options) => {
            world.send(client, &subscribe(V5, 1, &[(filter, options)]))
        }
        Subscribe(filter, identifier, options) => {
            world.send(client, &subscribe_as(identifier, &[(filter, options)]));
        }
        Unsubscribe(filter) => world.send(client, &unsubscribe(V5, 1, &[filter])),
    }
}

/// A client that lets one message wait for its acknowledgement, so that everything behind it waits on disk.
fn held_up(world: &mut World) -> Client {
    let hello = resident(V5, "c").property(&two(RECEIVE_MAXIMUM, 1));
    let client = world.join(&hello);
    world.subscribe(client, "first", 1);
    let publisher = world.guest(V5, "first");
    world.publish(publisher, "first", "first", 1);
    assert_eq!(world.messages(client).len(), 1);
    client
}

/// Makes one change after the other, each with messages before it and behind it; what comes in the end, with a crash
/// behind each change or with connections that break.
fn play(changes: &[Change], shards: u16, crashes: bool) -> Vec<Delivery> {
    let mut world = World::with(shards, crate::world::open_settings());
    // Somebody else waits for everything, so that it is stored at any time.
    let other = world.join(&resident(V5, "other"));
    world.subscribe(other, "#", 2);
    world.cut(other);
    let mut client = held_up(&mut world);
    for (number, next) in changes.iter().enumerate() {
        let own = format!("own {number}");
        world.publish_retain(client, "t", &own, 2, true);
        let publisher = world.guest(V5, &format!("p{number}"));
        world.publish_retain(publisher, "t", &number.to_string(), 2, true);
        change(&mut world, client, *next);
        if crashes {
            world.restart();
        } else {
            world.cut(client);
        }
        let hello = resident(V5, "c").property(&two(RECEIVE_MAXIMUM, 1));
        client = world.join_and_keep(&hello);
    }
    let publisher = world.guest(V5, "last");
    world.publish_retain(publisher, "t", "last", 2, true);
    let mut deliveries = drain(&mut world, client);
    deliveries.retain(|(payload, ..)| payload != "first");
    world.advance(3000);
    let past = rows(&world).into_iter();
    let past = past.filter(|row| !(row.until.is_empty() && row.former.is_empty()));
    assert_eq!(past.count(), 0, "nothing is remembered once all has come");
    deliveries
}

/// The subscriptions that stand on disk.
fn rows(world: &World) -> Vec<Subscription> {
    let rows = world.store.iter();
    rows.filter(|(at, _)| key::parse_subscription(at).is_ok())
        .map(|(_, row)| Subscription::decode(row).expect("a sound row"))
        .collect()
}

/// Without retained messages on subscribing.
fn quiet(mut options: SubscriptionOptions) -> SubscriptionOptions {
    options.retain_handling = 2;
    options
}

fn scripts() -> Vec<Vec<Change>> {
    let first = Subscribe("t", 1, quiet(options(1)));
    let beside = Subscribe("+", 9, quiet(options(1)));
    let mut scripts: Vec<Vec<Change>> = [
        Subscribe("t", 2, quiet(options(2))),
        Subscribe("t", 1, quiet(options(0))),
        Subscribe("t", 2, quiet(options(1))),
        Subscribe("t", 0, quiet(options(1))),
        Subscribe("t", 1, quiet(as_published(1))),
        Subscribe("t", 1, quiet(no_local(1))),
        Subscribe("#", 2, quiet(as_published(2))),
        Unsubscribe("t"),
    ]
    .into_iter()
    .flat_map(|second| {
        [
            vec![first, second],
            vec![second, first],
            vec![first, second, first],
            vec![beside, first, second],
            vec![beside, second, first, Unsubscribe("+")],
        ]
    })
    .collect();
    scripts.push(vec![
        first,
        Unsubscribe("t"),
        Subscribe("t", 3, quiet(options(2))),
        Unsubscribe("t"),
    ]);
    scripts.push(vec![
        Subscribe("t", 4, quiet(options(0))),
        beside,
        Subscribe("t", 5, quiet(options(0))),
        first,
        Unsubscribe("t"),
        Unsubscribe("+"),
    ]);
    scripts
}

// [3.1.1 MQTT-3.8.4-3] [5 MQTT-3.8.4-3] [3.1.1 MQTT-3.10.4-3] [5 MQTT-3.10.4-3] [5 MQTT-3.8.4-8]
#[test]
fn what_waits_when_its_subscription_changes_comes_after_a_restart_as_without_one() {
    for shards in [1, 3] {
        for script in scripts() {
            let without = play(&script, shards, false);
            assert_eq!(play(&script, shards, true), without, "{shards}: {script:?}");
        }
    }
}

#[test]
fn a_subscription_goes_from_one_quality_of_service_to_another_and_what_waits_does_not() {
    let deliveries = play(
        &[
            Subscribe("t", 1, quiet(as_published(2))),
            Subscribe("t", 2, quiet(options(1))),
            Unsubscribe("t"),
            Subscribe("#", 3, quiet(no_local(1))),
        ],
        1,
        true,
    );
    let expected = [
        ("own 1", 2, true, 1),
        ("1", 2, true, 1),
        ("own 2", 1, false, 2),
        ("2", 1, false, 2),
        ("last", 1, false, 3),
    ];
    let expected: Vec<Delivery> = expected
        .into_iter()
        .map(|(payload, qos, retain, identifier)| (payload.into(), qos, retain, vec![identifier]))
        .collect();
    assert_eq!(deliveries, expected);
}

/// A change that a crash undoes must not have shown: the message would come once as it says, and once more as it was.
#[test]
fn nothing_comes_under_changed_terms_before_the_change_is_on_disk() {
    let lowered = subscribe(V5, 1, &[("t", quiet(options(0)))]);
    for packet in [lowered, unsubscribe(V5, 1, &["t"])] {
        for crashes in [false, true] {
            let mut world = World::new();
            let client = world.join(&resident(V5, "c"));
            world.subscribe(client, "#", 0);
            world.subscribe(client, "t", 2);
            let publisher = world.guest(V5, "p");
            world.slow_disk = true;
            let published = world.publish(publisher, "t", "x", 2);
            world.send(client, &packet);
            world.commit_next();
            assert_eq!(world.take(publisher), [Got::Pubrec(published, 0)]);
            assert_eq!(world.take(client), []);
            world.slow_disk = false;
            let mut client = client;
            if crashes {
                world.restart();
                client = world.join_and_keep(&resident(V5, "c"));
            } else {
                world.commit();
                assert!(matches!(
                    world.take(client)[..],
                    [Got::Suback(..) | Got::Unsuback(..), Got::Publish(_)]
                ));
                world.cut(client);
                client = world.join_and_keep(&resident(V5, "c"));
            }
            let expected = if crashes {
                vec![("x".to_owned(), 2, false, Vec::new())]
            } else {
                Vec::new()
            };
            assert_eq!(drain(&mut world, client), expected);
        }
    }
}

/// What was matched by two subscriptions and acknowledged must not come again by one of them, when the other is given up
/// before that it was acknowledged is on disk. [5 MQTT-3.3.4-4]
#[test]
fn what_is_over_does_not_come_again_by_the_subscriptions_that_are_left() {
    for given_up in 0..2 {
        let mut world = World::new();
        let client = world.join(&resident(V5, "c"));
        world.send(client, &subscribe_as(1, &[("t", options(1))]));
        world.send(client, &subscribe_as(2, &[("+", options(given_up))]));
        world.take(client);
        let publisher = world.guest(V5, "p");
        world.publish(publisher, "t", "x", 1);
        let expected = vec![("x".to_owned(), 1, false, vec![1, 2])];
        assert_eq!(drain(&mut world, client), expected);
        world.send(client, &unsubscribe(V5, 1, &["+"]));
        assert_eq!(world.take(client), [Got::Unsuback(1, vec![0])]);
        world.restart();
        let client = world.join_and_keep(&resident(V5, "c"));
        assert_eq!(drain(&mut world, client), []);
    }
}

#[test]
fn how_often_a_filter_changes_while_something_waits_is_bounded() {
    let mut world = World::new();
    let client = held_up(&mut world);
    let publisher = world.guest(V5, "p");
    let subscribes = |world: &mut World, identifier| {
        world.send(client, &subscribe_as(identifier, &[("t", options(1))]));
        world.take(client)
    };
    for identifier in 1..=FORMER_MAX as u32 + 1 {
        assert_eq!(
            subscribes(&mut world, identifier),
            [Got::Suback(1, vec![1])]
        );
        world.publish(publisher, "t", "x", 1);
    }
    assert_eq!(subscribes(&mut world, 1), [Got::Suback(1, vec![0x97])]);
    assert_eq!(world.shards[0].counters().subscriptions_refused, 1);
    // What changes nothing is no change.
    let same = FORMER_MAX as u32 + 1;
    assert_eq!(subscribes(&mut world, same), [Got::Suback(1, vec![1])]);
    // It can always be given up, and what was refused changes nothing.
    world.restart();
    let hello = resident(V5, "c").property(&two(RECEIVE_MAXIMUM, 1));
    let client = world.join_and_keep(&hello);
    world.send(client, &unsubscribe(V5, 1, &["t"]));
    world.restart();
    let client = world.join_and_keep(&hello);
    let deliveries = drain(&mut world, client);
    let identifiers: Vec<u32> = deliveries
        .iter()
        .flat_map(|(.., found)| found.clone())
        .collect();
    assert_eq!(identifiers, (1..=same).collect::<Vec<u32>>());
    // Nothing waits any more.
    world.send(client, &subscribe_as(1, &[("t", options(1))]));
    assert_eq!(world.take(client), [Got::Suback(1, vec![1])]);
}

#[test]
fn how_often_all_filters_of_a_session_change_while_something_waits_is_bounded() {
    let mut world = World::limited(|limits| limits.subscriptions_max = 2);
    let client = held_up(&mut world);
    let publisher = world.guest(V5, "p");
    for filter in ["a", "b"] {
        world.subscribe(client, filter, 1);
        world.publish(publisher, filter, "x", 1);
        world.send(client, &unsubscribe(V5, 1, &[filter]));
        world.take(client);
    }
    world.send(
        client,
        &subscribe(V5, 1, &[("c", options(1)), ("first", options(1))]),
    );
    // What changes nothing is no change.
    assert_eq!(world.take(client), [Got::Suback(1, vec![0x97, 1])]);
    assert_eq!(world.shards[0].counters().subscriptions_refused, 1);
    let hello = resident(V5, "c").property(&two(RECEIVE_MAXIMUM, 1));
    world.cut(client);
    let client = world.join_and_keep(&hello);
    assert_eq!(drain(&mut world, client).len(), 3);
    world.advance(1500);
    world.send(client, &subscribe(V5, 1, &[("c", options(1))]));
    assert_eq!(world.take(client), [Got::Suback(1, vec![1])]);
}

#[test]
fn a_session_that_ends_leaves_nothing_of_what_it_had_given_up() {
    for restarts in [false, true] {
        let mut world = World::new();
        let client = held_up(&mut world);
        world.subscribe(client, "t", 1);
        let publisher = world.guest(V5, "p");
        world.publish(publisher, "t", "x", 1);
        world.send(client, &unsubscribe(V5, 1, &["t"]));
        assert_eq!(rows(&world).len(), 2);
        if restarts {
            world.restart();
        }
        // It begins anew, without a session that would be kept.
        world.guest(V5, "c");
        assert_eq!(rows(&world), []);
    }
}
