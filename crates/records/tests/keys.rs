//! Keys come apart into what they were built from, and sort as their parts do.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use records::key::{self, KeyRange, TEXT_BYTES_MAX};
use records::{
    AccountId, AddressKey, ConversationId, KeyError, Millis, PartitionId, Pos, Seq, SessionNumber,
    Stamp, Table,
};

fn holds(range: &KeyRange, key: &[u8]) -> bool {
    range.from.as_slice() <= key && key < range.to.as_slice()
}

/// The bytes on disk; a change here is a new format of the whole data directory.
#[test]
fn keys_keep_their_bytes() {
    let two = AccountId::new(2);
    let cases: [(Vec<u8>, &[u8]); 21] = [
        (key::meta("format"), b"\x01format"),
        (key::account(two), b"\x10\0\0\0\0\0\0\0\x02"),
        (key::token(&[7; 32]), &[&[0x11][..], &[7; 32]].concat()),
        (
            key::conversation(ConversationId::new(3)),
            b"\x20\0\0\0\0\0\0\0\x03",
        ),
        (
            key::member(ConversationId::new(3), two),
            b"\x21\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02",
        ),
        (
            key::entry(ConversationId::new(3), Seq::new(4), Pos::new(258)),
            b"\x22\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\x01\x02",
        ),
        (
            key::dedup(2919, ConversationId::new(3), two, "k3"),
            b"\x24\0\0\x0b\x67\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02k3",
        ),
        (key::group_address("eng"), b"\x25\x02eng"),
        (
            key::joined(two, ConversationId::new(3)),
            b"\x26\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
        ),
        (key::usage(two), b"\x27\0\0\0\0\0\0\0\x02"),
        (key::session(two, "phone"), b"\x30\0\0\0\0\0\0\0\x02phone"),
        (
            key::subscription(SessionNumber::new(9), "im/#"),
            b"\x31\0\0\0\0\0\0\0\x09im/#",
        ),
        (
            key::outgoing(SessionNumber::new(9), Stamp::new(5)),
            b"\x32\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x05",
        ),
        (
            key::incoming(SessionNumber::new(9), 513),
            b"\x33\0\0\0\0\0\0\0\x09\x02\x01",
        ),
        (key::will(two, "phone"), b"\x34\0\0\0\0\0\0\0\x02phone"),
        (
            key::sent(SessionNumber::new(9), 513),
            b"\x35\0\0\0\0\0\0\0\x09\x02\x01",
        ),
        (key::sent_will(two, "phone"), b"\x36\0\0\0\0\0\0\0\x02phone"),
        (key::queue(Stamp::new(5)), b"\x40\0\0\0\0\0\0\0\x05"),
        (key::retained("a/b"), b"\x41a/b"),
        (key::claim(Stamp::new(5)), b"\x42\0\0\0\0\0\0\0\x05"),
        (
            key::audit(Millis::new(258), 3),
            b"\x50\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03",
        ),
    ];
    for ((key, bytes), table) in cases.into_iter().zip(Table::ALL) {
        assert_eq!(key, bytes);
        assert_eq!(Table::of(&key), Ok(table));
        assert!(holds(&table.range(), &key));
        for other in Table::ALL {
            assert_eq!(holds(&other.range(), &key), other == table);
        }
    }
    let pair: &[u8] = b"\x25\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01\x02";
    assert_eq!(key::pair_address(two, AccountId::new(258)), pair);
    assert_eq!(key::pair_address(AccountId::new(258), two), pair);
    assert_eq!(key::encode_number(258), b"\0\0\0\0\0\0\x01\x02");
}

#[test]
fn a_key_of_another_table_or_shape_is_refused() {
    let account = key::account(AccountId::new(1));
    assert_eq!(
        key::parse_conversation(&account),
        Err(KeyError::OtherTable {
            expected: Table::Conversation,
            found: Table::Account
        })
    );
    let malformed = |bytes| {
        Err(KeyError::Malformed {
            table: Table::Account,
            bytes,
        })
    };
    assert_eq!(key::parse_account(&account[..8]), malformed(8));
    assert_eq!(
        key::parse_account(&[&account[..], &[0]].concat()),
        malformed(10)
    );
    assert_eq!(key::parse_account(&[]), Err(KeyError::Empty));
    assert_eq!(
        key::parse_account(&[0x7f]),
        Err(KeyError::Table { found: 0x7f })
    );
    assert_eq!(
        key::parse_retained(b"\x41\xff"),
        Err(KeyError::Malformed {
            table: Table::Retained,
            bytes: 2
        })
    );
    assert_eq!(
        key::decode_number(Table::Usage, &[0; 7]),
        Err(KeyError::Malformed {
            table: Table::Usage,
            bytes: 7
        })
    );
    let pair = key::pair_address(AccountId::new(1), AccountId::new(2));
    let swapped = [&pair[..2], &pair[10..], &pair[2..10]].concat();
    let unknown = [&[Table::Address as u8, 3], &pair[2..]].concat();
    let long = [&pair[..], &[0]].concat();
    for key in [&swapped, &unknown, &long, &pair[..17], &pair[..1]] {
        let malformed = KeyError::Malformed {
            table: Table::Address,
            bytes: key.len(),
        };
        assert_eq!(key::parse_address(key), Err(malformed), "{key:?}");
    }
}

#[test]
fn the_longest_text_leaves_room_for_the_ids_in_front_of_it() {
    let text = "t".repeat(TEXT_BYTES_MAX);
    let longest = key::dedup(0, ConversationId::ZERO, AccountId::ZERO, &text).len();
    assert!(longest <= usize::from(u16::MAX));
}

#[test]
fn the_last_conversation_has_a_range_too() {
    let last = key::entries(ConversationId::MAX);
    assert!(holds(
        &last,
        &key::entry(ConversationId::MAX, Seq::MAX, Pos::MAX)
    ));
    assert!(!holds(&last, &Table::Dedup.range().from));
}

#[test]
fn a_partition_has_its_conversations_and_no_others() {
    let highest = (1 << 40) - 1;
    for number in [0, 7, PartitionId::COUNT - 1] {
        let partition = PartitionId::new(number);
        let range = key::conversations(partition);
        for last in [0, 1, highest] {
            let id = ConversationId::in_partition(partition, last);
            assert!(holds(&range, &key::conversation(id)));
        }
        for other in [number.checked_sub(1), number.checked_add(1)] {
            let Some(Ok(other)) = other.map(PartitionId::try_from) else {
                continue;
            };
            for last in [0, highest] {
                let id = ConversationId::in_partition(other, last);
                assert!(!holds(&range, &key::conversation(id)));
            }
        }
        assert!(holds(&Table::Conversation.range(), &range.from));
    }
}

proptest! {
    #[test]
    fn parts_come_back(a: u64, b: u64, c: u16, week: u32, hash: [u8; 32], text: String) {
        let text = text.as_str();
        let (account, conversation, session) = (AccountId::new(a), ConversationId::new(a), SessionNumber::new(a));
        let stored = key::meta(text);
        prop_assert_eq!(key::parse_meta(&stored), Ok(text));
        prop_assert_eq!(key::parse_account(&key::account(account)), Ok(account));
        prop_assert_eq!(key::parse_token(&key::token(&hash)), Ok(hash));
        prop_assert_eq!(key::parse_conversation(&key::conversation(conversation)), Ok(conversation));
        let (member, pos, seq, stamp) = (AccountId::new(b), Pos::new(b), Seq::new(a ^ b), Stamp::new(b));
        prop_assert_eq!(key::parse_member(&key::member(conversation, member)), Ok((conversation, member)));
        prop_assert_eq!(key::parse_entry(&key::entry(conversation, seq, pos)), Ok((conversation, seq, pos)));
        let stored = key::dedup(week, conversation, member, text);
        prop_assert_eq!(key::parse_dedup(&stored), Ok((week, conversation, member, text)));
        let stored = key::group_address(text);
        prop_assert_eq!(key::parse_address(&stored), Ok(AddressKey::Slug(text)));
        let stored = key::pair_address(account, member);
        let pair = AddressKey::Pair(account.min(member), account.max(member));
        prop_assert_eq!(key::parse_address(&stored), Ok(pair));
        prop_assert_eq!(&stored, &key::pair_address(member, account));
        prop_assert_eq!(key::parse_joined(&key::joined(member, conversation)), Ok((member, conversation)));
        prop_assert_eq!(key::parse_usage(&key::usage(account)), Ok(account));
        prop_assert_eq!(key::parse_ended(&key::ended(conversation)), Ok(conversation));
        prop_assert!(holds(&key::all_ended(), &key::ended(conversation)));
        let stored = key::session(account, text);
        prop_assert_eq!(key::parse_session(&stored), Ok((account, text)));
        let stored = key::subscription(session, text);
        prop_assert_eq!(key::parse_subscription(&stored), Ok((session, text)));
        prop_assert_eq!(key::parse_outgoing(&key::outgoing(session, stamp)), Ok((session, stamp)));
        prop_assert_eq!(key::parse_incoming(&key::incoming(session, c)), Ok((session, c)));
        prop_assert_eq!(key::parse_queue(&key::queue(stamp)), Ok(stamp));
        let stored = key::retained(text);
        prop_assert_eq!(key::parse_retained(&stored), Ok(text));
        let stored = key::will(account, text);
        prop_assert_eq!(key::parse_will(&stored), Ok((account, text)));
        prop_assert_eq!(key::parse_claim(&key::claim(stamp)), Ok(stamp));
        prop_assert_eq!(key::decode_number(Table::Address, &key::encode_number(a)), Ok(a));
    }

    #[test]
    fn keys_sort_as_their_parts(a: (u64, u64, u64), b: (u64, u64, u64)) {
        let entry = |(conversation, seq, pos)| {
            key::entry(ConversationId::new(conversation), Seq::new(seq), Pos::new(pos))
        };
        prop_assert_eq!(entry(a).cmp(&entry(b)), a.cmp(&b));
        let queue = |stamp| key::queue(Stamp::new(stamp));
        prop_assert_eq!(queue(a.0).cmp(&queue(b.0)), a.0.cmp(&b.0));
    }

    #[test]
    fn a_range_holds_its_owner_and_nobody_else(owner: u64, other: u64, b: u64, week: u32, text: String) {
        prop_assume!(owner != other);
        let ids = |id| (AccountId::new(id), ConversationId::new(id), SessionNumber::new(id));
        let (account, conversation, session) = ids(owner);
        let (account2, conversation2, session2) = ids(other);
        for (range, mine, theirs) in [
            (key::members(conversation), key::member(conversation, account2), key::member(conversation2, account2)),
            (key::entries(conversation), key::entry(conversation, Seq::new(b), Pos::new(b)), key::entry(conversation2, Seq::new(b), Pos::new(b))),
            (key::joined_by(account), key::joined(account, conversation2), key::joined(account2, conversation2)),
            (key::sessions(account), key::session(account, &text), key::session(account2, &text)),
            (key::subscriptions(session), key::subscription(session, &text), key::subscription(session2, &text)),
            (key::outgoings(session), key::outgoing(session, Stamp::new(b)), key::outgoing(session2, Stamp::new(b))),
            (key::incomings(session), key::incoming(session, b as u16), key::incoming(session2, b as u16)),
        ] {
            prop_assert!(holds(&range, &mine));
            prop_assert!(!holds(&range, &theirs));
        }
        let week = week.max(1);
        prop_assert!(holds(&key::dedups_before(week), &key::dedup(week - 1, conversation, account, &text)));
        prop_assert!(!holds(&key::dedups_before(week), &key::dedup(week, conversation, account, &text)));
    }

    #[test]
    fn any_bytes_are_taken_apart_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for table in Table::ALL {
            let key = [&[table as u8], bytes.as_slice()].concat();
            let parsed = [
                key::parse_meta(&key).is_ok(),
                key::parse_account(&key).is_ok(),
                key::parse_token(&key).is_ok(),
                key::parse_conversation(&key).is_ok(),
                key::parse_member(&key).is_ok(),
                key::parse_entry(&key).is_ok(),
                key::parse_dedup(&key).is_ok(),
                key::parse_address(&key).is_ok(),
                key::parse_joined(&key).is_ok(),
                key::parse_usage(&key).is_ok(),
                key::parse_session(&key).is_ok(),
                key::parse_subscription(&key).is_ok(),
                key::parse_outgoing(&key).is_ok(),
                key::parse_incoming(&key).is_ok(),
                key::parse_queue(&key).is_ok(),
                key::parse_retained(&key).is_ok(),
                key::parse_will(&key).is_ok(),
                key::parse_claim(&key).is_ok(),
                key::parse_audit(&key).is_ok(),
            ];
            prop_assert!(parsed.iter().filter(|ok| **ok).count() <= 1);
            prop_assert!(key::parse_ended(&key).is_err());
        }
    }
}
