//! What clients sent and what the server acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use harness::Watched;

/// Where a message goes, seen from its writer, and the conversation or topic that it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// What is published to.
    pub(crate) topic: String,
    /// One name for both sides of a direct chat.
    pub(crate) name: String,
    pub(crate) is_conversation: bool,
}

impl Place {
    pub(crate) fn topic(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            name: topic.to_owned(),
            is_conversation: false,
        }
    }

    pub(crate) fn group(slug: &str) -> Self {
        Self {
            topic: format!("im/to/{slug}"),
            name: slug.to_owned(),
            is_conversation: true,
        }
    }

    pub(crate) fn direct(from: &str, to: &str) -> Self {
        Self {
            topic: format!("im/to/@{to}"),
            name: conversation(from, &format!("@{to}")),
            is_conversation: true,
        }
    }
}

/// The name, for both sides, of what `account` sees as `conv`.
pub(crate) fn conversation(account: &str, conv: &str) -> String {
    match conv.strip_prefix('@') {
        Some(peer) if peer < account => format!("{peer}+{account}"),
        Some(peer) => format!("{account}+{peer}"),
        None => conv.to_owned(),
    }
}

/// A message by its place and its own id, which is the `mid` of a conversation's message.
pub(crate) type Key = (String, String);

#[derive(Debug, Default, Clone)]
pub(crate) struct Entries {
    /// Everything that was ever sent.
    pub(crate) sent: BTreeSet<Key>,
    /// What was acknowledged: PUBACK, PUBREC or a positive `im/ack`.
    pub(crate) acknowledged: BTreeSet<Key>,
    /// The `seq` that `im/ack` told.
    pub(crate) seqs: BTreeMap<Key, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Watched<Entries>,
}

impl Ledger {
    pub(crate) fn sent(&self, place: &Place, id: &str) {
        self.entries
            .lock()
            .sent
            .insert((place.name.clone(), id.to_owned()));
    }

    pub(crate) fn acknowledged(&self, place: &Place, id: &str) {
        self.entries
            .lock()
            .acknowledged
            .insert((place.name.clone(), id.to_owned()));
    }

    /// `im/ack` said that the message is number `seq`; it must not say anything else another time.
    pub(crate) fn told(&self, name: &str, id: &str, seq: u64) {
        let key = (name.to_owned(), id.to_owned());
        let before = self.entries.lock().seqs.insert(key.clone(), seq);
        assert!(
            before.is_none_or(|before| before == seq),
            "{key:?} was {before:?} and is {seq}"
        );
        self.entries.lock().acknowledged.insert(key);
    }

    /// Everything, once nobody writes any more.
    pub(crate) fn close(&self) -> Entries {
        self.entries.lock().clone()
    }
}
