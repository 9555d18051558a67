//! Any value of each kind.

use bytes::Bytes;
use proptest::prelude::*;
use records::{
    Account, AccountId, AccountName, Conversation, ConversationKind, Cursor, Entry, EntryKind,
    GroupSlug, HistoryAccess, Joined, Member, MemberRole, Millis, Place, Pos, Progress,
    QueuedMessage, ReadShown, Role, ScramVerifier, Seq, Session, SessionNumber, Stamp, Stay,
};

fn name() -> impl Strategy<Value = String> {
    const FIRST: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    let pick = |from: &'static str| (0..from.len()).prop_map(move |at| from.as_bytes()[at] as char);
    const REST: &str = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    (pick(FIRST), proptest::collection::vec(pick(REST), 0..64))
        .prop_map(|(first, rest)| std::iter::once(first).chain(rest).collect())
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn millis() -> impl Strategy<Value = Millis> {
    any::<u64>().prop_map(Millis::new)
}

pub(crate) fn maybe_millis() -> impl Strategy<Value = Option<Millis>> {
    proptest::option::of(millis())
}

pub(crate) fn account() -> impl Strategy<Value = Account> {
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

pub(crate) fn conversation() -> impl Strategy<Value = Conversation> {
    let direct = any::<(u64, u64)>().prop_map(|(a, b)| ConversationKind::Direct {
        low: AccountId::new(a.min(b)),
        high: AccountId::new(a.max(b)),
    });
    let group = (slug(), text(), any::<[bool; 2]>(), any::<Option<u64>>()).prop_map(
        |(slug, title, [open, all], left_by)| ConversationKind::Group {
            slug,
            title,
            open,
            history: if all {
                HistoryAccess::All
            } else {
                HistoryAccess::Joined
            },
            left_by: left_by.map(AccountId::new),
        },
    );
    let ended = any::<u64>().prop_map(|at| ConversationKind::Ended { at: Pos::new(at) });
    let kind = prop_oneof![direct, group, ended];
    (kind, millis(), any::<u64>(), any::<u32>()).prop_map(|(kind, created, by, member_count)| {
        Conversation {
            kind,
            created,
            created_by: AccountId::new(by),
            member_count,
        }
    })
}

fn slug() -> impl Strategy<Value = GroupSlug> {
    name().prop_map(|name| GroupSlug::parse(&name).unwrap())
}

pub(crate) fn joined() -> impl Strategy<Value = Joined> {
    let direct = any::<u64>().prop_map(|peer| Place::Direct {
        peer: AccountId::new(peer),
    });
    let group = slug().prop_map(|slug| Place::Group { slug });
    let stays = proptest::collection::vec(any::<[u64; 3]>(), 0..Joined::STAYS_MAX);
    (
        prop_oneof![direct, group],
        any::<Option<u64>>(),
        any::<[bool; 2]>(),
        stays,
    )
        .prop_map(|(place, since, [own, abandoned], stays)| Joined {
            place,
            since: since.map(Pos::new),
            own,
            abandoned,
            stays: (stays.into_iter())
                .map(|[since, until, seq]| Stay {
                    since: Pos::new(since),
                    until: Pos::new(until),
                    seq: Seq::new(seq),
                })
                .collect(),
        })
}

pub(crate) fn member() -> impl Strategy<Value = Member> {
    let role = prop_oneof![
        Just(MemberRole::Owner),
        Just(MemberRole::Moderator),
        Just(MemberRole::Member)
    ];
    (
        role,
        any::<[u64; 6]>(),
        any::<bool>(),
        proptest::option::of(any::<[u64; 2]>()),
    )
        .prop_map(
            |(role, [joined, at, read, received, moved, stored_bytes], own, shown)| Member {
                role,
                joined: Pos::new(joined),
                joined_at: Millis::new(at),
                read: Seq::new(read),
                received: Seq::new(received),
                moved: Pos::new(moved),
                own,
                stored_bytes,
                shown: shown
                    .filter(|[shown, _]| *shown < read)
                    .map(|[shown, moved]| ReadShown {
                        read: Seq::new(shown),
                        moved: Pos::new(moved),
                    }),
            },
        )
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (
        any::<[u64; 3]>(),
        proptest::option::of(1..=u64::MAX),
        some_bytes(),
    )
        .prop_map(|([pos, from, at], seq, wire)| Entry {
            pos: Pos::new(pos),
            seq: seq.map(Seq::new),
            from: AccountId::new(from),
            at: Millis::new(at),
            // A message has a number, and an event has none.
            kind: match seq {
                Some(_) => EntryKind::Message,
                None => EntryKind::Event,
            },
            wire,
        })
}

fn cursor() -> impl Strategy<Value = Cursor> {
    let ahead = proptest::collection::vec(any::<u64>(), 0..4);
    (any::<u64>(), ahead).prop_map(|(floor, ahead)| {
        let mut cursor = Cursor::at(Pos::new(floor));
        for pos in ahead {
            cursor.advance(Pos::new(pos));
        }
        cursor
    })
}

pub(crate) fn session() -> impl Strategy<Value = Session> {
    let queue = proptest::collection::vec(any::<u64>(), 0..5);
    (
        any::<u64>(),
        cursor(),
        queue,
        any::<u32>(),
        maybe_millis(),
        any::<u8>(),
    )
        .prop_map(
            |(number, chat_cursor, queue, expiry_secs, disconnected_at, protocol_level)| Session {
                number: SessionNumber::new(number),
                expiry_secs,
                disconnected_at,
                chat_cursor,
                queue_cursors: queue.into_iter().map(Stamp::new).collect(),
                protocol_level,
                progress: Progress::default(),
            },
        )
}

pub(crate) fn session_under_way() -> impl Strategy<Value = Session> {
    let under_way = proptest::collection::vec(any::<(u64, u16)>(), 0..5);
    let queue = proptest::collection::vec(any::<u64>(), 0..5);
    let chat = [cursor(), cursor()];
    (
        session(),
        under_way,
        queue,
        any::<u64>(),
        chat,
        any::<u16>(),
    )
        .prop_map(
            |(session, under_way, queue, doubtful, [sent, chat], next_packet_id)| Session {
                progress: Progress {
                    under_way: (under_way.into_iter())
                        .map(|(key, packet_id)| (Stamp::new(key), packet_id))
                        .collect(),
                    queue_sent: queue.into_iter().map(Stamp::new).collect(),
                    chat_sent: sent,
                    next_packet_id,
                    queue_doubtful: Stamp::new(doubtful),
                    chat_doubtful: chat,
                },
                ..session
            },
        )
}

pub(crate) fn queued() -> impl Strategy<Value = QueuedMessage> {
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
