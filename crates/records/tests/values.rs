//! Every value goes to bytes and back, any bytes decode without a panic, and what version 1 wrote keeps decoding.
// tidy: long because one value of each kind stands beside its check.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use records::{
    Account, AccountId, AccountName, Claim, Conversation, ConversationId, ConversationKind, Dedup,
    EXPIRY_NEVER, Entry, EntryKind, GroupSlug, Incoming, Member, MemberRole, Millis, Outgoing,
    OutgoingState, Pos, Progress, QueuedMessage, QueuedParts, RecordError, Retained, Role,
    ScramVerifier, Seq, Session, SessionNumber, Stamp, Subscription, Token, Will,
};

/// A value's two halves, whatever its decoder borrows from.
trait Record: Sized + PartialEq + Debug {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &Bytes) -> Result<Self, RecordError>;
}

macro_rules! record {
    ($($name:ident)*) => {
        $(impl Record for $name {
            fn to_bytes(&self) -> Vec<u8> {
                self.encode()
            }

            fn from_bytes(bytes: &Bytes) -> Result<Self, RecordError> {
                $name::decode(bytes)
            }
        })*
    };
}
record!(Account Token Conversation Member Entry Dedup Session Subscription Outgoing Incoming QueuedMessage Retained Claim Will);

/// One value of each kind, as it stands in `tests/fixtures/v1`.
mod sample {
    use super::*;

    pub(super) fn account() -> Account {
        Account {
            name: AccountName::parse("bob.k").unwrap(),
            display: "밥 Kim".to_owned(),
            role: Role::Admin,
            password: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
            disabled: true,
            created: Millis::new(1_766_000_000_123),
            profile_text: "점심".to_owned(),
            removed: true,
            scram: None,
        }
    }

    pub(super) fn account_with_verifier() -> Account {
        Account {
            scram: Some(ScramVerifier {
                salt: *b"sixteen of these",
                iterations: 10_000,
                stored_key: [0x5A; 32],
                server_key: [0xA5; 32],
            }),
            ..account()
        }
    }

    pub(super) fn token() -> Token {
        Token {
            account: AccountId::new(300),
            label: "build bot".to_owned(),
            created: Millis::new(1_766_000_000_123),
            expires: Some(Millis::MAX),
        }
    }

    pub(super) fn direct() -> Conversation {
        Conversation {
            kind: ConversationKind::Direct {
                low: AccountId::new(1),
                high: AccountId::new(300),
            },
            created: Millis::new(5),
            created_by: AccountId::new(300),
        }
    }

    pub(super) fn group() -> Conversation {
        Conversation {
            kind: ConversationKind::Group {
                slug: GroupSlug::parse("eng").unwrap(),
                title: "Engineering 개발".to_owned(),
                open: true,
            },
            created: Millis::new(5),
            created_by: AccountId::ZERO,
        }
    }

    pub(super) fn ended() -> Conversation {
        Conversation {
            kind: ConversationKind::Ended {
                newest: Pos::new(0x9f2),
            },
            created: Millis::new(5),
            created_by: AccountId::new(300),
        }
    }

    pub(super) fn member() -> Member {
        Member {
            role: MemberRole::Moderator,
            joined: Pos::new(0x9f2),
            joined_at: Millis::new(1_766_000_000_123),
            read: Seq::new(12),
            received: Seq::new(13),
            own: true,
        }
    }

    pub(super) fn message() -> Entry {
        Entry {
            pos: Pos::new(0x9f2),
            seq: Some(Seq::new(13)),
            from: AccountId::new(2),
            at: Millis::new(1_766_000_000_123),
            kind: EntryKind::Message,
            wire: Bytes::from_static(br#"{"v":1,"seq":13,"pos":"9f2","from":"bob","text":"hi"}"#),
        }
    }

    pub(super) fn event() -> Entry {
        Entry {
            seq: None,
            kind: EntryKind::Event,
            wire: Bytes::new(),
            ..message()
        }
    }

    pub(super) fn dedup() -> Dedup {
        Dedup {
            conversation: ConversationId::new(7),
            seq: Seq::new(13),
            pos: Pos::new(0x9f2),
            at: Millis::new(1_766_000_000_123),
        }
    }

    pub(super) fn session() -> Session {
        Session {
            number: SessionNumber::new(77),
            expiry_secs: EXPIRY_NEVER,
            disconnected_at: Some(Millis::new(1_766_000_000_123)),
            chat_cursor: Pos::new(0x9f2),
            queue_cursors: vec![
                Stamp::new(452_096_000_031_488_000),
                Stamp::new(452_096_000_031_488_001),
            ],
            protocol_level: 5,
            progress: Progress::default(),
        }
    }

    pub(super) fn session_under_way() -> Session {
        Session {
            progress: Progress {
                under_way: vec![(Stamp::new(452_096_000_031_488_256), 7)],
                queue_sent: vec![Stamp::new(452_096_000_031_488_512)],
                chat_sent: Pos::new(0x9f5),
                next_packet_id: 9,
                queue_doubtful: Stamp::new(452_096_000_031_487_744),
                chat_doubtful: Pos::new(0x9f0),
            },
            ..session()
        }
    }

    pub(super) fn subscription() -> Subscription {
        Subscription {
            options: 0b0010_1110,
            identifier: Some(268_435_455),
            since: Stamp::new(1),
        }
    }

    pub(super) fn outgoing() -> Outgoing {
        Outgoing::past(65_535, OutgoingState::Released)
    }

    pub(super) fn outgoing_as_sent() -> Outgoing {
        Outgoing {
            packet_id: 7,
            state: OutgoingState::Sent,
            retain: true,
            identifiers: Some([1, 268_435_455].into()),
        }
    }

    pub(super) fn queued() -> QueuedMessage {
        QueuedMessage {
            publisher: Some(SessionNumber::new(77)),
            topic: "sensors/방/1".into(),
            payload: Bytes::from_static(b"21.5"),
            qos: 2,
            retain: true,
            properties: Bytes::from_static(&[0x01, 0x01]),
            expires_at: Some(Millis::new(1_766_000_060_123)),
            at: Millis::new(1_766_000_000_123),
        }
    }

    pub(super) fn bare_queued() -> QueuedMessage {
        QueuedMessage {
            publisher: None,
            topic: "t".into(),
            payload: Bytes::new(),
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires_at: None,
            at: Millis::ZERO,
        }
    }

    pub(super) fn retained() -> Retained {
        Retained {
            stamp: Stamp::new(452_096_000_031_488_001),
            message: queued(),
        }
    }

    pub(super) fn claim() -> Claim {
        Claim {
            message: Stamp::new(452_096_000_031_488_001),
            group: "$share/workers/sensors/방/+".into(),
        }
    }

    pub(super) fn will() -> Will {
        Will {
            delay_secs: 30,
            expiry_secs: Some(3600),
            message: queued(),
        }
    }

    pub(super) fn bare_will() -> Will {
        Will {
            delay_secs: 0,
            expiry_secs: None,
            message: bare_queued(),
        }
    }
}

/// What this version writes is byte for byte what stands in the fixture, and the fixture decodes to the value.
/// A changed layout needs a new version and a new folder; files that stand there are never edited.
fn check_fixture<T: Record>(name: &str, value: &T) {
    check_fixture_in("v1", name, value);
}

fn check_fixture_in<T: Record>(folder: &str, name: &str, value: &T) {
    let fixture = check_readable(folder, name, value);
    assert_eq!(hex(&value.to_bytes()), hex(&fixture), "{name}");
    check_damage::<T>(&fixture);
}

/// A fixture that this version reads, and writes otherwise.
#[allow(clippy::disallowed_methods, reason = "a test reads its fixtures")]
fn check_readable<T: Record>(folder: &str, name: &str, value: &T) -> Bytes {
    let path = format!(
        "{}/tests/fixtures/{folder}/{name}.hex",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{path}: {error}; this version writes:\n{}",
            hex(&value.to_bytes())
        )
    });
    let fixture = Bytes::from(unhex(text.trim()));
    assert_eq!(T::from_bytes(&fixture).unwrap(), *value, "{name}");
    fixture
}

/// Cut short, continued or of another version: an error, never a panic and never another value of the same length.
fn check_damage<T: Record>(whole: &Bytes) {
    for bytes in 0..whole.len() {
        // Where a payload runs to the end, a shorter one is a value too, but not this one.
        if let Ok(value) = T::from_bytes(&whole.slice(..bytes)) {
            assert_ne!(value.to_bytes(), whole[..]);
        }
    }
    assert!(matches!(
        T::from_bytes(&Bytes::new()),
        Err(RecordError::Truncated { bytes: 0, .. })
    ));
    let mut other = whole.to_vec();
    other[0] = 9;
    assert!(matches!(
        T::from_bytes(&other.into()),
        Err(RecordError::Version { found: 9, .. })
    ));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn accounts_of_version_1_are_read_and_written_with_a_place_for_their_verifier() {
    check_readable("v1", "account", &sample::account());
    check_fixture_in("v2", "account", &sample::account_with_verifier());
    let account = sample::account();
    assert_eq!(Account::decode(&account.encode()), Ok(account));
    let shown = format!("{:?}", sample::account_with_verifier());
    assert!(!shown.contains("165") && shown.contains("10000"), "{shown}");
}

#[test]
fn version_1_keeps_its_bytes() {
    check_fixture("token", &sample::token());
    check_fixture("conversation-direct", &sample::direct());
    check_fixture("conversation-group", &sample::group());
    check_fixture("conversation-ended", &sample::ended());
    check_fixture("member", &sample::member());
    check_fixture("entry-message", &sample::message());
    check_fixture("entry-event", &sample::event());
    check_fixture("dedup", &sample::dedup());
    check_fixture("session", &sample::session());
    check_fixture_in("v2", "session", &sample::session_under_way());
    check_fixture("subscription", &sample::subscription());
    check_readable("v1", "outgoing", &sample::outgoing());
    check_fixture_in("v2", "outgoing", &sample::outgoing_as_sent());
    check_fixture("incoming", &Incoming {});
    check_fixture("queued", &sample::queued());
    check_fixture("queued-bare", &sample::bare_queued());
    check_fixture("retained", &sample::retained());
    check_fixture("claim", &sample::claim());
    check_fixture("will", &sample::will());
    check_fixture("will-bare", &sample::bare_will());
}

#[test]
fn bytes_behind_a_postcard_value_are_refused() {
    let mut bytes = sample::member().encode();
    bytes.push(0);
    assert!(matches!(
        Member::decode(&bytes),
        Err(RecordError::Malformed {
            record: "member",
            ..
        })
    ));
}

#[test]
fn a_name_that_could_not_be_parsed_is_not_decoded_either() {
    let mut bytes = sample::account().encode();
    let at = bytes.iter().position(|byte| *byte == b'b').unwrap();
    bytes[at] = b'B';
    assert!(matches!(
        Account::decode(&bytes),
        Err(RecordError::Malformed {
            record: "account",
            ..
        })
    ));
}

#[test]
fn wire_and_payload_share_the_memory_of_the_stored_value() {
    let stored = Bytes::from(sample::message().encode());
    let entry = Entry::decode(&stored).unwrap();
    assert!(stored.as_ptr_range().contains(&entry.wire.as_ptr()));
    let stored = Bytes::from(sample::retained().encode());
    let retained = Retained::decode(&stored).unwrap();
    assert!(
        stored
            .as_ptr_range()
            .contains(&retained.message.payload.as_ptr())
    );
    assert!(
        stored
            .as_ptr_range()
            .contains(&retained.message.properties.as_ptr())
    );
}

#[test]
fn a_queued_message_with_unknown_flags_is_refused() {
    for flags in [0b11, 0b0010_0000, 0xff] {
        let mut bytes = sample::queued().encode();
        bytes[1] = flags;
        assert!(
            matches!(
                QueuedParts::decode(&bytes),
                Err(RecordError::Malformed { .. })
            ),
            "{flags:#b}"
        );
    }
}

fn name() -> impl Strategy<Value = String> {
    const FIRST: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    let pick = |from: &'static str| (0..from.len()).prop_map(move |at| from.as_bytes()[at] as char);
    const REST: &str = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    (pick(FIRST), proptest::collection::vec(pick(REST), 0..64))
        .prop_map(|(first, rest)| std::iter::once(first).chain(rest).collect())
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn millis() -> impl Strategy<Value = Millis> {
    any::<u64>().prop_map(Millis::new)
}

fn maybe_millis() -> impl Strategy<Value = Option<Millis>> {
    proptest::option::of(millis())
}

fn account() -> impl Strategy<Value = Account> {
    (
        name(),
        text(),
        any::<bool>(),
        proptest::option::of(text()),
        any::<[bool; 2]>(),
        millis(),
        text(),
        proptest::option::of(verifier()),
    )
        .prop_map(
            |(
                name,
                display,
                admin,
                password,
                [disabled, removed],
                created,
                profile_text,
                scram,
            )| {
                Account {
                    name: AccountName::parse(&name).unwrap(),
                    display,
                    role: if admin { Role::Admin } else { Role::Member },
                    password,
                    disabled,
                    created,
                    profile_text,
                    removed,
                    scram,
                }
            },
        )
}

fn verifier() -> impl Strategy<Value = ScramVerifier> {
    any::<([u8; 16], u32, [u8; 32], [u8; 32])>().prop_map(
        |(salt, iterations, stored_key, server_key)| ScramVerifier {
            salt,
            iterations,
            stored_key,
            server_key,
        },
    )
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let direct = any::<(u64, u64)>().prop_map(|(a, b)| ConversationKind::Direct {
        low: AccountId::new(a.min(b)),
        high: AccountId::new(a.max(b)),
    });
    let group =
        (name(), text(), any::<bool>()).prop_map(|(slug, title, open)| ConversationKind::Group {
            slug: GroupSlug::parse(&slug).unwrap(),
            title,
            open,
        });
    let ended = any::<u64>().prop_map(|newest| ConversationKind::Ended {
        newest: Pos::new(newest),
    });
    (prop_oneof![direct, group, ended], millis(), any::<u64>()).prop_map(|(kind, created, by)| {
        Conversation {
            kind,
            created,
            created_by: AccountId::new(by),
        }
    })
}

fn member() -> impl Strategy<Value = Member> {
    let role = prop_oneof![
        Just(MemberRole::Owner),
        Just(MemberRole::Moderator),
        Just(MemberRole::Member)
    ];
    (role, any::<[u64; 4]>(), any::<bool>()).prop_map(
        |(role, [joined, at, read, received], own)| Member {
            role,
            joined: Pos::new(joined),
            joined_at: Millis::new(at),
            read: Seq::new(read),
            received: Seq::new(received),
            own,
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    (
        any::<[u64; 3]>(),
        proptest::option::of(1..=u64::MAX),
        any::<bool>(),
        some_bytes(),
    )
        .prop_map(|([pos, from, at], seq, message, wire)| Entry {
            pos: Pos::new(pos),
            seq: seq.map(Seq::new),
            from: AccountId::new(from),
            at: Millis::new(at),
            kind: if message {
                EntryKind::Message
            } else {
                EntryKind::Event
            },
            wire,
        })
}

fn session() -> impl Strategy<Value = Session> {
    let queue = proptest::collection::vec(any::<u64>(), 0..5);
    (
        any::<[u64; 2]>(),
        queue,
        any::<u32>(),
        maybe_millis(),
        any::<u8>(),
    )
        .prop_map(
            |([number, chat], queue, expiry_secs, disconnected_at, protocol_level)| Session {
                number: SessionNumber::new(number),
                expiry_secs,
                disconnected_at,
                chat_cursor: Pos::new(chat),
                queue_cursors: queue.into_iter().map(Stamp::new).collect(),
                protocol_level,
                progress: Progress::default(),
            },
        )
}

fn session_under_way() -> impl Strategy<Value = Session> {
    let under_way = proptest::collection::vec(any::<(u64, u16)>(), 0..5);
    let queue = proptest::collection::vec(any::<u64>(), 0..5);
    (session(), under_way, queue, any::<[u64; 3]>(), any::<u16>()).prop_map(
        |(session, under_way, queue, [sent, doubtful, chat], next_packet_id)| Session {
            progress: Progress {
                under_way: (under_way.into_iter())
                    .map(|(key, packet_id)| (Stamp::new(key), packet_id))
                    .collect(),
                queue_sent: queue.into_iter().map(Stamp::new).collect(),
                chat_sent: Pos::new(sent),
                next_packet_id,
                queue_doubtful: Stamp::new(doubtful),
                chat_doubtful: Pos::new(chat),
            },
            ..session
        },
    )
}

fn queued() -> impl Strategy<Value = QueuedMessage> {
    let flags = (proptest::option::of(any::<u64>()), 0..=2_u8, any::<bool>());
    (
        flags,
        text(),
        some_bytes(),
        some_bytes(),
        maybe_millis(),
        millis(),
    )
        .prop_map(
            |((publisher, qos, retain), topic, payload, properties, expires_at, at)| {
                QueuedMessage {
                    publisher: publisher.map(SessionNumber::new),
                    topic: topic.into(),
                    payload,
                    qos,
                    retain,
                    properties,
                    expires_at,
                    at,
                }
            },
        )
}

fn comes_back<T: Record>(value: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(T::from_bytes(&value.to_bytes().into()), Ok(value));
    Ok(())
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(
        account in account(),
        (label, expires) in (text(), maybe_millis()),
        conversation in conversation(),
        member in member(),
        entry in entry(),
        numbers in any::<[u64; 4]>(),
        session in session(),
        under_way in session_under_way(),
        (options, identifier) in any::<(u8, Option<u32>)>(),
        (packet_id, state) in (any::<u16>(), 0..3),
        queued in queued(),
    ) {
        let [a, b, c, d] = numbers;
        comes_back(account)?;
        comes_back(Token { account: AccountId::new(a), label, created: Millis::new(b), expires })?;
        comes_back(conversation)?;
        comes_back(member)?;
        comes_back(entry)?;
        comes_back(Dedup {
            conversation: ConversationId::new(a),
            seq: Seq::new(b),
            pos: Pos::new(c),
            at: Millis::new(d),
        })?;
        comes_back(session)?;
        comes_back(under_way)?;
        comes_back(Subscription { options, identifier, since: Stamp::new(a) })?;
        let state = match state {
            0 => OutgoingState::Sent,
            1 => OutgoingState::Released,
            _ => OutgoingState::Done,
        };
        let identifiers = identifier.map(|identifier| [identifier, 1].into());
        comes_back(Outgoing { packet_id, state, retain: packet_id % 2 == 0, identifiers })?;
        let stored = queued.encode();
        prop_assert_eq!(QueuedParts::decode(&stored), Ok(queued.parts()));
        comes_back(queued.clone())?;
        comes_back(Retained { stamp: Stamp::new(a), message: queued.clone() })?;
        comes_back(Will { delay_secs: packet_id.into(), expiry_secs: identifier, message: queued.clone() })?;
        comes_back(Claim { message: Stamp::new(a), group: queued.topic })?;
    }

    #[test]
    fn any_bytes_decode_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), known in any::<bool>()) {
        if known && !bytes.is_empty() {
            bytes[0] = 1;
        }
        let bytes = Bytes::from(bytes);
        decode_and_encode::<Account>(&bytes)?;
        decode_and_encode::<Token>(&bytes)?;
        decode_and_encode::<Conversation>(&bytes)?;
        decode_and_encode::<Member>(&bytes)?;
        decode_and_encode::<Entry>(&bytes)?;
        decode_and_encode::<Dedup>(&bytes)?;
        decode_and_encode::<Session>(&bytes)?;
        decode_and_encode::<Subscription>(&bytes)?;
        decode_and_encode::<Outgoing>(&bytes)?;
        decode_and_encode::<Incoming>(&bytes)?;
        decode_and_encode::<QueuedMessage>(&bytes)?;
        decode_and_encode::<Retained>(&bytes)?;
        decode_and_encode::<Claim>(&bytes)?;
        decode_and_encode::<Will>(&bytes)?;
    }
}

/// Whatever decodes is a value that survives being written.
fn decode_and_encode<T: Record>(bytes: &Bytes) -> Result<(), TestCaseError> {
    match T::from_bytes(bytes) {
        Ok(value) => comes_back(value),
        Err(_) => Ok(()),
    }
}
