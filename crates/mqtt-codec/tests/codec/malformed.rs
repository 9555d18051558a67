//! Bytes that are no packet, and the reason code each earns.

use mqtt_codec::Version::{self, V5, V31, V311};
use mqtt_codec::{DecodeLimits, ReasonCode, decode};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;
const NAME: ReasonCode = ReasonCode::TOPIC_NAME_INVALID;
const FILTER: ReasonCode = ReasonCode::TOPIC_FILTER_INVALID;
const VERSION: ReasonCode = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;

#[track_caller]
fn check(version: Version, bytes: &[u8], reason: ReasonCode) {
    let limits = DecodeLimits {
        user_properties_max: 2,
    };
    let error = decode(version, bytes, &limits).expect_err("no packet");
    assert_eq!(error.reason_code(), reason, "{error}: {bytes:02x?}");
    let told = error.to_string();
    assert!(
        !told.contains("differ in length"),
        "the case itself is wrong: {bytes:02x?}"
    );
}

#[test]
fn every_wrong_packet_earns_its_reason() {
    let cases: &[(Version, &[u8], ReasonCode)] = &[
        // The fixed header.
        (V311, b"", MALFORMED),
        (V311, b"\0\0", MALFORMED),
        (V5, b"\xF1\0", MALFORMED),
        (V311, b"\xF0\0", MALFORMED),
        (V311, b"\x60\x02\0\x01", MALFORMED),
        (V311, b"\x6A\x02\0\x01", MALFORMED),
        (V311, b"\xC0\x80\0", MALFORMED),
        (V311, b"\xC0\x01\0", MALFORMED),
        // CONNECT.
        (V311, b"\x10\x0D\0\x04MQTT\x04\x03\0\0\0\x01a", MALFORMED),
        (V311, b"\x10\x0D\0\x04MQTX\x04\x02\0\0\0\x01a", VERSION),
        (V311, b"\x10\x0D\0\x04MQTT\x06\x02\0\0\0\x01a", VERSION),
        (V311, b"\x10\x0F\0\x06MQIsdp\x04\x02\0\0\0\x01a", VERSION),
        (V311, b"\x10\x0D\0\x04MQTT\x04\x08\0\0\0\x01a", MALFORMED),
        (V311, b"\x10\x0D\0\x04MQTT\x04\x20\0\0\0\x01a", MALFORMED),
        (V311, b"\x10\x0D\0\x04MQTT\x04\x1C\0\0\0\x01a", MALFORMED),
        (
            V311,
            b"\x10\x10\0\x04MQTT\x04\x40\0\0\0\x01a\0\x01p",
            MALFORMED,
        ),
        (V311, b"\x10\x0E\0\x04MQTT\x04\x02\0\0\0\x01ab", MALFORMED),
        (V311, b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\x01", MALFORMED),
        (
            V311,
            b"\x10\x13\0\x04MQTT\x04\x04\0\0\0\x01a\0\x01#\0\x01x",
            NAME,
        ),
        (
            V5,
            b"\x10\x11\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\x01a",
            PROTOCOL,
        ),
        (
            V5,
            b"\x10\x13\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\x01a",
            PROTOCOL,
        ),
        (
            V5,
            b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01x\0\x01a",
            PROTOCOL,
        ),
        (
            V5,
            b"\x10\x10\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\x01a",
            PROTOCOL,
        ),
        (
            V5,
            b"\x10\x10\0\x04MQTT\x05\x02\0\0\x02\x01\x01\0\x01a",
            PROTOCOL,
        ),
        // PUBLISH.
        (V311, b"\x36\x05\0\x01t\0\x01", MALFORMED),
        (V311, b"\x38\x03\0\x01t", MALFORMED),
        (V311, b"\x32\x05\0\x01t\0\0", MALFORMED),
        (V311, b"\x32\x04\0\x01t\0", MALFORMED),
        (V311, b"\x30\x02\0\0", NAME),
        (V311, b"\x30\x03\0\x01+", NAME),
        (V31, b"\x30\x05\0\x03a/#", NAME),
        (V311, b"\x30\x04\0\x02\xC3\x28", MALFORMED),
        (V311, b"\x30\x03\0\x01\0", MALFORMED),
        (V5, b"\x30\x03\0\0\0", NAME),
        (
            V5,
            b"\x30\x07\0\x01t\x03\x23\0\0",
            ReasonCode::TOPIC_ALIAS_INVALID,
        ),
        (V5, b"\x30\x05\0\x01t\x05\x01", MALFORMED),
        (V5, b"\x30\x06\0\x01t\x02\x01\x02", PROTOCOL),
        (V5, b"\x30\x08\0\x01t\x04\x01\x01\x01\x01", PROTOCOL),
        (V5, b"\x30\x08\0\x01t\x04\x08\0\x01+", NAME),
        (V5, b"\x30\x06\0\x01t\x02\x0B\0", PROTOCOL),
        (V5, b"\x30\x09\0\x01t\x05\x0B\x80\x80\x80\x80", MALFORMED),
        (V5, b"\x30\x06\0\x01t\x02\x7E\0", MALFORMED),
        (V5, b"\x30\x06\0\x01t\x82\0\x01", MALFORMED),
        // Acknowledgements.
        (V311, b"\x40\x02\0\0", MALFORMED),
        (V311, b"\x40\x01\0", MALFORMED),
        (V311, b"\x40\x03\0\x01\0", MALFORMED),
        (V5, b"\x40\x05\0\x01\0\x01\x21", MALFORMED),
        (V5, b"\x50\x07\0\x01\0\x03\x21\0\x01", PROTOCOL),
        // SUBSCRIBE and UNSUBSCRIBE.
        (V311, b"\x82\x02\0\x01", PROTOCOL),
        (V5, b"\x82\x03\0\x01\0", PROTOCOL),
        (V311, b"\x82\x05\0\x01\0\x01t", MALFORMED),
        (V311, b"\x82\x06\0\x01\0\x01t\x03", MALFORMED),
        (V311, b"\x82\x06\0\x01\0\x01t\x04", MALFORMED),
        (V311, b"\x82\x06\0\0\0\x01t\0", MALFORMED),
        (V311, b"\x82\x07\0\x01\0\x02a#\0", FILTER),
        (V311, b"\x82\x05\0\x01\0\0\0", FILTER),
        (V5, b"\x82\x07\0\x01\0\0\x01t\x40", MALFORMED),
        (V5, b"\x82\x07\0\x01\0\0\x01t\x30", PROTOCOL),
        (V5, b"\x82\x10\0\x01\0\0\x0A$share/g/t\x04", PROTOCOL),
        (V5, b"\x82\x0B\0\x01\x04\x0B\x01\x0B\x02\0\x01t\0", PROTOCOL),
        (V311, b"\xA2\x02\0\x01", PROTOCOL),
        (V5, b"\xA2\x03\0\x01\0", PROTOCOL),
        (V311, b"\xA2\x04\0\x01\0\x01", MALFORMED),
        // Reason codes that the packet does not have. [5 MQTT-3.4.2-1] [5 MQTT-3.5.2-1] [5 MQTT-3.6.2-1] [5 MQTT-3.7.2-1]
        // [5 MQTT-3.14.2-1]
        (V5, b"\x40\x04\0\x01\xFF\0", PROTOCOL),
        (V5, b"\x40\x03\0\x01\x92", PROTOCOL),
        (V5, b"\x50\x03\0\x01\x20", PROTOCOL),
        (V5, b"\x62\x03\0\x01\x10", PROTOCOL),
        (V5, b"\x70\x03\0\x01\x80", PROTOCOL),
        (V5, b"\xE0\x01\x01", PROTOCOL),
        (V5, b"\xE0\x02\x8C\0", PROTOCOL),
        // DISCONNECT, AUTH and the pings.
        (V311, b"\xE0\x01\0", MALFORMED),
        (V5, b"\xE0\x04\0\x02\x21\0", MALFORMED),
        (V5, b"\xE0\x05\0\x03\x21\0\x01", PROTOCOL),
        (V5, b"\xF0\x04\0\x02\x26\0", MALFORMED),
        // AUTH without a property length, with a reason it does not have [5 MQTT-3.15.2-1], with a property of another
        // packet, with a method twice, with two bytes behind it, and before MQTT 5.
        (V5, b"\xF0\x01\x18", MALFORMED),
        (V5, b"\xF0\x02\x1A\0", PROTOCOL),
        (V5, b"\xF0\x02\x87\0", PROTOCOL),
        (V5, b"\xF0\x05\x18\x03\x21\0\x01", PROTOCOL),
        (V5, b"\xF0\x0A\x18\x08\x15\0\x01M\x15\0\x01M", PROTOCOL),
        (V5, b"\xF0\x08\x18\x04\x15\0\x01M\0\0", MALFORMED),
        (V5, b"\xF0\x06\x18\x04\x15\0\x02M", MALFORMED),
        (V5, b"\xF8\x06\x18\x04\x15\0\x01M", MALFORMED),
        (V311, b"\xF0\x06\x18\x04\x15\0\x01M", MALFORMED),
        (V31, b"\xF0\x06\x18\x04\x15\0\x01M", MALFORMED),
        (V311, b"\xD0\x01\0", MALFORMED),
    ];
    for (version, bytes, reason) in cases {
        check(*version, bytes, *reason);
    }
}

#[test]
fn user_properties_are_counted() {
    let pair = b"\x26\0\x01a\0\x01b";
    for (count, sound) in [(2, true), (3, false)] {
        let pairs = pair.repeat(count);
        let length = 4 + pairs.len();
        let bytes = [
            &[0x30, length as u8, 0, 1, b't', pairs.len() as u8][..],
            &pairs,
        ]
        .concat();
        let limits = DecodeLimits {
            user_properties_max: 2,
        };
        assert_eq!(decode(V5, &bytes, &limits).is_ok(), sound);
    }
    check(
        V5,
        &[&b"\x30\x19\0\x01t\x15"[..], &pair.repeat(3)].concat(),
        ReasonCode::QUOTA_EXCEEDED,
    );
}
