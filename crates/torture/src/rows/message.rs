//! What one message of the messenger is on disk: the sender's markers, the entry, its number and its mid; and what a
//! conversation leaves behind.

use records::{
    AccountId, ConversationId, Dedup, Entry, EntryKind, KeyRange, Member, MemberRole, Millis, Pos,
    Seq, Write, key,
};
use serde_json::json;

use super::text::{Text, mixed};

/// A week in milliseconds: mids are remembered by weeks.
pub(crate) const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;

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
    /// The four rows, in the server's order.
    pub(crate) fn writes(&self, text: &Text) -> Vec<Write> {
        let seq = Seq::new(self.room.last_seq + 1);
        let (id, pos, at) = (self.room.id, Pos::new(self.pos), Millis::new(self.at));
        let from = member_of(id, mixed(self.pos));
        let mid = mid(self.pos);
        let wire = json!({
            "v": 1,
            "seq": seq.value(),
            "pos": pos.to_string(),
            "from": format!("person{}", from.value()),
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
            conversation: id,
            seq,
            pos,
            at,
        };
        let week = u32::try_from(self.at / WEEK_MS).expect("weeks of this century are few");
        [
            marker_row(id, from, seq),
            (key::entry(id, pos), entry.encode()),
            (key::seq(id, seq), key::encode_pos(pos)),
            (key::dedup(week, from, &mid), dedup.encode()),
        ]
        .map(|(key, value)| Write::Put { key, value })
        .into()
    }
}

/// Somebody has read everything.
pub(crate) fn marker(room: Room, who: u64) -> Write {
    let (key, value) = marker_row(room.id, member_of(room.id, who), Seq::new(room.last_seq));
    Write::Put { key, value }
}

/// Everything that goes when a conversation ends.
pub(crate) fn ended(id: ConversationId) -> [KeyRange; 3] {
    [key::entries(id), key::seqs(id), key::members(id)]
}

/// How many talk in a conversation: two, or a group of three and more.
fn member_count(id: ConversationId) -> u64 {
    if id.value().is_multiple_of(GROUP_EVERY) {
        3 + mixed(id.value()) % (GROUP_MEMBERS_MAX - 2)
    } else {
        2
    }
}

fn member_of(id: ConversationId, who: u64) -> AccountId {
    let place = who % member_count(id);
    AccountId::new(mixed(id.value() * 1_000 + place) % ACCOUNTS + 1)
}

fn marker_row(id: ConversationId, account: AccountId, seq: Seq) -> (Vec<u8>, Vec<u8>) {
    let member = Member {
        role: MemberRole::Member,
        joined: Pos::new(id.value()),
        joined_at: Millis::new(1_700_000_000_000 + id.value()),
        read: seq,
        received: seq,
        own: true,
        stored_bytes: 0,
    };
    (key::member(id, account), member.encode())
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
