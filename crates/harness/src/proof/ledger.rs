//! What clients sent and what the server acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use crate::Watched;

/// The ordinary topics.
pub(super) const TOPICS: [&str; 2] = ["plant/1", "plant/2"];
/// The last message of every place.
pub(super) const END: &str = "end";

/// Where a message goes, seen from its writer, and the conversation or topic that it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What is published to.
    pub topic: String,
    /// One name for both sides of a direct chat.
    pub name: String,
    /// Or an ordinary topic.
    pub is_conversation: bool,
}

impl Place {
    /// An ordinary topic.
    pub fn topic(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            name: topic.to_owned(),
            is_conversation: false,
        }
    }

    /// A group.
    pub fn group(slug: &str) -> Self {
        Self {
            topic: format!("im/to/{slug}"),
            name: slug.to_owned(),
            is_conversation: true,
        }
    }

    /// A direct chat.
    pub fn direct(from: &str, to: &str) -> Self {
        Self {
            topic: format!("im/to/@{to}"),
            name: conversation(from, &format!("@{to}")),
            is_conversation: true,
        }
    }
}

/// The name, for both sides, of what `account` sees as `conv`.
pub fn conversation(account: &str, conv: &str) -> String {
    match conv.strip_prefix('@') {
        Some(peer) if peer < account => format!("{peer}+{account}"),
        Some(peer) => format!("{account}+{peer}"),
        None => conv.to_owned(),
    }
}

/// A message by its place and its own id, which is the `mid` of a conversation's message.
pub type Key = (String, String);

/// What was sent and acknowledged, in all.
#[derive(Debug, Default, Clone)]
pub struct Entries {
    /// Everything that was ever sent.
    pub sent: BTreeSet<Key>,
    /// What was acknowledged: PUBACK, PUBREC or a positive `im/ack`.
    pub acknowledged: BTreeSet<Key>,
    /// The `seq` that `im/ack` told.
    pub seqs: BTreeMap<Key, u64>,
}

/// The book that all writers write into.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Watched<Entries>,
}

impl Ledger {
    /// It is about to be sent, for the first time or again.
    pub fn sent(&self, place: &Place, id: &str) {
        self.entries
            .lock()
            .sent
            .insert((place.name.clone(), id.to_owned()));
    }

    /// The server has taken it over.
    pub fn acknowledged(&self, place: &Place, id: &str) {
        self.entries
            .lock()
            .acknowledged
            .insert((place.name.clone(), id.to_owned()));
    }

    /// `im/ack` said that the message is number `seq`; it must not say anything else another time.
    pub fn told(&self, name: &str, id: &str, seq: u64) {
        let key = (name.to_owned(), id.to_owned());
        let before = self.entries.lock().seqs.insert(key.clone(), seq);
        assert!(
            before.is_none_or(|before| before == seq),
            "{key:?} was {before:?} and is {seq}"
        );
        self.entries.lock().acknowledged.insert(key);
    }

    /// How many are acknowledged so far.
    pub fn acknowledged_count(&self) -> usize {
        self.entries.lock().acknowledged.len()
    }

    /// Everything, once nobody writes any more.
    pub fn close(&self) -> Entries {
        self.entries.lock().clone()
    }
}
