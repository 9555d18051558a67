//! A row in words, for whoever has to be told that one is damaged: which table, and whose. Must not show what people wrote.

use std::fmt::Write;

use crate::key::{self, AddressKey, Table};

/// Bytes shown of a key that is none, or that holds a secret's sum.
const SHOWN_BYTES_MAX: usize = 24;

/// What stands under a key: `entry 9f2 of conversation 3`.
pub fn describe(key: &[u8]) -> String {
    let told = Table::of(key).and_then(|table| match table {
        Table::Meta => key::parse_meta(key).map(|name| format!("fact {name:?}")),
        Table::Account => key::parse_account(key).map(|id| format!("account {id}")),
        Table::Token => key::parse_token(key).map(|sha256| format!("token {}", hex(&sha256))),
        Table::Conversation => key::parse_conversation(key).map(|id| format!("conversation {id}")),
        Table::Member => key::parse_member(key).map(|(conversation, account)| {
            format!("member {account} of conversation {conversation}")
        }),
        Table::Entry => key::parse_entry(key)
            .map(|(conversation, _, pos)| format!("entry {pos} of conversation {conversation}")),
        Table::Dedup => key::parse_dedup(key).map(|(week, conversation, account, mid)| {
            format!("mid {mid:?} of account {account} in conversation {conversation}, week {week}")
        }),
        Table::Address => key::parse_address(key).map(|address| match address {
            AddressKey::Pair(low, high) => format!("address of accounts {low} and {high}"),
            AddressKey::Slug(slug) => format!("address {slug:?}"),
        }),
        Table::Joined => key::parse_joined(key).map(|(account, conversation)| {
            format!("conversation {conversation} of account {account}")
        }),
        Table::Usage => key::parse_usage(key).map(|account| format!("usage of account {account}")),
        Table::Session => key::parse_session(key)
            .map(|(account, client)| format!("session {client:?} of account {account}")),
        Table::Subscription => key::parse_subscription(key)
            .map(|(session, filter)| format!("subscription {filter:?} of session {session}")),
        Table::Outgoing => key::parse_outgoing(key)
            .map(|(session, stamp)| format!("delivery {stamp} of session {session}")),
        Table::Incoming => key::parse_incoming(key)
            .map(|(session, packet_id)| format!("receipt {packet_id} of session {session}")),
        Table::Will => key::parse_will(key)
            .map(|(account, client)| format!("will of {client:?} of account {account}")),
        Table::Sent => key::parse_sent(key)
            .map(|(session, packet_id)| format!("message {packet_id} of session {session}")),
        Table::SentWill => key::parse_sent_will(key)
            .map(|(account, client)| format!("sent will of {client:?} of account {account}")),
        Table::Queue => key::parse_queue(key).map(|stamp| format!("queued message {stamp}")),
        Table::Retained => {
            key::parse_retained(key).map(|topic| format!("retained message of {topic:?}"))
        }
        Table::Claim => key::parse_claim(key).map(|claim| format!("claim {claim}")),
        Table::Audit => key::parse_audit(key)
            .map(|(at, number)| format!("change {number} of the moment {at} in the audit")),
    });
    told.unwrap_or_else(|_| format!("key {}", hex(key)))
}

/// The beginning of some bytes.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_BYTES_MAX) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN_BYTES_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, ConversationId, Pos, Seq, SessionNumber};

    #[test]
    fn a_row_is_told_by_its_key_and_what_is_no_key_by_its_bytes() {
        let conversation = ConversationId::new(3);
        let cases = [
            (
                key::entry(conversation, Seq::new(1), Pos::new(0x9f2)),
                "entry 9f2 of conversation 3",
            ),
            (
                key::dedup(2919, conversation, AccountId::new(2), "k3"),
                "mid \"k3\" of account 2 in conversation 3, week 2919",
            ),
            (
                key::pair_address(AccountId::new(7), AccountId::new(2)),
                "address of accounts 2 and 7",
            ),
            (key::group_address("eng"), "address \"eng\""),
            (
                key::joined(AccountId::new(2), conversation),
                "conversation 3 of account 2",
            ),
            (key::usage(AccountId::new(2)), "usage of account 2"),
            (
                key::member(conversation, AccountId::new(7)),
                "member 7 of conversation 3",
            ),
            (
                key::subscription(SessionNumber::new(5), "a/\u{7}"),
                r#"subscription "a/\u{7}" of session 5"#,
            ),
            (vec![0x10, 1], "key 1001"),
            (vec![0xFF; 3], "key ffffff"),
            (Vec::new(), "key "),
        ];
        for (key, expected) in cases {
            assert_eq!(describe(&key), expected);
        }
        let long = describe(&[0x10; 100]);
        assert_eq!(long, format!("key {}…", "10".repeat(24)));
    }
}
