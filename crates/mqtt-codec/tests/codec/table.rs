//! Packets and their bytes: each case is decoded, and encoded back to the same bytes where an encoder writes
//! what it holds.

use mqtt_codec::Version::{self, V5, V31, V311};
use mqtt_codec::{
    Ack, Auth, Connect, DecodeLimits, Disconnect, Packet, Publish, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, Unsubscribe, ack, connack, decode, disconnect, frame, publish, suback,
};

const LIMITS: DecodeLimits = DecodeLimits {
    user_properties_max: 256,
};

#[track_caller]
fn read(version: Version, bytes: &[u8]) -> Packet<'_> {
    decode(version, bytes, &LIMITS).expect("a sound packet")
}

fn connect(version: Version, bytes: &[u8]) -> Connect<'_> {
    match read(version, bytes) {
        Packet::Connect(connect) => connect,
        other => panic!("{other:?}"),
    }
}

fn publish_of(version: Version, bytes: &[u8]) -> Publish<'_> {
    match read(version, bytes) {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connects_of_all_versions() {
    let v31 = b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a";
    let v311 = b"\x10\x0D\0\x04MQTT\x04\0\0\x3C\0\x01a";
    let v5 = b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a";
    let all: [(&[u8], Version, bool); 3] = [(v31, V31, true), (v311, V311, false), (v5, V5, true)];
    for (bytes, version, clean_start) in all {
        let connect = connect(V311, bytes);
        assert_eq!(connect.version, version);
        assert_eq!(connect.client_id, "a");
        assert_eq!(connect.clean_start, clean_start);
        assert_eq!(connect.keep_alive, 60);
        assert_eq!(connect.will, None);
        assert_eq!((connect.username, connect.password), (None, None));
        let mut out = Vec::new();
        connect.encode(&mut out);
        assert_eq!(out, bytes);
    }
}

// MQTT 3.1 section 3.1: what is reserved, and what is said of a will that there is not, is disregarded.
#[test]
fn a_connect_of_version_3_1_may_have_bits_that_mean_nothing() {
    for flags in [0x03, 0x1A, 0x22, 0x3B] {
        let mut bytes = b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a".to_vec();
        bytes[11] = flags;
        let connect = connect(V311, &bytes);
        assert_eq!((connect.clean_start, connect.will), (true, None));
    }
}

// [3.1.1 MQTT-3.1.3-1] [5 MQTT-3.1.3-1]
#[test]
fn a_full_connect_keeps_its_order() {
    let bytes = b"\x10\x3A\0\x04MQTT\x05\xEE\0\x0A\
        \x10\x11\0\0\0\x0A\x21\0\x05\x27\0\0\x04\0\x22\0\x07\
        \0\x02id\x05\x18\0\0\0\x1E\0\x01w\0\x04gone\0\x05alice\0\x03pwd";
    let connect = connect(V311, bytes);
    assert!(connect.clean_start);
    assert_eq!(connect.properties.session_expiry, Some(10));
    assert_eq!(connect.properties.receive_maximum, Some(5));
    assert_eq!(connect.properties.maximum_packet_size, Some(1024));
    assert_eq!(connect.properties.topic_alias_maximum, 7);
    let will = connect.will.as_ref().expect("a will");
    assert_eq!((will.topic, will.payload), ("w", &b"gone"[..]));
    assert_eq!((will.qos, will.retain), (QoS::AtLeastOnce, true));
    assert_eq!(will.properties.will_delay, Some(30));
    assert_eq!(connect.username, Some("alice"));
    assert_eq!(connect.password, Some(&b"pwd"[..]));
    let mut out = Vec::new();
    connect.encode(&mut out);
    assert_eq!(out, bytes);
}

#[test]
fn connacks_of_all_versions() {
    let accepted = connack::Accepted {
        session_present: true,
        session_expiry: Some(9),
        receive_maximum: 10,
        maximum_packet_size: 256,
        assigned_client_id: Some("x"),
        topic_alias_maximum: 3,
        server_keep_alive: Some(30),
        response_information: Some("r"),
        authentication_method: Some("M"),
        authentication_data: Some(&[7]),
    };
    let v5: &[u8] = b"\x20\x26\x01\0\x23\x11\0\0\0\x09\x21\0\x0A\x27\0\0\x01\0\x12\0\x01x\
        \x22\0\x03\x13\0\x1E\x1A\0\x01r\x15\0\x01M\x16\0\x01\x07";
    for (version, bytes) in [
        (V31, &b"\x20\x02\0\0"[..]),
        (V311, b"\x20\x02\x01\0"),
        (V5, v5),
    ] {
        let mut out = Vec::new();
        connack::encode_accepted(version, &accepted, &mut out);
        assert_eq!(out, bytes);
        let Packet::Connack(connack) = read(version, &out) else {
            panic!("not a CONNACK");
        };
        assert_eq!(connack.code, 0);
        assert_eq!(connack.session_present, version != V31);
        if version == V5 {
            assert_eq!(connack.assigned_client_id, Some("x"));
            assert_eq!(connack.server_keep_alive, Some(30));
            assert_eq!(connack.session_expiry, Some(9));
            assert_eq!(connack.receive_maximum, Some(10));
            assert_eq!(connack.maximum_packet_size, Some(256));
            assert_eq!(connack.topic_alias_maximum, 3);
            assert_eq!(connack.response_information, Some("r"));
            assert_eq!(connack.authentication_method, Some("M"));
            assert_eq!(connack.authentication_data, Some(&[7][..]));
        }
    }
    let cases = [
        (
            V311,
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            &[0x20, 2, 0, 1][..],
        ),
        (
            V311,
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            &[0x20, 2, 0, 2],
        ),
        (V311, ReasonCode::SERVER_BUSY, &[0x20, 2, 0, 3]),
        (V31, ReasonCode::BAD_USER_NAME_OR_PASSWORD, &[0x20, 2, 0, 4]),
        (V31, ReasonCode::NOT_AUTHORIZED, &[0x20, 2, 0, 5]),
        (V5, ReasonCode::NOT_AUTHORIZED, &[0x20, 3, 0, 0x87, 0]),
    ];
    for (version, reason, bytes) in cases {
        let mut out = Vec::new();
        connack::encode_refused(version, reason, u32::MAX, &mut out);
        assert_eq!(out, bytes);
    }
}

// [3.1.1 MQTT-2.3.1-5] [5 MQTT-2.2.1-2]
#[test]
fn publishes_of_all_versions() {
    type Case = (
        Version,
        &'static [u8],
        Option<u16>,
        &'static str,
        &'static [u8],
    );
    let cases: [Case; 5] = [
        (V311, b"\x30\x06\0\x03a/bx", None, "a/b", b"x"),
        (V311, b"\x30\x05\0\x03a/b", None, "a/b", b""),
        (
            V31,
            b"\x3D\x08\0\x03a/b\x12\x34x",
            Some(0x1234),
            "a/b",
            b"x",
        ),
        (V5, b"\x34\x09\0\x03a/b\0\x05\0x", Some(5), "a/b", b"x"),
        (V5, b"\x30\x07\0\x03a/b\0x", None, "a/b", b"x"),
    ];
    for (version, bytes, packet_id, topic, payload) in &cases {
        let publish = publish_of(*version, bytes);
        assert_eq!(publish.packet_id, *packet_id);
        assert_eq!((publish.topic, publish.payload), (*topic, *payload));
        assert_eq!(publish.dup, bytes[0] & 8 != 0);
        assert_eq!(publish.retain, bytes[0] & 1 != 0);
        let head = publish::PublishHead {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic,
            packet_id: *packet_id,
            expiry: None,
            alias: None,
            subscription_identifiers: &[],
            forwarded: &[],
        };
        let mut out = vec![0xFF];
        let layout = publish::encode(*version, head, payload, &mut out);
        assert_eq!(&out[1..], *bytes);
        let at = layout.packet_id_at.map(|at| &out[1 + at..1 + at + 2]);
        assert_eq!(
            at,
            packet_id.map(u16::to_be_bytes).as_ref().map(|id| &id[..])
        );
    }
}

#[test]
fn a_publish_with_every_property() {
    let bytes = b"\x32\x32\0\x01t\0\x07\x2B\
        \x01\x01\x02\0\0\0\x3C\x23\0\x02\x08\0\x01r\x09\0\x02\0\xFF\
        \x0B\x80\x01\x03\0\x01c\x26\0\x01a\0\x01b\x26\0\x01a\0\x02cc\x0B\x05x";
    let publish = publish_of(V5, bytes);
    assert_eq!(publish.properties.payload_format, Some(1));
    assert_eq!(publish.properties.message_expiry, Some(60));
    assert_eq!(publish.properties.topic_alias, Some(2));
    assert_eq!(publish.properties.response_topic, Some("r"));
    assert_eq!(publish.properties.correlation_data, Some(&[0, 0xFF][..]));
    assert_eq!(publish.properties.content_type, Some("c"));
    let user: Vec<_> = publish.properties.user().iter().collect();
    assert_eq!(user, [("a", "b"), ("a", "cc")]);
    assert!(publish.properties.has_subscription_identifier());
    let identifiers: Vec<u32> = publish.subscription_identifiers().collect();
    assert_eq!(identifiers, [128, 5]);
    assert_eq!(publish.payload, b"x");
    let mut forwarded = Vec::new();
    publish.properties.write_forwarded(&mut forwarded);
    let expected =
        b"\x01\x01\x08\0\x01r\x09\0\x02\0\xFF\x03\0\x01c\x26\0\x01a\0\x01b\x26\0\x01a\0\x02cc";
    assert_eq!(forwarded, expected);
}

// [3.1.1 MQTT-3.6.1-1] [5 MQTT-3.6.1-1]
#[test]
fn acknowledgements() {
    type Read = fn(Packet<'_>) -> Option<Ack<'_>>;
    let puback: Read = |packet| match packet {
        Packet::Puback(ack) => Some(ack),
        _ => None,
    };
    let pubrec: Read = |packet| match packet {
        Packet::Pubrec(ack) => Some(ack),
        _ => None,
    };
    let pubrel: Read = |packet| match packet {
        Packet::Pubrel(ack) => Some(ack),
        _ => None,
    };
    let pubcomp: Read = |packet| match packet {
        Packet::Pubcomp(ack) => Some(ack),
        _ => None,
    };
    type Case = (Version, &'static [u8], Read, u8, Option<&'static str>);
    let cases: [Case; 9] = [
        (V311, &[0x40, 2, 0, 9], puback, 0, None),
        (V5, &[0x40, 2, 0, 9], puback, 0, None),
        (V5, &[0x40, 3, 0, 9, 0x10], puback, 0x10, None),
        (
            V5,
            &[0x40, 8, 0, 9, 0x87, 4, 0x1F, 0, 1, b'n'],
            puback,
            0x87,
            Some("n"),
        ),
        (V311, &[0x50, 2, 0, 9], pubrec, 0, None),
        (V5, &[0x50, 4, 0, 9, 0x97, 0], pubrec, 0x97, None),
        (V311, &[0x62, 2, 0, 9], pubrel, 0, None),
        (V31, &[0x6A, 2, 0, 9], pubrel, 0, None),
        (V5, &[0x70, 3, 0, 9, 0x92], pubcomp, 0x92, None),
    ];
    for (version, bytes, kind, reason, sentence) in cases {
        let ack = kind(read(version, bytes)).expect("of its kind");
        assert_eq!(ack.packet_id, 9);
        assert_eq!(ack.reason, ReasonCode(reason));
        assert_eq!(ack.reason_string, sentence);
    }
    let mut out = Vec::new();
    let denied = ReasonCode::NOT_AUTHORIZED;
    ack::encode_puback(V5, 9, denied, Some("n".into()), 10, &mut out);
    ack::encode_puback(V5, 9, denied, Some("nn".into()), 10, &mut out);
    ack::encode_pubrec(V311, 9, denied, Some("n".into()), 100, &mut out);
    ack::encode_pubrel(V5, 9, ReasonCode::SUCCESS, &mut out);
    ack::encode_pubcomp(V5, 9, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, &mut out);
    ack::encode_pingreq(&mut out);
    ack::encode_pingresp(&mut out);
    let expected: [&[u8]; 7] = [
        &[0x40, 8, 0, 9, 0x87, 4, 0x1F, 0, 1, b'n'],
        &[0x40, 3, 0, 9, 0x87],
        &[0x50, 2, 0, 9],
        &[0x62, 2, 0, 9],
        &[0x70, 3, 0, 9, 0x92],
        &[0xC0, 0],
        &[0xD0, 0],
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn subscribes_and_unsubscribes() {
    let exactly = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: 2,
    };
    let plain = SubscriptionOptions::new(QoS::AtLeastOnce);
    let v5 = b"\x82\x10\0\x0A\x03\x0B\x80\x02\0\x01a\x2E\0\x03b/#\x01";
    let v311 = b"\x82\x0C\0\x0A\0\x01a\x02\0\x03b/#\x01";
    let cases: [(Version, &[u8], Option<u32>, SubscriptionOptions); 2] = [
        (V5, v5, Some(256), exactly),
        (V311, v311, None, SubscriptionOptions::new(QoS::ExactlyOnce)),
    ];
    for (version, bytes, identifier, first) in cases {
        let Packet::Subscribe(subscribe) = read(version, bytes) else {
            panic!("not a SUBSCRIBE");
        };
        assert_eq!(subscribe.packet_id, 10);
        assert_eq!(subscribe.properties.subscription_identifier, identifier);
        let filters: Vec<_> = subscribe.filters().collect();
        assert_eq!(filters, [("a", first), ("b/#", plain)]);
        let mut out = Vec::new();
        Subscribe::encode(version, 10, identifier, &filters, &mut out);
        assert_eq!(out, bytes);
    }
    let cases: [(Version, &[u8]); 2] = [
        (V5, b"\xA2\x0B\0\x0A\0\0\x01a\0\x03b/#"),
        (V311, b"\xA2\x0A\0\x0A\0\x01a\0\x03b/#"),
    ];
    for (version, bytes) in cases {
        let Packet::Unsubscribe(unsubscribe) = read(version, bytes) else {
            panic!("not an UNSUBSCRIBE");
        };
        let filters: Vec<_> = unsubscribe.filters().collect();
        assert_eq!(
            (unsubscribe.packet_id, &filters[..]),
            (10, &["a", "b/#"][..])
        );
        let mut out = Vec::new();
        Unsubscribe::encode(version, 10, &filters, &mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn subacks_and_unsubacks() {
    let codes = [
        ReasonCode::granted(QoS::ExactlyOnce),
        ReasonCode::QUOTA_EXCEEDED,
        ReasonCode::SUCCESS,
    ];
    let cases: [(Version, &[u8], &[u8]); 2] = [
        (V5, b"\x90\x06\0\x05\0\x02\x97\0", &[2, 0x97, 0]),
        (V311, b"\x90\x05\0\x05\x02\x80\0", &[2, 0x80, 0]),
    ];
    for (version, bytes, told) in cases {
        let mut out = Vec::new();
        suback::encode(version, 5, &codes, &mut out);
        assert_eq!(out, bytes);
        let Packet::Suback(suback) = read(version, &out) else {
            panic!("not a SUBACK");
        };
        assert_eq!((suback.packet_id, suback.codes), (5, told));
    }
    // [5 MQTT-3.9.2-1]: with a sentence as long as the client takes it.
    for (maximum, bytes) in [
        (14, &b"\x90\x0C\0\x05\x06\x1F\0\x03why\x02\x97\0"[..]),
        (13, &b"\x90\x06\0\x05\0\x02\x97\0"[..]),
    ] {
        let mut out = Vec::new();
        suback::encode_with_reason(5, &codes, "why", maximum, &mut out);
        assert_eq!(out, bytes);
        let Packet::Suback(suback) = read(V5, &out) else {
            panic!("not a SUBACK");
        };
        assert_eq!(suback.codes, [2, 0x97, 0]);
        assert_eq!(suback.reason_string, (maximum == 14).then_some("why"));
    }
    let cases: [(Version, &[u8], &[u8]); 2] = [
        (V5, b"\xB0\x06\0\x05\0\x02\x97\0", &[2, 0x97, 0]),
        (V311, b"\xB0\x02\0\x05", &[]),
    ];
    for (version, bytes, told) in cases {
        let mut out = Vec::new();
        suback::encode_unsuback(version, 5, &codes, &mut out);
        assert_eq!(out, bytes);
        let Packet::Unsuback(unsuback) = read(version, &out) else {
            panic!("not an UNSUBACK");
        };
        assert_eq!((unsuback.packet_id, unsuback.codes), (5, told));
    }
}

#[test]
fn every_reason_becomes_one_that_a_disconnect_has() {
    for reason in ReasonCode::ALL {
        let mut out = Vec::new();
        let said = disconnect::reason_for(*reason);
        disconnect::encode(V5, said, &mut out);
        let Packet::Disconnect(disconnect) = read(V5, &out) else {
            panic!("not a DISCONNECT")
        };
        assert_eq!(disconnect.reason, said);
    }
    let said = disconnect::reason_for(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
    assert_eq!(said, ReasonCode::PROTOCOL_ERROR);
    let said = disconnect::reason_for(ReasonCode::BAD_AUTHENTICATION_METHOD);
    assert_eq!(said, ReasonCode::NOT_AUTHORIZED);
    let said = disconnect::reason_for(ReasonCode::SESSION_TAKEN_OVER);
    assert_eq!(said, ReasonCode::SESSION_TAKEN_OVER);
}

#[test]
fn disconnects() {
    let cases: [(Version, &[u8], u8, Option<u32>); 5] = [
        (V311, &[0xE0, 0], 0, None),
        (V5, &[0xE0, 0], 0, None),
        (V5, &[0xE0, 1, 4], 4, None),
        (V5, &[0xE0, 2, 0, 0], 0, None),
        (V5, &[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9], 0, Some(9)),
    ];
    for (version, bytes, reason, expiry) in cases {
        let Packet::Disconnect(Disconnect {
            reason: told,
            properties,
        }) = read(version, bytes)
        else {
            panic!("not a DISCONNECT");
        };
        assert_eq!(
            (told, properties.session_expiry),
            (ReasonCode(reason), expiry)
        );
    }
    let mut out = Vec::new();
    disconnect::encode(V5, ReasonCode::SESSION_TAKEN_OVER, &mut out);
    disconnect::encode(V5, ReasonCode::SUCCESS, &mut out);
    disconnect::encode(V311, ReasonCode::SESSION_TAKEN_OVER, &mut out);
    disconnect::encode_with_expiry(ReasonCode::SUCCESS, 9, &mut out);
    let expected: [&[u8]; 4] = [
        &[0xE0, 1, 0x8E],
        &[0xE0, 0],
        &[0xE0, 0],
        &[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9],
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn a_server_that_sends_its_clients_elsewhere_says_where_if_there_is_room() {
    let reason = ReasonCode::USE_ANOTHER_SERVER;
    let told: &[u8] = b"\x20\x09\0\x9C\x06\x1C\0\x03b:1";
    let cases: [(Version, u32, &[u8]); 5] = [
        (V5, u32::MAX, told),
        (V5, 11, told),
        (V5, 10, &[0x20, 3, 0, 0x9C, 0]),
        (V311, u32::MAX, &[0x20, 2, 0, 3]),
        (V31, u32::MAX, &[0x20, 2, 0, 3]),
    ];
    for (version, maximum, bytes) in cases {
        let mut out = Vec::new();
        connack::encode_referred(version, reason, "b:1", maximum, &mut out);
        assert_eq!(out, bytes);
        if let (V5, Packet::Connack(connack)) = (version, read(version, &out)) {
            assert_eq!(connack.server_reference, (maximum > 10).then_some("b:1"));
        }
    }
    for (maximum, bytes) in [
        (10, &b"\xE0\x08\x9D\x06\x1C\0\x03b:1"[..]),
        (9, b"\xE0\x01\x9D"),
    ] {
        let mut out = Vec::new();
        disconnect::encode_reference(ReasonCode::SERVER_MOVED, "b:1", maximum, &mut out);
        assert_eq!(out, bytes);
        let Packet::Disconnect(disconnect) = read(V5, &out) else {
            panic!("not a DISCONNECT");
        };
        assert_eq!(disconnect.reason, ReasonCode::SERVER_MOVED);
        assert_eq!(
            disconnect.properties.server_reference,
            (maximum == 10).then_some("b:1")
        );
    }
}

// [5 MQTT-3.15.2-2] [5 MQTT-3.15.2-3]
#[test]
fn auths_and_what_is_left_out_of_them() {
    let cases: [&[u8]; 4] = [
        b"\xF0\x0B\x18\x09\x15\0\x01M\x16\0\x02\x01\x02",
        b"\xF0\x06\x19\x04\x15\0\x01M",
        b"\xF0\x0A\0\x08\x15\0\x01M\x1F\0\x01w",
        b"\xF0\x16\x18\x14\x15\0\x01M\x16\0\0\x1F\0\x01w\x26\0\x01a\0\x03bcd",
    ];
    for bytes in cases {
        let Packet::Auth(auth) = read(V5, bytes) else {
            panic!("not an AUTH");
        };
        assert_eq!(auth.reason.0, bytes[2]);
        assert_eq!(auth.method, Some("M"));
        let mut out = Vec::new();
        auth.encode(bytes.len() as u32, &mut out);
        assert_eq!(out, bytes);
    }
    // An AUTH of no bytes says success, and names no method.
    assert_eq!(
        read(V5, b"\xF0\0"),
        Packet::Auth(Auth {
            method: None,
            ..Auth::new(ReasonCode::SUCCESS, "", None)
        })
    );
    let Packet::Auth(full) = read(V5, cases[3]) else {
        panic!("not an AUTH");
    };
    let pairs: Vec<_> = full.user.iter().collect();
    assert_eq!(pairs, [("a", "bcd")]);
    // One byte too few, and the user properties go; then the reason string; never the method or the data.
    for (maximum, length, words) in [
        (23, 15, Some("w")),
        (15, 15, Some("w")),
        (14, 11, None),
        (3, 11, None),
    ] {
        let mut out = Vec::new();
        full.encode(maximum, &mut out);
        assert_eq!(out.len(), length, "at most {maximum}");
        let Packet::Auth(auth) = read(V5, &out) else {
            panic!("not an AUTH");
        };
        assert_eq!((auth.reason_string, auth.user.iter().count()), (words, 0));
        assert_eq!((auth.method, auth.data), (Some("M"), Some(&[][..])));
    }
}

#[test]
fn frame_lengths_at_the_edges_of_their_encoding() {
    for (remaining, header) in [
        (0usize, 2usize),
        (127, 2),
        (128, 3),
        (16_383, 3),
        (16_384, 4),
        (2_097_151, 4),
        (2_097_152, 5),
        (268_435_455, 5),
    ] {
        let mut bytes = vec![0x30];
        let mut rest = remaining;
        loop {
            let byte = (rest & 0x7F) as u8;
            rest >>= 7;
            bytes.push(if rest == 0 { byte } else { byte | 0x80 });
            if rest == 0 {
                break;
            }
        }
        for cut in 0..bytes.len() {
            assert_eq!(frame::length(V311, &bytes[..cut], u32::MAX), Ok(None));
        }
        let length = frame::length(V311, &bytes, u32::MAX)
            .expect("sound")
            .expect("complete");
        assert_eq!((length.header, length.total), (header, header + remaining));
        let limit = (header + remaining) as u32;
        assert!(frame::length(V311, &bytes, limit).is_ok());
        assert!(frame::length(V311, &bytes, limit - 1).is_err());
    }
}

// [3.1.1 MQTT-4.7.3-3] [5 MQTT-4.7.3-3]
#[test]
fn a_topic_may_be_as_long_as_its_length_field_can_tell_and_no_longer() {
    let longest = "x".repeat(65_535);
    let head = publish::PublishHead::new(&longest);
    let mut bytes = Vec::new();
    publish::encode(V311, head, b"", &mut bytes);
    assert_eq!(publish_of(V311, &bytes).topic, longest);
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let mut bytes = Vec::new();
    Subscribe::encode(V311, 1, None, &[(&longest, options)], &mut bytes);
    let Packet::Subscribe(subscribe) = read(V311, &bytes) else {
        panic!("not a SUBSCRIBE");
    };
    assert_eq!(subscribe.filters().next(), Some((&*longest, options)));
    // One byte more can't be said: the field wraps, and what is left over is no packet.
    let too_long = [
        &[0x82, 0x85, 0x80, 0x04][..],
        &[0, 1, 0, 0],
        &[b'x'; 65_537],
    ]
    .concat();
    assert!(decode(V311, &too_long, &LIMITS).is_err());
}
