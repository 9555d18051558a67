//! Every packet with every property it can have, in any order, written here byte by byte: it is decoded to what was
//! written, its length is the one it announces, and what our encoders make of it is decoded alike.

use mqtt_codec::Version::{self, V5, V31, V311};
use mqtt_codec::{
    Connect, ConnectProperties, DecodeLimits, Disconnect, Explanation, Packet, QoS, ReasonCode,
    UserProperties, ack, connack, decode, disconnect, frame, suback,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(V31), Just(V311), Just(V5)]
}

fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn sized(first: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = first.to_vec();
    let mut rest = body.len();
    loop {
        let byte = (rest & 0x7F) as u8;
        rest >>= 7;
        out.push(if rest == 0 { byte } else { byte | 0x80 });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn read(version: Version, bytes: &[u8]) -> Packet<'_> {
    let length = frame::length(version, bytes, u32::MAX).expect("a sound header");
    assert_eq!(
        length.map(|length| length.total),
        Some(bytes.len()),
        "the length announced"
    );
    decode(version, bytes, &DecodeLimits::default()).expect("a sound packet")
}

/// Some of these properties in any order, as their places and in wire form with their length.
fn some(properties: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<usize>, Vec<u8>)> {
    let places: Vec<usize> = (0..properties.len()).collect();
    let count = 0..=places.len();
    subsequence(places, count)
        .prop_shuffle()
        .prop_map(move |chosen| {
            let wire: Vec<u8> = chosen
                .iter()
                .flat_map(|at| properties[*at].clone())
                .collect();
            (chosen, sized(&[], &wire))
        })
}

fn one(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id], value.as_ref()].concat()
}

fn user() -> Vec<u8> {
    one(0x26, [text("a"), text("b")].concat())
}

/// Properties of CONNECT in the order of [`connect_properties`]' fields.
fn of_connect() -> Vec<Vec<u8>> {
    vec![
        one(0x11, [0, 0, 0, 9]),
        one(0x21, [0, 5]),
        one(0x27, [0, 0, 4, 0]),
        one(0x22, [0, 7]),
        one(0x19, [1]),
        one(0x17, [0]),
        [one(0x15, text("SCRAM")), one(0x16, text([0, 255]))].concat(),
        user(),
    ]
}

fn connect_properties(chosen: &[usize]) -> ConnectProperties<'static> {
    let has = |at: usize| chosen.contains(&at);
    ConnectProperties {
        session_expiry: has(0).then_some(9),
        receive_maximum: has(1).then_some(5),
        maximum_packet_size: has(2).then_some(1024),
        topic_alias_maximum: if has(3) { 7 } else { 0 },
        request_response_information: has(4),
        request_problem_information: !has(5),
        authentication_method: has(6).then_some("SCRAM"),
        authentication_data: has(6).then_some(&[0, 255]),
        user: UserProperties::default(),
    }
}

fn of_will() -> Vec<Vec<u8>> {
    vec![
        one(0x18, [0, 0, 0, 30]),
        one(0x02, [0, 0, 0, 60]),
        one(0x01, [1]),
        one(0x03, text("text")),
        one(0x08, text("answer")),
        one(0x09, text([1, 2])),
        user(),
    ]
}

#[derive(Debug, Clone)]
struct Will {
    properties: (Vec<usize>, Vec<u8>),
    qos: u8,
    retain: bool,
    payload: Vec<u8>,
}

fn will() -> impl Strategy<Value = Will> {
    let payload = vec(any::<u8>(), 0..40);
    (some(of_will()), 0..3u8, any::<bool>(), payload).prop_map(
        |(properties, qos, retain, payload)| Will {
            properties,
            qos,
            retain,
            payload,
        },
    )
}

/// A CONNECT without what no encoder writes again.
fn essence(connect: &Connect<'_>) -> (Connect<'static>, Vec<u8>) {
    let mut forwarded = Vec::new();
    if let Some(will) = &connect.will {
        will.properties.write_forwarded(&mut forwarded);
        forwarded.push(will.qos as u8 | u8::from(will.retain) << 4);
        forwarded.extend_from_slice(will.topic.as_bytes());
        forwarded.extend_from_slice(will.payload);
        let times = (will.properties.will_delay, will.properties.message_expiry);
        forwarded.extend(format!("{times:?}").into_bytes());
    }
    let login = format!("{:?} {:?}", connect.username, connect.password);
    forwarded.extend(login.into_bytes());
    forwarded.extend(connect.client_id.as_bytes());
    let plain = Connect {
        version: connect.version,
        client_id: "",
        clean_start: connect.clean_start,
        keep_alive: connect.keep_alive,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    (plain, forwarded)
}

/// The reason codes of DISCONNECT, of clients and servers. [5 MQTT-3.14.2-1]
const DISCONNECTS: [u8; 29] = [
    0, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

proptest! {
    // [3.1.1 MQTT-3.1.3-1] [5 MQTT-3.1.3-1]
    #[test]
    fn connects_come_back(
        version in version(),
        clean in any::<bool>(),
        keep_alive in any::<u16>(),
        client_id in "[a-z가-힣]{0,20}",
        properties in some(of_connect()),
        will in prop::option::of(will()),
        login in prop::option::of(("[a-z]{0,8}", prop::option::of(vec(any::<u8>(), 0..20)))),
    ) {
        let password = login.as_ref().and_then(|(_, password)| password.clone());
        let mut flags = u8::from(clean) << 1
            | u8::from(login.is_some()) << 7
            | u8::from(password.is_some()) << 6;
        if let Some(will) = &will {
            flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        let mut body = text(version.protocol_name());
        body.extend([version.level(), flags]);
        body.extend(keep_alive.to_be_bytes());
        if version == V5 {
            body.extend(&properties.1);
        }
        body.extend(text(&client_id));
        if let Some(will) = &will {
            if version == V5 {
                body.extend(&will.properties.1);
            }
            body.extend(text("w/ill"));
            body.extend(text(&will.payload));
        }
        if let Some((name, _)) = &login {
            body.extend(text(name));
        }
        if let Some(password) = &password {
            body.extend(text(password));
        }
        let bytes = sized(&[0x10], &body);
        let Packet::Connect(told) = read(version, &bytes) else { panic!("not a CONNECT") };
        prop_assert_eq!(told.version, version);
        prop_assert_eq!((told.client_id, told.clean_start), (&*client_id, clean));
        prop_assert_eq!(told.keep_alive, keep_alive);
        prop_assert_eq!(told.username, login.as_ref().map(|(name, _)| &**name));
        prop_assert_eq!(told.password, password.as_deref());
        let chosen = if version == V5 { &properties.0[..] } else { &[] };
        let seven = told.properties.user.iter().count();
        prop_assert_eq!(seven, usize::from(chosen.contains(&7)));
        let plain = ConnectProperties { user: UserProperties::default(), ..told.properties.clone() };
        prop_assert_eq!(plain, connect_properties(chosen));
        prop_assert_eq!(told.will.is_some(), will.is_some());
        if let (Some(told), Some(will)) = (&told.will, &will) {
            let chosen = if version == V5 { &will.properties.0[..] } else { &[] };
            prop_assert_eq!((told.topic, told.payload), ("w/ill", &will.payload[..]));
            prop_assert_eq!((told.qos as u8, told.retain), (will.qos, will.retain));
            prop_assert_eq!(told.properties.will_delay, chosen.contains(&0).then_some(30));
            prop_assert_eq!(told.properties.message_expiry, chosen.contains(&1).then_some(60));
            let all = of_will();
            let expected: Vec<u8> = chosen.iter().filter(|at| **at > 1)
                .flat_map(|at| all[*at].clone()).collect();
            let mut forwarded = Vec::new();
            told.properties.write_forwarded(&mut forwarded);
            prop_assert_eq!(forwarded, expected);
        }
        let mut again = Vec::new();
        told.encode(&mut again);
        let Packet::Connect(second) = read(version, &again) else { panic!("not a CONNECT") };
        prop_assert_eq!(essence(&second), essence(&told));
    }

    #[test]
    fn connacks_come_back(
        version in version(),
        present in any::<bool>(),
        code in any::<u8>(),
        properties in some(vec![
            one(0x11, [0, 0, 0, 9]),
            one(0x21, [0, 5]),
            one(0x27, [0, 0, 4, 0]),
            one(0x12, text("chosen")),
            one(0x22, [0, 7]),
            one(0x1F, text("because")),
            one(0x13, [0, 30]),
            one(0x1A, text("answers/")),
            one(0x1C, text("elsewhere")),
            [one(0x15, text("SCRAM")), one(0x16, text("v=1"))].concat(),
            one(0x24, [1]),
            one(0x25, [1]),
            one(0x28, [1]),
            one(0x29, [0]),
            one(0x2A, [1]),
            user(),
        ]),
    ) {
        let mut body = vec![u8::from(present), code];
        if version == V5 {
            body.extend(&properties.1);
        }
        let bytes = sized(&[0x20], &body);
        let Packet::Connack(told) = read(version, &bytes) else { panic!("not a CONNACK") };
        let has = |at: usize| version == V5 && properties.0.contains(&at);
        prop_assert_eq!((told.session_present, told.code), (present, code));
        prop_assert_eq!(told.session_expiry, has(0).then_some(9));
        prop_assert_eq!(told.receive_maximum, has(1).then_some(5));
        prop_assert_eq!(told.maximum_packet_size, has(2).then_some(1024));
        prop_assert_eq!(told.assigned_client_id, has(3).then_some("chosen"));
        prop_assert_eq!(told.topic_alias_maximum, if has(4) { 7 } else { 0 });
        prop_assert_eq!(told.reason_string, has(5).then_some("because"));
        prop_assert_eq!(told.server_keep_alive, has(6).then_some(30));
        prop_assert_eq!(told.response_information, has(7).then_some("answers/"));
        prop_assert_eq!(told.server_reference, has(8).then_some("elsewhere"));
        prop_assert_eq!(told.authentication_method, has(9).then_some("SCRAM"));
        prop_assert_eq!(told.authentication_data, has(9).then_some(&b"v=1"[..]));
        let mut refused = Vec::new();
        connack::encode_refused(version, ReasonCode::SERVER_BUSY, u32::MAX, &mut refused);
        let Packet::Connack(told) = read(version, &refused) else { panic!("not a CONNACK") };
        prop_assert!(!told.session_present && told.code != 0);
    }

    // [5 MQTT-3.4.2-1] [5 MQTT-3.5.2-1] [5 MQTT-3.6.2-1] [5 MQTT-3.7.2-1]
    #[test]
    fn all_four_acknowledgements_come_back(
        version in version(),
        kind in 0usize..4,
        packet_id in 1u16..,
        received in prop::sample::select(vec![0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
        released in prop::sample::select(vec![0, 0x92]),
        properties in some(vec![one(0x1F, text("because")), user(), user()]),
        short in any::<bool>(),
    ) {
        let first = [0x40, 0x50, 0x62, 0x70][kind];
        let reason: u8 = if kind < 2 { received } else { released };
        let mut body = packet_id.to_be_bytes().to_vec();
        if version == V5 {
            body.push(reason);
            if !short {
                body.extend(&properties.1);
            }
        }
        let bytes = sized(&[first], &body);
        let (Packet::Puback(told) | Packet::Pubrec(told) | Packet::Pubrel(told)
            | Packet::Pubcomp(told)) = read(version, &bytes) else { panic!("not an answer") };
        let expected = ReasonCode(if version == V5 { reason } else { 0 });
        prop_assert_eq!((told.packet_id, told.reason), (packet_id, expected));
        let said = version == V5 && !short && properties.0.contains(&0);
        prop_assert_eq!(told.reason_string, said.then_some("because"));
        let (reason, sentence) = (told.reason, told.reason_string);
        let explanation = sentence.map(|sentence| Explanation { sentence, user: told.user });
        let mut again = Vec::new();
        let out = &mut again;
        match kind {
            0 => ack::encode_puback(version, packet_id, reason, explanation, u32::MAX, out),
            1 => ack::encode_pubrec(version, packet_id, reason, explanation, u32::MAX, out),
            2 => ack::encode_pubrel(version, packet_id, reason, out),
            _ => ack::encode_pubcomp(version, packet_id, reason, out),
        }
        let (Packet::Puback(second) | Packet::Pubrec(second) | Packet::Pubrel(second)
            | Packet::Pubcomp(second)) = read(version, &again) else { panic!("not an answer") };
        prop_assert_eq!((second.packet_id, second.reason), (packet_id, reason));
        prop_assert!(kind > 1 || second.reason_string == sentence);
        prop_assert!(kind > 1 || sentence.is_none() || second.user == told.user);
    }

    // [3.1.1 MQTT-3.9.3-1] [5 MQTT-3.9.3-1] [3.1.1 MQTT-3.10.4-4] [5 MQTT-3.11.3-1]
    #[test]
    fn what_was_granted_and_removed_comes_back(
        version in version(),
        packet_id in 1u16..,
        codes in vec(any::<u8>(), 1..20),
    ) {
        let given: Vec<ReasonCode> = codes.iter().copied().map(ReasonCode).collect();
        let mut bytes = Vec::new();
        suback::encode(version, packet_id, &given, &mut bytes);
        let Packet::Suback(told) = read(version, &bytes) else { panic!("not a SUBACK") };
        let expected: Vec<u8> = codes.iter()
            .map(|code| if version == V5 || *code < 0x80 { *code } else { 0x80 })
            .collect();
        prop_assert_eq!((told.packet_id, told.codes), (packet_id, &expected[..]));
        let mut bytes = Vec::new();
        suback::encode_unsuback(version, packet_id, &given, &mut bytes);
        let Packet::Unsuback(told) = read(version, &bytes) else { panic!("not an UNSUBACK") };
        let expected = if version == V5 { &codes[..] } else { &[] };
        prop_assert_eq!((told.packet_id, told.codes), (packet_id, expected));
    }

    #[test]
    fn disconnects_come_back(
        version in version(),
        reason in prop::sample::select(DISCONNECTS.to_vec()),
        properties in some(vec![
            one(0x11, [0, 0, 0, 9]),
            one(0x1F, text("because")),
            one(0x1C, text("elsewhere")),
            user(),
        ]),
    ) {
        let mut body = Vec::new();
        if version == V5 {
            body.push(reason);
            body.extend(&properties.1);
        }
        let bytes = sized(&[0xE0], &body);
        let Packet::Disconnect(told) = read(version, &bytes) else { panic!("not a DISCONNECT") };
        let has = |at: usize| version == V5 && properties.0.contains(&at);
        prop_assert_eq!(told.reason, ReasonCode(if version == V5 { reason } else { 0 }));
        prop_assert_eq!(told.properties.session_expiry, has(0).then_some(9));
        prop_assert_eq!(told.properties.reason_string, has(1).then_some("because"));
        prop_assert_eq!(told.properties.server_reference, has(2).then_some("elsewhere"));
        let mut again = Vec::new();
        match told.properties.session_expiry {
            Some(secs) => disconnect::encode_with_expiry(told.reason, secs, &mut again),
            None => disconnect::encode(version, told.reason, &mut again),
        }
        let Packet::Disconnect(Disconnect { reason, properties }) = read(version, &again) else {
            panic!("not a DISCONNECT")
        };
        prop_assert_eq!(reason, told.reason);
        prop_assert_eq!(properties.session_expiry, told.properties.session_expiry);
    }

    // [5 MQTT-3.15.1-1] [5 MQTT-3.15.2-1]
    #[test]
    fn steps_of_authentication_come_back(
        reason in prop_oneof![Just(0x00u8), Just(0x18), Just(0x19)],
        properties in some(vec![
            [one(0x15, text("SCRAM")), one(0x16, text([0, 255]))].concat(),
            one(0x1F, text("because")),
            user(),
            user(),
        ]),
    ) {
        let bytes = sized(&[0xF0], &[&[reason][..], &properties.1].concat());
        let Packet::Auth(told) = read(V5, &bytes) else { panic!("not an AUTH") };
        let has = |at: usize| properties.0.contains(&at);
        prop_assert_eq!(told.reason, ReasonCode(reason));
        prop_assert_eq!(told.method, has(0).then_some("SCRAM"));
        prop_assert_eq!(told.data, has(0).then_some(&[0, 255][..]));
        prop_assert_eq!(told.reason_string, has(1).then_some("because"));
        prop_assert_eq!(told.user.iter().count(), usize::from(has(2)) + usize::from(has(3)));
        let mut again = Vec::new();
        told.encode(u32::MAX, &mut again);
        let Packet::Auth(second) = read(V5, &again) else { panic!("not an AUTH") };
        prop_assert_eq!((second.reason, second.method, second.data), (told.reason, told.method, told.data));
        prop_assert!(second.user.iter().eq(told.user.iter()));
    }

    /// Properties of PUBLISH in any order, subscription identifiers among them.
    #[test]
    fn properties_of_a_publish_come_back(
        qos in 0u8..3,
        packet_id in 1u16..,
        properties in some(vec![
            one(0x01, [1]),
            one(0x02, [0, 0, 0, 60]),
            one(0x23, [0, 3]),
            one(0x08, text("answer")),
            one(0x09, text([1, 2])),
            one(0x03, text("text")),
            one(0x0B, [0x80, 0x01]),
            one(0x0B, [5]),
            user(),
        ]),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let mut body = text("a/b");
        if qos > 0 {
            body.extend(packet_id.to_be_bytes());
        }
        body.extend(&properties.1);
        body.extend(&payload);
        let bytes = sized(&[0x30 | qos << 1], &body);
        let Packet::Publish(told) = read(V5, &bytes) else { panic!("not a PUBLISH") };
        let has = |at: usize| properties.0.contains(&at);
        prop_assert_eq!(told.qos, QoS::from_bits(qos).expect("0, 1 or 2"));
        prop_assert_eq!(told.packet_id, (qos > 0).then_some(packet_id));
        prop_assert_eq!(told.payload, &payload[..]);
        prop_assert_eq!(told.properties.payload_format, has(0).then_some(1));
        prop_assert_eq!(told.properties.message_expiry, has(1).then_some(60));
        prop_assert_eq!(told.properties.topic_alias, has(2).then_some(3));
        prop_assert_eq!(told.properties.response_topic, has(3).then_some("answer"));
        prop_assert_eq!(told.properties.correlation_data, has(4).then_some(&[1, 2][..]));
        prop_assert_eq!(told.properties.content_type, has(5).then_some("text"));
        let expected: Vec<u32> = properties.0.iter()
            .filter_map(|at| match at { 6 => Some(128), 7 => Some(5), _ => None })
            .collect();
        let identifiers: Vec<u32> = told.subscription_identifiers().collect();
        prop_assert_eq!(identifiers, expected);
        prop_assert_eq!(told.properties.user().iter().count(), usize::from(has(8)));
    }
}

#[test]
fn pings_come_back() {
    for version in [V31, V311, V5] {
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        ack::encode_pingreq(&mut asked);
        ack::encode_pingresp(&mut answered);
        assert_eq!(read(version, &asked), Packet::Pingreq);
        assert_eq!(read(version, &answered), Packet::Pingresp);
    }
}
