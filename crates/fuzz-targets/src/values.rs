//! Target `records`: any bytes as a key and as a value of each table. What cannot be one is an error and costs little; what
//! can be comes back when it is written again.

use std::fmt::Debug;

use bytes::Bytes;
use records::{
    Account, AddressKey, AuditRow, Claim, Conversation, Dedup, Entry, Incoming, Joined, Member,
    Outgoing, QueuedMessage, QueuedParts, RecordError, Retained, Sent, Session, Subscription,
    Table, Token, Will, key,
};

use crate::allocations::most_held;

/// Serde takes a list's word for how long it is up to a mebibyte; what is read here is copied a few times.
const MEMORY_MAX: usize = 3 * 1024 * 1024;

/// The first byte chooses the table whose value the rest may be; it may be a key, too.
pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let table = Table::ALL[usize::from(*choice) % Table::ALL.len()];
    let value = Bytes::copy_from_slice(rest);
    let ((), memory) = most_held(|| {
        check_value(table, &value);
        check_key(rest);
    });
    assert!(memory <= MEMORY_MAX + 16 * rest.len(), "{memory} bytes");
}

/// A kind of value, however its decoder borrows.
fn check<T: PartialEq + Debug>(
    value: &Bytes,
    decode: impl Fn(&Bytes) -> Result<T, RecordError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    match decode(value) {
        Ok(record) => {
            let written = Bytes::from(encode(&record));
            let again = decode(&written);
            assert_eq!(again.as_ref(), Ok(&record), "{value:02x?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_value(table: Table, value: &Bytes) {
    match table {
        // Four bytes, or a secret: whoever asks for them compares lengths.
        Table::Meta => {}
        Table::Account => check(value, |bytes| Account::decode(bytes), Account::encode),
        Table::Audit => check(value, |bytes| AuditRow::decode(bytes), AuditRow::encode),
        Table::Token => check(value, |bytes| Token::decode(bytes), Token::encode),
        Table::Conversation => check(
            value,
            |bytes| Conversation::decode(bytes),
            Conversation::encode,
        ),
        Table::Member => check(value, |bytes| Member::decode(bytes), Member::encode),
        Table::Entry => check(value, Entry::decode, Entry::encode),
        Table::Address | Table::Usage => {
            if let Ok(number) = key::decode_number(table, value) {
                assert_eq!(key::encode_number(number), value[..]);
            }
        }
        Table::Joined => check(value, |bytes| Joined::decode(bytes), Joined::encode),
        Table::Sent | Table::SentWill => check(value, |bytes| Sent::decode(bytes), Sent::encode),
        Table::Dedup => check(value, |bytes| Dedup::decode(bytes), Dedup::encode),
        Table::Session => check(value, |bytes| Session::decode(bytes), Session::encode),
        Table::Subscription => check(
            value,
            |bytes| Subscription::decode(bytes),
            Subscription::encode,
        ),
        Table::Outgoing => check(value, |bytes| Outgoing::decode(bytes), Outgoing::encode),
        Table::Incoming => check(value, |bytes| Incoming::decode(bytes), Incoming::encode),
        Table::Will => check(value, Will::decode, Will::encode),
        Table::Queue => {
            check(value, QueuedMessage::decode, QueuedMessage::encode);
            // What is borrowed says the same as what is owned.
            let (parts, message) = (QueuedParts::decode(value), QueuedMessage::decode(value));
            assert_eq!(
                parts,
                message
                    .as_ref()
                    .map(QueuedMessage::parts)
                    .map_err(Clone::clone)
            );
        }
        Table::Retained => check(value, Retained::decode, Retained::encode),
        Table::Claim => check(value, |bytes| Claim::decode(bytes), Claim::encode),
    }
}

/// A key has one form only: its parts make the same bytes again.
fn check_key(bytes: &[u8]) {
    let rebuilt = Table::of(bytes).and_then(|table| match table {
        Table::Meta => key::parse_meta(bytes).map(key::meta),
        Table::Account => key::parse_account(bytes).map(key::account),
        Table::Token => key::parse_token(bytes).map(|sha256| key::token(&sha256)),
        Table::Conversation => key::parse_conversation(bytes).map(key::conversation),
        Table::Member => key::parse_member(bytes)
            .map(|(conversation, account)| key::member(conversation, account)),
        Table::Entry => key::parse_entry(bytes)
            .map(|(conversation, seq, pos)| key::entry(conversation, seq, pos)),
        Table::Dedup => key::parse_dedup(bytes)
            .map(|(week, conversation, account, mid)| key::dedup(week, conversation, account, mid)),
        Table::Address => key::parse_address(bytes).map(|address| match address {
            AddressKey::Pair(low, high) => key::pair_address(low, high),
            AddressKey::Slug(slug) => key::group_address(slug),
        }),
        Table::Joined => key::parse_joined(bytes)
            .map(|(account, conversation)| key::joined(account, conversation)),
        Table::Usage => key::parse_usage(bytes).map(key::usage),
        Table::Sent => {
            key::parse_sent(bytes).map(|(session, packet_id)| key::sent(session, packet_id))
        }
        Table::SentWill => key::parse_sent_will(bytes)
            .map(|(account, client_id)| key::sent_will(account, client_id)),
        Table::Session => {
            key::parse_session(bytes).map(|(account, client_id)| key::session(account, client_id))
        }
        Table::Subscription => key::parse_subscription(bytes)
            .map(|(session, filter)| key::subscription(session, filter)),
        Table::Outgoing => {
            key::parse_outgoing(bytes).map(|(session, stamp)| key::outgoing(session, stamp))
        }
        Table::Incoming => {
            key::parse_incoming(bytes).map(|(session, packet_id)| key::incoming(session, packet_id))
        }
        Table::Will => {
            key::parse_will(bytes).map(|(account, client_id)| key::will(account, client_id))
        }
        Table::Queue => key::parse_queue(bytes).map(key::queue),
        Table::Retained => key::parse_retained(bytes).map(key::retained),
        Table::Claim => key::parse_claim(bytes).map(key::claim),
        Table::Audit => key::parse_audit(bytes).map(|(at, number)| key::audit(at, number)),
    });
    match rebuilt {
        Ok(rebuilt) => assert_eq!(rebuilt, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
