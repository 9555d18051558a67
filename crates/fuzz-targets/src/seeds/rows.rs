//! What stands on disk: a value of each kind, and keys.

use bytes::Bytes;
use records::{
    Account, AccountId, AccountName, Claim, Conversation, ConversationId, ConversationKind, Cursor,
    Dedup, Entry, EntryKind, GroupSlug, HistoryAccess, Incoming, Joined, Member, MemberRole,
    Millis, Outgoing, OutgoingState, Place, Pos, Progress, QueuedMessage, Retained, Role,
    ScramVerifier, Sent, Seq, Session, SessionNumber, Stamp, Stay, Subscription, Table, Terms,
    Token, Will, key,
};

/// A value of each kind, and a key of each, behind the byte that chooses its table.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (table, value) in messenger_values().into_iter().chain(broker_values()) {
        let place = Table::ALL.iter().position(|known| *known == table);
        let choice = place.expect("a table that is known") as u8;
        seeds.push([&[choice][..], &value].concat());
    }
    for key in keys() {
        seeds.push([&[0][..], &key].concat());
    }
    // A list that says it is longer than it is.
    seeds.push([&[8][..], b"\x01\x01\x01\0\0\xFF\xFF\xFF\xFF\x0F"].concat());
    seeds
}

const ACCOUNT: AccountId = AccountId::new(300);
const AT: Millis = Millis::new(1_766_000_000_123);
const STAMP: Stamp = Stamp::new(0x1234_5602);

/// Of accounts and conversations.
fn messenger_values() -> Vec<(Table, Vec<u8>)> {
    let account = Account {
        name: AccountName::parse("bob").expect("a name"),
        display: "밥".to_owned(),
        role: Role::Member,
        password: Some("$argon2id$".to_owned()),
        disabled: false,
        created: AT,
        profile_text: String::new(),
        removed: false,
        scram: Some(ScramVerifier {
            salt: [1; 16],
            iterations: 4096,
            stored_key: [2; 32],
            server_key: [3; 32],
        }),
    };
    let token = Token {
        account: ACCOUNT,
        label: "bot".to_owned(),
        created: AT,
        expires: None,
    };
    let conversation = |kind| Conversation {
        kind,
        created: AT,
        created_by: ACCOUNT,
        member_count: 2,
    };
    let direct = conversation(ConversationKind::Direct {
        low: AccountId::new(1),
        high: ACCOUNT,
    });
    let group = conversation(ConversationKind::Group {
        slug: GroupSlug::parse("eng").expect("a slug"),
        title: "개발".to_owned(),
        open: true,
        history: HistoryAccess::Joined,
        left_by: None,
    });
    let ended = conversation(ConversationKind::Ended { at: Pos::new(9) });
    let member = Member {
        role: MemberRole::Owner,
        joined: Pos::new(1),
        joined_at: AT,
        read: Seq::new(1),
        received: Seq::new(2),
        moved: Pos::new(9),
        own: true,
        stored_bytes: 0,
        shown: None,
    };
    let entry = Entry {
        pos: Pos::new(9),
        seq: Some(Seq::new(2)),
        from: ACCOUNT,
        at: AT,
        kind: EntryKind::Message,
        wire: Bytes::from_static(b"{}"),
    };
    let dedup = Dedup {
        seq: Seq::new(2),
        pos: Pos::new(9),
        at: AT,
        content: 77,
    };
    let sent = Sent {
        conversation: ConversationId::new(3),
        message: dedup,
    };
    let joined = Joined {
        place: Place::Direct { peer: ACCOUNT },
        since: Some(Pos::new(1)),
        own: true,
        abandoned: false,
        stays: vec![Stay {
            since: Pos::new(1),
            until: Pos::new(2),
            seq: Seq::ZERO,
        }],
    };
    vec![
        (Table::Account, account.encode()),
        (Table::Token, token.encode()),
        (Table::Conversation, direct.encode()),
        (Table::Conversation, group.encode()),
        (Table::Conversation, ended.encode()),
        (Table::Member, member.encode()),
        (Table::Entry, entry.encode()),
        (Table::Joined, joined.encode()),
        (Table::Address, key::encode_number(3)),
        (Table::Usage, key::encode_number(9)),
        (Table::Sent, sent.encode()),
        (Table::Dedup, dedup.encode()),
    ]
}

/// Of sessions and ordinary messages.
fn broker_values() -> Vec<(Table, Vec<u8>)> {
    let session = Session {
        number: SessionNumber::new(7),
        expiry_secs: 60,
        disconnected_at: Some(AT),
        chat_cursor: Cursor::at(Pos::new(9)),
        queue_cursors: vec![STAMP, Stamp::new(3)],
        protocol_level: 5,
        progress: Progress {
            under_way: vec![(STAMP, 1)],
            next_packet_id: 2,
            ..Progress::default()
        },
    };
    let subscription = Subscription {
        options: 2,
        identifier: Some(1),
        since: STAMP,
        ..Subscription::default()
    };
    let given_up = Subscription {
        until: vec![STAMP],
        former: vec![Terms {
            options: 1,
            identifier: None,
            since: Stamp::new(3),
            until: vec![STAMP],
        }],
        ..subscription.clone()
    };
    let outgoing = Outgoing {
        packet_id: 1,
        state: OutgoingState::Sent,
        retain: true,
        identifiers: Some([1].into()),
    };
    let message = QueuedMessage {
        publisher: Some(SessionNumber::new(7)),
        topic: "a/b".into(),
        payload: Bytes::from_static(b"payload"),
        qos: 1,
        retain: true,
        properties: Bytes::from_static(b"\x01\x01"),
        expires_at: Some(AT),
        at: AT,
    };
    let retained = Retained {
        stamp: STAMP,
        account: None,
        message: message.clone(),
    };
    let will = Will {
        delay_secs: 5,
        expiry_secs: Some(60),
        message: message.clone(),
    };
    let claim = Claim {
        message: STAMP,
        group: "$share/g/a/#".into(),
    };
    vec![
        (Table::Session, session.encode()),
        (Table::Subscription, subscription.encode()),
        (Table::Subscription, given_up.encode()),
        (Table::Outgoing, outgoing.encode()),
        (
            Table::Incoming,
            Incoming {
                to_conversation: true,
            }
            .encode(),
        ),
        (Table::Will, will.encode()),
        (Table::Queue, message.encode()),
        (Table::Retained, retained.encode()),
        (Table::Claim, claim.encode()),
    ]
}

fn keys() -> Vec<Vec<u8>> {
    let (account, conversation) = (AccountId::new(300), ConversationId::new(3));
    let (number, stamp) = (SessionNumber::new(7), Stamp::new(0x1234_5602));
    vec![
        key::meta(key::META_FORMAT),
        key::account(account),
        key::token(&[7; 32]),
        key::conversation(conversation),
        key::member(conversation, account),
        key::entry(conversation, Seq::new(2), Pos::new(9)),
        key::dedup(2919, conversation, account, "k3"),
        key::pair_address(account, account),
        key::group_address("eng"),
        key::joined(account, conversation),
        key::usage(account),
        key::sent(number, 513),
        key::sent_will(account, "phone"),
        key::session(account, "phone"),
        key::subscription(number, "im/#"),
        key::outgoing(number, stamp),
        key::incoming(number, 513),
        key::will(account, "phone"),
        key::queue(stamp),
        key::retained("a/b"),
        key::claim(stamp),
    ]
}
