//! What a client may cause to be written: every append fits what the store takes (the world checks each), and no
//! packet is read while too much is on its way to the disk.

use mqtt_codec::Version::{self, V5};
use records::key;

use crate::chat::device;
use crate::got::Got;
use crate::packets::{
    Hello, hello, message, options, ping, pubcomp, pubrec, pubrel, subscribe, unsubscribe,
};
use crate::world::{ALL, Client, World, resident};

fn refused(version: Version) -> u8 {
    match version {
        V5 => 0x8F,
        Version::V31 | Version::V311 => 0x80,
    }
}

/// Subscribes and returns the code that came back.
fn code_of(world: &mut World, client: Client, filter: &str) -> u8 {
    let packet = subscribe(world.version(client), 5, &[(filter, options(1))]);
    world.send(client, &packet);
    match &world.take(client)[..] {
        [Got::Suback(5, codes)] => codes[0],
        other => panic!("not granted or refused: {other:?}"),
    }
}

#[test]
fn a_shared_filter_is_measured_with_its_share_name() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&device(version, "phone", "alice").persistent());
        for (name, filter) in [
            (65_500, "im/in/#"),
            (65_500, "t"),
            (4090, "im/in/#"),
            (300, "im/in/#"),
        ] {
            let filter = format!("$share/{}/{filter}", "x".repeat(name));
            assert_eq!(code_of(&mut world, client, &filter), refused(version));
        }
        for filter in ["im/in/#", "t"] {
            let filter = format!("$share/{}/{filter}", "x".repeat(256));
            assert_eq!(code_of(&mut world, client, &filter), 1);
        }
    }
}

#[test]
fn no_limit_opens_topics_that_no_key_can_hold() {
    let mut world = World::limited(|limits| limits.topic_bytes_max = 65_535);
    let client = world.join(&resident(V5, "c"));
    assert_eq!(code_of(&mut world, client, &"x".repeat(65_530)), 0x8F);
    assert_eq!(code_of(&mut world, client, &"x".repeat(65_500)), 1);
    let long = "x".repeat(65_530);
    world.send(client, &message(V5, &long, "x", 1, 7, true));
    assert_eq!(world.take(client), [Got::Puback(7, 0x90)]);
}

#[test]
fn a_session_with_many_long_filters_ends_in_pieces() {
    const FILTERS: usize = 5000;
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    let filters: Vec<String> = (0..FILTERS)
        .map(|number| format!("{}/{number}", "x".repeat(4000)))
        .collect();
    for some in filters.chunks(200) {
        let some: Vec<_> = some.iter().map(|filter| (&**filter, options(1))).collect();
        world.send(client, &subscribe(V5, 1, &some));
    }
    assert_eq!(world.store.len(), FILTERS + 1);
    world.slow_disk = true;
    let client = world.connect(&hello(V5, "c"));
    assert!(world.appends.len() > 1);
    // The session's own record goes first, and CONNACK waits for nothing more: a crash on the way leaves subscriptions
    // without a session, which the next start strikes out.
    world.commit_next();
    let mut sessions = world
        .store
        .keys()
        .filter(|at| key::parse_session(at).is_ok());
    assert!(sessions.next().is_none());
    assert!(matches!(
        world.take(client)[..],
        [Got::Connack {
            present: false,
            code: 0,
            ..
        }]
    ));
    assert!(world.store.len() > FILTERS / 2);
    world.commit();
    assert!(world.store.is_empty());
}

#[test]
fn cursors_of_many_sessions_are_written_in_pieces() {
    const SESSIONS: usize = 6000;
    let mut world = World::new();
    let clients: Vec<Client> = (0..SESSIONS)
        .map(|number| world.join(&resident(V5, &format!("{number:0>256}"))))
        .collect();
    for client in clients {
        world.cut(client);
    }
    world.slow_disk = true;
    world.advance(1500);
    assert!(world.appends.len() > 1);
    let largest = world.appends.iter().map(|append| append.bytes()).max();
    assert!(largest.expect("appends") < 2 * 1024 * 1024);
    world.commit();
    assert_eq!(world.store.len(), SESSIONS);
}

#[test]
fn a_message_too_large_to_be_stored_is_refused() {
    const MEGABYTE: usize = 1024 * 1024;
    for version in ALL {
        let mut world = World::limited(|limits| {
            limits.packet_bytes_max = 64 * MEGABYTE as u32;
            limits.outgoing_bytes_max = 64 * MEGABYTE;
        });
        let lasting = world.join(&resident(version, "lasting"));
        world.subscribe(lasting, "stored", 1);
        let live = world.guest(version, "live");
        world.subscribe(live, "#", 0);
        let publisher = world.guest(version, "p");
        let quota = if version == V5 { 0x97 } else { 0 };
        for (topic, size, retain, allowed) in [
            ("live", 17, false, true),
            ("stored", 17, false, false),
            ("live", 17, true, false),
            // It would be written twice.
            ("stored", 9, true, false),
            ("stored", 15, false, true),
        ] {
            let payload = vec![b'x'; size * MEGABYTE];
            world.send(publisher, &message(version, topic, payload, 1, 7, retain));
            let code = if allowed { 0 } else { quota };
            assert_eq!(world.take(publisher), [Got::Puback(7, code)]);
            assert_eq!(world.take_bytes(live).len() > MEGABYTE, allowed);
        }
        assert_eq!(world.shards[0].counters().publishes_refused, 3);
    }
}

#[test]
fn a_will_has_the_limits_of_a_publish() {
    for version in ALL {
        let mut world = World::new();
        for topic in ["x".repeat(5000), "x/".repeat(100)] {
            let client = world.connect(&hello(version, "c").will(&topic, "gone", 1, true));
            let got = world.take(client);
            let [Got::Connack { code, .. }] = got[..] else {
                panic!("{got:?}");
            };
            assert!(code != 0 && (version != V5 || code == 0x90), "{code:#x}");
            assert!(world.is_closed(client));
        }
        assert!(world.store.is_empty());
    }
}

#[test]
fn no_packet_that_writes_is_read_while_too_much_is_on_its_way_to_the_disk() {
    const PACKETS: u16 = 200;
    const APPENDS_MAX: usize = 8;
    for version in ALL {
        let mut world = World::limited(|limits| limits.appends_max = APPENDS_MAX);
        let client = world.join(&resident(version, "c"));
        let stays_bounded = |world: &mut World, packet: &dyn Fn(u16) -> Vec<u8>, answer: Got| {
            world.slow_disk = true;
            let packets: Vec<u8> = (1..=PACKETS).flat_map(packet).collect();
            world.send(client, &packets);
            let mut answers = world.take(client).len();
            while !world.appends.is_empty() {
                assert!(world.appends.len() <= APPENDS_MAX, "{answer:?}");
                world.commit_next();
                answers += world.take(client).len();
            }
            assert_eq!(answers, usize::from(PACKETS), "{answer:?}");
            world.slow_disk = false;
        };
        let name = |number: u16| format!("t/{number}");
        stays_bounded(
            &mut world,
            &|number| subscribe(version, number, &[(&name(number), options(1))]),
            Got::Suback(1, vec![]),
        );
        stays_bounded(
            &mut world,
            &|number| unsubscribe(version, number, &[&name(number)]),
            Got::Unsuback(1, vec![]),
        );
        for number in 1..=PACKETS {
            world.send(client, &message(version, "t", "x", 2, number, false));
        }
        assert_eq!(world.take(client).len(), usize::from(PACKETS));
        stays_bounded(&mut world, &pubrel, Got::Pubcomp(1, 0));
    }
}

#[test]
fn what_comes_behind_a_connect_waits_for_its_connack_however_slow_the_disk() {
    const CLIENTS: usize = 8;
    let mut world = World::limited(|limits| limits.appends_max = 4);
    world.slow_disk = true;
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let client = world.open(V5);
            let mut packets = resident(V5, &number.to_string()).bytes();
            packets.extend(ping());
            world.send(client, &packets);
            client
        })
        .collect();
    while !world.appends.is_empty() {
        world.commit_next();
    }
    for client in clients {
        let got = world.take(client);
        assert!(matches!(got[0], Got::Connack { code: 0, .. }));
        assert_eq!(got[1..], [Got::Pingresp]);
    }
}

#[test]
fn acknowledgements_that_write_wait_for_the_disk_too() {
    const APPENDS_MAX: usize = 8;
    let mut world = World::limited(|limits| limits.appends_max = APPENDS_MAX);
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 2);
    let publisher = world.guest(V5, "p");
    for _ in 0..100 {
        world.publish(publisher, "t", "x", 2);
    }
    let ids: Vec<u16> = world
        .messages(client)
        .iter()
        .filter_map(|message| message.packet_id)
        .collect();
    assert_eq!(ids.len(), 100);
    for packet in [pubrec, pubcomp] {
        world.slow_disk = true;
        let packets: Vec<u8> = ids.iter().flat_map(|id| packet(*id)).collect();
        world.send(client, &packets);
        assert!(world.appends.len() <= APPENDS_MAX);
        while !world.appends.is_empty() {
            assert!(world.appends.len() <= APPENDS_MAX);
            world.commit_next();
        }
        world.slow_disk = false;
    }
    assert_eq!(world.take(client).len(), 100, "one PUBREL each");
}

#[test]
fn a_filter_repeated_in_one_packet_is_written_once() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.slow_disk = true;
    let filters: Vec<_> = (0..100).map(|number| ("t", options(number % 3))).collect();
    world.send(client, &subscribe(V5, 1, &filters));
    assert_eq!(world.appends.len(), 1);
    // The subscription and the session.
    assert_eq!(world.appends[0].writes.len(), 2);
    world.commit();
    let codes: Vec<u8> = (0..100).map(|number| number % 3).collect();
    assert_eq!(world.take(client), [Got::Suback(1, codes)]);
    // The last one counts, here and after a restart.
    let (at, value) = world
        .store
        .iter()
        .find(|(at, _)| key::parse_subscription(at).is_ok())
        .expect("it is stored");
    assert_eq!(key::parse_subscription(at).expect("a key").1, "t");
    let record = records::Subscription::decode(value).expect("a subscription");
    assert_eq!(record.options & 3, 99 % 3);
}

#[test]
fn a_clean_start_is_confirmed_when_the_old_session_is_gone_from_the_disk() {
    for version in ALL {
        let guest: Hello = hello(version, "c");
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        world.slow_disk = true;
        // The old session is still connected, and is taken over.
        let client = world.connect(&guest);
        assert_eq!(world.take(client), []);
        // What comes behind the CONNECT is not lost meanwhile.
        world.send(client, &subscribe(version, 3, &[("u", options(0))]));
        assert_eq!(world.take(client), []);
        world.commit();
        assert!(world.store.is_empty());
        let got = world.take(client);
        assert!(matches!(
            got[0],
            Got::Connack {
                present: false,
                code: 0,
                ..
            }
        ));
        assert_eq!(got[1..], [Got::Suback(3, vec![0])]);
        // Nobody else's end is waited for when nothing is being deleted.
        let other = world.connect(&hello(version, "other"));
        assert_eq!(world.take(other).len(), 1);
    }
}
