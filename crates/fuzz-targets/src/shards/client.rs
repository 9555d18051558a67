//! Packets as clients write them: sound ones, and a few that are sound only at first sight.

use mqtt_codec::{
    Auth, QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, Version, ack, disconnect,
    publish,
};

use crate::feed::Feed;

const VERSIONS: [Version; 4] = [Version::V5, Version::V311, Version::V31, Version::V5];
const CLIENTS: [&str; 5] = ["a", "b", "c", "", "a-rather-long-client-id-of-a-device"];
const ACCOUNTS: [&str; 4] = ["alice", "bob", "root", "nobody"];
const TOPICS: [&str; 12] = [
    "t",
    "t/a",
    "t/b",
    "t/a/b",
    "$SYS/x",
    "u",
    "im/to/@bob",
    "im/to/eng/read",
    "im/ask/history/7",
    "im/in/eng",
    "/",
    "a/b/c/d/e/f/g/h/i/j",
];
const FILTERS: [&str; 20] = [
    "t",
    "#",
    "t/#",
    "t/+",
    "+/a",
    "t/a/b",
    "$share/g/t/#",
    "$share/g/t/a",
    "$share/h/#",
    "$SYS/#",
    "im/in/#",
    "im/#",
    "im/text/#",
    "im/in/@bob",
    "$share/g/im/in/#",
    "im/about/+",
    "im/ack/#",
    "u",
    "+/+",
    "a/b/c/d/e/f/g/h/i/#",
];

fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A packet of any first byte and body.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut rest = body.len();
    loop {
        let byte = (rest & 0x7F) as u8;
        rest >>= 7;
        if rest == 0 {
            packet.push(byte);
            break;
        }
        packet.push(byte | 0x80);
    }
    packet.extend_from_slice(body);
    packet
}

/// Properties that are set where the bits of `shape` say so.
fn properties(shape: u8, values: &[(u8, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (bit, (id, value)) in values.iter().enumerate() {
        if shape & (1 << bit) != 0 {
            list.push(*id);
            list.extend_from_slice(value);
        }
    }
    packet(0, &list)[1..].to_vec()
}

/// A CONNECT.
pub(super) fn connect(feed: &mut Feed<'_>) -> Vec<u8> {
    let version = *feed.choose(&VERSIONS);
    let shape = feed.byte();
    let (clean, has_will, has_login) = (shape & 1 != 0, shape & 2 != 0, shape & 4 != 0);
    let mut flags = u8::from(clean) << 1;
    if has_will {
        flags |= 4 | ((shape >> 3) % 3) << 3 | (shape & 0x20);
    }
    if has_login {
        flags |= 0xC0;
    }
    let mut body = field(version.protocol_name().as_bytes());
    body.extend([version.level(), flags, 0, feed.byte() % 32]);
    if version == Version::V5 {
        let shape = feed.byte();
        let expiry = (u32::from(feed.byte()) * 16).to_be_bytes();
        let receive = (1 + u16::from(feed.byte() % 4)).to_be_bytes();
        let packet_max = (32 + u32::from(feed.byte()) * 4).to_be_bytes();
        let list: [(u8, &[u8]); 8] = [
            (0x11, &expiry),
            (0x21, &receive),
            (0x27, &packet_max),
            (0x17, &[0]),
            (0x22, &[0, 4]),
            (0x19, &[1]),
            (0x26, b"\0\x01a\0\x01b"),
            (0x15, b"\0\x01M"),
        ];
        body.extend(properties(shape, &list));
    }
    body.extend(field(feed.choose(&CLIENTS).as_bytes()));
    if has_will {
        if version == Version::V5 {
            let delay = u32::from(feed.byte()).to_be_bytes();
            let list: [(u8, &[u8]); 2] = [(0x18, &delay), (0x02, &[0, 0, 0, 9])];
            body.extend(properties(feed.byte(), &list));
        }
        body.extend(field(feed.choose(&TOPICS).as_bytes()));
        body.extend(field(b"gone"));
    }
    if has_login {
        body.extend(field(feed.choose(&ACCOUNTS).as_bytes()));
        body.extend(field(b"secret"));
    }
    packet(0x10, &body)
}

/// A PUBLISH.
pub(super) fn publish(version: Version, feed: &mut Feed<'_>) -> Vec<u8> {
    let shape = feed.byte();
    let qos = QoS::from_bits(shape % 3).unwrap_or(QoS::AtMostOnce);
    let mut forwarded = Vec::new();
    let extra = feed.byte();
    if extra & 1 != 0 {
        forwarded.extend_from_slice(b"\x26\0\x01a\0\x01b\x03\0\x04text");
    }
    if extra & 2 != 0 {
        publish::write_response_topic(&mut forwarded, "im/answer/1");
    }
    let alias = u16::from(extra >> 5);
    let topic = *feed.choose(&TOPICS);
    let head = publish::PublishHead {
        dup: qos != QoS::AtMostOnce && shape & 0x80 != 0,
        qos,
        retain: shape & 0x40 != 0,
        topic: if extra & 4 != 0 && alias != 0 {
            ""
        } else {
            topic
        },
        packet_id: (qos != QoS::AtMostOnce).then_some(1 + u16::from(feed.byte() % 8)),
        expiry: (extra & 8 != 0).then_some(feed.byte().into()),
        alias: (alias != 0).then_some(alias),
        subscription_identifiers: if extra == 0xFF { &[1] } else { &[] },
        forwarded: &forwarded,
    };
    let payload = vec![b'p'; usize::from(feed.byte()) * 4];
    let mut out = Vec::new();
    publish::encode(version, head, &payload, &mut out);
    out
}

/// A SUBSCRIBE of one to three filters.
pub(super) fn subscribe(version: Version, feed: &mut Feed<'_>) -> Vec<u8> {
    let shape = feed.byte();
    let filters: Vec<(&str, SubscriptionOptions)> = (0..1 + usize::from(shape % 3))
        .map(|_| {
            let filter = *feed.choose(&FILTERS);
            let bits = feed.byte();
            let qos = QoS::from_bits(bits % 3).unwrap_or(QoS::AtMostOnce);
            let mut options = SubscriptionOptions::new(qos);
            if version == Version::V5 {
                options.no_local = bits & 4 != 0 && !filter.starts_with("$share");
                options.retain_as_published = bits & 8 != 0;
                options.retain_handling = (bits >> 4) % 3;
            }
            (filter, options)
        })
        .collect();
    let identifier = (shape & 0x80 != 0).then_some(1 + u32::from(shape >> 4 & 3) * 1000);
    let mut out = Vec::new();
    Subscribe::encode(version, packet_id(feed), identifier, &filters, &mut out);
    out
}

/// An UNSUBSCRIBE of one or two filters.
pub(super) fn unsubscribe(version: Version, feed: &mut Feed<'_>) -> Vec<u8> {
    let filters: Vec<&str> = (0..1 + feed.below(2))
        .map(|_| *feed.choose(&FILTERS))
        .collect();
    let mut out = Vec::new();
    Unsubscribe::encode(version, packet_id(feed), &filters, &mut out);
    out
}

fn packet_id(feed: &mut Feed<'_>) -> u16 {
    100 + u16::from(feed.byte())
}

/// A PINGREQ, a DISCONNECT, a step of authentication, or an acknowledgement of something that nobody sent.
pub(super) fn farewell(version: Version, feed: &mut Feed<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match feed.byte() % 8 {
        0 => ack::encode_pingreq(&mut out),
        1 => disconnect::encode(version, ReasonCode::SUCCESS, &mut out),
        2 => disconnect::encode(version, ReasonCode(0x04), &mut out),
        3 if version == Version::V5 => {
            disconnect::encode_with_expiry(ReasonCode::SUCCESS, feed.byte().into(), &mut out);
        }
        4 => {
            let id = 1 + u16::from(feed.byte() % 8);
            ack::encode_pubrel(version, id, ReasonCode::SUCCESS, &mut out);
        }
        5 | 6 => {
            let reasons = [
                ReasonCode::CONTINUE_AUTHENTICATION,
                ReasonCode::RE_AUTHENTICATE,
            ];
            let reason = *feed.choose(&reasons);
            Auth::new(reason, "M", Some(&[feed.byte()])).encode(u32::MAX, &mut out);
        }
        _ => ack::encode_pingreq(&mut out),
    }
    out
}
