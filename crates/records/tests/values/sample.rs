//! One value of each kind, as it stands in `tests/fixtures/format-2`.

use bytes::Bytes;
use records::{
    Account, AccountId, AccountName, AuditRow, Claim, Conversation, ConversationKind, Cursor,
    Dedup, EXPIRY_NEVER, Entry, EntryKind, GroupSlug, HistoryAccess, Joined, Member, MemberRole,
    Millis, Outgoing, OutgoingState, PartitionId, Place, Pos, Progress, QueuedMessage, ReadShown,
    Retained, Role, ScramVerifier, Seq, Session, SessionNumber, Stamp, Stay, Subscription, Terms,
    Token, Will,
};

pub(crate) fn account() -> Account {
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

pub(crate) fn account_with_verifier() -> Account {
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

pub(crate) fn audit() -> AuditRow {
    AuditRow {
        by: "alice".to_owned(),
        from: "192.0.2.1".to_owned(),
        what: "account added".to_owned(),
        about: "bob".to_owned(),
        detail: "member".to_owned(),
    }
}

pub(crate) fn token() -> Token {
    Token {
        account: AccountId::new(300),
        label: "build bot".to_owned(),
        created: Millis::new(1_766_000_000_123),
        expires: Some(Millis::MAX),
    }
}

pub(crate) fn direct() -> Conversation {
    Conversation {
        kind: ConversationKind::Direct {
            low: AccountId::new(1),
            high: AccountId::new(300),
        },
        created: Millis::new(5),
        created_by: AccountId::new(300),
        member_count: 2,
    }
}

pub(crate) fn group() -> Conversation {
    Conversation {
        kind: ConversationKind::Group {
            slug: GroupSlug::parse("eng").unwrap(),
            title: "Engineering 개발".to_owned(),
            open: true,
            history: HistoryAccess::All,
            left_by: None,
        },
        created: Millis::new(5),
        created_by: AccountId::ZERO,
        member_count: 10_000,
    }
}

pub(crate) fn abandoned_group() -> Conversation {
    Conversation {
        kind: ConversationKind::Group {
            slug: GroupSlug::parse("eng").unwrap(),
            title: String::new(),
            open: false,
            history: HistoryAccess::Joined,
            left_by: Some(AccountId::new(300)),
        },
        member_count: 0,
        ..group()
    }
}

pub(crate) fn ended() -> Conversation {
    Conversation {
        kind: ConversationKind::Ended {
            at: Pos::new(0x9f2),
        },
        created: Millis::new(5),
        created_by: AccountId::new(300),
        member_count: 0,
    }
}

pub(crate) fn member() -> Member {
    Member {
        role: MemberRole::Moderator,
        joined: Pos::new(0x9f2),
        joined_at: Millis::new(1_766_000_000_123),
        read: Seq::new(12),
        received: Seq::new(13),
        moved: Pos::new(0x9f5),
        own: true,
        stored_bytes: 1_000_000,
        shown: None,
    }
}

pub(crate) fn private_member() -> Member {
    Member {
        shown: Some(ReadShown {
            read: Seq::new(7),
            moved: Pos::new(0x9f3),
        }),
        ..member()
    }
}

pub(crate) fn joined_direct() -> Joined {
    Joined {
        place: Place::Direct {
            peer: AccountId::new(300),
        },
        since: Some(Pos::new(0x9f2)),
        own: true,
        abandoned: false,
        stays: Vec::new(),
    }
}

pub(crate) fn joined_group() -> Joined {
    let stay = |since, until, seq| Stay {
        since: Pos::new(since),
        until: Pos::new(until),
        seq: Seq::new(seq),
    };
    Joined {
        place: Place::Group {
            slug: GroupSlug::parse("eng").unwrap(),
        },
        since: None,
        own: false,
        abandoned: true,
        stays: vec![stay(0x9f2, 0x9f5, 13), stay(0xa00, 0xa01, 300)],
    }
}

pub(crate) fn message() -> Entry {
    Entry {
        pos: Pos::new(0x9f2),
        seq: Some(Seq::new(13)),
        from: AccountId::new(2),
        at: Millis::new(1_766_000_000_123),
        kind: EntryKind::Message,
        wire: Bytes::from_static(br#"{"v":1,"seq":13,"pos":"9f2","from":"bob","text":"hi"}"#),
    }
}

pub(crate) fn event() -> Entry {
    Entry {
        seq: None,
        kind: EntryKind::Event,
        wire: Bytes::new(),
        ..message()
    }
}

pub(crate) fn dedup() -> Dedup {
    Dedup {
        seq: Seq::new(13),
        pos: Pos::new(0x9f2),
        at: Millis::new(1_766_000_000_123),
        content: u64::MAX,
    }
}

pub(crate) fn session() -> Session {
    Session {
        number: SessionNumber::new(77),
        expiry_secs: EXPIRY_NEVER,
        disconnected_at: Some(Millis::new(1_766_000_000_123)),
        chat_cursor: Cursor::at(Pos::new(0x9f2)),
        queue_cursors: vec![
            Stamp::new(452_096_000_031_488_000),
            Stamp::new(452_096_000_031_488_001),
        ],
        protocol_level: 5,
        progress: Progress::default(),
    }
}

/// Two partitions are ahead of the others.
pub(crate) fn session_ahead() -> Session {
    let mut session = session();
    for (tick, partition) in [(0x51, 7), (0x47, 255)] {
        let pos = Pos::at(tick, PartitionId::new(partition));
        session.chat_cursor.advance(pos);
    }
    session
}

pub(crate) fn session_under_way() -> Session {
    Session {
        progress: Progress {
            under_way: vec![(Stamp::new(452_096_000_031_488_256), 7)],
            queue_sent: vec![Stamp::new(452_096_000_031_488_512)],
            chat_sent: Cursor::at(Pos::new(0x9f5)),
            next_packet_id: 9,
            queue_doubtful: Stamp::new(452_096_000_031_487_744),
            chat_doubtful: Cursor::at(Pos::new(0x9f0)),
        },
        ..session()
    }
}

pub(crate) fn subscription() -> Subscription {
    Subscription {
        options: 0b0010_1110,
        identifier: Some(268_435_455),
        since: Stamp::new(1),
        ..Subscription::default()
    }
}

pub(crate) fn subscription_given_up() -> Subscription {
    let until = vec![Stamp::new(452_096_000_031_488_256), Stamp::new(0x9f01)];
    Subscription {
        until: until.clone(),
        former: vec![Terms {
            options: 1,
            identifier: None,
            since: Stamp::new(1),
            until,
        }],
        ..subscription()
    }
}

pub(crate) fn outgoing() -> Outgoing {
    Outgoing::past(65_535, OutgoingState::Released)
}

pub(crate) fn outgoing_as_sent() -> Outgoing {
    Outgoing {
        packet_id: 7,
        state: OutgoingState::Sent,
        retain: true,
        identifiers: Some([1, 268_435_455].into()),
    }
}

pub(crate) fn queued() -> QueuedMessage {
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

pub(crate) fn bare_queued() -> QueuedMessage {
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

pub(crate) fn retained() -> Retained {
    Retained {
        stamp: Stamp::new(452_096_000_031_488_001),
        account: None,
        message: queued(),
    }
}

pub(crate) fn retained_of_account() -> Retained {
    Retained {
        account: Some(AccountId::new(7)),
        ..retained()
    }
}

pub(crate) fn claim() -> Claim {
    Claim {
        message: Stamp::new(452_096_000_031_488_001),
        group: "$share/workers/sensors/방/+".into(),
    }
}

pub(crate) fn will() -> Will {
    Will {
        delay_secs: 30,
        expiry_secs: Some(3600),
        message: queued(),
    }
}

pub(crate) fn bare_will() -> Will {
    Will {
        delay_secs: 0,
        expiry_secs: None,
        message: bare_queued(),
    }
}
