//! The store: an ordered map, and the appends on their way into it. A commit holds what was at the front of the
//! queue, wholly; a crash keeps a commit in flight or loses it. It knows nothing of what it keeps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use broker::{Message, Ticket};
use bytes::Bytes;
use records::{QueuedMessage, Stamp, Write, key};

/// The longest key that the product's store takes.
const KEY_BYTES_MAX: usize = 65_535;

/// What a shard wants stored.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) shard: usize,
    pub(crate) ticket: Ticket,
    pub(crate) writes: Vec<Write>,
}

/// What stands on disk and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    waiting: VecDeque<Append>,
}

impl Disk {
    pub(crate) fn append(&mut self, append: Append) {
        let bytes: usize = append.writes.iter().map(Write::bytes).sum();
        assert!(
            bytes <= broker::APPEND_BYTES_MAX,
            "an append of {bytes} bytes"
        );
        for write in &append.writes {
            assert!(write.key().len() <= KEY_BYTES_MAX, "a key that is too long");
        }
        self.waiting.push_back(append);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Commits so many appends at once and returns whom to tell what.
    pub(crate) fn commit(&mut self, count: usize) -> Vec<(usize, Ticket)> {
        let mut told = Vec::new();
        for _ in 0..count {
            let Some(append) = self.waiting.pop_front() else {
                break;
            };
            self.write(append.writes);
            told.push((append.shard, append.ticket));
        }
        told
    }

    /// The machine stops while so many appends are being committed: they are there, and nobody hears of it.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.commit(kept);
        self.waiting.clear();
    }

    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { key, value } => drop(self.rows.insert(key, value)),
                Write::Delete { key } => drop(self.rows.remove(&key)),
            }
        }
    }

    /// A stored message.
    pub(crate) fn queued(&self, stamp: Stamp) -> Option<Arc<Message>> {
        let value = self.rows.get(&key::queue(stamp))?;
        let record = QueuedMessage::decode(&Bytes::from(value.clone())).expect("a stored message");
        Some(Arc::new(Message::from_record(record)))
    }

    /// Throws away stored messages below a stamp.
    pub(crate) fn trim(&mut self, below: Stamp) {
        self.rows
            .retain(|row, _| key::parse_queue(row).map_or(true, |stamp| stamp >= below));
    }

    /// Stamps of the stored messages, ascending.
    pub(crate) fn queued_stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.rows.keys().flat_map(|row| key::parse_queue(row))
    }

    /// Throws away one stored message.
    pub(crate) fn delete_queued(&mut self, stamp: Stamp) {
        self.rows.remove(&key::queue(stamp));
    }
}
