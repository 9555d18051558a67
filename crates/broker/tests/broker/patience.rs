//! How long the server waits: for a silent client, for one that has not said who it is, for one that is offline.

use mqtt_codec::Version::{V5, V311};

use crate::got::Got;
use crate::packets::{MESSAGE_EXPIRY, SESSION_EXPIRY, four, hello, message_with, ping};
use crate::world::{World, resident};

// [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22]
#[test]
fn nobody_is_given_up_before_one_and_a_half_keep_alives() {
    for offset in [0, 1, 500, 900, 999] {
        let mut world = World::new();
        world.advance(offset);
        let client = world.join(&hello(V311, "c").keep_alive(1));
        for _ in 0..20 {
            world.advance(1499);
            assert!(!world.is_closed(client), "{offset}");
            world.send(client, &ping());
        }
    }
}

#[test]
fn a_server_that_was_idle_for_long_gives_up_whoever_says_nothing() {
    let mut world = World::new();
    world.now = world.now.saturating_add(3_600_000);
    let silent = world.open(V311);
    let client = world.join(&hello(V311, "c").keep_alive(20));
    world.advance(60_000);
    assert!(world.is_closed(silent) && world.is_closed(client));
}

// [5 MQTT-4.1.0-2] [5 MQTT-3.1.2-23]
#[test]
fn who_comes_back_too_late_gets_a_new_session_though_nobody_has_looked() {
    for (late, present) in [(0, true), (1, false)] {
        let mut world = World::new();
        let hello = hello(V5, "c").clean(false);
        let hello = hello.property(&four(SESSION_EXPIRY, 10));
        let client = world.join(&hello);
        world.subscribe(client, "t", 1);
        world.cut(client);
        // The time passes without a look at it.
        world.now = world.now.saturating_add(9_999 + late);
        let client = world.connect(&hello);
        let got = world.take(client);
        assert!(
            matches!(got[..], [Got::Connack { code: 0, present: said, .. }] if said == present)
        );
        assert_eq!(
            world.shards[0].population().subscriptions,
            usize::from(present)
        );
    }
}

// [5 MQTT-3.3.2-5]
#[test]
fn a_message_whose_time_was_over_before_it_was_on_disk_is_not_delivered() {
    let mut world = World::new();
    let client = world.join(&resident(V5, "c"));
    world.subscribe(client, "t", 1);
    let publisher = world.guest(V5, "p");
    world.slow_disk = true;
    for (packet_id, secs) in [(1, 1), (2, 3)] {
        let expiry = four(MESSAGE_EXPIRY, secs);
        let publish = message_with(V5, "t", secs.to_string(), 1, packet_id, false, &expiry);
        world.send(publisher, &publish);
    }
    world.advance(1_500);
    world.commit();
    let got = world.messages(client);
    let told: Vec<_> = got.iter().map(|one| (&*one.payload, one.expiry)).collect();
    assert_eq!(told, [("3", Some(2))]);
}
