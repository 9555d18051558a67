//! What the messenger puts on disk: a conversation that begins, one message, somebody who joins or has read everything; and what a
//! conversation leaves behind.

use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Dedup, Entry, EntryKind, GroupSlug,
    HistoryAccess, Joined, KeyRange, Member, MemberRole, Millis, PartitionId, Place, Pos, Seq,
    Write, key,
};
use serde_json::json;

use super::text::{Text, mixed};

/// A week in milliseconds: mids are remembered by weeks.
pub(crate) const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;

/// The first tick of 2026: positions are as long as they are in earnest.
const FIRST_TICK: u64 = Pos::tick_of(1_767_225_600_000);

const ACCOUNTS: u64 = 20_000;
/// Every third conversation is a group.
const GROUP_EVERY: u64 = 3;
const GROUP_MEMBERS_MAX: u64 = 60;

/// A conversation, as far as its next message depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Its id.
    pub(crate) id: ConversationId,
    /// The number of its newest message.
    pub(crate) last_seq: u64,
    /// How many have joined it since it began.
    pub(crate) joined: u64,
}

impl Room {
    /// The conversation of a number among all, before anything was said in it.
    pub(crate) fn new(number: u64) -> Self {
        let partition = match slug(number) {
            Some(slug) => PartitionId::of_group(slug.as_str()),
            None => PartitionId::of_pair(member_of(number, 0), member_of(number, 1)),
        };
        Self {
            id: ConversationId::in_partition(partition, number),
            last_seq: 0,
            joined: 0,
        }
    }

    /// Its own row, its address, and two rows for each who is in it from the beginning.
    pub(crate) fn begun(self, pos: u64, at: u64) -> Vec<Write> {
        let number = self.id.number();
        let pos = self.pos(pos);
        let address = match slug(number) {
            Some(slug) => key::group_address(slug.as_str()),
            None => key::pair_address(member_of(number, 0), member_of(number, 1)),
        };
        let mut writes = vec![
            self.row(at),
            put(address, key::encode_number(self.id.value())),
        ];
        for place in 0..member_count(number) {
            writes.extend(self.membership(place, pos, at));
        }
        writes
    }

    /// One more joins a group: the event that says so, the new number of members, and two rows for the one.
    pub(crate) fn joins(&mut self, pos: u64, at: u64) -> Vec<Write> {
        let place = member_count(self.id.number()) + self.joined;
        self.joined += 1;
        let (pos, from) = (self.pos(pos), member_of(self.id.number(), place));
        let wire = json!({
            "kind": "joined",
            "pos": pos.to_string(),
            "members": [name(from)],
            "at": at,
        });
        let event = Entry {
            pos,
            seq: None,
            from,
            at: Millis::new(at),
            kind: EntryKind::Event,
            wire: wire.to_string().into(),
        };
        let after = Seq::new(self.last_seq);
        let mut writes = vec![
            put(key::entry(self.id, after, pos), event.encode()),
            self.row(at),
        ];
        writes.extend(self.membership(place, pos, at));
        writes
    }

    /// Whether others can join it.
    pub(crate) fn is_group(self) -> bool {
        slug(self.id.number()).is_some()
    }

    /// Somebody has read everything.
    pub(crate) fn marker(self, who: u64, pos: u64) -> Write {
        let number = self.id.number();
        let account = member_of(number, who % member_count(number));
        self.member(account, Seq::new(self.last_seq), self.pos(pos))
    }

    fn pos(self, tick: u64) -> Pos {
        let partition = self.id.partition().expect("it was made with one");
        Pos::at(FIRST_TICK + tick, partition)
    }

    fn row(self, at: u64) -> Write {
        let number = self.id.number();
        let kind = match slug(number) {
            Some(slug) => ConversationKind::Group {
                title: format!("Group of {slug}"),
                slug,
                open: true,
                history: HistoryAccess::All,
                left_by: None,
            },
            None => {
                let (one, other) = (member_of(number, 0), member_of(number, 1));
                ConversationKind::Direct {
                    low: one.min(other),
                    high: one.max(other),
                }
            }
        };
        let conversation = Conversation {
            kind,
            created: Millis::new(at),
            created_by: member_of(number, 0),
            member_count: (member_count(number) + self.joined) as u32,
        };
        put(key::conversation(self.id), conversation.encode())
    }

    fn membership(self, place: u64, since: Pos, at: u64) -> [Write; 2] {
        let number = self.id.number();
        let account = member_of(number, place);
        let joined = Joined {
            place: match slug(number) {
                Some(slug) => Place::Group { slug },
                // Of two.
                None => Place::Direct {
                    peer: member_of(number, 1 - place),
                },
            },
            since: Some(since),
            own: true,
            abandoned: false,
            stays: Vec::new(),
        };
        let member = Member {
            joined: since,
            joined_at: Millis::new(at),
            ..member_row(Seq::new(self.last_seq), since)
        };
        [
            put(key::member(self.id, account), member.encode()),
            put(key::joined(account, self.id), joined.encode()),
        ]
    }

    fn member(self, account: AccountId, read: Seq, moved: Pos) -> Write {
        let member = member_row(read, moved);
        put(key::member(self.id, account), member.encode())
    }
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Where it goes; `last_seq` is the number before its own.
    pub(crate) room: Room,
    /// Its position.
    pub(crate) pos: u64,
    /// When it was sent.
    pub(crate) at: u64,
    /// How long its text is.
    pub(crate) text_bytes: usize,
}

impl Message {
    /// The three rows: the message, its sender's, and its mid.
    pub(crate) fn writes(&self, text: &Text) -> Vec<Write> {
        let seq = Seq::new(self.room.last_seq + 1);
        let (id, pos, at) = (self.room.id, self.room.pos(self.pos), Millis::new(self.at));
        let place = mixed(self.pos) % member_count(id.number());
        let from = member_of(id.number(), place);
        let mid = mid(self.pos);
        let wire = json!({
            "seq": seq.value(),
            "pos": pos.to_string(),
            "from": name(from),
            "device": format!("web-{:08x}", mixed(from.value()) as u32),
            "at": self.at,
            "mid": mid,
            "text": text.piece(self.pos, self.text_bytes),
        });
        let entry = Entry {
            pos,
            seq: Some(seq),
            from,
            at,
            kind: EntryKind::Message,
            wire: wire.to_string().into(),
        };
        let dedup = Dedup {
            seq,
            pos,
            at,
            content: mixed(self.pos),
        };
        let week = u32::try_from(self.at / WEEK_MS).expect("weeks of this century are few");
        vec![
            put(key::entry(id, seq, pos), entry.encode()),
            self.room.member(from, seq, pos),
            put(key::dedup(week, id, from, &mid), dedup.encode()),
        ]
    }
}

/// What goes when a conversation ends, but for its own row, its address and its place in accounts' lists.
pub(crate) fn ended(id: ConversationId) -> [KeyRange; 2] {
    [key::entries(id), key::members(id)]
}

/// How many talk in a conversation from the beginning: two, or a group of three and more.
fn member_count(number: u64) -> u64 {
    if number.is_multiple_of(GROUP_EVERY) {
        3 + mixed(number) % (GROUP_MEMBERS_MAX - 2)
    } else {
        2
    }
}

fn slug(number: u64) -> Option<GroupSlug> {
    number.is_multiple_of(GROUP_EVERY).then(|| {
        let text = format!("group-{number}");
        GroupSlug::parse(&text).expect("it has letters, digits and a hyphen")
    })
}

fn member_of(number: u64, place: u64) -> AccountId {
    AccountId::new(mixed(number * 1_000 + place) % ACCOUNTS + 1)
}

fn name(account: AccountId) -> String {
    format!("person{}", account.value())
}

fn member_row(read: Seq, moved: Pos) -> Member {
    Member {
        role: MemberRole::Member,
        joined: moved,
        joined_at: Millis::new(1_700_000_000_000 + read.value()),
        read,
        received: read,
        moved,
        own: true,
        stored_bytes: read.value() * 500,
        shown: None,
    }
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Write {
    Write::Put { key, value }
}

/// As the web client makes them: 128 random bits in hexadecimal with dashes.
fn mid(pos: u64) -> String {
    let (high, low) = (mixed(pos ^ 0xA5A5), mixed(pos ^ 0x5A5A_0000));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) as u16,
        high as u16,
        (low >> 48) as u16,
        low & 0xFFFF_FFFF_FFFF
    )
}
