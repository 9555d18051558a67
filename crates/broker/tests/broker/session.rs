//! Sessions: what they keep while their client is offline, when they are taken up again, and when they end.

use mqtt_codec::Version::{V5, V31, V311};

use crate::got::Got;
use crate::packets::{SESSION_EXPIRY, four, goodbye, hello, raw};
use crate::world::{ALL, Client, World, resident};

/// Connects and tells whether the session was there; what follows is left.
fn come_back(world: &mut World, hello: &crate::packets::Hello) -> (Client, bool, Vec<Got>) {
    let client = world.connect(hello);
    let mut got = world.take(client);
    match got.remove(0) {
        Got::Connack {
            present, code: 0, ..
        } => (client, present, got),
        other => panic!("not accepted: {other:?}"),
    }
}

fn payloads(got: &[Got]) -> Vec<(&str, u8, bool)> {
    got.iter()
        .map(|got| match got {
            Got::Publish(message) => (&*message.payload, message.qos, message.dup),
            other => panic!("not a message: {other:?}"),
        })
        .collect()
}

// [3.1.1 MQTT-3.1.2-4] [3.1.1 MQTT-3.1.2-5] [3.1.1 MQTT-3.1.4-3] [3.1.1 MQTT-3.2.2-2] [3.1.1 MQTT-3.2.2-3]
// [3.1.1 MQTT-4.1.0-1] [3.1.1 MQTT-4.5.0-1] [5 MQTT-3.1.2-5] [5 MQTT-3.1.2-6] [5 MQTT-3.1.2-23] [5 MQTT-3.1.4-4]
// [5 MQTT-3.2.2-3] [5 MQTT-4.1.0-1] [5 MQTT-4.5.0-1]
#[test]
fn a_lasting_session_keeps_what_comes_while_its_client_is_away() {
    for version in [V311, V5] {
        let mut world = World::new();
        let (client, present, _) = come_back(&mut world, &resident(version, "c"));
        assert!(!present);
        world.subscribe(client, "t", 2);
        world.send(client, &goodbye(version));
        let publisher = world.guest(version, "p");
        for (payload, qos) in [("1", 1), ("0", 0), ("2", 2)] {
            world.publish(publisher, "t", payload, qos);
        }
        world.advance(1_000_000);
        let (_, present, got) = come_back(&mut world, &resident(version, "c"));
        assert!(present);
        assert_eq!(payloads(&got), [("1", 1, false), ("2", 2, false)]);
    }
}

// [3.1.1 MQTT-3.1.2-6] [3.1.1 MQTT-3.2.2-1] [3.1.1 MQTT-3.1.4-3] [5 MQTT-3.1.2-4] [5 MQTT-3.2.2-2] [5 MQTT-3.1.4-4]
#[test]
fn a_clean_start_drops_what_was_kept() {
    for version in ALL {
        let mut world = World::new();
        let client = world.join(&resident(version, "c"));
        world.subscribe(client, "t", 1);
        world.send(client, &goodbye(version));
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "x", 1);
        let (client, present, got) = come_back(&mut world, &hello(version, "c"));
        assert!(!present);
        assert_eq!(got, []);
        world.publish(publisher, "t", "y", 1);
        assert_eq!(world.take(client), []);
        // And the clean session itself leaves nothing.
        world.subscribe(client, "t", 1);
        world.cut(client);
        let (_, present, got) = come_back(&mut world, &resident(version, "c"));
        assert!(!present);
        assert_eq!(got, []);
    }
}

/// A server that starts with an earlier clock than it ended with: the session lasts from then on, and not until that day has come.
#[test]
fn a_session_that_was_left_in_the_future_ends_in_its_time() {
    const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
    let mut world = World::new();
    let right = world.now;
    world.advance(YEAR);
    let brief = hello(V5, "c")
        .clean(false)
        .property(&four(SESSION_EXPIRY, 60));
    let client = world.join(&brief);
    world.subscribe(client, "t", 1);
    world.cut(client);
    world.now = right;
    world.restart();
    world.advance(55_000);
    assert_eq!(world.shards[0].population().sessions, 1);
    world.advance(7_000);
    assert_eq!(world.shards[0].population().sessions, 0);
}

// [3.1.1 MQTT-4.1.0-2] [5 MQTT-4.1.0-1] [5 MQTT-4.1.0-2] [5 MQTT-3.1.2-23]
#[test]
fn a_session_ends_when_its_time_is_over_and_never_while_connected() {
    let mut world = World::new();
    let brief = hello(V5, "c")
        .clean(false)
        .property(&four(SESSION_EXPIRY, 60));
    let client = world.join(&brief);
    world.subscribe(client, "t", 1);
    world.advance(10_000_000);
    assert!(!world.is_closed(client));
    world.cut(client);
    world.advance(55_000);
    let (client, present, _) = come_back(&mut world, &brief);
    assert!(present);
    world.advance(100_000);
    world.cut(client);
    world.advance(62_000);
    assert_eq!(world.shards[0].population().sessions, 0);
    assert_eq!(world.shards[0].population().subscriptions, 0);
    assert!(world.store.is_empty(), "nothing of it is kept");
    let (_, present, _) = come_back(&mut world, &brief);
    assert!(!present);
}

#[test]
fn without_an_expiry_an_mqtt_5_session_ends_with_its_connection() {
    let mut world = World::new();
    let client = world.join(&hello(V5, "c").clean(false));
    world.subscribe(client, "t", 1);
    world.cut(client);
    assert_eq!(world.shards[0].population().sessions, 0);
    assert!(world.store.is_empty());
}

#[test]
fn disconnect_may_change_how_long_the_session_is_kept() {
    let expiry = |secs: u32| raw(0xE0, &[&[0, 5], &four(SESSION_EXPIRY, secs)]);
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.send(client, &expiry(0));
    assert_eq!(world.shards[0].population().sessions, 0);
    let client = world.join(&resident(V5, "c"));
    world.send(client, &expiry(10));
    world.advance(8000);
    assert_eq!(world.shards[0].population().sessions, 1);
    world.advance(4000);
    assert_eq!(world.shards[0].population().sessions, 0);
    // What was to end with its connection can't be kept at its end.
    let client = world.guest(V5, "c");
    world.send(client, &expiry(10));
    assert_eq!(world.take(client), [Got::Disconnect(0x82)]);
    assert_eq!(world.shards[0].population().sessions, 0);
}

#[test]
fn sessions_that_come_and_go_leave_no_deadline_behind() {
    let mut world = World::new();
    for secs in [4000, 3000, 2000, 1000] {
        // Each absence is to end earlier than the one before it.
        let stays = hello(V5, "c")
            .clean(false)
            .property(&four(SESSION_EXPIRY, secs));
        let client = world.join(&stays);
        world.cut(client);
    }
    let client = world.guest(V5, "c");
    world.cut(client);
    assert_eq!(world.shards[0].population().sessions, 0);
    world.advance(500_000);
    assert_eq!(world.shards[0].poll_timeout(), None);
}

#[test]
fn a_session_may_be_taken_up_in_another_version() {
    for (before, after) in [(V311, V5), (V5, V311), (V31, V311)] {
        let mut world = World::new();
        let client = world.join(&resident(before, "c"));
        world.subscribe(client, "t", 1);
        world.cut(client);
        let publisher = world.guest(V5, "p");
        world.publish(publisher, "t", "x", 1);
        let (_, present, got) = come_back(&mut world, &resident(after, "c"));
        assert!(present);
        assert_eq!(payloads(&got), [("x", 1, false)]);
    }
}

#[test]
fn a_take_over_goes_on_with_the_same_session() {
    for version in ALL {
        let mut world = World::new();
        let old = world.join(&resident(version, "c"));
        world.subscribe(old, "t", 1);
        let publisher = world.guest(version, "p");
        world.publish(publisher, "t", "1", 1);
        assert_eq!(world.texts(old), ["t 1"]);
        let (new, present, got) = come_back(&mut world, &resident(version, "c"));
        assert_eq!(present, version != V31);
        assert_eq!(payloads(&got), [("1", 1, true)]);
        world.publish(publisher, "t", "2", 1);
        assert_eq!(world.texts(new), ["t 2"]);
        assert!(world.is_closed(old));
    }
}

#[test]
fn sessions_are_bounded_in_number() {
    let mut world = World::limited(|limits| limits.sessions_max = 1);
    let client = world.join(&resident(V5, "a"));
    let refused = world.connect(&hello(V5, "b"));
    assert!(matches!(
        world.take(refused)[..],
        [Got::Connack { code: 0x97, .. }]
    ));
    assert!(world.is_closed(refused));
    world.cut(client);
    world.join(&resident(V5, "a"));
}
