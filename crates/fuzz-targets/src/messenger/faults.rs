//! What happens to rows between two starts: bits flip, values are cut or swapped, rows are lost, doubled or moved. Says which rows
//! it was. Must not know what the messenger makes of them.

use std::collections::BTreeSet;

use records::{AccountId, ConversationId, Pos, Table, key};

use super::disk::Disk;
use crate::feed::Feed;

const FAULTS_MAX: usize = 4;
const TABLES: [Table; 9] = [
    Table::Account,
    Table::Token,
    Table::Conversation,
    Table::Member,
    Table::Entry,
    Table::Dedup,
    Table::Address,
    Table::Joined,
    Table::Usage,
];

/// Whose rows have been damaged.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) count: usize,
    pub(super) accounts: BTreeSet<AccountId>,
    pub(super) conversations: BTreeSet<ConversationId>,
    pub(super) entries: BTreeSet<Pos>,
    /// Those whose values have changed, not only their places.
    pub(super) reworded: BTreeSet<Pos>,
    /// What is remembered of mids.
    pub(super) mids: bool,
}

/// Damages a few rows.
pub(super) fn inflict(disk: &mut Disk, feed: &mut Feed<'_>) -> Faults {
    let mut faults = Faults::default();
    for _ in 0..feed.below(FAULTS_MAX + 1) {
        inflict_one(disk, feed, &mut faults);
    }
    faults
}

fn inflict_one(disk: &mut Disk, feed: &mut Feed<'_>, faults: &mut Faults) {
    let table = *feed.choose(&TABLES);
    let kind = feed.byte() % 7;
    let Some(at) = some_row(disk, table, feed) else {
        return;
    };
    faults.touch(&at, disk);
    let Some(mut value) = disk.keys.get(&at).cloned() else {
        return;
    };
    if kind < 2 {
        faults
            .reworded
            .extend(key::parse_entry(&at).map(|(.., pos)| pos));
    }
    match kind {
        0 => {
            let place = feed.below(value.len().max(1));
            if let Some(byte) = value.get_mut(place) {
                *byte ^= 1 << (feed.byte() % 8);
            }
            disk.keys.insert(at, value);
        }
        1 => {
            let place = feed.below(value.len().max(1));
            if let Some(byte) = value.get_mut(place) {
                *byte = feed.byte();
            }
            disk.keys.insert(at, value);
        }
        2 => {
            value.truncate(feed.below(value.len() + 1));
            disk.keys.insert(at, value);
        }
        3 => drop(disk.keys.remove(&at)),
        // Two rows of a table have each other's values.
        4 => {
            if let Some(other) = some_row(disk, table, feed) {
                faults.touch(&other, disk);
                if let Some(theirs) = disk.keys.insert(other, value) {
                    disk.keys.insert(at, theirs);
                }
            }
        }
        // The row stands in another place, or in two.
        _ => {
            let moved = moved(&at, feed);
            faults.touch(&moved, disk);
            if kind == 5 {
                disk.keys.remove(&at);
            }
            disk.keys.insert(moved, value);
        }
    }
    faults.count += 1;
}

fn some_row(disk: &Disk, table: Table, feed: &mut Feed<'_>) -> Option<Vec<u8>> {
    let keys: Vec<Vec<u8>> = disk
        .range(&table.range())
        .map(|(at, _)| at.into())
        .collect();
    (!keys.is_empty()).then(|| feed.choose(&keys).clone())
}

/// A key with one byte changed or taken away, or with one more; of the same table, for nothing else would look at it.
fn moved(at: &[u8], feed: &mut Feed<'_>) -> Vec<u8> {
    let mut moved = at.to_vec();
    let place = 1 + feed.below(moved.len() - 1);
    match feed.byte() {
        0xF0.. => drop(moved.remove(place)),
        0xE0.. => moved.push(feed.byte()),
        _ => moved[place] = feed.byte(),
    }
    moved
}

impl Faults {
    /// Whether only what was said is damaged, and not who says it to whom.
    pub(super) fn spare_structure(&self) -> bool {
        self.accounts.is_empty() && self.conversations.is_empty()
    }

    fn touch(&mut self, at: &[u8], disk: &Disk) {
        match Table::of(at) {
            Ok(Table::Account) => self.accounts.extend(key::parse_account(at)),
            Ok(Table::Conversation) => self.conversations.extend(key::parse_conversation(at)),
            Ok(Table::Member) => {
                let id = key::parse_member(at).map(|(conversation, _)| conversation);
                self.conversations.extend(id);
            }
            Ok(Table::Entry) => self
                .entries
                .extend(key::parse_entry(at).map(|(.., pos)| pos)),
            Ok(Table::Joined) => {
                let id = key::parse_joined(at).map(|(_, conversation)| conversation);
                self.conversations.extend(id);
            }
            Ok(Table::Address) => {
                let leads_to = disk.keys.get(at);
                let id = leads_to.and_then(|id| key::decode_number(Table::Address, id).ok());
                self.conversations.extend(id.map(ConversationId::new));
            }
            Ok(Table::Dedup) => self.mids = true,
            Ok(_) | Err(_) => {}
        }
    }
}
