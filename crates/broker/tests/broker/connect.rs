//! From CONNECT to CONNACK: who is let in, what is said to them, and what is said to those who are not.

use broker::Limits;
use mqtt_codec::Version::{self, V5, V31, V311};

use crate::got::Got;
use crate::packets::{
    MAXIMUM_PACKET_SIZE, SESSION_EXPIRY, four, goodbye, hello, message, options, ping, raw,
    subscribe, text,
};
use crate::world::{ALL, World, open_settings, resident};

pub(crate) fn accepted(present: bool) -> Got {
    Got::Connack {
        present,
        code: 0,
        assigned: None,
        keep_alive: None,
        session_expiry: None,
    }
}

pub(crate) fn refused(code: u8) -> Got {
    Got::Connack {
        present: false,
        code,
        assigned: None,
        keep_alive: None,
        session_expiry: None,
    }
}

// [3.1.1 MQTT-3.1.4-4] [3.1.1 MQTT-3.2.0-1] [3.1.1 MQTT-3.2.2-1] [3.1.1 MQTT-3.1.3-3] [3.1.1 MQTT-7.0.0-2]
// [5 MQTT-3.1.4-5] [5 MQTT-3.2.0-1] [5 MQTT-3.2.0-2] [5 MQTT-3.2.2-1] [5 MQTT-3.2.2-2] [5 MQTT-3.1.3-3]
#[test]
fn a_sound_connect_gets_one_connack_before_anything_else() {
    for version in ALL {
        let mut world = World::new();
        let client = world.open(version);
        let mut bytes = hello(version, "c").bytes();
        bytes.extend(ping());
        world.send(client, &bytes);
        assert_eq!(world.take(client), [accepted(false), Got::Pingresp]);
        assert!(!world.is_closed(client));
    }
}

// [3.1.1 MQTT-3.1.0-1] [5 MQTT-3.1.0-1] [5 MQTT-3.14.0-1]
#[test]
fn a_first_packet_that_is_no_connect_closes_without_a_word() {
    for version in ALL {
        let mut world = World::new();
        for first in [
            ping(),
            message(version, "t", "x", 0, 0, false),
            goodbye(version),
        ] {
            let client = world.open(version);
            world.send(client, &first);
            assert_eq!(world.take_bytes(client), []);
            assert!(world.is_closed(client));
        }
    }
}

// [3.1.1 MQTT-3.1.0-2] [5 MQTT-3.1.0-2] [3.1.1 MQTT-4.8.0-1]
#[test]
fn a_second_connect_closes_the_connection() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        world.send(client, &hello(version, "c").bytes());
        let said = world.take(client);
        match version {
            V5 => assert_eq!(said, [Got::Disconnect(0x82)]),
            V31 | V311 => assert_eq!(said, []),
        }
        assert!(world.is_closed(client));
    }
}

// [3.1.1 MQTT-3.1.2-1] [5 MQTT-3.1.2-1]
#[test]
fn another_protocol_name_is_not_taken_for_mqtt() {
    for name in ["MQTT5", "mqtt", "HTTP", "", "MQIsdpx"] {
        let mut world = World::new();
        let client = world.open(V311);
        let packet = raw(0x10, &[&text(name), &[4, 2, 0, 0], &text("c")]);
        world.send(client, &packet);
        assert_eq!(world.take_bytes(client), [], "{name}");
        assert!(world.is_closed(client), "{name}");
        assert_eq!(world.shards[0].population().sessions, 0);
    }
}

// [3.1.1 MQTT-3.1.2-2] [5 MQTT-3.1.2-2]
#[test]
fn another_protocol_level_is_told_so_in_its_own_words() {
    for (name, level, version, code) in [
        ("MQTT", 3, V311, 1),
        ("MQTT", 0, V311, 1),
        ("MQIsdp", 4, V311, 1),
        ("MQTT", 6, V5, 0x84),
        ("MQTT", 255, V5, 0x84),
    ] {
        let mut world = World::new();
        let client = world.open(version);
        let packet = raw(0x10, &[&text(name), &[level, 2, 0, 0], &text("c")]);
        world.send(client, &packet);
        assert_eq!(world.take(client), [refused(code)], "{name} {level}");
        assert!(world.is_closed(client));
    }
}

// [3.1.1 MQTT-3.1.2-3] [3.1.1 MQTT-3.1.4-1] [3.1.1 MQTT-3.2.2-6] [5 MQTT-3.1.2-3] [5 MQTT-3.1.4-1]
#[test]
fn the_reserved_connect_flag_has_to_be_zero() {
    for version in [V311, V5] {
        let mut world = World::new();
        let client = world.open(version);
        world.send(client, &hello(version, "c").bytes_with_flags(3));
        assert_eq!(world.take_bytes(client), []);
        assert!(world.is_closed(client));
    }
}

// [3.1.1 MQTT-3.1.2-11] [3.1.1 MQTT-3.1.2-13] [3.1.1 MQTT-3.1.2-14] [3.1.1 MQTT-3.1.2-15] [3.1.1 MQTT-3.1.2-9]
// [5 MQTT-3.1.2-11] [5 MQTT-3.1.2-12] [5 MQTT-3.1.2-13] [5 MQTT-3.1.2-9]
#[test]
fn will_flags_have_to_fit_each_other_and_the_payload() {
    const CLEAN: u8 = 2;
    for version in ALL {
        let plain = hello(version, "c");
        let with_will = plain.clone().will("w", "gone", 1, false);
        let cases = [
            (
                plain.bytes_with_flags(CLEAN | 0b0000_1000),
                "QoS without a will",
            ),
            (
                plain.bytes_with_flags(CLEAN | 0b0010_0000),
                "retain without a will",
            ),
            (
                plain.bytes_with_flags(CLEAN | 0b0000_0100),
                "a will that is not there",
            ),
            (
                with_will.bytes_with_flags(CLEAN | 0b0001_1100),
                "will QoS 3",
            ),
            (
                with_will.bytes_with_flags(CLEAN),
                "fields of a will without its flag",
            ),
        ];
        // MQTT 3.1 disregards what the first two say.
        let cases = cases.into_iter().skip(if version == V31 { 2 } else { 0 });
        for (packet, what) in cases {
            let mut world = World::new();
            let client = world.open(version);
            world.send(client, &packet);
            assert_eq!(world.take_bytes(client), [], "{what}");
            assert!(world.is_closed(client), "{what}");
        }
        let mut world = World::new();
        let client = world.connect(&with_will);
        assert_eq!(world.take(client), [accepted(false)]);
    }
}

// [3.1.1 MQTT-3.1.2-18] [3.1.1 MQTT-3.1.2-19] [3.1.1 MQTT-3.1.2-20] [3.1.1 MQTT-3.1.2-21] [3.1.1 MQTT-3.1.2-22]
// [5 MQTT-3.1.2-16] [5 MQTT-3.1.2-17] [5 MQTT-3.1.2-18] [5 MQTT-3.1.2-19]
#[test]
fn credentials_have_to_be_there_exactly_when_their_flags_say_so() {
    const CLEAN: u8 = 2;
    const USERNAME: u8 = 0x80;
    const PASSWORD: u8 = 0x40;
    for version in ALL {
        let login = hello(version, "c").login("alice");
        let plain = hello(version, "c");
        let cases = [
            (login.bytes_with_flags(CLEAN), "fields without flags"),
            (
                login.bytes_with_flags(CLEAN | USERNAME),
                "password without its flag",
            ),
            (
                plain.bytes_with_flags(CLEAN | USERNAME),
                "user name flag without the field",
            ),
            (
                plain.bytes_with_flags(CLEAN | USERNAME | PASSWORD),
                "flags without fields",
            ),
        ];
        for (packet, what) in cases {
            let mut world = World::new();
            let client = world.open(version);
            world.send(client, &packet);
            assert_eq!(world.take_bytes(client), [], "{what}");
            assert!(world.is_closed(client), "{what}");
        }
        let mut world = World::new();
        let client = world.connect(&login);
        assert_eq!(world.take(client), [accepted(false)]);
    }
    // Only MQTT 5 has a password alone.
    let mut alone = hello(V311, "c");
    alone.password = Some(b"secret".to_vec());
    for (version, closed) in [(V31, true), (V311, true), (V5, false)] {
        alone.version = version;
        let mut world = World::new();
        let client = world.connect(&alone);
        assert_eq!(world.is_closed(client), closed);
    }
}

// [3.1.1 MQTT-3.1.3-1] [5 MQTT-3.1.3-1]
#[test]
fn the_payload_of_connect_is_read_in_its_order() {
    for version in ALL {
        let mut world = World::new();
        let watcher = world.guest(version, "watcher");
        world.subscribe(watcher, "will/topic", 0);
        let full = hello(version, "device")
            .will("will/topic", "last words", 0, false)
            .login("alice");
        let client = world.join(&full);
        assert_eq!(world.shards[0].population().sessions, 2);
        world.cut(client);
        assert_eq!(world.texts(watcher), ["will/topic last words"]);
    }
}

// [3.1.1 MQTT-3.1.3-4] [3.1.1 MQTT-3.1.3-10] [3.1.1 MQTT-3.1.3-11] [5 MQTT-3.1.3-4] [5 MQTT-3.1.3-11]
// [5 MQTT-3.1.3-12]
#[test]
fn strings_of_connect_have_to_be_utf8() {
    for version in ALL {
        let mut wrong_id = hello(version, "c");
        wrong_id.client_id = vec![b'c', 0xFF];
        let mut wrong_will = hello(version, "c").will("w", "x", 0, false);
        wrong_will.will.as_mut().expect("just set").topic = vec![0xED, 0xA0, 0x80];
        let mut wrong_name = hello(version, "c").login("alice");
        wrong_name.username = Some(vec![b'a', 0]);
        for wrong in [wrong_id, wrong_will, wrong_name] {
            let mut world = World::new();
            let client = world.connect(&wrong);
            assert_eq!(world.take_bytes(client), []);
            assert!(world.is_closed(client));
        }
    }
}

// [3.1.1 MQTT-3.1.3-5] [5 MQTT-3.1.3-5]
#[test]
fn client_ids_of_the_plain_alphabet_are_taken_and_longer_ones_too() {
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in ALL {
        let mut world = World::new();
        for id in [&all[..1], &all[..23], &all[23..46], &all[39..], all] {
            let client = world.connect(&hello(version, id));
            assert_eq!(world.take(client), [accepted(false)], "{id}");
        }
    }
}

// [3.1.1 MQTT-3.1.3-6] [5 MQTT-3.1.3-6] [5 MQTT-3.1.3-7] [5 MQTT-3.2.2-16]
#[test]
fn a_client_without_an_id_gets_one_that_is_nobody_elses() {
    let mut world = World::new();
    let old = world.guest(V311, "");
    let other_old = world.guest(V311, "");
    let mut names = Vec::new();
    for _ in 0..2 {
        let client = world.connect(&hello(V5, ""));
        match &world.take(client)[..] {
            [
                Got::Connack {
                    code: 0,
                    assigned: Some(name),
                    ..
                },
            ] => names.push(name.clone()),
            other => panic!("no id was assigned: {other:?}"),
        }
    }
    assert!(!names[0].is_empty());
    assert_ne!(names[0], names[1]);
    assert_eq!(world.shards[0].population().sessions, 4);
    for client in [old, other_old] {
        world.send(client, &ping());
        assert_eq!(world.take(client), [Got::Pingresp]);
    }
}

// [3.1.1 MQTT-3.1.3-8] [3.1.1 MQTT-3.1.3-9] [3.1.1 MQTT-3.2.2-4] [3.1.1 MQTT-3.2.2-5] [5 MQTT-3.1.3-8]
// [5 MQTT-3.2.2-6] [5 MQTT-3.2.2-7] [5 MQTT-3.2.2-8]
#[test]
fn a_client_id_that_is_refused_is_told_so() {
    let long = "x".repeat(60_000);
    for (hello, code) in [
        (hello(V311, "").clean(false), 2),
        (hello(V31, ""), 2),
        (hello(V311, &long), 2),
        (hello(V5, &long), 0x85),
    ] {
        let mut world = World::new();
        let client = world.connect(&hello);
        assert_eq!(world.take(client), [refused(code)]);
        assert!(world.is_closed(client));
        assert_eq!(world.shards[0].population().sessions, 0);
    }
}

// [5 MQTT-3.1.4-2]
#[test]
fn wrong_credentials_are_refused_and_the_connection_closes() {
    for (version, code) in [(V31, 4), (V311, 4), (V5, 0x86)] {
        let mut world = World::new();
        let client = world.connect(&hello(version, "c").login("mallory"));
        assert_eq!(world.take(client), [refused(code)]);
        assert!(world.is_closed(client));
    }
}

#[test]
fn nobody_is_anonymous_unless_the_operator_allows_it() {
    for (version, code) in [(V31, 5), (V311, 5), (V5, 0x87)] {
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        let mut world = World::with(1, settings);
        let client = world.connect(&hello(version, "c"));
        assert_eq!(world.take(client), [refused(code)]);
        assert!(world.is_closed(client));
        world.join(&hello(version, "c").login("alice"));
    }
}

// [3.1.1 MQTT-3.1.4-5] [5 MQTT-3.1.4-6]
#[test]
fn what_stands_behind_a_refused_connect_is_ignored() {
    for version in ALL {
        let mut world = World::new();
        let watcher = world.guest(version, "watcher");
        world.subscribe(watcher, "#", 0);
        let client = world.open(version);
        let mut bytes = hello(version, "c").login("mallory").bytes();
        bytes.extend(message(version, "t", "x", 0, 0, false));
        bytes.extend(ping());
        world.send(client, &bytes);
        assert!(matches!(
            world.take(client)[..],
            [Got::Connack { code: 1.., .. }]
        ));
        assert!(world.is_closed(client));
        assert_eq!(world.texts(watcher), [""; 0]);
    }
}

// [3.1.1 MQTT-3.1.4-2] [3.1.1 MQTT-3.1.3-2] [5 MQTT-3.1.4-3] [5 MQTT-3.1.3-2] [5 MQTT-3.14.4-1] [5 MQTT-3.14.4-2]
#[test]
fn the_same_client_id_takes_the_older_connection_over() {
    for version in ALL {
        let mut world = World::new();
        let old = world.guest(version, "same");
        world.subscribe(old, "t", 0);
        let new = world.guest(version, "same");
        let said = world.take(old);
        match version {
            V5 => assert_eq!(said, [Got::Disconnect(0x8E)]),
            V31 | V311 => assert_eq!(said, []),
        }
        assert!(world.is_closed(old));
        world.subscribe(new, "t", 0);
        world.publish(new, "t", "x", 0);
        assert_eq!(world.texts(new), ["t x"]);
        assert_eq!(world.take(old), []);
    }
}

// [3.1.1 MQTT-3.1.3-2] [5 MQTT-3.1.3-2]
#[test]
fn the_same_client_id_of_another_account_is_another_client() {
    let mut world = World::new();
    let alice = world.join(&hello(V5, "phone").login("alice"));
    let bob = world.join(&hello(V5, "phone").login("bob"));
    for client in [alice, bob] {
        world.send(client, &ping());
        assert_eq!(world.take(client), [Got::Pingresp]);
    }
}

// [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22] [5 MQTT-3.2.2-22]
#[test]
fn one_and_a_half_keep_alives_of_silence_end_the_connection() {
    for version in ALL {
        for keep_alive in [2u16, 7, 100, 60_000] {
            let mut world = World::new();
            let client = world.join(&hello(version, "c").keep_alive(keep_alive));
            let patience = u64::from(keep_alive) * 1500;
            world.advance(patience - 1000);
            assert!(!world.is_closed(client), "{keep_alive}");
            world.send(client, &ping());
            assert_eq!(world.take(client), [Got::Pingresp]);
            world.advance(patience - 1000);
            assert!(!world.is_closed(client), "{keep_alive}");
            world.advance(3000);
            assert!(world.is_closed(client), "{keep_alive}");
            let said = world.take(client);
            match version {
                V5 => assert_eq!(said, [Got::Disconnect(0x8D)]),
                V31 | V311 => assert_eq!(said, []),
            }
        }
    }
}

#[test]
fn without_a_keep_alive_silence_is_no_reason_to_end() {
    let mut world = World::new();
    let client = world.guest(V311, "c");
    world.advance(100 * 24 * 3600 * 1000);
    assert!(!world.is_closed(client));
}

#[test]
fn a_connection_that_never_says_connect_is_closed() {
    let mut world = World::new();
    let silent = world.open(V5);
    let slow = world.open(V5);
    world.send(slow, &hello(V5, "c").bytes()[..5]);
    world.advance(12_000);
    assert!(world.is_closed(silent));
    assert!(world.is_closed(slow));
    assert_eq!(world.shards[0].counters().connect_timeouts, 2);
    assert_eq!(world.shards[0].population().connections, 0);
}

/// Of QUIC the shard sees only what comes behind the handshake and the opening of the stream.
#[test]
fn what_a_connection_has_waited_outside_is_taken_off_its_time() {
    let mut world = World::new();
    let patience = u64::from(Limits::default().connect_timeout_secs) * 1000;
    for waited in [0, patience / 2, u64::MAX] {
        world.shards[0].accept_late(0, waited, world.now);
    }
    // A look comes up to two seconds late.
    for (time, closed) in [(patience / 2 - 2000, 1), (4000, 2), (patience / 2, 3)] {
        world.advance(time);
        assert_eq!(world.shards[0].counters().connect_timeouts, closed);
    }
}

#[test]
fn the_server_says_which_keep_alive_and_expiry_it_applies() {
    let mut world = World::limited(|limits| {
        limits.keepalive_max_secs = 60;
        limits.session_expiry_max_secs = 100;
    });
    let eager = hello(V5, "c")
        .keep_alive(600)
        .property(&four(SESSION_EXPIRY, 5000));
    let client = world.connect(&eager);
    assert_eq!(
        world.take(client),
        [Got::Connack {
            present: false,
            code: 0,
            assigned: None,
            keep_alive: Some(60),
            session_expiry: Some(100),
        }]
    );
    world.advance(95_000);
    assert!(world.is_closed(client));
}

// [5 MQTT-4.12.0-6] [5 MQTT-3.1.2-28]
#[test]
fn the_connack_has_no_authentication_method_nor_response_information() {
    let mut world = World::new();
    let client = world.open(V5);
    world.send(client, &hello(V5, "c").bytes());
    let bytes = world.take_bytes(client);
    // Fixed header, flags, code, property length; then properties of two- and four-byte values only.
    let properties = &bytes[5..];
    let mut at = 0;
    let mut ids = Vec::new();
    while at < properties.len() {
        ids.push(properties[at]);
        at += match properties[at] {
            0x27 => 5,
            0x21 | 0x22 => 3,
            other => panic!("property {other:#x} was not asked for"),
        };
    }
    assert_eq!(ids, [0x21, 0x27, 0x22]);
}

// [5 MQTT-3.2.2-19] [5 MQTT-3.2.2-20] [5 MQTT-3.1.2-24]
#[test]
fn a_connack_fits_the_smallest_client() {
    let mut world = World::new();
    let small = hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, 20));
    let client = world.open(V5);
    world.send(client, &small.bytes());
    assert!(world.take_bytes(client).len() <= 20);
    let client = world.open(V5);
    world.send(client, &small.clone().login("mallory").bytes());
    assert!(world.take_bytes(client).len() <= 20);
    assert!(world.is_closed(client));
}

// [5 MQTT-3.2.2-9] [5 MQTT-3.2.2-10] [5 MQTT-3.2.2-12] [5 MQTT-3.2.2-13] [3.1.1 MQTT-3.8.3-2]
#[test]
fn every_quality_of_service_and_retained_wills_are_taken() {
    let mut world = World::new();
    for qos in 0..3 {
        let client = world.open(V5);
        let hello = hello(V5, &format!("c{qos}")).will("w", "x", qos, true);
        world.send(client, &hello.bytes());
        // No Maximum QoS (0x24) and no Retain Available (0x25): everything is supported.
        assert_eq!(world.take(client), [accepted(false)]);
        world.subscribe(client, "a/+/#", qos);
    }
}

#[test]
fn mqtt_31_knows_no_session_present() {
    for (version, present) in [(V31, false), (V311, true), (V5, true)] {
        let mut world = World::new();
        let first = world.join(&resident(version, "c"));
        world.cut(first);
        let again = world.connect(&resident(version, "c"));
        assert_eq!(world.take(again), [accepted(present)], "{version:?}");
    }
}

// [3.1.1 MQTT-7.1.1-1] [5 MQTT-4.2.0-1] [3.1.1 MQTT-6.0.0-2] [5 MQTT-6.0.0-2]
#[test]
fn packets_may_come_in_any_pieces() {
    for version in ALL {
        let mut bytes = hello(version, "c").bytes();
        bytes.extend(subscribe(version, 7, &[("t/+", options(1))]));
        bytes.extend(message(version, "t/1", "hello", 1, 8, false));
        bytes.extend(ping());
        let expected = run_in_pieces(version, &bytes, bytes.len());
        assert_eq!(expected.len(), 5);
        for piece in 1..bytes.len() {
            assert_eq!(run_in_pieces(version, &bytes, piece), expected);
        }
    }
}

fn run_in_pieces(version: Version, bytes: &[u8], piece: usize) -> Vec<Got> {
    let mut world = World::new();
    let client = world.open(version);
    for chunk in bytes.chunks(piece) {
        world.send(client, chunk);
    }
    world.take(client)
}

#[test]
fn shutdown_tells_every_client_and_ends_every_connection() {
    let mut world = World::new();
    let new = world.guest(V5, "a");
    let old = world.guest(V311, "b");
    let silent = world.open(V5);
    world.input(0, broker::Input::Shutdown);
    assert_eq!(world.take(new), [Got::Disconnect(0x8B)]);
    assert_eq!(world.take(old), []);
    for client in [new, old, silent] {
        assert!(world.is_closed(client));
    }
}
