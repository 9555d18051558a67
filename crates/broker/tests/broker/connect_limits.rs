//! What a CONNECT may be at most, and what is said to who sends more.

use broker::Limits;
use mqtt_codec::Version::{V5, V31, V311};
use mqtt_codec::{VERSION_BYTES_MAX, Version};

use crate::connect::{accepted, refused};
use crate::got::Got;
use crate::packets::{hello, properties, raw, string, text, user};
use crate::world::{ALL, World, resident};

const WILL_PAYLOAD_BYTES_MAX: usize = 65_535;

/// The beginning of a CONNECT of 1,027 bytes, as far as its level.
fn beginning(name: &str, level: u8) -> Vec<u8> {
    [&[0x10, 0x80, 0x08][..], &text(name), &[level]].concat()
}

/// What is said to who goes beyond a limit that only MQTT 5 has a word for.
fn told(version: Version, code: u8) -> Vec<Got> {
    match version {
        V5 => vec![refused(code)],
        V31 | V311 => Vec::new(),
    }
}

// [3.1.1 MQTT-3.1.4-1] [5 MQTT-3.1.4-2] [5 MQTT-3.2.2-7]
#[test]
fn a_connect_larger_than_allowed_is_answered_before_its_body_comes() {
    let mut world = World::limited(|limits| limits.connect_bytes_max = 1024);
    for (count, version) in ALL.into_iter().enumerate() {
        let bytes = beginning(version.protocol_name(), version.level());
        assert!(bytes.len() < VERSION_BYTES_MAX);
        let client = world.open(version);
        for (place, byte) in bytes.iter().enumerate() {
            assert!(!world.is_closed(client), "closed after {place} bytes");
            assert_eq!(world.take(client), []);
            world.send(client, &[*byte]);
        }
        assert_eq!(world.take(client), told(version, 0x95));
        assert!(world.is_closed(client));
        // The same, all at once.
        let client = world.open(version);
        let whole = hello(version, "c").will("t", &"x".repeat(1024), 0, false);
        world.send(client, &whole.bytes());
        assert_eq!(world.take(client), told(version, 0x95));
        assert!(world.is_closed(client));
        let counters = world.shards[0].counters();
        assert_eq!(counters.packets_too_large, 2 * (count as u64 + 1));
    }
    // Behind a CONNECT that is accepted, packets are as large as packets may be.
    let client = world.guest(V5, "c");
    world.subscribe(client, "t", 0);
    world.publish(client, "t", &"x".repeat(5000), 0);
    assert_eq!(world.messages(client)[0].payload.len(), 5000);
}

#[test]
fn a_large_connect_of_another_protocol_is_not_waited_for() {
    let mut world = World::limited(|limits| limits.connect_bytes_max = 1024);
    for bytes in [
        &[0x10, 0x80, 0x08, 0, 5][..],
        &[0x10, 0x80, 0x08, 1],
        &[0x10, 0x80, 0x08, 0, 4, b'M', b'Q', b'I'],
        &[0x10, 0x80, 0x08, 0, 6, b'M', b'Q', b'T'],
        // No CONNECT at all.
        &[0x30, 0x80, 0x08],
        &[0xF0, 0x80, 0x08],
    ] {
        let client = world.open(V311);
        world.send(client, &bytes[..bytes.len() - 1]);
        assert!(!world.is_closed(client), "{bytes:02x?}");
        world.send(client, &bytes[bytes.len() - 1..]);
        assert_eq!(world.take(client), [], "{bytes:02x?}");
        assert!(world.is_closed(client), "{bytes:02x?}");
    }
    // A version that is not spoken here is told so, as with any other CONNECT.
    let client = world.open(V5);
    world.send(client, &beginning("MQTT", 6));
    assert_eq!(world.take(client), [refused(0x84)]);
    assert!(world.is_closed(client));
}

#[test]
fn a_large_connect_whose_version_never_comes_is_closed_in_time() {
    let mut world = World::limited(|limits| limits.connect_bytes_max = 1024);
    let client = world.open(V5);
    world.send(client, &beginning("MQTT", 5)[..8]);
    world.advance(9_000);
    assert!(!world.is_closed(client));
    world.advance(2_000);
    assert!(world.is_closed(client));
    assert_eq!(world.shards[0].counters().connect_timeouts, 1);
}

#[test]
fn a_connect_with_more_user_properties_than_allowed_is_answered() {
    for (of_will, count, answer) in [
        (false, 3, accepted(false)),
        (false, 4, refused(0x97)),
        (true, 3, accepted(false)),
        (true, 4, refused(0x97)),
    ] {
        let mut world = World::limited(|limits| limits.user_properties_max = 3);
        let many = user("a", "b").repeat(count);
        let mut hello = hello(V5, "c").will("t", "x", 0, false);
        hello = if of_will {
            hello.will_property(&many)
        } else {
            hello.property(&many)
        };
        let client = world.connect(&hello);
        let is_refused = answer == refused(0x97);
        assert_eq!(world.take(client), [answer]);
        assert_eq!(world.is_closed(client), is_refused);
        let counters = world.shards[0].counters();
        assert_eq!(counters.protocol_errors, u64::from(is_refused));
    }
    // What is no packet gets no answer still.
    let mut world = World::new();
    let client = world.open(V5);
    let wrong = properties(&[&string(0x1F, "a reason")]);
    world.send(
        client,
        &raw(0x10, &[b"\0\x04MQTT\x05\x02\0\0", &wrong, &[0, 0]]),
    );
    assert_eq!(world.take(client), []);
    assert!(world.is_closed(client));
}

#[test]
fn a_will_whose_topic_is_too_long_or_too_deep_is_answered() {
    for (version, code) in [(V31, 3), (V311, 3), (V5, 0x90)] {
        for (topic, answer) in [
            ("a/b/c/d", accepted(false)),
            ("a/b/c/d/e", refused(code)),
            ("x23456789012345678901", refused(code)),
        ] {
            let mut world = World::limited(|limits| {
                limits.topic_bytes_max = 20;
                limits.topic_levels_max = 4;
            });
            let client = world.connect(&hello(version, "c").will(topic, "x", 0, false));
            let is_refused = answer == refused(code);
            assert_eq!(world.take(client), [answer], "{topic}");
            assert_eq!(world.is_closed(client), is_refused);
        }
    }
}

#[test]
fn a_client_id_longer_than_allowed_is_refused_and_counted() {
    for (version, code) in [(V31, 2), (V311, 2), (V5, 0x85)] {
        let mut world = World::new();
        let default = Limits::default().client_id_bytes_max;
        assert_eq!(default, 256);
        let client = world.connect(&hello(version, &"x".repeat(default)));
        assert_eq!(world.take(client), [accepted(false)]);
        let mut world = World::limited(|limits| limits.client_id_bytes_max = 23);
        let client = world.connect(&hello(version, &"x".repeat(23)));
        assert_eq!(world.take(client), [accepted(false)]);
        let client = world.connect(&hello(version, &"x".repeat(24)));
        assert_eq!(world.take(client), [refused(code)]);
        assert!(world.is_closed(client));
        // One that has none where it needs one is another matter.
        let client = world.connect(&hello(V311, "").clean(false));
        assert_eq!(world.take(client), [refused(2)]);
        let counters = world.shards[0].counters();
        assert_eq!(
            (counters.client_ids_too_long, counters.connects_refused),
            (1, 2)
        );
        assert_eq!(world.shards[0].population().sessions, 1);
    }
}

/// The operator may allow what a key can hold.
#[test]
fn a_client_id_as_long_as_a_key_holds_survives_a_restart() {
    const LONGEST: usize = 65_500;
    let mut world = World::limited(|limits| {
        limits.client_id_bytes_max = usize::MAX;
        limits.connect_bytes_max = 1024 * 1024;
    });
    let long = "x".repeat(LONGEST);
    let client = world.join(&resident(V5, &long).will("t", "gone", 1, false));
    world.subscribe(client, "t", 1);
    world.restart();
    let watcher = world.guest(V5, "watcher");
    world.subscribe(watcher, "t", 0);
    let client = world.connect(&resident(V5, &long));
    assert!(matches!(
        world.take(client)[..],
        [
            Got::Connack {
                present: true,
                code: 0,
                ..
            },
            ..
        ]
    ));
    let client = world.connect(&hello(V5, &"x".repeat(LONGEST + 1)));
    assert_eq!(world.take(client), [refused(0x85)]);
}

/// The specification allows a will of 65,535 bytes: the default takes it beside everything else that a CONNECT has, and it
/// is published whole.
#[test]
fn the_largest_will_comes_in_by_default() {
    let limits = Limits::default();
    let topic = "t".repeat(limits.topic_bytes_max);
    let client_id = "c".repeat(limits.client_id_bytes_max);
    let payload = "x".repeat(WILL_PAYLOAD_BYTES_MAX);
    for version in ALL {
        let mut world = World::new();
        let watcher = world.guest(version, "watcher");
        world.subscribe(watcher, "#", 1);
        let mut hello = resident(version, &client_id)
            .will(&topic, &payload, 1, true)
            .login("alice");
        if version == V5 {
            let ours = user("a name of sixteen", &"v".repeat(1000)).repeat(4);
            hello = hello.property(&ours).will_property(&ours);
        }
        assert!(hello.bytes().len() > 69_887);
        let client = world.connect(&hello);
        assert!(matches!(
            world.take(client)[..],
            [Got::Connack { code: 0, .. }]
        ));
        world.cut(client);
        let published = world.messages(watcher);
        assert_eq!(published.len(), 1, "{version:?}");
        assert_eq!(published[0].payload, payload);
        assert_eq!(published[0].topic, topic);
    }
}
