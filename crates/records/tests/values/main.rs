//! Every value goes to bytes and back, any bytes decode without a panic, and what stands on disk keeps its bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod random;
mod sample;

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use records::{
    Account, AccountId, AuditRow, Claim, Conversation, Dedup, Entry, Incoming, Joined, Member,
    Millis, Outgoing, OutgoingState, Pos, QueuedMessage, QueuedParts, RecordError, Retained, Sent,
    Seq, Session, Stamp, Subscription, Terms, Token, Will,
};

use random::{
    account, conversation, entry, joined, maybe_millis, member, queued, session, session_under_way,
    text,
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
record!(Account AuditRow Token Conversation Member Joined Entry Dedup Sent Session Subscription Outgoing Incoming QueuedMessage Retained Claim Will);

/// What is written is byte for byte what stands in the fixture, and the fixture decodes to the value. Since the first release
/// files that stand there are never edited: a changed layout needs a version of its own and a new fixture.
#[allow(clippy::disallowed_methods, reason = "a test reads its fixtures")]
fn check_fixture<T: Record>(name: &str, value: &T) {
    let path = format!(
        "{}/tests/fixtures/format-2/{name}.hex",
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
    assert_eq!(hex(&value.to_bytes()), hex(&fixture), "{name}");
    check_damage::<T>(&fixture);
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
fn values_keep_their_bytes() {
    check_fixture("account", &sample::account());
    check_fixture("account-verifier", &sample::account_with_verifier());
    check_fixture("token", &sample::token());
    check_fixture("audit", &sample::audit());
    check_fixture("conversation-direct", &sample::direct());
    check_fixture("conversation-group", &sample::group());
    check_fixture("conversation-abandoned", &sample::abandoned_group());
    check_fixture("conversation-ended", &sample::ended());
    check_fixture("member", &sample::member());
    check_fixture("member-private", &sample::private_member());
    check_fixture("joined-direct", &sample::joined_direct());
    check_fixture("joined-group", &sample::joined_group());
    check_fixture("entry-message", &sample::message());
    check_fixture("entry-event", &sample::event());
    check_fixture("dedup", &sample::dedup());
    check_fixture("session", &sample::session());
    check_fixture("session-ahead", &sample::session_ahead());
    check_fixture("session-under-way", &sample::session_under_way());
    check_fixture("subscription", &sample::subscription());
    check_fixture("subscription-given-up", &sample::subscription_given_up());
    check_fixture("outgoing", &sample::outgoing());
    check_fixture("outgoing-as-sent", &sample::outgoing_as_sent());
    check_fixture(
        "incoming",
        &Incoming {
            to_conversation: false,
        },
    );
    check_fixture(
        "incoming-of-conversation",
        &Incoming {
            to_conversation: true,
        },
    );
    check_fixture(
        "sent",
        &Sent {
            conversation: records::ConversationId::new(7),
            message: sample::dedup(),
        },
    );
    check_fixture("queued", &sample::queued());
    check_fixture("queued-bare", &sample::bare_queued());
    check_fixture("retained", &sample::retained());
    check_fixture("retained-of-account", &sample::retained_of_account());
    check_fixture("claim", &sample::claim());
    check_fixture("will", &sample::will());
    check_fixture("will-bare", &sample::bare_will());
}

#[test]
fn a_verifier_is_not_shown() {
    let shown = format!("{:?}", sample::account_with_verifier());
    assert!(!shown.contains("165") && shown.contains("10000"), "{shown}");
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
        (member, joined) in (member(), joined()),
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
        comes_back(joined)?;
        comes_back(entry)?;
        comes_back(Dedup {
            seq: Seq::new(a),
            pos: Pos::new(b),
            at: Millis::new(c),
            content: d,
        })?;
        comes_back(session)?;
        comes_back(under_way)?;
        let since = Stamp::new(a);
        let until: Vec<Stamp> = numbers[..usize::from(options) % 4].iter().copied().map(Stamp::new).collect();
        let terms = Terms { options, identifier, since, until: until.clone() };
        let former = vec![terms; usize::from(packet_id) % 3];
        comes_back(Subscription { options, identifier, since, until, former })?;
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
        comes_back(Retained { stamp: Stamp::new(a), account: None, message: queued.clone() })?;
        comes_back(Retained { stamp: Stamp::new(a), account: Some(AccountId::new(b)), message: queued.clone() })?;
        comes_back(Will { delay_secs: packet_id.into(), expiry_secs: identifier, message: queued.clone() })?;
        comes_back(Claim { message: Stamp::new(a), group: queued.topic })?;
    }

    #[test]
    fn any_bytes_decode_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), known in any::<bool>()) {
        if known && !bytes.is_empty() {
            bytes[0] = 1 + bytes[0] % 2;
        }
        let bytes = Bytes::from(bytes);
        decode_and_encode::<Account>(&bytes)?;
        decode_and_encode::<Token>(&bytes)?;
        decode_and_encode::<AuditRow>(&bytes)?;
        decode_and_encode::<Conversation>(&bytes)?;
        decode_and_encode::<Member>(&bytes)?;
        decode_and_encode::<Joined>(&bytes)?;
        decode_and_encode::<Entry>(&bytes)?;
        decode_and_encode::<Dedup>(&bytes)?;
        decode_and_encode::<Session>(&bytes)?;
        decode_and_encode::<Subscription>(&bytes)?;
        decode_and_encode::<Outgoing>(&bytes)?;
        decode_and_encode::<Incoming>(&bytes)?;
        decode_and_encode::<Sent>(&bytes)?;
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
