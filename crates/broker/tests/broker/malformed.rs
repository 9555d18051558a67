//! Bytes that are no MQTT, or MQTT that must not come: the connection they came on closes with the specified
//! reason, and nobody else notices.

use mqtt_codec::Version::{self, V5, V31, V311};

use crate::got::Got;
use crate::packets::{
    hello, message, options, ping, properties, raw, string, subscribe, subscribe_as, text,
    unsubscribe, user,
};
use crate::world::{ALL, World};

/// Sends `bytes` on an open connection and checks that it closes: MQTT 5 with `reason`, earlier versions
/// without a word.
#[track_caller]
fn check_closes(version: Version, bytes: &[u8], reason: u8) {
    let mut world = World::new();
    let bystander = world.guest(version, "bystander");
    world.subscribe(bystander, "#", 0);
    let client = world.guest(version, "c");
    world.send(client, bytes);
    let said = world.take(client);
    match version {
        V5 => assert_eq!(said, [Got::Disconnect(reason)], "{bytes:02x?}"),
        V31 | V311 => assert_eq!(said, [], "{bytes:02x?}"),
    }
    assert!(world.is_closed(client), "{bytes:02x?}");
    world.send(bystander, &ping());
    assert_eq!(world.take(bystander), [Got::Pingresp]);
}

const MALFORMED: u8 = 0x81;
const PROTOCOL: u8 = 0x82;

// [3.1.1 MQTT-2.2.2-1] [3.1.1 MQTT-2.2.2-2] [3.1.1 MQTT-3.6.1-1] [3.1.1 MQTT-3.8.1-1] [3.1.1 MQTT-3.10.1-1]
// [3.1.1 MQTT-3.14.1-1] [5 MQTT-2.1.3-1] [5 MQTT-3.6.1-1] [5 MQTT-3.8.1-1] [5 MQTT-3.10.1-1] [5 MQTT-3.14.1-1]
// [5 MQTT-3.15.1-1] [5 MQTT-4.13.1-1]
#[test]
fn wrong_flags_of_the_fixed_header_close() {
    for version in [V311, V5] {
        let id = [0, 9];
        check_closes(version, &raw(0x60, &[&id]), MALFORMED);
        check_closes(version, &raw(0x6A, &[&id]), MALFORMED);
        check_closes(version, &raw(0x41, &[&id]), MALFORMED);
        check_closes(version, &raw(0x58, &[&id]), MALFORMED);
        check_closes(version, &raw(0x72, &[&id]), MALFORMED);
        check_closes(version, &raw(0xC1, &[]), MALFORMED);
        check_closes(version, &raw(0xE1, &[]), MALFORMED);
        check_closes(version, &raw(0xF1, &[]), MALFORMED);
        check_closes(version, &raw(0x00, &[]), MALFORMED);
        for filters in [
            subscribe(version, 1, &[("t", options(0))]),
            unsubscribe(version, 1, &["t"]),
        ] {
            let mut wrong = filters;
            wrong[0] &= 0xF0;
            check_closes(version, &wrong, MALFORMED);
        }
    }
}

#[test]
fn mqtt_31_may_set_dup_where_it_resends() {
    let mut world = World::new();
    let client = world.guest(V31, "c");
    let mut again = subscribe(V31, 3, &[("t", options(1))]);
    again[0] |= 8;
    world.send(client, &again);
    assert_eq!(world.take(client), [Got::Suback(3, vec![1])]);
    world.send(client, &raw(0x6A, &[&[0, 9]]));
    assert_eq!(world.take(client), [Got::Pubcomp(9, 0)]);
}

// [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4] [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]
#[test]
fn impossible_publish_flags_close() {
    for version in ALL {
        let mut qos3 = message(version, "t", "x", 2, 1, false);
        qos3[0] |= 0b0110;
        check_closes(version, &qos3, MALFORMED);
        let mut dup0 = message(version, "t", "x", 0, 0, false);
        dup0[0] |= 0b1000;
        check_closes(version, &dup0, MALFORMED);
    }
}

// [3.1.1 MQTT-1.5.3-1] [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-1] [5 MQTT-1.5.4-2] [3.1.1 MQTT-3.3.2-1]
// [5 MQTT-3.3.2-1] [3.1.1 MQTT-3.8.3-1] [5 MQTT-3.8.3-1] [3.1.1 MQTT-3.10.3-1] [5 MQTT-3.10.3-1]
// [3.1.1 MQTT-4.7.3-2] [5 MQTT-4.7.3-2]
#[test]
fn strings_have_to_be_utf8_without_null() {
    let bad: [&[u8]; 5] = [
        b"a\xFF",
        b"\xED\xA0\x80",
        b"a\0b",
        b"\xC0\x80",
        b"\xF4\x90\x80\x80",
    ];
    for version in ALL {
        let none: &[u8] = if version == V5 { &[0] } else { &[] };
        for name in bad {
            check_closes(version, &raw(0x30, &[&text(name), none, b"x"]), MALFORMED);
            let filter = raw(0x82, &[&[0, 1], none, &text(name), &[0]]);
            check_closes(version, &filter, MALFORMED);
            let filter = raw(0xA2, &[&[0, 1], none, &text(name)]);
            check_closes(version, &filter, MALFORMED);
        }
    }
}

// [5 MQTT-1.5.7-1] [5 MQTT-3.3.2-13] [5 MQTT-3.3.2-19]
#[test]
fn strings_in_properties_have_to_be_utf8_without_null() {
    let wrong_value = [&[0x26][..], &text("name"), &text(b"\xFF")].concat();
    let wrong_name = [&[0x26][..], &text(b"a\0"), &text("value")].concat();
    for property in [
        wrong_value,
        wrong_name,
        string(0x08, b"\xFF"),
        string(0x03, b"a\0"),
    ] {
        let publish = raw(0x30, &[&text("t"), &properties(&[&property]), b"x"]);
        check_closes(V5, &publish, MALFORMED);
    }
}

// [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3] [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4]
#[test]
fn topics_are_compared_as_they_come() {
    for version in ALL {
        let mut world = World::new();
        let client = world.guest(version, "c");
        // A byte order mark is a character, e and combining accent are not é, case matters.
        for filter in ["\u{FEFF}a", "e\u{301}", "A"] {
            world.subscribe(client, filter, 0);
        }
        for name in ["\u{FEFF}a", "a", "\u{E9}", "e\u{301}", "A", "A "] {
            world.publish(client, name, "x", 0);
        }
        assert_eq!(world.texts(client), ["\u{FEFF}a x", "e\u{301} x", "A x"]);
    }
}

// [5 MQTT-1.5.5-1]
#[test]
fn lengths_have_to_be_as_short_as_they_can() {
    check_closes(V5, &[0xC0, 0x80, 0x00], MALFORMED);
    check_closes(V5, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], MALFORMED);
    let publish = raw(0x30, &[&text("t"), &[0x80, 0x00], b"x"]);
    check_closes(V5, &publish, MALFORMED);
}

// [3.1.1 MQTT-2.3.1-1] [3.1.1 MQTT-4.8.0-1] [5 MQTT-4.13.1-1]
#[test]
fn packet_id_zero_closes() {
    for version in ALL {
        check_closes(version, &message(version, "t", "x", 1, 0, false), MALFORMED);
        check_closes(version, &message(version, "t", "x", 2, 0, false), MALFORMED);
        let filters = [("t", options(0))];
        check_closes(version, &subscribe(version, 0, &filters), MALFORMED);
        check_closes(version, &unsubscribe(version, 0, &["t"]), MALFORMED);
        check_closes(version, &raw(0x40, &[&[0, 0]]), MALFORMED);
    }
}

// [3.1.1 MQTT-3.3.2-2] [3.1.1 MQTT-4.7.1-1] [3.1.1 MQTT-4.7.3-1] [5 MQTT-3.3.2-2] [5 MQTT-4.7.0-1] [5 MQTT-4.7.3-1]
#[test]
fn topic_names_have_no_wildcards_and_at_least_one_character() {
    for version in ALL {
        for name in ["a/+", "#", "a#", "+", ""] {
            check_closes(version, &message(version, name, "x", 0, 0, false), 0x90);
        }
    }
}

// [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [3.1.1 MQTT-4.7.3-1] [5 MQTT-4.7.1-1] [5 MQTT-4.7.1-2]
// [5 MQTT-4.7.3-1] [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-2]
#[test]
fn wildcards_in_filters_stand_alone() {
    for version in ALL {
        for filter in ["a#", "a/#/b", "#/a", "a+", "+a/b", "", "a/b+"] {
            let filters = [(filter, options(0))];
            check_closes(version, &subscribe(version, 1, &filters), 0x8F);
        }
        for filter in [
            "$share//a",
            "$share/g+/a",
            "$share/#/a",
            "$share/g/",
            "$share/g",
        ] {
            let filters = [(filter, options(0))];
            check_closes(version, &subscribe(version, 1, &filters), 0x8F);
        }
    }
}

// [3.1.1 MQTT-3.8.3-3] [3.1.1 MQTT-3.10.3-2] [5 MQTT-3.8.3-2] [5 MQTT-3.10.3-2]
#[test]
fn requests_without_a_filter_close() {
    for version in ALL {
        check_closes(version, &subscribe(version, 1, &[]), PROTOCOL);
        check_closes(version, &unsubscribe(version, 1, &[]), PROTOCOL);
    }
}

// [3.1.1 MQTT-3.8.3-4] [5 MQTT-3.8.3-5]
#[test]
fn reserved_subscription_options_close() {
    for version in ALL {
        let mut wrong = vec![3u8, 0xC0, 0x40, 0x80];
        if version != V5 {
            wrong.extend([4, 8, 0x10]);
        }
        for bits in wrong {
            let mut packet = subscribe(version, 1, &[("t", options(0))]);
            *packet.last_mut().expect("options") = bits;
            check_closes(version, &packet, MALFORMED);
        }
    }
    let mut handling3 = subscribe(V5, 1, &[("t", options(0))]);
    *handling3.last_mut().expect("options") = 0x30;
    check_closes(V5, &handling3, PROTOCOL);
}

// [5 MQTT-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut own = options(0);
    own.no_local = true;
    check_closes(V5, &subscribe(V5, 1, &[("$share/g/t", own)]), PROTOCOL);
}

// [5 MQTT-3.3.4-6]
#[test]
fn a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let publish = raw(0x30, &[&text("t"), &properties(&[&[0x0B, 5]]), b"x"]);
    check_closes(V5, &publish, PROTOCOL);
    check_closes(V5, &subscribe_as(0, &[("t", options(0))]), PROTOCOL);
}

// [5 MQTT-3.3.2-8] [5 MQTT-3.3.2-14] [5 MQTT-4.13.1-1]
#[test]
fn properties_that_are_wrong_close() {
    let publish = |property: &[u8]| raw(0x30, &[&text("t"), &properties(&[property]), b"x"]);
    check_closes(V5, &publish(&[0x23, 0, 0]), 0x94);
    check_closes(V5, &publish(&[0x23, 0xFF, 0xFF]), 0x94);
    check_closes(V5, &publish(&string(0x08, "a/+")), 0x90);
    check_closes(V5, &publish(&[0x01, 2]), PROTOCOL);
    check_closes(V5, &publish(&[0x01, 1, 0x01, 1]), PROTOCOL);
    check_closes(V5, &publish(&[0x11, 0, 0, 0, 1]), PROTOCOL);
    check_closes(V5, &publish(&[0x7F, 0]), MALFORMED);
    check_closes(V5, &publish(&[0x02, 0]), MALFORMED);
    // An alias that was never set.
    check_closes(
        V5,
        &raw(0x30, &[&text(""), &properties(&[&[0x23, 0, 1]])]),
        PROTOCOL,
    );
}

#[test]
fn more_user_properties_than_allowed_close() {
    let many = user("a", "b").repeat(100_000);
    let publish = raw(0x30, &[&text("t"), &properties(&[&many]), b"x"]);
    check_closes(V5, &publish, 0x97);
}

#[test]
fn packets_only_a_server_sends_close() {
    for version in ALL {
        for packet in [
            raw(0x20, &[&[0, 0], if version == V5 { &[0] } else { &[] }]),
            raw(0xD0, &[]),
            raw(0x90, &[&[0, 1], if version == V5 { &[0, 0] } else { &[0] }]),
        ] {
            check_closes(version, &packet, PROTOCOL);
        }
    }
    check_closes(V5, &raw(0xF0, &[]), PROTOCOL);
    check_closes(V311, &raw(0xF0, &[]), MALFORMED);
}

#[test]
fn a_length_beyond_the_limit_closes_before_its_body_comes() {
    for version in ALL {
        check_closes(version, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 0x95);
    }
}

#[test]
fn truncated_bodies_close_rather_than_wait() {
    for version in ALL {
        check_closes(version, &raw(0x82, &[&[0]]), MALFORMED);
        check_closes(version, &raw(0x30, &[&[0, 9], b"t"]), MALFORMED);
        check_closes(version, &raw(0xC0, &[&[0]]), MALFORMED);
    }
}

proptest::proptest! {
    /// Whatever comes, the shard stands, other clients are undisturbed, and memory is given back.
    #[test]
    fn random_bytes_harm_nobody(
        connected in proptest::bool::ANY,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let mut world = World::new();
        let bystander = world.guest(V5, "bystander");
        let client = world.open(V5);
        if connected {
            world.send(client, &hello(V5, "c").bytes());
        }
        world.send(client, &bytes);
        if !world.is_closed(client) {
            world.cut(client);
        }
        world.send(bystander, &ping());
        proptest::prop_assert_eq!(world.take(bystander), [Got::Pingresp]);
        proptest::prop_assert_eq!(world.shards[0].population().connections, 1);
    }
}

// [5 MQTT-3.1.0-2] [5 MQTT-3.14.2-1]: 0x84 is no reason of a DISCONNECT.
#[test]
fn a_second_connect_of_an_unknown_version_is_a_protocol_error() {
    let connect = raw(0x10, &[&text("MQTT"), &[6, 2, 0, 0], &text("c")]);
    check_closes(V5, &connect, PROTOCOL);
}
