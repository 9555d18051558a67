//! Whatever a client can make long is done in pieces: between two of them everybody else is served. What a piece does is
//! counted in packets, writes and lookups, not in time.

use broker::{Input, Shard};
use mqtt_codec::Version::{V5, V311};
use records::AccountId;

use crate::got::Got;
use crate::packets::{self, SESSION_EXPIRY, hello, options, ping, puback, subscribe, unsubscribe};
use crate::world::{Client, World, open_settings, resident};

/// Messages one piece of work may put into buffers.
const MESSAGES_MAX: u64 = 8192;
/// Sessions one piece of work may end.
const ENDS_MAX: u64 = 128;

/// The most that one step of the shard did, by what `count` counts.
fn largest_step(world: &mut World, count: fn(&Shard) -> u64) -> u64 {
    let mut largest = 0;
    for _ in 0..100_000 {
        let before = count(&world.shards[0]);
        let busy = world.step();
        largest = largest.max(count(&world.shards[0]) - before);
        if !busy {
            return largest;
        }
    }
    panic!("the shard does not come to rest");
}

fn sent(shard: &Shard) -> u64 {
    shard.counters().publishes_sent
}

#[test]
fn a_large_retained_tree_comes_in_pieces_and_others_are_served_between_them() {
    let mut world = World::new();
    let publisher = world.guest(V311, "p");
    for number in 0..50_000 {
        world.publish_retain(publisher, &format!("tree/{number}"), "x", 0, true);
    }
    let readers: Vec<Client> = (0..3).map(|n| world.guest(V5, &format!("r{n}"))).collect();
    let neighbour = world.guest(V5, "n");
    for reader in &readers {
        world.feed_only(*reader, &subscribe(V5, 1, &[("#", options(0))]));
    }
    let largest = largest_step(&mut world, sent);
    assert!(largest <= MESSAGES_MAX, "{largest} messages in one step");
    for reader in readers {
        assert_eq!(world.take(reader).len(), 50_001);
    }
    world.send(neighbour, &ping());
    assert_eq!(world.take(neighbour), [Got::Pingresp]);
}

#[test]
fn a_storm_of_sessions_with_a_backlog_is_served_in_pieces() {
    let mut world = World::limited(|limits| limits.inflight_max = 200);
    let publisher = world.guest(V5, "p");
    let greetings: Vec<_> = (0..100).map(|n| resident(V311, &format!("c{n}"))).collect();
    for greeting in &greetings {
        let client = world.join(greeting);
        world.subscribe(client, "t", 1);
        world.cut(client);
    }
    for number in 0..200 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    let clients: Vec<_> = greetings
        .iter()
        .map(|greeting| {
            let client = world.open(V311);
            world.feed_only(client, &greeting.bytes());
            client
        })
        .collect();
    let largest = largest_step(&mut world, sent);
    assert!(largest <= MESSAGES_MAX, "{largest} messages in one step");
    for client in clients {
        assert_eq!(world.take(client).len(), 201);
    }
}

#[test]
fn sessions_that_expire_at_once_end_in_pieces() {
    let mut world = World::new();
    for number in 0..1000 {
        let client = world.join(&resident(V5, &format!("c{number}")));
        world.subscribe(client, "t", 1);
        world.cut(client);
    }
    world.now = world.now.saturating_add(10_000_000);
    let mut largest = 0;
    while world.shards[0].population().sessions > 0 {
        let before = world.shards[0].counters().sessions_expired;
        assert!(
            world.shards[0]
                .poll_timeout()
                .is_some_and(|due| due <= world.now)
        );
        let now = world.now;
        world.shards[0].handle_timeout(now);
        let ended = world.shards[0].counters().sessions_expired - before;
        assert!(ended > 0, "no progress");
        largest = largest.max(ended);
    }
    assert!(largest <= ENDS_MAX, "{largest} sessions in one step");
    world.settle();
    assert!(world.store.is_empty());
}

#[test]
fn ten_thousand_filters_are_granted_and_given_up_in_pieces() {
    for stored in [false, true] {
        let mut world = World::with(2, open_settings());
        let greeting = if stored {
            resident(V5, "c")
        } else {
            hello(V5, "c")
        };
        let client = world.join(&greeting);
        let shard = world.shard_of(client);
        let filters: Vec<String> = (0..10_000).map(|n| format!("f/{n}")).collect();
        let wanted: Vec<_> = filters
            .iter()
            .map(|filter| (&**filter, options(1)))
            .collect();
        let held = |world: &World| world.shards[shard].population().subscriptions;
        world.feed_only(client, &[subscribe(V5, 1, &wanted), ping()].concat());
        let mut before = held(&world);
        assert!(before <= 256, "{before} in one step");
        while world.step() {
            assert!(held(&world) - before <= 8192);
            before = held(&world);
        }
        // The answer to the ping waits for no disk.
        let mut got = world.take(client);
        got.retain(|got| *got != Got::Pingresp);
        let [Got::Suback(1, codes)] = &got[..] else {
            panic!("not one answer: {} packets", got.len());
        };
        assert!(codes.len() == 10_000 && codes.iter().all(|code| *code == 1));
        let refs: Vec<_> = filters.iter().map(|filter| &**filter).collect();
        world.feed_only(client, &[unsubscribe(V5, 2, &refs), ping()].concat());
        assert!(held(&world) >= 10_000 - 256);
        world.settle();
        let mut got = world.take(client);
        got.retain(|got| *got != Got::Pingresp);
        assert!(matches!(&got[..], [Got::Unsuback(2, codes)] if codes.len() == 10_000));
        assert_eq!(held(&world), 0);
    }
}

/// Enters ten thousand filters of a client.
fn subscribe_to_many(world: &mut World, client: Client, prefix: &str) {
    let filters: Vec<String> = (0..10_000).map(|n| format!("{prefix}f/{n}")).collect();
    let wanted: Vec<_> = filters
        .iter()
        .map(|filter| (&**filter, options(1)))
        .collect();
    world.send(client, &subscribe(V5, 1, &wanted));
    let got = world.take(client);
    assert!(matches!(&got[..], [Got::Suback(1, codes)] if codes.len() == 10_000));
}

#[test]
fn a_session_with_ten_thousand_subscriptions_ends_in_pieces() {
    for (stored, prefix) in [
        (false, ""),
        (true, ""),
        (false, "$share/g/"),
        (true, "$share/g/"),
    ] {
        let mut world = World::with(2, open_settings());
        let greeting = if stored {
            resident(V5, "c")
        } else {
            hello(V5, "c")
        };
        let client = world.join(&greeting);
        let shard = world.shard_of(client);
        subscribe_to_many(&mut world, client, prefix);
        let held = |world: &World| world.shards[shard].population().subscriptions;
        // The same client comes again and wants a new session, which is there before the old one is gone.
        let again = world.open_on(shard, V5);
        world.feed_only(again, &hello(V5, "c").bytes());
        let mut before = held(&world);
        assert_eq!(before, 10_000, "nothing has ended with the CONNECT alone");
        world.feed_only(again, &subscribe(V5, 2, &[("mine", options(1))]));
        assert_eq!(world.shards[shard].population().sessions, 2);
        while world.step() {
            let left = held(&world);
            assert!(before.saturating_sub(left) <= 8192, "{before} to {left}");
            before = left;
        }
        world.settle();
        assert_eq!(held(&world), 1);
        assert_eq!(world.shards[shard].population().sessions, 1);
        let neighbour = world.guest(V5, "n");
        for topic in ["f/5", "mine"] {
            world.publish(neighbour, topic, topic, 1);
        }
        let got = world.take(again);
        assert!(
            matches!(&got[..], [Got::Connack { present: false, code: 0, .. }, Got::Suback(2, codes), Got::Publish(message)]
                if codes[..] == [1] && message.topic == "mine"),
            "{got:?}"
        );
        assert!(world.is_closed(client));
        assert!(world.store.is_empty(), "{} rows", world.store.len());
    }
}

/// What a crash leaves of it belongs to nobody.
#[test]
fn a_crash_while_a_long_session_ends_leaves_nothing_of_it() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    subscribe_to_many(&mut world, client, "");
    world.feed_only(client, &goodbye_for_ever());
    // The session's own record is gone, and some of its subscriptions.
    for _ in 0..3 {
        world.step();
    }
    let rows = world.store.len();
    assert!((1000..10_000).contains(&rows), "{rows} rows");
    world.restart();
    assert!(world.store.is_empty(), "{} rows", world.store.len());
    let client = world.connect(&resident(V5, "c"));
    let got = world.take(client);
    assert!(matches!(got[..], [Got::Connack { present: false, .. }]));
}

/// DISCONNECT with a Session Expiry Interval of zero.
fn goodbye_for_ever() -> Vec<u8> {
    vec![0xe0, 7, 0, 5, SESSION_EXPIRY, 0, 0, 0, 0]
}

#[test]
fn other_shards_hear_in_pieces_that_a_member_of_ten_thousand_groups_has_come_or_gone() {
    let mut world = World::with(2, open_settings());
    let client = world.join(&resident(V5, "c"));
    let shard = world.shard_of(client);
    subscribe_to_many(&mut world, client, "$share/g/");
    let largest = |world: &mut World| {
        let (begin, mut largest) = (world.announcements, 0);
        loop {
            let before = world.announcements;
            let busy = world.step();
            largest = largest.max(world.announcements - before);
            if !busy {
                return (world.announcements - begin, largest);
            }
        }
    };
    world.cut_only(client);
    let (told, most) = largest(&mut world);
    assert!(told == 10_000 && most <= 8192, "{told}, {most} in one step");
    let again = world.open_on(shard, V5);
    world.feed_only(again, &resident(V5, "c").bytes());
    let (told, most) = largest(&mut world);
    assert!(told == 10_000 && most <= 8192, "{told}, {most} in one step");
    // It is known to be there, whichever shard publishes.
    let publishers: Vec<Client> = (0..4).map(|n| world.guest(V5, &format!("p{n}"))).collect();
    assert!(publishers.iter().any(|one| world.shard_of(*one) != shard));
    world.take(again);
    for (number, publisher) in publishers.into_iter().enumerate() {
        world.publish(publisher, &format!("f/{}", number * 3000), "x", 1);
        assert_eq!(world.messages(again).len(), 1);
    }
}

#[test]
fn a_client_that_goes_while_its_filters_are_entered_leaves_a_session_as_it_is_on_disk() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    let filters: Vec<String> = (0..2000).map(|n| format!("f/{n}")).collect();
    let wanted: Vec<_> = filters
        .iter()
        .map(|filter| (&**filter, options(1)))
        .collect();
    world.feed_only(client, &subscribe(V5, 1, &wanted));
    world.cut(client);
    let held = world.shards[0].population().subscriptions;
    assert_eq!(held, 2000);
    world.restart();
    assert_eq!(world.shards[0].population().subscriptions, held);
}

#[test]
fn an_account_is_closed_in_pieces_and_completely() {
    let mut world = World::new();
    for number in 0..5000 {
        let client = world.join(&resident(V311, &format!("outsider{number}")));
        world.cut(client);
    }
    let devices: Vec<_> = (0..3)
        .map(|n| world.join(&hello(V5, &format!("d{n}")).login("alice")))
        .collect();
    let reason = mqtt_codec::ReasonCode::NOT_AUTHORIZED;
    let account = AccountId::new(1);
    world.input(0, Input::CloseAccount { account, reason });
    for device in devices {
        assert!(world.is_closed(device));
    }
}

#[test]
fn the_session_that_has_been_away_longest_ends_when_there_are_too_many() {
    let mut world = World::limited(|limits| limits.offline_sessions_max = 3);
    let come_and_go = |world: &mut World, name: &str| {
        let client = world.connect(&resident(V311, name));
        let present = matches!(world.take(client)[..], [Got::Connack { present: true, .. }]);
        world.cut(client);
        world.advance(1500);
        present
    };
    for name in ["a", "b", "c"] {
        assert!(!come_and_go(&mut world, name));
    }
    assert!(come_and_go(&mut world, "a"), "there are three");
    assert!(!come_and_go(&mut world, "d"));
    assert_eq!(world.shards[0].counters().sessions_dropped, 1);
    assert_eq!(world.shards[0].population().offline, 3);
    world.restart();
    // b had been offline longest; after a restart the order is the same.
    assert!(!come_and_go(&mut world, "b"));
    assert!(come_and_go(&mut world, "a"));
    assert!(come_and_go(&mut world, "d"));
    assert!(!come_and_go(&mut world, "c"), "b's return was one too many");
    world.input(0, Input::Shutdown);
    assert_eq!(world.shards[0].population().offline, 3);
}

#[test]
fn what_waits_on_disk_for_one_session_is_bounded_in_bytes_too() {
    let mut world = World::limited(|limits| limits.stored_bytes_max = 10_000);
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    world.cut(client);
    let publisher = world.guest(V5, "p");
    for number in 0..100 {
        world.publish(
            publisher,
            "t",
            &format!("{number:03}{}", "x".repeat(900)),
            1,
        );
    }
    assert!(world.shards[0].counters().dropped_queued >= 90);
    let client = world.join_and_keep(&resident(V5, "c"));
    let got = world.messages(client);
    assert!((5..=10).contains(&got.len()), "{}", got.len());
    assert_eq!(
        &got[got.len() - 1].payload[..3],
        "099",
        "the newest are kept"
    );
}

#[test]
fn a_slow_consumer_of_every_kind_costs_its_bound_and_its_neighbour_nothing() {
    for (qos, persistent) in [(0, false), (1, false), (1, true), (2, true)] {
        let mut world = World::limited(|limits| {
            limits.outgoing_bytes_max = 10_000;
            limits.queued_messages_max = 100;
            limits.inflight_max = 20;
        });
        let greeting = if persistent {
            resident(V5, "slow")
        } else {
            hello(V5, "slow")
        };
        let slow = world.join(&greeting);
        world.subscribe(slow, "t", qos);
        let neighbour = world.guest(V5, "n");
        world.subscribe(neighbour, "t", 0);
        let publisher = world.guest(V5, "p");
        world.block(slow, true);
        for number in 0..2000 {
            world.publish(
                publisher,
                "t",
                &format!("{number:04}{}", "x".repeat(100)),
                qos,
            );
            let got = world.messages(neighbour);
            assert_eq!(
                (got.len(), &got[0].payload[..4]),
                (1, &*format!("{number:04}"))
            );
            if qos == 2 {
                let released = packets::pubrel(world.last_packet_id());
                world.send(publisher, &released);
            }
            world.take(publisher);
        }
        assert!(world.outgoing(slow) <= 11_000, "{}", world.outgoing(slow));
        world.low_water(0);
        let population = world.shards[0].population();
        // What is in memory, or is only known to be on disk.
        let bound = if persistent { 2000 } else { 120 };
        assert!(
            population.waiting_messages <= bound,
            "{}",
            population.waiting_messages
        );
        if persistent {
            assert_eq!(world.shards[0].counters().dropped_queued, 0);
        }
        world.block(slow, false);
        if qos == 1 && persistent {
            let mut seen = 0;
            loop {
                let got = world.messages(slow);
                if got.is_empty() {
                    break;
                }
                for message in got {
                    assert_eq!(&message.payload[..4], &*format!("{seen:04}"));
                    seen += 1;
                    world.send(slow, &puback(message.packet_id.expect("QoS 1")));
                }
            }
            assert_eq!(seen, 2000, "all of it, from the store");
        }
    }
}

#[test]
fn what_is_sent_again_after_a_storm_comes_in_pieces_too() {
    let mut world = World::limited(|limits| limits.inflight_max = 200);
    let publisher = world.guest(V5, "p");
    let greetings: Vec<_> = (0..100).map(|n| resident(V311, &format!("c{n}"))).collect();
    for greeting in &greetings {
        let client = world.join(greeting);
        world.subscribe(client, "t", 1);
    }
    for number in 0..200 {
        world.publish(publisher, "t", &number.to_string(), 1);
    }
    let clients: Vec<_> = greetings
        .iter()
        .map(|greeting| {
            let client = world.open(V311);
            world.feed_only(client, &greeting.bytes());
            client
        })
        .collect();
    let largest = largest_step(&mut world, sent);
    assert!(largest <= MESSAGES_MAX, "{largest} messages in one step");
    for client in clients {
        let got = world.take(client);
        assert_eq!(got.len(), 201);
        let again = |got: &Got| matches!(got, Got::Publish(message) if message.dup);
        assert!(got[1..].iter().all(again));
    }
}
