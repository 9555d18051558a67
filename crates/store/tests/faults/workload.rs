//! What a messenger does to its store, at random: state that is overwritten, conversations that grow and are deleted, mids that
//! expire by the week, and queues that are filled at one end and emptied at the other.

use std::num::NonZeroU32;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use records::key;
use records::{AccountId, ConversationId, KeyRange, Pos, Seq, SessionNumber, Stamp, Write};
use store::disk::simulated::SimulatedDisk;
use store::{
    Background, Batch, Durability, EmbeddedStore, Expected, OpenOptions, Precondition, Range,
    Scale, StoreError,
};

use crate::model::Rows;
use crate::random::Random;

/// Rows that one commit deletes at most.
const DELETES_MAX: usize = 60;

/// The data directory on every simulated disk.
pub(crate) fn folder() -> &'static Path {
    Path::new("data")
}

/// One thread, and sizes so many times smaller.
pub(crate) fn options(durability: Durability, divisor: u32) -> OpenOptions {
    OpenOptions {
        durability,
        background: Background::Caller,
        scale: Scale::one_in(NonZeroU32::new(divisor).unwrap()),
        ..OpenOptions::default()
    }
}

pub(crate) fn open(
    disk: &SimulatedDisk,
    options: OpenOptions,
) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open_on(Arc::new(disk.clone()), folder(), options)
}

/// Makes batches and ranges. Keys that are written once are never made again.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) random: Random,
    next_pos: u64,
    next_stamp: u64,
    next_mid: u64,
    week: u32,
    /// The longest value.
    value_bytes_max: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64, value_bytes_max: u64) -> Self {
        Self {
            random: Random::new(seed),
            next_pos: 1,
            next_stamp: 1,
            next_mid: 1,
            week: 100,
            value_bytes_max,
        }
    }

    /// Writes that belong together, given what is there.
    pub(crate) fn writes(&mut self, rows: &Rows) -> Vec<Write> {
        let mut writes = Vec::new();
        for _ in 0..=self.random.below(5) {
            match self.random.below(14) {
                0..=3 => self.message(&mut writes),
                4 | 5 => self.state(&mut writes),
                6 | 7 => self.queued(&mut writes),
                8 | 9 => self.delivered(rows, &mut writes),
                10 => self.delete_conversation(rows, &mut writes),
                11 => self.expire_week(rows, &mut writes),
                12 => self.any_again(rows, &mut writes),
                _ => self.delete_any(rows, &mut writes),
            }
        }
        writes
    }

    /// What may be asked of a batch, and whether it holds.
    pub(crate) fn precondition(&mut self, rows: &Rows) -> (Precondition, bool) {
        let key = self.some_key(rows);
        let found = rows.get(&key);
        let expected = match self.random.below(4) {
            0 => Expected::Absent,
            1 => Expected::Present,
            2 => Expected::Equals(found.cloned().unwrap_or_default()),
            _ => Expected::Equals(self.value()),
        };
        let holds = expected.holds(found.map(Vec::as_slice));
        (Precondition { key, expected }, holds)
    }

    pub(crate) fn batch(&mut self, rows: &Rows) -> (Batch, bool) {
        let (mut preconditions, mut holds) = (Vec::new(), true);
        while self.random.one_in(6) {
            let (precondition, one_holds) = self.precondition(rows);
            preconditions.push(precondition);
            holds &= one_holds;
        }
        let changes = self.changes(rows);
        (
            Batch {
                preconditions,
                ..changes
            },
            holds,
        )
    }

    /// A batch of which nothing is asked.
    pub(crate) fn changes(&mut self, rows: &Rows) -> Batch {
        let mut batch = Batch::default();
        if self.random.one_in(5) {
            self.delete_ranges(rows, &mut batch.deleted_ranges);
        }
        if batch.deleted_ranges.is_empty() || self.random.one_in(2) {
            batch.writes = self.writes(rows);
        }
        batch
    }

    /// As the server does it, and any at all.
    fn delete_ranges(&mut self, rows: &Rows, ranges: &mut Vec<KeyRange>) {
        match self.random.below(6) {
            0 | 1 => {
                let conversation = self.conversation();
                ranges.extend([key::entries(conversation), key::members(conversation)]);
            }
            2 => ranges.push(key::dedups_before(self.week)),
            3 => ranges.push(KeyRange {
                from: records::Table::Queue.range().from,
                to: key::queue(Stamp::new(self.random.below(self.next_stamp + 2))),
            }),
            4 if self.random.one_in(6) => ranges.push(KeyRange {
                from: vec![2],
                to: vec![0xff],
            }),
            _ => ranges.push(self.some_range(rows)),
        }
        // The store's own row stays.
        for range in ranges {
            range.from = range.from.clone().max(vec![2]);
        }
    }

    fn some_range(&mut self, rows: &Rows) -> KeyRange {
        let (one, other) = (self.some_key(rows), self.some_key(rows));
        KeyRange {
            from: one.clone().min(other.clone()),
            to: one.max(other),
        }
    }

    pub(crate) fn range(&mut self, rows: &Rows) -> Range {
        let keys = match self.random.below(4) {
            0 => key::entries(self.conversation()),
            1 => key::members(self.conversation()),
            2 => {
                let tables = records::Table::ALL;
                tables[self.random.below(tables.len() as u64) as usize].range()
            }
            _ => self.some_range(rows),
        };
        let limit = match self.random.below(3) {
            0 => usize::MAX,
            1 => self.random.below(4) as usize,
            _ => self.random.below(100) as usize,
        };
        let bytes_max = match self.random.below(3) {
            0 => self.random.below(2_000) as usize,
            _ => usize::MAX,
        };
        Range {
            from: keys.from,
            to: keys.to,
            reverse: self.random.one_in(2),
            limit,
            bytes_max,
        }
    }

    /// One that is there, mostly.
    pub(crate) fn some_key(&mut self, rows: &Rows) -> Vec<u8> {
        if self.random.one_in(5) {
            return key::queue(Stamp::new(self.random.below(self.next_stamp + 2)));
        }
        let mut from = vec![
            *self
                .random
                .pick(&[1, 0x10, 0x21, 0x22, 0x24, 0x26, 0x30, 0x32, 0x40, 0x41]),
        ];
        from.extend(
            (self.random.below(12) as u8 % 12)
                .to_be_bytes()
                .repeat(self.random.below(9) as usize),
        );
        let found = rows.range((Bound::Included(from), Bound::Unbounded)).next();
        let found = found.or_else(|| rows.iter().next());
        found.map_or_else(|| vec![1], |(key, _)| key.clone())
    }

    fn message(&mut self, writes: &mut Vec<Write>) {
        let conversation = self.conversation();
        let pos = self.next_pos;
        self.next_pos += 1;
        let entry = key::entry(conversation, Seq::new(pos), Pos::new(pos));
        self.put(entry, writes);
        let mid = self.next_mid.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.next_mid += 1;
        let account = self.account();
        let mid = key::dedup(self.week, conversation, account, &format!("{mid:x}"));
        self.put_small(mid, writes);
    }

    fn state(&mut self, writes: &mut Vec<Write>) {
        let account = self.account();
        let key = match self.random.below(6) {
            0 => key::account(account),
            1 => key::joined(account, self.conversation()),
            2 => key::member(self.conversation(), account),
            3 => key::session(account, &format!("client-{}", self.random.below(4))),
            4 => key::outgoing(
                SessionNumber::new(self.random.below(9)),
                Stamp::new(self.random.below(9)),
            ),
            _ => key::retained(&format!("home/{}/temperature", self.random.below(60))),
        };
        if self.random.one_in(4) {
            writes.push(Write::Delete { key });
        } else {
            self.put(key, writes);
        }
    }

    fn queued(&mut self, writes: &mut Vec<Write>) {
        for _ in 0..=self.random.below(6) {
            let stamp = Stamp::new(self.next_stamp);
            self.next_stamp += 1;
            self.put(key::queue(stamp), writes);
            if self.random.one_in(3) {
                self.put_small(key::claim(stamp), writes);
            }
        }
    }

    /// The front of the queue goes.
    fn delivered(&mut self, rows: &Rows, writes: &mut Vec<Write>) {
        let count = 1 + self.random.below(12) as usize;
        for table in [records::Table::Queue, records::Table::Claim] {
            delete(rows, &table.range(), count, writes);
        }
    }

    fn delete_conversation(&mut self, rows: &Rows, writes: &mut Vec<Write>) {
        if self.random.one_in(3) {
            let conversation = self.conversation();
            delete(rows, &key::entries(conversation), DELETES_MAX, writes);
            delete(rows, &key::members(conversation), DELETES_MAX, writes);
        }
    }

    fn expire_week(&mut self, rows: &Rows, writes: &mut Vec<Write>) {
        if self.random.one_in(3) {
            self.week += u32::from(self.random.one_in(3));
            delete(rows, &key::dedups_before(self.week), DELETES_MAX, writes);
        }
    }

    /// A row that is there or was, whatever its family: the store is a map and must not mind.
    fn any_again(&mut self, rows: &Rows, writes: &mut Vec<Write>) {
        let key = self.some_key(rows);
        if key[0] != 1 {
            self.put(key, writes);
        }
    }

    fn delete_any(&mut self, rows: &Rows, writes: &mut Vec<Write>) {
        let key = self.some_key(rows);
        if key[0] != 1 {
            writes.push(Write::Delete { key });
        }
    }

    fn conversation(&mut self) -> ConversationId {
        ConversationId::new(1 + self.random.below(9))
    }

    fn account(&mut self) -> AccountId {
        AccountId::new(1 + self.random.below(12))
    }

    fn put(&mut self, key: Vec<u8>, writes: &mut Vec<Write>) {
        let value = self.value();
        writes.push(Write::Put { key, value });
    }

    fn put_small(&mut self, key: Vec<u8>, writes: &mut Vec<Write>) {
        let value = self.random.number().to_be_bytes()[..self.random.below(9) as usize].to_vec();
        writes.push(Write::Put { key, value });
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.random.below(200) {
            0 => self.random.below(self.value_bytes_max),
            1..=9 => self.random.below(self.value_bytes_max.min(4_000)),
            10..=30 => 0,
            _ => self.random.below(200),
        };
        let begin = self.random.number().to_be_bytes();
        // Half of them can be compressed.
        let mut value = vec![begin[0]; length as usize];
        if begin[1].is_multiple_of(2) {
            for byte in &mut value {
                *byte = self.random.number() as u8;
            }
        }
        value
    }
}

fn delete(rows: &Rows, range: &KeyRange, count: usize, writes: &mut Vec<Write>) {
    let keys = rows.range(range.from.clone()..range.to.clone()).take(count);
    writes.extend(keys.map(|(key, _)| Write::Delete { key: key.clone() }));
}
