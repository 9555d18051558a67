//! Rows that keep their form but say what no server has written: the next start tells of them, and hands nothing of them
//! to a client.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{Identity, Place, Settings, Shard, recover};
use bytes::Bytes;
use records::{
    AccountId, Claim, Cursor, Incoming, Millis, Outgoing, OutgoingState, Pos, Progress,
    QueuedMessage, Retained, Session, SessionNumber, Stamp, Subscription, Terms, Will, key,
};

const NOW: Millis = Millis::new(1_766_000_000_000);
const NUMBER: SessionNumber = SessionNumber::new(7);
const STAMP: Stamp = Stamp::new(0x1234_5600);
/// Beyond every clock, and where the keys of deliveries have their marks.
const NO_STAMP: Stamp = Stamp::new(1 << 62);

/// Whether a server starts with this row alone.
fn starts(key: Vec<u8>, value: Vec<u8>) -> bool {
    let place = Place {
        shard: 0,
        shards: 1,
        seeds: [1, 2, 3, 4],
        usage: std::sync::Arc::default(),
    };
    let mut shards = [Shard::new(&place, Arc::new(Settings::default()), NOW)];
    let rows = BTreeMap::from([(key, value)]);
    let identity = |account| Identity {
        account,
        name: "".into(),
        admin: false,
        token: None,
    };
    recover(&rows, &mut shards, identity, Pos::ZERO, NOW).is_ok()
}

fn message() -> QueuedMessage {
    QueuedMessage {
        publisher: None,
        topic: "a/b".into(),
        payload: Bytes::from_static(b"payload"),
        qos: 1,
        retain: true,
        properties: Bytes::from_static(b"\x01\x01\x26\0\x01a\0\x01b"),
        expires_at: None,
        at: NOW,
    }
}

/// Queued, retained and as a will.
fn starts_with_message(message: &QueuedMessage) -> [bool; 3] {
    let retained = Retained {
        stamp: STAMP,
        account: None,
        message: message.clone(),
    };
    let will = Will {
        delay_secs: 0,
        expiry_secs: None,
        message: message.clone(),
    };
    [
        starts(key::queue(STAMP), message.encode()),
        starts(key::retained(&message.topic), retained.encode()),
        starts(key::will(AccountId::ZERO, "a"), will.encode()),
    ]
}

#[test]
fn a_message_that_no_client_can_get_is_told() {
    assert_eq!(starts_with_message(&message()), [true; 3]);
    for topic in ["", "#", "a/+", "a\0"] {
        let message = QueuedMessage {
            topic: topic.into(),
            ..message()
        };
        assert_eq!(starts_with_message(&message), [false; 3], "{topic:?}");
    }
    let properties: [&[u8]; 5] = [
        b"\x26\0\x01a",
        b"\xFF",
        b"\x23\0\x01",
        b"\x01\x01\x01\x01",
        b"\x08\0\x01#",
    ];
    for properties in properties {
        let message = QueuedMessage {
            properties: Bytes::from_static(properties),
            ..message()
        };
        assert_eq!(starts_with_message(&message), [false; 3], "{properties:?}");
    }
    let retained = |stamp| Retained {
        stamp,
        account: None,
        message: message(),
    };
    assert!(starts(key::retained("a/b"), retained(STAMP).encode()));
    assert!(
        !starts(key::retained("a/c"), retained(STAMP).encode()),
        "under another topic"
    );
    assert!(!starts(key::retained("a/b"), retained(NO_STAMP).encode()));
    assert!(!starts(key::queue(NO_STAMP), message().encode()));
}

#[test]
fn a_subscription_that_no_client_can_have_made_is_told() {
    let sound = Subscription {
        options: 0x2E,
        identifier: Some(268_435_455),
        since: STAMP,
        ..Subscription::default()
    };
    let starts_with = |filter, subscription: Subscription| {
        starts(key::subscription(NUMBER, filter), subscription.encode())
    };
    for filter in ["a", "#", "+/a", "$share/g/a/#", "im/in/#"] {
        assert!(starts_with(filter, sound.clone()), "{filter:?}");
    }
    for filter in ["", "a#", "#/a", "$share/", "$share/+/a", "$share/g/", "a\0"] {
        assert!(!starts_with(filter, sound.clone()), "{filter:?}");
    }
    for options in [0x03, 0x30, 0x40, 0x80] {
        assert!(
            !starts_with(
                "a",
                Subscription {
                    options,
                    ..sound.clone()
                }
            ),
            "{options:x}"
        );
    }
    let identifier = Some(268_435_456);
    assert!(!starts_with(
        "a",
        Subscription {
            identifier,
            ..sound.clone()
        }
    ));
    let since = NO_STAMP;
    assert!(!starts_with(
        "a",
        Subscription {
            since,
            ..sound.clone()
        }
    ));
    let past = |options, identifier, since, until| Subscription {
        until: vec![until],
        former: vec![Terms {
            options,
            identifier,
            since,
            until: vec![until],
        }],
        ..sound.clone()
    };
    assert!(starts_with("a", past(0x2E, None, STAMP, STAMP)));
    for damaged in [
        past(0x03, None, STAMP, STAMP),
        past(1, identifier, STAMP, STAMP),
        past(1, None, NO_STAMP, STAMP),
        past(1, None, STAMP, NO_STAMP),
    ] {
        assert!(!starts_with("a", damaged.clone()), "{damaged:?}");
    }
    for filter in ["$share/g/a/#", "im/in/#"] {
        assert!(
            !starts_with(filter, past(1, None, STAMP, STAMP)),
            "{filter:?} is matched by nothing that waits"
        );
    }
}

#[test]
fn flows_sessions_and_claims_that_cannot_be_are_told() {
    let outgoing = |packet_id, identifier| {
        let outgoing = Outgoing {
            retain: true,
            identifiers: Some([1, identifier].into()),
            ..Outgoing::past(packet_id, OutgoingState::Sent)
        };
        starts(key::outgoing(NUMBER, STAMP), outgoing.encode())
    };
    assert!(outgoing(1, 2) && !outgoing(0, 2));
    assert!(!outgoing(1, 0) && !outgoing(1, u32::MAX));
    let incoming = |packet_id| {
        let incoming = Incoming {
            to_conversation: true,
        };
        starts(key::incoming(NUMBER, packet_id), incoming.encode())
    };
    assert!(incoming(1) && !incoming(0));
    let session = |number, cursor, protocol_level, packet_id| {
        let session = Session {
            number,
            expiry_secs: 60,
            disconnected_at: None,
            chat_cursor: Cursor::default(),
            queue_cursors: vec![cursor],
            protocol_level,
            progress: Progress {
                under_way: vec![(STAMP, packet_id)],
                ..Progress::default()
            },
        };
        starts(key::session(AccountId::new(1), "a"), session.encode())
    };
    assert!(session(NUMBER, STAMP, 3, 1) && session(NUMBER, STAMP, 5, 1));
    assert!(!session(NUMBER, STAMP, 2, 1) && !session(NUMBER, STAMP, 6, 1));
    assert!(!session(NUMBER, STAMP, 5, 0));
    assert!(!session(NUMBER, NO_STAMP, 5, 1) && !session(SessionNumber::MAX, STAMP, 5, 1));
    let claim = |at, message, group: &str| {
        let group = group.into();
        starts(key::claim(at), Claim { message, group }.encode())
    };
    assert!(claim(STAMP, STAMP, "$share/g/a"));
    assert!(!claim(STAMP, STAMP, "a") && !claim(STAMP, STAMP, "$share/g/a#"));
    assert!(!claim(NO_STAMP, STAMP, "$share/g/a") && !claim(STAMP, NO_STAMP, "$share/g/a"));
}
