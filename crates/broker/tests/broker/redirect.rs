//! A server that sends its clients elsewhere: at CONNECT, and those who are there when it begins to.

use std::sync::Arc;

use broker::{Input, Redirect, Settings};
use mqtt_codec::Version::{self, V5, V31, V311};
use mqtt_codec::{DecodeLimits, Packet, decode};

use crate::got::Got;
use crate::packets::{MAXIMUM_PACKET_SIZE, four, hello, options, subscribe};
use crate::world::{ALL, World, open_settings};

const REFERENCE: &str = "other.example:1883";

fn elsewhere(redirect: fn(Arc<str>) -> Redirect) -> Settings {
    Settings {
        redirect: redirect(REFERENCE.into()),
        ..open_settings()
    }
}

/// Reason or return code, and the server reference.
fn told(version: Version, bytes: &[u8]) -> (u8, Option<String>) {
    match decode(version, bytes, &DecodeLimits::default()).expect("a sound packet") {
        Packet::Connack(connack) => (connack.code, connack.server_reference.map(Into::into)),
        Packet::Disconnect(disconnect) => (
            disconnect.reason.0,
            disconnect.properties.server_reference.map(Into::into),
        ),
        other => panic!("neither CONNACK nor DISCONNECT: {other:?}"),
    }
}

// [5 MQTT-3.2.2-8] [5 MQTT-3.2.2-7] [3.1.1 MQTT-3.2.2-5]
#[test]
fn who_connects_is_sent_elsewhere() {
    let reference = Some(REFERENCE.to_owned());
    for (redirect, reason) in [
        (Redirect::Temporary as fn(Arc<str>) -> Redirect, 0x9C),
        (Redirect::Permanent, 0x9D),
    ] {
        for (version, expected) in [
            (V31, (3, None)),
            (V311, (3, None)),
            (V5, (reason, reference.clone())),
        ] {
            let mut world = World::with(1, elsewhere(redirect));
            // A wrong password is not even looked at.
            for login in ["alice", "mallory"] {
                let client = world.connect(&hello(version, "c").login(login));
                assert_eq!(told(version, &world.take_bytes(client)), expected);
                assert!(world.is_closed(client));
            }
            assert_eq!(world.shards[0].counters().redirected, 2);
        }
    }
}

// [5 MQTT-3.1.2-24]
#[test]
fn a_client_that_takes_no_long_packet_is_only_told_to_go() {
    let mut world = World::with(1, elsewhere(Redirect::Temporary));
    let client = world.connect(&hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, 20)));
    assert_eq!(told(V5, &world.take_bytes(client)), (0x9C, None));
}

// [5 MQTT-3.14.2-1] [5 MQTT-3.14.4-2]
#[test]
fn who_is_there_already_is_sent_elsewhere_too() {
    for version in ALL {
        let mut world = World::new();
        let open = world.guest(version, "open");
        world.slow_logins = true;
        let checked = world.connect(&hello(version, "checked").login("alice"));
        world.slow_disk = true;
        let stored = world.connect(&hello(version, "stored").persistent());
        let silent = world.open(version);
        world.input(
            0,
            Input::Reconfigure(Arc::new(elsewhere(Redirect::Permanent))),
        );
        assert!(world.is_closed(open) && world.is_closed(stored) && !world.is_closed(checked));
        world.check_logins();
        assert!(world.is_closed(checked) && !world.is_closed(silent));
        world.send(silent, &hello(version, "silent").bytes());
        assert!(world.is_closed(silent));
        let moved = match version {
            V31 | V311 => (3, None),
            V5 => (0x9D, Some(REFERENCE.to_owned())),
        };
        for client in [checked, stored, silent] {
            assert_eq!(told(version, &world.take_bytes(client)), moved);
        }
        match version {
            // There is no word for it.
            V31 | V311 => assert_eq!(world.take(open), []),
            V5 => assert_eq!(told(version, &world.take_bytes(open)), moved),
        }
        // And when it is over, everybody is welcome again.
        world.slow_logins = false;
        world.slow_disk = false;
        world.input(0, Input::Reconfigure(Arc::new(open_settings())));
        let again = world.guest(version, "open");
        world.send(again, &subscribe(version, 1, &[("t", options(0))]));
        assert_eq!(world.take(again), [Got::Suback(1, vec![0])]);
    }
}
