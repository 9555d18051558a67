//! Inputs written by hand: real encodings of every packet type, texts, and runs of decisions. A corpus begins with them.

pub(crate) mod rows;
pub(crate) mod unauthenticated;

use mqtt_codec::{
    QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, Version, ack, connack,
    disconnect, publish, suback,
};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Every packet type in every version, alone and in a row.
pub(crate) fn decoder() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, version) in (0u8..).zip(VERSIONS) {
        let packets = packets(version);
        seeds.push([&[choice][..], &packets.concat()].concat());
        seeds.extend(
            packets
                .iter()
                .map(|packet| [&[choice][..], packet].concat()),
        );
    }
    seeds
}

fn packets(version: Version) -> Vec<Vec<u8>> {
    let mut packets = connects(version);
    packets.extend(publishes(version));
    packets.extend(answers(version));
    let filters = [
        ("a/+/#", SubscriptionOptions::new(QoS::ExactlyOnce)),
        ("$share/g/a", SubscriptionOptions::new(QoS::AtLeastOnce)),
    ];
    packets.push(written(|out| {
        Subscribe::encode(version, 1, Some(200), &filters, out)
    }));
    packets.push(written(|out| {
        Unsubscribe::encode(version, 2, &["a/+/#", "b"], out)
    }));
    packets.push(written(ack::encode_pingreq));
    packets.push(written(ack::encode_pingresp));
    packets.push(written(|out| {
        disconnect::encode(version, ReasonCode::QUOTA_EXCEEDED, out)
    }));
    if version == Version::V5 {
        packets.push(written(|out| {
            disconnect::encode_with_expiry(ReasonCode::SUCCESS, 60, out);
        }));
        packets.push(b"\xF0\x0A\x18\x08\x15\0\x01S\x16\0\x01d".to_vec());
    }
    packets
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn connects(version: Version) -> Vec<Vec<u8>> {
    let connects: &[&[u8]] = match version {
        Version::V31 => &[b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a"],
        Version::V311 => &[
            b"\x10\x0D\0\x04MQTT\x04\0\0\x3C\0\x01a",
            b"\x10\x1D\0\x04MQTT\x04\xF6\0\x0A\0\x01a\0\x01w\0\x02by\0\x01u\0\x03pwd",
        ],
        Version::V5 => &[
            b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a",
            b"\x10\x3A\0\x04MQTT\x05\xEE\0\x0A\x10\x11\0\0\0\x0A\x21\0\x05\x27\0\0\x04\0\x22\0\x07\
                \0\x02id\x05\x18\0\0\0\x1E\0\x01w\0\x04gone\0\x05alice\0\x03pwd",
            b"\x10\x1F\0\x04MQTT\x05\x02\0\0\x11\x15\0\x05SCRAM\x16\0\x01n\x26\0\0\0\0\0\x01i",
        ],
    };
    let mut connects: Vec<Vec<u8>> = connects.iter().map(|bytes| bytes.to_vec()).collect();
    connects.push(written(|out| {
        connack::encode_refused(version, ReasonCode::NOT_AUTHORIZED, u32::MAX, out);
    }));
    connects
}

fn publishes(version: Version) -> Vec<Vec<u8>> {
    let forwarded = b"\x01\x01\x08\0\x01r\x09\0\x02\0\xFF\x03\0\x04text\x26\0\x01a\0\x01b";
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
        .into_iter()
        .map(|qos| {
            let head = publish::PublishHead {
                dup: qos == QoS::ExactlyOnce,
                qos,
                retain: qos == QoS::AtLeastOnce,
                topic: "a/\u{ac00}",
                packet_id: (qos != QoS::AtMostOnce).then_some(513),
                expiry: Some(60),
                alias: (qos == QoS::AtLeastOnce).then_some(3),
                subscription_identifiers: &[1, 70_000],
                forwarded,
            };
            written(|out| {
                publish::encode(version, head, b"payload", out);
            })
        })
        .collect()
}

fn answers(version: Version) -> Vec<Vec<u8>> {
    let codes = [ReasonCode(1), ReasonCode::NOT_AUTHORIZED];
    let reason = ReasonCode::QUOTA_EXCEEDED;
    let told = Some("too much".into());
    vec![
        written(|out| ack::encode_puback(version, 1, ReasonCode::SUCCESS, None, u32::MAX, out)),
        written(|out| ack::encode_puback(version, 2, reason, told, u32::MAX, out)),
        written(|out| ack::encode_pubrec(version, 3, reason, told, u32::MAX, out)),
        written(|out| ack::encode_pubrel(version, 4, ReasonCode(0x92), out)),
        written(|out| ack::encode_pubcomp(version, 5, ReasonCode(0x92), out)),
        written(|out| suback::encode(version, 6, &codes, out)),
        written(|out| suback::encode_unsuback(version, 7, &codes, out)),
    ]
}

/// Runs of decisions of several lengths; which ones they are does not matter, only that they differ.
pub(crate) fn decisions() -> Vec<Vec<u8>> {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    [8, 32, 64, 128, 256, 512]
        .into_iter()
        .map(|length| (0..length).map(|_| next()).collect())
        .collect()
}

/// Longer runs: rows come before the steps.
pub(crate) fn damage() -> Vec<Vec<u8>> {
    let runs = decisions();
    runs.iter()
        .map(|run| [&[1, 12][..], run, &runs[5]].concat())
        .collect()
}

/// Filters and names of the specification's examples.
pub(crate) fn topics() -> Vec<Vec<u8>> {
    [
        "sport/tennis/player1/#\nsport/tennis/player1/score",
        "sport/+\nsport/",
        "+/+\n/finance",
        "#\n$SYS/monitor",
        "$SYS/#\n$SYS/monitor",
        "$share/g/a/#\na/b",
        "$share\n$share",
        "$share//a\na",
        "a#\na#",
        "\u{e9}/+\ne\u{301}/x",
        "\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// Runs of decisions, and the decoder's packets sent as they are.
pub(crate) fn shards() -> Vec<Vec<u8>> {
    let mut seeds = decisions();
    for packets in VERSIONS.map(packets) {
        let mut input = vec![0];
        for packet in packets {
            let length = packet.len().min(255);
            // A client's step: the one connection, any bytes.
            input.extend([0, 0, 11, length as u8]);
            input.extend_from_slice(&packet[..length]);
        }
        seeds.push(input);
    }
    seeds
}

/// Messages, edits and questions as clients write them.
pub(crate) fn messenger() -> Vec<Vec<u8>> {
    let payloads: [&[u8]; 8] = [
        b"hi",
        br#"{"mid":"k3Jx9","text":"hi","reply":1,"thread":1,"att":[],"x":{"a":[1,{}]}}"#,
        br#"{"seq":1,"text":"\u0000\ud83d\udc4d"}"#,
        br#"{"seq":1,"emoji":"\ud83d\udc4d","on":true}"#,
        br#"{"seq":1}"#,
        br#"{"state":"away","text":"lunch"}"#,
        br#"{"slug":"eng","title":"Engineering","open":true}"#,
        br#"{"conv":"@bob","before_seq":5,"limit":10}"#,
    ];
    let mut seeds = decisions();
    let mut all = Vec::new();
    for (number, payload) in (0u8..).zip(payloads) {
        for topic in 0..24u8 {
            let step = [
                &[number % 3, 0, topic, payload.len() as u8][..],
                payload,
                &[0],
            ]
            .concat();
            if topic % 8 == number {
                seeds.push(step.clone());
            }
            if topic < 3 || topic % 8 == number {
                all.extend(step);
            }
        }
    }
    seeds.push(all);
    seeds
}

/// Each table damaged in each way, alone; then runs of decisions.
pub(crate) fn losses() -> Vec<Vec<u8>> {
    let runs = decisions();
    let mut seeds = vec![Vec::new()];
    for table in 0..7u8 {
        for kind in 0..7u8 {
            let place = 3 * table + kind;
            let fault = [0, 1, table, kind, place, 1 + kind, 2, 0];
            seeds.push([&fault[..], &runs[usize::from(kind) % 3]].concat());
        }
    }
    seeds.extend(runs.iter().map(|run| [&[4][..], run, &runs[5]].concat()));
    seeds
}

/// Configurations, sound and not.
#[cfg(feature = "configuration")]
pub(crate) fn configuration() -> Vec<Vec<u8>> {
    [
        "",
        "[mqtt]\nallow_anonymous = true\nmax_packet_size = 65536\nreceive_maximum = 10\n",
        "[[mqtt.listener]]\naddress = \"127.0.0.1:1883\"\n[http]\naddress = \"[::1]:8080\"\n",
        "[[acl]]\nallow = \"publish\"\nfilter = \"t/%u/#\"\nwho = \"*\"\n",
        "[server]\ndata = \"d\"\ndurability = \"interval\"\ndurability_interval_ms = 10\n",
        "[chat]\ntext_bytes_max = 256\n[auth]\ncache_secs = 0\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
        "[mqtt]\nshards = -1\nunknown = 1\nmax_packet_size = \"x\"\n[mqtt]\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
