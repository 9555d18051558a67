//! What a CONNACK says beside yes: response information, and what does not fit.

use mqtt_codec::Version::V5;
use mqtt_codec::{DecodeLimits, Packet, decode};

use crate::connect::refused;
use crate::packets::{MAXIMUM_PACKET_SIZE, four, hello};
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
}
