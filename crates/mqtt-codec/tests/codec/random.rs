//! What holds for all bytes and all packets: decoding never panics, and what is encoded is decoded alike.

use mqtt_codec::Version::{self, V5, V31, V311};
use mqtt_codec::{
    Auth, DecodeLimits, Explanation, Packet, QoS, ReasonCode, Subscribe, SubscriptionOptions,
    Unsubscribe, UserProperties, ack, decode, frame, publish, suback, topic,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(V31), Just(V311), Just(V5)]
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z가-힣/$ ]{1,40}"
}

fn filter() -> impl Strategy<Value = String> {
    "([a-z]{0,3}/|\\+/){0,4}(#|\\+|[a-z]{1,5})"
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    (qos(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(move |(qos, local, retain, handling)| {
        if version == V5 {
            SubscriptionOptions {
                qos,
                no_local: local,
                retain_as_published: retain,
                retain_handling: handling,
            }
        } else {
            SubscriptionOptions::new(qos)
        }
    })
}

fn read(version: Version, bytes: &[u8]) -> Packet<'_> {
    decode(version, bytes, &DecodeLimits::default()).expect("what was encoded is sound")
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(version in version(), bytes in vec(any::<u8>(), 0..300)) {
        let _ = frame::length(version, &bytes, u32::MAX);
        let _ = decode(version, &bytes, &DecodeLimits::default());
    }

    /// Whatever stands in a frame whose length is right.
    #[test]
    fn any_body_is_decoded_or_refused(
        version in version(),
        first in any::<u8>(),
        body in vec(any::<u8>(), 0..120),
    ) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        if let Ok(packet) = decode(version, &bytes, &DecodeLimits::default()) {
            exercise(&packet);
        }
    }

    /// A sound packet with some bytes changed or cut off.
    #[test]
    fn any_damage_is_survived(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let sound: [&[u8]; 3] = [
            b"\x10\x3A\0\x04MQTT\x05\xEE\0\x0A\x10\x11\0\0\0\x0A\x21\0\x05\x27\0\0\x04\0\x22\0\x07\
                \0\x02id\x05\x18\0\0\0\x1E\0\x01w\0\x04gone\0\x05alice\0\x03pwd",
            b"\x32\x17\0\x01t\0\x07\x11\x01\x01\x02\0\0\0\x3C\x26\0\x01a\0\x02cc\x0B\x05",
            b"\x82\x10\0\x0A\x03\x0B\x80\x02\0\x01a\x2E\0\x03b/#\x01",
        ];
        for bytes in sound {
            let mut bytes = bytes.to_vec();
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Ok(packet) = decode(V5, &bytes, &DecodeLimits::default()) {
                exercise(&packet);
            }
            let _ = decode(V5, &bytes[..cut.index(bytes.len())], &DecodeLimits::default());
        }
    }

    #[test]
    fn publishes_come_back(
        version in version(),
        qos in qos(),
        flags in any::<(bool, bool)>(),
        topic in name(),
        packet_id in 1u16..,
        expiry in any::<Option<u32>>(),
        identifiers in vec(1u32..268_435_456, 0..4),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let head = publish::PublishHead {
            dup: flags.0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags.1,
            topic: &topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            expiry,
            alias: None,
            subscription_identifiers: &identifiers,
            forwarded: b"\x26\0\x01a\0\x02cc\x09\0\x01x",
        };
        let mut bytes = Vec::new();
        let layout = publish::encode(version, head, &payload, &mut bytes);
        let Packet::Publish(publish) = read(version, &bytes) else { panic!("not a PUBLISH") };
        prop_assert_eq!(publish.topic, &topic);
        prop_assert_eq!(publish.payload, &payload[..]);
        prop_assert_eq!((publish.qos, publish.dup, publish.retain), (qos, head.dup, head.retain));
        prop_assert_eq!(publish.packet_id, head.packet_id);
        let at = layout.packet_id_at.map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        prop_assert_eq!(at, head.packet_id);
        if version == V5 {
            prop_assert_eq!(publish.properties.message_expiry, expiry);
            let told: Vec<u32> = publish.subscription_identifiers().collect();
            prop_assert_eq!(&told, &identifiers);
            let mut forwarded = Vec::new();
            publish.properties.write_forwarded(&mut forwarded);
            prop_assert_eq!(&forwarded[..], head.forwarded);
        }
    }

    #[test]
    fn subscribes_come_back(
        (version, filters) in version().prop_flat_map(|version| {
            (Just(version), vec((filter(), options(version)), 1..6))
        }),
        packet_id in 1u16..,
        identifier in prop::option::of(1u32..268_435_456),
    ) {
        let filters: Vec<(&str, SubscriptionOptions)> =
            filters.iter().map(|(filter, options)| (&**filter, *options)).collect();
        prop_assert!(filters.iter().all(|(filter, _)| topic::is_filter(filter)));
        let mut bytes = Vec::new();
        Subscribe::encode(version, packet_id, identifier, &filters, &mut bytes);
        let Packet::Subscribe(subscribe) = read(version, &bytes) else { panic!("not a SUBSCRIBE") };
        prop_assert_eq!(subscribe.packet_id, packet_id);
        let told: Vec<_> = subscribe.filters().collect();
        prop_assert_eq!(&told, &filters);
        let told = subscribe.properties.subscription_identifier;
        prop_assert_eq!(told, identifier.filter(|_| version == V5));
        let names: Vec<&str> = filters.iter().map(|(filter, _)| *filter).collect();
        let mut bytes = Vec::new();
        Unsubscribe::encode(version, packet_id, &names, &mut bytes);
        let Packet::Unsubscribe(unsubscribe) = read(version, &bytes) else {
            panic!("not an UNSUBSCRIBE")
        };
        let told: Vec<_> = unsubscribe.filters().collect();
        prop_assert_eq!(told, names);
    }

    #[test]
    fn answers_come_back(
        version in version(),
        packet_id in 1u16..,
        reason in prop::sample::select(vec![0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
        sentence in prop::option::of("[a-z ]{0,60}"),
        code in prop::option::of("[a-z_]{0,20}"),
        maximum in 5u32..100,
    ) {
        let mut bytes = Vec::new();
        let mut user = Vec::new();
        if let Some(code) = &code {
            publish::write_user_property(&mut user, "error", code);
        }
        let user = UserProperties::of_wire(&user);
        let explanation = sentence.as_deref().map(|sentence| Explanation { sentence, user });
        ack::encode_puback(version, packet_id, ReasonCode(reason), explanation, maximum, &mut bytes);
        prop_assert!(bytes.len() <= maximum as usize);
        let Packet::Puback(told) = read(version, &bytes) else { panic!("not a PUBACK") };
        prop_assert_eq!(told.packet_id, packet_id);
        // Whatever fits is there, the code before the sentence.
        let is_known = version == V5 && sentence.is_some();
        let code_bytes = code.as_ref().map_or(0, |code| 1 + 2 + 5 + 2 + code.len());
        let code_fits = 6 + code_bytes <= maximum as usize;
        let told_code: Vec<_> = told.user.iter().collect();
        let expected = code.iter().filter(|_| is_known && code_fits);
        prop_assert_eq!(told_code, expected.map(|code| ("error", code.as_str())).collect::<Vec<_>>());
        let all = 6 + code_bytes + 3 + sentence.as_ref().map_or(0, String::len);
        let told_all = told.reason_string.is_some();
        prop_assert_eq!(told_all, is_known && all <= maximum as usize);
        prop_assert_eq!(told.reason.0, if version == V5 { reason } else { 0 });
        let codes = [ReasonCode(reason), ReasonCode::SUCCESS];
        let mut bytes = Vec::new();
        suback::encode(version, packet_id, &codes, &mut bytes);
        let Packet::Suback(told) = read(version, &bytes) else { panic!("not a SUBACK") };
        prop_assert_eq!(told.codes.len(), 2);
    }

    #[test]
    fn auths_come_back(
        reason in prop_oneof![Just(0u8), Just(0x18), Just(0x19)],
        method in "[A-Z0-9-]{0,20}",
        data in prop::option::of(vec(any::<u8>(), 0..300)),
        sentence in prop::option::of("[a-z가-힣 ]{0,60}"),
    ) {
        let auth = Auth {
            reason_string: sentence.as_deref(),
            ..Auth::new(ReasonCode(reason), &method, data.as_deref())
        };
        let mut bytes = Vec::new();
        auth.encode(u32::MAX, &mut bytes);
        prop_assert_eq!(read(V5, &bytes), Packet::Auth(auth));
    }

    /// The matcher agrees with one that is written level by level, without shortcuts.
    #[test]
    fn filters_match_by_levels(filter in filter(), name in "[a-c$]?(/?[a-c]{0,2}){0,4}") {
        let filter_levels: Vec<&str> = filter.split('/').collect();
        let name_levels: Vec<&str> = name.split('/').collect();
        let hidden = name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'));
        let expected = !hidden && matches_levels(&filter_levels, &name_levels);
        prop_assert_eq!(topic::matches(&filter, &name), expected);
    }
}

fn matches_levels(filter: &[&str], name: &[&str]) -> bool {
    match (filter.split_first(), name.split_first()) {
        (Some((&"#", _)), _) | (None, None) => true,
        (Some((&"+", filter)), Some((_, name))) => matches_levels(filter, name),
        (Some((wanted, filter)), Some((level, name))) => {
            wanted == level && matches_levels(filter, name)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Looks at everything a packet offers, so that a lazy part can't hide a panic.
fn exercise(packet: &Packet<'_>) {
    match packet {
        Packet::Publish(publish) => {
            publish.properties.user().iter().for_each(drop);
            publish.subscription_identifiers().for_each(drop);
            publish.properties.write_forwarded(&mut Vec::new());
        }
        Packet::Subscribe(subscribe) => subscribe.filters().for_each(drop),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters().for_each(drop),
        Packet::Auth(auth) => auth.user.iter().for_each(drop),
        Packet::Connect(connect) => {
            connect.properties.user.iter().for_each(drop);
            if let Some(will) = &connect.will {
                will.properties.write_forwarded(&mut Vec::new());
            }
        }
        _ => {}
    }
}
