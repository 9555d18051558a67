//! A store that is a map, and the messenger that it gives back after a crash.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat::{Chat, Settings, Source, Unreadable};
use records::{
    Account, AccountId, Conversation, ConversationId, Dedup, Entry, KeyRange, Member, Millis, Pos,
    Seq, Table, Token, Write, key,
};

/// The store: every key that was written, and whether it can be read.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) broken: bool,
    /// Bytes of entries that were read.
    pub(crate) read: Cell<usize>,
    /// Positions of entries that were ever written, trimmed or not.
    pub(crate) ever: BTreeSet<Pos>,
}

impl Disk {
    pub(crate) fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            if let Ok((_, pos)) = key::parse_entry(write.key()) {
                self.ever.insert(pos);
            }
            match write {
                Write::Put { key, value } => drop(self.keys.insert(key, value)),
                Write::Delete { key } => drop(self.keys.remove(&key)),
            }
        }
    }

    pub(crate) fn in_range(
        &self,
        range: KeyRange,
    ) -> impl DoubleEndedIterator<Item = (&[u8], Bytes)> {
        self.keys
            .range(range.from..range.to)
            .map(|(key, value)| (key.as_slice(), Bytes::copy_from_slice(value)))
    }

    /// A messenger that knows what is stored.
    pub(crate) fn recover(&self, settings: Settings, now: Millis) -> Chat {
        let mut chat = Chat::new(settings, [1, 2, 3, 4]);
        for (key, value) in self.in_range(Table::Account.range()) {
            let id = key::parse_account(key).unwrap();
            chat.recover_account(id, Account::decode(&value).unwrap());
        }
        for (key, value) in self.in_range(Table::Token.range()) {
            let sha256 = key::parse_token(key).unwrap();
            chat.recover_token(sha256, Token::decode(&value).unwrap());
        }
        for (key, value) in self.in_range(Table::Conversation.range()) {
            let id = key::parse_conversation(key).unwrap();
            let seq = self.in_range(key::seqs(id)).next_back();
            let seq = seq.map_or(Seq::ZERO, |(key, _)| key::parse_seq(key).unwrap().1);
            let pos = self.in_range(key::entries(id)).next_back();
            let pos = pos.map_or(Pos::ZERO, |(key, _)| key::parse_entry(key).unwrap().1);
            chat.recover_conversation(id, Conversation::decode(&value).unwrap(), seq, pos);
        }
        for (key, value) in self.in_range(Table::Member.range()) {
            let (conversation, account) = key::parse_member(key).unwrap();
            chat.recover_member(conversation, account, Member::decode(&value).unwrap());
        }
        chat.finish_recovery(now);
        chat
    }
}

impl Source for Disk {
    fn entries(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        reverse: bool,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        let range = KeyRange {
            from: key::entry(conversation, from),
            to: key::entry(conversation, to),
        };
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let found = self.in_range(range).map(|(_, value)| value);
        let found: Box<dyn Iterator<Item = Bytes>> = if reverse {
            Box::new(found.rev())
        } else {
            Box::new(found)
        };
        let mut bytes = 0;
        let mut entries = Vec::new();
        for value in found.take(limit) {
            bytes += value.len();
            entries.push(Entry::decode(&value).unwrap());
            if bytes > bytes_max {
                break;
            }
        }
        self.read.set(self.read.get() + bytes);
        Ok(entries)
    }

    fn positions(
        &self,
        conversation: ConversationId,
        from: Pos,
        to: Pos,
        limit: usize,
    ) -> Result<Vec<Pos>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        let range = KeyRange {
            from: key::entry(conversation, from),
            to: key::entry(conversation, to),
        };
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let found = self.in_range(range).take(limit);
        Ok(found
            .map(|(key, _)| key::parse_entry(key).unwrap().1)
            .collect())
    }

    fn pos_of(&self, conversation: ConversationId, seq: Seq) -> Result<Option<Pos>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        let value = self.keys.get(&key::seq(conversation, seq));
        Ok(value.map(|value| key::decode_pos(value).unwrap()))
    }

    fn mid(&self, week: u32, account: AccountId, mid: &str) -> Result<Option<Dedup>, Unreadable> {
        if self.broken {
            return Err(Unreadable);
        }
        let value = self.keys.get(&key::dedup(week, account, mid));
        Ok(value.map(|value| Dedup::decode(value).unwrap()))
    }
}
