//! A small server's rows.

use records::key;
use records::{
    Account, AccountId, AccountName, AuditRow, Conversation, ConversationId, ConversationKind,
    Dedup, Entry, EntryKind, GroupSlug, HistoryAccess, Joined, Member, MemberRole, Millis,
    PartitionId, Place, Pos, Role, Seq, Session, SessionNumber, Stamp, Subscription, Token, Write,
};
use store::EmbeddedStore;

use crate::commit;

/// In all conversations together.
pub(crate) const MESSAGES: u64 = 3000;

pub(crate) const ALICE: AccountId = AccountId::new(1);
pub(crate) const BOB: AccountId = AccountId::new(2);
pub(crate) const CAROL: AccountId = AccountId::new(3);

/// Of Alice and Bob.
pub(crate) fn direct() -> ConversationId {
    ConversationId::in_partition(PartitionId::of_pair(ALICE, BOB), 1)
}

/// Of Alice and Carol, who came with the third entry.
pub(crate) fn group() -> ConversationId {
    in_group("eng")
}

pub(crate) fn in_group(slug: &str) -> ConversationId {
    ConversationId::in_partition(PartitionId::of_group(slug), 1)
}

/// The position of an entry in a conversation, of all the entries of this test.
pub(crate) fn pos(conversation: ConversationId, tick: u64) -> Pos {
    Pos::at(tick, conversation.partition().unwrap())
}

pub(crate) fn put(key: Vec<u8>, value: Vec<u8>) -> Write {
    Write::Put { key, value }
}

pub(crate) fn account(name: &str) -> Vec<u8> {
    Account {
        name: AccountName::parse(name).unwrap(),
        display: name.to_owned(),
        role: Role::Member,
        password: None,
        disabled: false,
        created: Millis::ZERO,
        profile_text: String::new(),
        removed: false,
        scram: None,
    }
    .encode()
}

pub(crate) fn member(joined: Pos) -> Vec<u8> {
    Member {
        role: MemberRole::Member,
        joined,
        joined_at: Millis::ZERO,
        read: Seq::ZERO,
        received: Seq::ZERO,
        moved: Pos::ZERO,
        own: true,
        stored_bytes: 0,
        shown: None,
    }
    .encode()
}

pub(crate) fn joined(place: Place, since: Option<Pos>) -> Vec<u8> {
    Joined {
        place,
        since,
        own: true,
        abandoned: false,
        stays: Vec::new(),
    }
    .encode()
}

pub(crate) fn at_peer(peer: AccountId) -> Place {
    Place::Direct { peer }
}

pub(crate) fn at_group(slug: &str) -> Place {
    Place::Group {
        slug: GroupSlug::parse(slug).unwrap(),
    }
}

pub(crate) fn conversation(kind: ConversationKind, member_count: u32) -> Vec<u8> {
    Conversation {
        kind,
        created: Millis::ZERO,
        created_by: ALICE,
        member_count,
    }
    .encode()
}

pub(crate) fn of_group(slug: &str) -> ConversationKind {
    ConversationKind::Group {
        slug: GroupSlug::parse(slug).unwrap(),
        title: "Engineering".to_owned(),
        open: false,
        history: HistoryAccess::All,
        left_by: None,
    }
}

pub(crate) fn of_pair(low: AccountId, high: AccountId) -> ConversationKind {
    ConversationKind::Direct { low, high }
}

pub(crate) fn leads_to(conversation: ConversationId) -> Vec<u8> {
    key::encode_number(conversation.value())
}

/// A small server's rows: three accounts, a direct chat, a group with messages and events, a group that Bob has left, a session.
pub(crate) fn fill(store: &EmbeddedStore) {
    let (direct, group, left) = (direct(), group(), in_group("left"));
    let mut writes = vec![
        put(key::account(ALICE), account("alice")),
        put(key::account(BOB), account("bob")),
        put(key::account(CAROL), account("carol")),
        put(key::usage(ALICE), key::encode_number(1_000)),
        put(
            key::token(&[7; 32]),
            Token {
                account: ALICE,
                label: "laptop".to_owned(),
                created: Millis::ZERO,
                expires: Some(Millis::MAX),
            }
            .encode(),
        ),
        put(
            key::conversation(direct),
            conversation(of_pair(ALICE, BOB), 2),
        ),
        put(key::conversation(group), conversation(of_group("eng"), 2)),
        put(key::conversation(left), conversation(of_group("left"), 0)),
        put(key::pair_address(ALICE, BOB), leads_to(direct)),
        put(key::group_address("eng"), leads_to(group)),
        put(key::group_address("left"), leads_to(left)),
        put(key::joined(BOB, left), joined(at_group("left"), None)),
        put(
            key::audit(Millis::ZERO, 1),
            AuditRow {
                by: "alice".to_owned(),
                from: "192.0.2.1".to_owned(),
                what: "account added".to_owned(),
                about: "bob".to_owned(),
                detail: String::new(),
            }
            .encode(),
        ),
    ];
    for (conversation, account, place, since) in [
        (direct, ALICE, at_peer(BOB), 0),
        (direct, BOB, at_peer(ALICE), 0),
        (group, ALICE, at_group("eng"), 1),
        (group, CAROL, at_group("eng"), 3),
    ] {
        let since = pos(conversation, since);
        writes.push(put(key::member(conversation, account), member(since)));
        let row = joined(place, Some(since));
        writes.push(put(key::joined(account, conversation), row));
    }
    let session = Session {
        number: SessionNumber::new(77),
        expiry_secs: 60,
        disconnected_at: None,
        chat_cursor: records::Cursor::default(),
        queue_cursors: Vec::new(),
        protocol_level: 5,
        progress: records::Progress::default(),
    };
    writes.push(put(key::session(ALICE, "laptop"), session.encode()));
    let subscription = Subscription {
        since: Stamp::new(1),
        ..Subscription::default()
    };
    writes.push(put(
        key::subscription(session.number, "a/#"),
        subscription.encode(),
    ));
    writes.push(event(group, 0, 1));
    commit(store, writes);
    for number in 1..=MESSAGES {
        let (conversation, seq) = place_of(number);
        let mid = format!("mid-{number}");
        let mut writes = vec![
            message(conversation, seq, 2 * number),
            mid_of(conversation, &mid, seq, 2 * number),
        ];
        // Carol comes behind the first message.
        if number == 1 {
            writes.push(event(group, 1, 3));
        }
        commit(store, writes);
    }
}

/// Where one of the messages of all conversations is.
pub(crate) fn place_of(number: u64) -> (ConversationId, u64) {
    match number % 3 {
        0 => (direct(), number / 3),
        rest => (group(), number / 3 * 2 + rest),
    }
}

pub(crate) fn message(conversation: ConversationId, seq: u64, tick: u64) -> Write {
    entry(conversation, seq, tick, Some(Seq::new(seq)))
}

/// One that follows the message of a number.
pub(crate) fn event(conversation: ConversationId, seq: u64, tick: u64) -> Write {
    entry(conversation, seq, tick, None)
}

pub(crate) fn entry(
    conversation: ConversationId,
    after: u64,
    tick: u64,
    seq: Option<Seq>,
) -> Write {
    let pos = pos(conversation, tick);
    let entry = Entry {
        pos,
        seq,
        from: ALICE,
        at: Millis::new(5),
        kind: match seq {
            Some(_) => EntryKind::Message,
            None => EntryKind::Event,
        },
        wire: format!("{{\"text\":\"{}\"}}", "x".repeat(40)).into(),
    };
    put(
        key::entry(conversation, Seq::new(after), pos),
        entry.encode(),
    )
}

pub(crate) fn mid_of(conversation: ConversationId, mid: &str, seq: u64, tick: u64) -> Write {
    let dedup = Dedup {
        seq: Seq::new(seq),
        pos: pos(conversation, tick),
        at: Millis::new(5),
        content: 7,
    };
    put(key::dedup(1, conversation, ALICE, mid), dedup.encode())
}
