//! Target `damage`: shards begin with rows that no sound server has written, or that have lost or changed bytes since,
//! and go on as in `shards` if they begin at all. What cannot be used is told when the server starts; what is used may be
//! strange, but makes nothing unsound of what clients get, and nothing panics.

use bytes::Bytes;
use records::{
    AccountId, Claim, Cursor, Incoming, Millis, Outgoing, OutgoingState, Pos, Progress,
    QueuedMessage, Retained, Session, SessionNumber, Stamp, Subscription, Terms, Will, key,
};

use super::steps;
use super::world::{START, World};
use crate::feed::Feed;

const ROWS_MAX: usize = 24;
/// As many as the limits of `shards` leave, so that these hold from the beginning.
const SESSIONS_MAX: usize = 3;
const RETAINED_MAX: usize = 2;
const WILLS_MAX: usize = 2;
const CLIENT_IDS: [&str; 4] = ["a", "b", "c", ""];
const TOPICS: [&str; 4] = ["a", "a/b", "b", "$SYS/x"];
const FILTERS: [&str; 9] = [
    "a",
    "a/b",
    "#",
    "+/b",
    "im/in/#",
    "im/in/+/event",
    "$share/g/a",
    "$share/g/#",
    "$share/h/im/in/#",
];
const NO_TOPICS: [&str; 4] = ["a/+", "#", "", "a\0"];
const NO_FILTERS: [&str; 6] = ["a#", "", "$share/", "$share/g/", "$share/+/a", "a\0"];
const PROPERTIES: [&[u8]; 3] = [b"", b"\x01\x01", b"\x26\0\x01a\0\x01b"];
/// Cut, of no kind, and one that is not forwarded.
const NO_PROPERTIES: [&[u8]; 3] = [b"\x26\0\x01a", b"\xFF", b"\x23\0\x01"];

/// The first byte chooses one shard or two, then come rows, then the steps of `shards`.
pub(crate) fn run(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let mut world = World::new(1 + u16::from(feed.flag()));
    for _ in 0..feed.below(ROWS_MAX + 1) {
        let (key, mut value) = row(&mut feed);
        if feed.byte() >= 0xF0 {
            damage(&mut value, &mut feed);
        }
        world.store.insert(key, value);
    }
    keep_first(&mut world, records::Table::Session, SESSIONS_MAX);
    keep_first(&mut world, records::Table::Retained, RETAINED_MAX);
    keep_first(&mut world, records::Table::Will, WILLS_MAX);
    if world.restart().is_ok() {
        world.check();
        steps(&mut world, &mut feed);
    }
}

fn keep_first(world: &mut World, table: records::Table, count: usize) {
    let range = table.range();
    let keys = world.store.range(range.from..range.to).skip(count);
    let beyond: Vec<Vec<u8>> = keys.map(|(key, _)| key.clone()).collect();
    for key in beyond {
        world.store.remove(&key);
    }
}

fn damage(value: &mut Vec<u8>, feed: &mut Feed<'_>) {
    let at = usize::from(feed.byte());
    if feed.flag() {
        value.truncate(at);
    } else if let Some(byte) = value.get_mut(at) {
        *byte = feed.byte();
    }
}

fn row(feed: &mut Feed<'_>) -> (Vec<u8>, Vec<u8>) {
    match feed.byte() % 9 {
        0 | 1 => {
            let (account, client_id) = owner(feed);
            (key::session(account, client_id), session(feed).encode())
        }
        2 => {
            let key = key::subscription(number(feed), choose(feed, &FILTERS, &NO_FILTERS));
            (key, subscription(feed).encode())
        }
        3 => {
            let key = key::outgoing(number(feed), stamp(feed));
            let states = [
                OutgoingState::Sent,
                OutgoingState::Released,
                OutgoingState::Done,
            ];
            let outgoing = Outgoing {
                packet_id: packet_id(feed),
                state: *feed.choose(&states),
                retain: feed.flag(),
                identifiers: (feed.byte() >= 0xC0).then(|| [1 + u32::from(feed.byte())].into()),
            };
            (key, outgoing.encode())
        }
        4 => {
            let key = key::incoming(number(feed), packet_id(feed));
            let incoming = Incoming {
                to_conversation: feed.byte() & 1 != 0,
            };
            (key, incoming.encode())
        }
        5 => {
            let (account, client_id) = owner(feed);
            let will = Will {
                delay_secs: if feed.flag() {
                    feed.byte().into()
                } else {
                    u32::MAX
                },
                expiry_secs: feed.flag().then(|| feed.byte().into()),
                message: message(feed),
            };
            (key::will(account, client_id), will.encode())
        }
        6 => (key::queue(stamp(feed)), message(feed).encode()),
        7 => {
            let retained = Retained {
                stamp: stamp(feed),
                account: feed.flag().then(|| AccountId::new(1)),
                message: message(feed),
            };
            let key = key::retained(&retained.message.topic);
            (key, retained.encode())
        }
        _ => {
            let claim = Claim {
                message: stamp(feed),
                group: choose(feed, &FILTERS, &NO_FILTERS).into(),
            };
            (key::claim(stamp(feed)), claim.encode())
        }
    }
}

/// Something sound, now and then not: an input with many rows begins all the same.
fn choose<T: Copy>(feed: &mut Feed<'_>, sound: &[T], not: &[T]) -> T {
    match feed.byte() {
        odd @ 0xF8.. => not[usize::from(odd) % not.len()],
        choice => sound[usize::from(choice) % sound.len()],
    }
}

fn owner(feed: &mut Feed<'_>) -> (AccountId, &'static str) {
    let account = AccountId::new(feed.below(4) as u64);
    (account, *feed.choose(&CLIENT_IDS))
}

fn number(feed: &mut Feed<'_>) -> SessionNumber {
    SessionNumber::new(stamp(feed).value())
}

/// A few stamps of either shard just before the start, and what no clock has said.
fn stamp(feed: &mut Feed<'_>) -> Stamp {
    const SECOND: u64 = 1_000_000;
    let base = START.micros() - SECOND;
    match feed.byte() {
        0xFF => Stamp::MAX,
        0xFE => Stamp::ZERO,
        0xFD => Stamp::new(u64::MAX - 0xFF),
        // A clock that went ahead, and a shard that is not there.
        0xFC => Stamp::of(base + 1000 * SECOND, 0),
        0xFB => Stamp::of(base, 7),
        choice => Stamp::of(base + u64::from(choice / 2 % 8), u16::from(choice % 2)),
    }
}

fn packet_id(feed: &mut Feed<'_>) -> u16 {
    match feed.byte() {
        0xFF => u16::MAX,
        0xFE => 0,
        low => 1 + u16::from(low % 5),
    }
}

fn session(feed: &mut Feed<'_>) -> Session {
    Session {
        number: number(feed),
        expiry_secs: if feed.flag() {
            u32::MAX
        } else {
            feed.byte().into()
        },
        disconnected_at: feed.flag().then(|| time(feed)),
        chat_cursor: cursor(feed),
        queue_cursors: (0..feed.below(3)).map(|_| stamp(feed)).collect(),
        protocol_level: match feed.byte() {
            odd @ 0xF0.. => odd,
            choice => 3 + choice % 3,
        },
        progress: if feed.flag() {
            progress(feed)
        } else {
            Progress::default()
        },
    }
}

fn progress(feed: &mut Feed<'_>) -> Progress {
    Progress {
        under_way: (0..feed.below(3))
            .map(|_| (stamp(feed), packet_id(feed)))
            .collect(),
        queue_sent: (0..feed.below(3)).map(|_| stamp(feed)).collect(),
        chat_sent: cursor(feed),
        next_packet_id: packet_id(feed),
        queue_doubtful: stamp(feed),
        chat_doubtful: cursor(feed),
    }
}

fn cursor(feed: &mut Feed<'_>) -> Cursor {
    let mut cursor = Cursor::at(Pos::new(feed.byte().into()));
    for _ in 0..feed.below(3) {
        cursor.advance(Pos::new(feed.byte().into()));
    }
    cursor
}

fn time(feed: &mut Feed<'_>) -> Millis {
    match feed.byte() {
        0xFF => Millis::MAX,
        0xFE => Millis::ZERO,
        choice => START.saturating_add(u64::from(choice)),
    }
}

fn subscription(feed: &mut Feed<'_>) -> Subscription {
    /// Of the byte that chooses the options: the row says what the subscription was, and that it is given up.
    const FORMER: u8 = 0x10;
    const GIVEN_UP: u8 = 0x20;
    let chosen = feed.byte();
    let mut subscription = terms(feed, chosen);
    if chosen & FORMER != 0 {
        subscription.former = (0..feed.below(4)).map(|_| former(feed)).collect();
    }
    if chosen & GIVEN_UP != 0 {
        subscription.until = (0..feed.below(3)).map(|_| stamp(feed)).collect();
    }
    subscription
}

fn former(feed: &mut Feed<'_>) -> Terms {
    let chosen = feed.byte();
    let terms = terms(feed, chosen);
    Terms {
        options: terms.options,
        identifier: terms.identifier,
        since: terms.since,
        until: (0..feed.below(3)).map(|_| stamp(feed)).collect(),
    }
}

fn terms(feed: &mut Feed<'_>, options: u8) -> Subscription {
    Subscription {
        options: match options {
            odd @ 0xF8.. => odd,
            choice => (choice % 3) | (choice & 0x0C),
        },
        identifier: match feed.byte() {
            0xFF => Some(u32::MAX),
            0xFE => Some(0),
            choice => (choice & 1 != 0).then(|| u32::from(choice)),
        },
        since: stamp(feed),
        ..Subscription::default()
    }
}

fn message(feed: &mut Feed<'_>) -> QueuedMessage {
    QueuedMessage {
        publisher: feed.flag().then(|| number(feed)),
        topic: choose(feed, &TOPICS, &NO_TOPICS).into(),
        payload: Bytes::copy_from_slice(&vec![b'x'; usize::from(feed.byte())]),
        qos: feed.byte() % 3,
        retain: feed.flag(),
        properties: Bytes::from_static(choose(feed, &PROPERTIES, &NO_PROPERTIES)),
        expires_at: feed.flag().then(|| time(feed)),
        at: time(feed),
    }
}
