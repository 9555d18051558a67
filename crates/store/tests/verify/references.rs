//! Rows that name what is not there, or not as they say.

use records::key;
use records::{
    AccountId, ConversationId, ConversationKind, Entry, KeyRange, Millis, Pos, Seq, SessionNumber,
    Stamp, Write,
};
use store::{Batch, Store, Verification};

use crate::rows::{
    ALICE, BOB, CAROL, MESSAGES, account, at_group, at_peer, conversation, direct, event, fill,
    group, joined, leads_to, member, message, mid_of, of_group, place_of, pos, put,
};
use crate::{commit, open, running};

/// What is told of a store in which some rows were changed.
fn told_after(writes: Vec<Write>) -> (Vec<String>, Verification) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store);
    commit(&store, writes);
    running(&store)
}

/// What is told of it alone.
fn check(writes: Vec<Write>, expected: &[&str]) {
    let (found, outcome) = told_after(writes);
    for expected in expected {
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{expected}: {found:?}"
        );
    }
    assert_eq!(
        (found.len(), outcome.leftovers),
        (expected.len(), 0),
        "{found:?}"
    );
}

fn delete(key: Vec<u8>) -> Write {
    Write::Delete { key }
}

#[test]
fn rows_that_name_what_is_not_there_are_found() {
    let cases: Vec<(Write, &str)> = vec![
        (delete(key::account(ALICE)), "its account does not exist"),
        (
            delete(key::conversation(group())),
            "its conversation does not exist",
        ),
        (
            put(key::account(BOB), account("alice")),
            "account 2: another account has the same name",
        ),
        (
            put(key::account(BOB), vec![9, 9]),
            "account 2: it cannot be read",
        ),
        (
            put(key::usage(AccountId::new(9)), key::encode_number(1)),
            "usage of account 9: its account does not exist",
        ),
        (put(key::usage(BOB), vec![1]), "it cannot be read"),
        (
            put(
                key::incoming(SessionNumber::new(5), 1),
                records::Incoming {
                    to_conversation: false,
                }
                .encode(),
            ),
            "its session does not exist",
        ),
        (
            put(key::queue(Stamp::new(4)), vec![1]),
            "queued message 4: it cannot be read",
        ),
        (
            put(key::audit(Millis::ZERO, 2), vec![1]),
            "it cannot be read",
        ),
        (
            put(key::positions(records::PartitionId::new(7)), vec![1]),
            "it is no number of eight bytes",
        ),
    ];
    for (write, expected) in cases {
        let (found, _) = told_after(vec![write]);
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{expected}: {found:?}"
        );
        assert!(found.len() <= 120, "{} are told", found.len());
    }
}

#[test]
fn rows_of_another_format_are_not_judged() {
    let broken = put(key::account(BOB), vec![9, 9]);
    for format in [1_u32, 3] {
        let other = put(key::meta("format"), format.to_be_bytes().to_vec());
        check(
            vec![broken.clone(), other],
            &["this release does not read this format"],
        );
    }
}

#[test]
fn numbers_follow_one_another_and_positions_rise() {
    let (direct, group) = (direct(), group());
    let entry_at = |conversation, number: u64| {
        let (_, seq) = place_of(number);
        delete(key::entry(
            conversation,
            Seq::new(seq),
            pos(conversation, 2 * number),
        ))
    };
    let last = MESSAGES / 3;
    let after = 2 * MESSAGES + 2;
    // One in the middle: its successor and its mid say so.
    check(
        vec![entry_at(direct, 9)],
        &[
            &format!(
                "entry {} of conversation {direct}: messages before it are missing: the newest before it has the number 2",
                pos(direct, 24)
            ),
            "mid \"mid-9\" of account 1 in conversation",
        ],
    );
    // The newest: only its mid does.
    check(
        vec![entry_at(direct, MESSAGES)],
        &["its message is missing"],
    );
    // The first one.
    check(
        vec![entry_at(group, 1)],
        &[
            "messages before it are missing",
            "\"mid-1\" of account 1 in",
        ],
    );
    check(
        vec![message(direct, last, after)],
        &["another message has the same number"],
    );
    check(
        vec![message(direct, last + 2, after)],
        &["messages before it are missing"],
    );
    check(
        vec![event(direct, last + 1, after)],
        &["messages before it are missing"],
    );
    check(
        vec![message(direct, last + 1, 2)],
        &["its position is not behind that of the entry before"],
    );
    check(vec![event(direct, last, after)], &[]);
    check(vec![message(direct, last + 1, after)], &[]);
    let moved = |key: Vec<u8>| {
        let Write::Put { value, .. } = message(direct, last + 1, after) else {
            unreachable!("it is one");
        };
        put(key, value)
    };
    check(
        vec![moved(key::entry(
            direct,
            Seq::new(last + 1),
            pos(direct, after + 1),
        ))],
        &["it says another position than its key"],
    );
    check(
        vec![moved(key::entry(
            direct,
            Seq::new(last + 2),
            pos(direct, after),
        ))],
        &["it says another number than its key"],
    );
    check(
        vec![message(ConversationId::new(5), 1, 1)],
        &["its conversation does not exist"],
    );
    let stray = Pos::new(pos(direct, after).value() + 1);
    let mut entry = Entry::decode(&match message(direct, last + 1, after) {
        Write::Put { value, .. } => value.into(),
        Write::Delete { .. } => unreachable!("it is none"),
    })
    .unwrap();
    entry.pos = stray;
    check(
        vec![put(
            key::entry(direct, Seq::new(last + 1), stray),
            entry.encode(),
        )],
        &["its position is of another partition"],
    );
    check(
        vec![mid_of(direct, "lost", 3, 7)],
        &["its message is missing"],
    );
    check(
        vec![mid_of(ConversationId::new(5), "lost", 3, 7)],
        &["its conversation does not exist"],
    );
}

#[test]
fn an_address_leads_to_its_conversation_and_back() {
    let (direct, group) = (direct(), group());
    check(
        vec![delete(key::group_address("eng"))],
        &[&format!(
            "conversation {group}: its address does not lead to it"
        )],
    );
    check(
        vec![delete(key::pair_address(ALICE, BOB))],
        &[&format!(
            "conversation {direct}: its address does not lead to it"
        )],
    );
    check(
        vec![put(key::group_address("eng"), leads_to(direct))],
        &[
            "address \"eng\": its conversation has another address",
            "its address does not lead to it",
        ],
    );
    check(
        vec![put(key::pair_address(ALICE, CAROL), leads_to(direct))],
        &["address of accounts 1 and 3: its conversation has another address"],
    );
    check(
        vec![put(
            key::group_address("none"),
            leads_to(ConversationId::new(5)),
        )],
        &["address \"none\": its conversation does not exist"],
    );
    let other = ConversationId::new(group.value() + 1);
    check(
        vec![
            put(key::conversation(other), conversation(of_group("eng"), 0)),
            put(key::group_address("eng"), leads_to(other)),
        ],
        &[
            "another group has the same address",
            "address \"eng\": its conversation has another address",
            "its address does not lead to it",
            "its address does not lead to it",
        ],
    );
    let stray = ConversationId::new(group.value() + (1 << 40));
    check(
        vec![
            put(key::conversation(stray), conversation(of_group("ops"), 0)),
            put(key::group_address("ops"), leads_to(stray)),
        ],
        &["it is in another partition than its address"],
    );
    check(
        vec![put(
            key::conversation(ConversationId::MAX),
            conversation(ConversationKind::Ended { at: Pos::ZERO }, 0),
        )],
        &["it is in no partition"],
    );
}

#[test]
fn a_member_is_in_its_accounts_list_and_the_other_way_round() {
    let (direct, group) = (direct(), group());
    let one_less = |kind| conversation(kind, 1);
    check(
        vec![delete(key::member(direct, BOB))],
        &[
            "one of its two members is missing",
            &format!("conversation {direct} of account 2: its member is missing"),
        ],
    );
    check(
        vec![
            delete(key::member(group, CAROL)),
            put(key::conversation(group), one_less(of_group("eng"))),
        ],
        &[&format!(
            "conversation {group} of account 3: its member is missing"
        )],
    );
    check(
        vec![put(key::conversation(group), one_less(of_group("eng")))],
        &["it says another number of members than it has"],
    );
    check(
        vec![delete(key::joined(CAROL, group))],
        &[&format!(
            "member 3 of conversation {group}: it is not among its account's conversations"
        )],
    );
    check(
        vec![put(
            key::joined(CAROL, group),
            joined(at_group("eng"), None),
        )],
        &["its account's conversations say that it has left"],
    );
    check(
        vec![put(
            key::joined(CAROL, group),
            joined(at_group("eng"), Some(pos(group, 5))),
        )],
        &["its account's conversations say that it joined at another entry"],
    );
    check(
        vec![put(
            key::joined(CAROL, group),
            joined(at_group("left"), Some(pos(group, 3))),
        )],
        &[&format!(
            "conversation {group} of account 3: its conversation has another address"
        )],
    );
    check(
        vec![put(
            key::joined(ALICE, direct),
            joined(at_peer(CAROL), Some(pos(direct, 0))),
        )],
        &["its conversation has another address"],
    );
    check(
        vec![put(
            key::joined(CAROL, ConversationId::new(5)),
            joined(at_peer(BOB), None),
        )],
        &["its conversation does not exist"],
    );
    check(
        vec![put(key::member(direct, CAROL), member(pos(direct, 0)))],
        &[
            "it is in a direct chat of two others",
            "it is not among its account's conversations",
            "it says another number of members than it has",
        ],
    );
}

#[test]
fn what_a_conversation_leaves_behind_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store);
    let group = group();
    let ended = ConversationKind::Ended {
        at: pos(group, 2 * MESSAGES + 2),
    };
    commit(
        &store,
        vec![put(key::conversation(group), conversation(ended, 0))],
    );
    let (found, outcome) = running(&store);
    assert_eq!(found, Vec::<String>::new());
    let messages = MESSAGES / 3 * 2;
    // Its entries with two events, their mids, two members, two lists' rows and the address.
    assert_eq!(outcome.leftovers, 2 * messages + 2 + 2 + 2 + 1);
    store
        .commit(Batch {
            deleted_ranges: vec![
                key::entries(group),
                key::members(group),
                KeyRange {
                    from: key::dedup(1, group, AccountId::ZERO, ""),
                    to: key::dedup(
                        1,
                        ConversationId::new(group.value() + 1),
                        AccountId::ZERO,
                        "",
                    ),
                },
            ],
            writes: vec![
                delete(key::group_address("eng")),
                put(key::joined(ALICE, group), joined(at_group("eng"), None)),
                delete(key::joined(CAROL, group)),
            ],
            ..Batch::default()
        })
        .unwrap();
    let (found, outcome) = running(&store);
    assert_eq!((found, outcome.leftovers), (Vec::new(), 0));
}
