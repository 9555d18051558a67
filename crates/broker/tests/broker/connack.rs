//! What a CONNACK says beside yes: response information, and what does not fit.

use mqtt_codec::Version::V5;
use mqtt_codec::{DecodeLimits, Packet, decode};

use crate::connect::refused;
use crate::got::Got;
use crate::packets::{MAXIMUM_PACKET_SIZE, four, hello, options, subscribe, unsubscribe};
use crate::world::World;

// [5 MQTT-3.1.2-28]
#[test]
fn a_client_of_the_messenger_that_asks_hears_where_answers_come() {
    let asks = hello(V5, "c").property(&[0x19, 1]);
    let declines = hello(V5, "c").property(&[0x19, 0]).login("alice");
    let small = |bytes| asks.clone().property(&four(MAXIMUM_PACKET_SIZE, bytes));
    let cases = [
        (asks.clone().login("alice"), true),
        (declines, false),
        (hello(V5, "c").login("alice"), false),
        // Nobody answers an anonymous client.
        (asks.clone(), false),
        // Left out where it does not fit: with it, CONNACK has 29 bytes.
        (small(29).login("alice"), true),
        (small(28).login("alice"), false),
    ];
    for (number, (hello, told)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        let client = world.connect(&hello);
        let bytes = world.take_bytes(client);
        let Ok(Packet::Connack(connack)) = decode(V5, &bytes, &DecodeLimits::default()) else {
            panic!("not a CONNACK: {bytes:?}");
        };
        assert_eq!(connack.code, 0);
        let expected = told.then_some("im/answer/");
        assert_eq!(connack.response_information, expected, "case {number}");
    }
}

// [5 MQTT-3.1.2-24]
#[test]
fn a_client_that_takes_no_whole_connack_is_refused() {
    let mut world = World::new();
    let tiny = hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, 12));
    let client = world.connect(&tiny);
    assert_eq!(world.take(client), [refused(0x95)]);
    assert!(world.is_closed(client));
    assert_eq!(world.shards[0].population().sessions, 0);
    // A CONNACK has five bytes at least.
    for (maximum, bytes) in [(5, 5), (4, 0), (1, 0)] {
        let tiny = hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, maximum));
        let client = world.connect(&tiny);
        assert_eq!(world.take_bytes(client).len(), bytes);
        assert!(world.is_closed(client));
    }
}

// [5 MQTT-3.1.2-24]
#[test]
fn what_could_not_be_answered_is_not_done() {
    let filters: Vec<String> = (0..30).map(|number| format!("t/{number}")).collect();
    let wanted: Vec<_> = filters.iter().map(|f| (f.as_str(), options(0))).collect();
    let names: Vec<_> = filters.iter().map(String::as_str).collect();
    // A fixed header of two bytes, a packet identifier, no properties, and a code for each filter.
    for (maximum, fits) in [(35, true), (34, false)] {
        for request in [subscribe(V5, 1, &wanted), unsubscribe(V5, 1, &names)] {
            let mut world = World::new();
            let small = hello(V5, "c").property(&four(MAXIMUM_PACKET_SIZE, maximum));
            let client = world.join(&small);
            world.send(client, &request);
            let got = world.take(client);
            if fits {
                assert!(matches!(got[..], [Got::Suback(1, _) | Got::Unsuback(1, _)]));
            } else {
                assert_eq!(got, [Got::Disconnect(0x95)]);
                assert_eq!(world.shards[0].population().subscriptions, 0);
            }
        }
    }
}
