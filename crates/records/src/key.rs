//! The one ordered key space: which table a key belongs to and how its parts are laid out.
//! First byte is the table, ids follow big-endian, a text is always last, so that byte order is the wanted order.

use thiserror::Error;

use crate::{AccountId, ConversationId, Millis, Pos, Seq, SessionNumber, Stamp};

/// The longest text (client id, filter, topic, mid) that a key may end with: the store takes keys up to
/// 65,535 bytes, and the ids in front of a text take at most 32. Longer ones must be refused at the door.
pub const TEXT_BYTES_MAX: usize = 65_500;

/// The `meta` name under which the version of the key space stands.
pub const META_FORMAT: &str = "format";

/// The `meta` name under which the store counts its commits, as eight bytes, big-endian.
pub const META_COMMIT: &str = "commit";

/// The `meta` name under which the server's secret stands, as 32 bytes: what must be the same after a restart, and
/// nobody can guess, is made from it.
pub const META_SECRET: &str = "secret";

/// The first byte of a key. The numbers stand on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the data directory, by name.
    Meta = 0x01,
    /// Accounts by id.
    Account = 0x10,
    /// App tokens by SHA-256.
    Token = 0x11,
    /// Conversations by id.
    Conversation = 0x20,
    /// Members by conversation and account.
    Member = 0x21,
    /// Messages and events by conversation and pos.
    Entry = 0x22,
    /// Pos by conversation and seq.
    Seq = 0x23,
    /// Recent mids by week, account and mid.
    Dedup = 0x24,
    /// Persistent sessions by account and client id.
    Session = 0x30,
    /// Their subscriptions by session number and filter.
    Subscription = 0x31,
    /// QoS 2 deliveries by session number and stamp.
    Outgoing = 0x32,
    /// QoS 2 receipts by session number and packet id.
    Incoming = 0x33,
    /// Wills by account and client id.
    Will = 0x34,
    /// Ordinary messages by stamp.
    Queue = 0x40,
    /// Retained messages by topic.
    Retained = 0x41,
    /// What groups of shared subscriptions have still to get, by claim.
    Claim = 0x42,
    /// Changes of accounts and limits by time.
    Audit = 0x50,
}

impl Table {
    /// Every table, in key order.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Account,
        Self::Token,
        Self::Conversation,
        Self::Member,
        Self::Entry,
        Self::Seq,
        Self::Dedup,
        Self::Session,
        Self::Subscription,
        Self::Outgoing,
        Self::Incoming,
        Self::Will,
        Self::Queue,
        Self::Retained,
        Self::Claim,
        Self::Audit,
    ];

    /// The table that a key belongs to.
    pub fn of(key: &[u8]) -> Result<Self, KeyError> {
        let first = *key.first().ok_or(KeyError::Empty)?;
        Self::ALL
            .into_iter()
            .find(|table| *table as u8 == first)
            .ok_or(KeyError::Table { found: first })
    }

    /// All keys of the table.
    pub fn range(self) -> KeyRange {
        KeyRange::prefix(vec![self as u8])
    }
}

/// Keys from `from` up to but not including `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to it.
    pub from: Vec<u8>,
    /// The first key that no longer does.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// The first key that belongs to it, and the first that no longer does.
    pub fn ends(&self) -> (&[u8], &[u8]) {
        (&self.from, &self.to)
    }

    /// All keys that begin with `prefix`, whose first byte is a table.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let mut to = prefix.clone();
        while to.last() == Some(&u8::MAX) {
            to.pop();
        }
        // Every table byte is below 0xff, so something is left to count up.
        let last = to.last_mut().expect("a prefix begins with a table");
        *last += 1;
        Self { from: prefix, to }
    }
}

/// Why bytes are not a key of the table they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No bytes at all.
    #[error("key is empty")]
    Empty,
    /// A first byte that is no table of this release.
    #[error("key of unknown table 0x{found:02x}")]
    Table {
        /// The first byte.
        found: u8,
    },
    /// The key of another table.
    #[error("key of table {found:?}, expected {expected:?}")]
    OtherTable {
        /// The table it was read as.
        expected: Table,
        /// The table it belongs to.
        found: Table,
    },
    /// Too short, too long, or a text that is not UTF-8.
    #[error("key of table {table:?} is malformed: {bytes} bytes")]
    Malformed {
        /// Its table.
        table: Table,
        /// Its length.
        bytes: usize,
    },
}

/// A fact about the data directory, by name.
pub fn meta(name: &str) -> Vec<u8> {
    build(Table::Meta, &[name.as_bytes()])
}

/// The parts of a `meta` key.
pub fn parse_meta(key: &[u8]) -> Result<&str, KeyError> {
    Parts::open(Table::Meta, key)?.text()
}

/// An account.
pub fn account(account: AccountId) -> Vec<u8> {
    build(Table::Account, &[&be(account.value())])
}

/// The parts of an `account` key.
pub fn parse_account(key: &[u8]) -> Result<AccountId, KeyError> {
    let mut parts = Parts::open(Table::Account, key)?;
    let account = AccountId::new(parts.u64()?);
    parts.end(account)
}

/// An app token, by its SHA-256.
pub fn token(sha256: &[u8; 32]) -> Vec<u8> {
    build(Table::Token, &[sha256])
}

/// The parts of a `token` key.
pub fn parse_token(key: &[u8]) -> Result<[u8; 32], KeyError> {
    let mut parts = Parts::open(Table::Token, key)?;
    let sha256 = parts.array()?;
    parts.end(sha256)
}

/// A conversation.
pub fn conversation(conversation: ConversationId) -> Vec<u8> {
    build(Table::Conversation, &[&be(conversation.value())])
}

/// The parts of a `conversation` key.
pub fn parse_conversation(key: &[u8]) -> Result<ConversationId, KeyError> {
    let mut parts = Parts::open(Table::Conversation, key)?;
    let conversation = ConversationId::new(parts.u64()?);
    parts.end(conversation)
}

/// A member of a conversation.
pub fn member(conversation: ConversationId, account: AccountId) -> Vec<u8> {
    build(
        Table::Member,
        &[&be(conversation.value()), &be(account.value())],
    )
}

/// The parts of a `member` key.
pub fn parse_member(key: &[u8]) -> Result<(ConversationId, AccountId), KeyError> {
    let mut parts = Parts::open(Table::Member, key)?;
    let ids = (
        ConversationId::new(parts.u64()?),
        AccountId::new(parts.u64()?),
    );
    parts.end(ids)
}

/// All members of a conversation.
pub fn members(conversation: ConversationId) -> KeyRange {
    KeyRange::prefix(build(Table::Member, &[&be(conversation.value())]))
}

/// A message or event.
pub fn entry(conversation: ConversationId, pos: Pos) -> Vec<u8> {
    build(Table::Entry, &[&be(conversation.value()), &be(pos.value())])
}

/// The parts of an `entry` key.
pub fn parse_entry(key: &[u8]) -> Result<(ConversationId, Pos), KeyError> {
    let mut parts = Parts::open(Table::Entry, key)?;
    let ids = (ConversationId::new(parts.u64()?), Pos::new(parts.u64()?));
    parts.end(ids)
}

/// All messages and events of a conversation.
pub fn entries(conversation: ConversationId) -> KeyRange {
    KeyRange::prefix(build(Table::Entry, &[&be(conversation.value())]))
}

/// Where a message stands: the value is `encode_pos`.
pub fn seq(conversation: ConversationId, seq: Seq) -> Vec<u8> {
    build(Table::Seq, &[&be(conversation.value()), &be(seq.value())])
}

/// The parts of a `seq` key.
pub fn parse_seq(key: &[u8]) -> Result<(ConversationId, Seq), KeyError> {
    let mut parts = Parts::open(Table::Seq, key)?;
    let ids = (ConversationId::new(parts.u64()?), Seq::new(parts.u64()?));
    parts.end(ids)
}

/// All message numbers of a conversation.
pub fn seqs(conversation: ConversationId) -> KeyRange {
    KeyRange::prefix(build(Table::Seq, &[&be(conversation.value())]))
}

/// What became of a `mid` that an account sent in a week (weeks since the epoch, so that old ones go in one piece).
pub fn dedup(week: u32, account: AccountId, mid: &str) -> Vec<u8> {
    build(
        Table::Dedup,
        &[&week.to_be_bytes(), &be(account.value()), mid.as_bytes()],
    )
}

/// The parts of a `dedup` key.
pub fn parse_dedup(key: &[u8]) -> Result<(u32, AccountId, &str), KeyError> {
    let mut parts = Parts::open(Table::Dedup, key)?;
    let week = u32::from_be_bytes(parts.array()?);
    let account = AccountId::new(parts.u64()?);
    Ok((week, account, parts.text()?))
}

/// Every `mid` of the weeks before `week`.
pub fn dedups_before(week: u32) -> KeyRange {
    KeyRange {
        from: vec![Table::Dedup as u8],
        to: build(Table::Dedup, &[&week.to_be_bytes()]),
    }
}

/// A persistent session.
pub fn session(account: AccountId, client_id: &str) -> Vec<u8> {
    build(
        Table::Session,
        &[&be(account.value()), client_id.as_bytes()],
    )
}

/// The parts of a `session` key.
pub fn parse_session(key: &[u8]) -> Result<(AccountId, &str), KeyError> {
    let mut parts = Parts::open(Table::Session, key)?;
    let account = AccountId::new(parts.u64()?);
    Ok((account, parts.text()?))
}

/// All persistent sessions of an account.
pub fn sessions(account: AccountId) -> KeyRange {
    KeyRange::prefix(build(Table::Session, &[&be(account.value())]))
}

/// A persistent session's subscription.
pub fn subscription(session: SessionNumber, filter: &str) -> Vec<u8> {
    build(
        Table::Subscription,
        &[&be(session.value()), filter.as_bytes()],
    )
}

/// The parts of a `subscription` key.
pub fn parse_subscription(key: &[u8]) -> Result<(SessionNumber, &str), KeyError> {
    let mut parts = Parts::open(Table::Subscription, key)?;
    let session = SessionNumber::new(parts.u64()?);
    Ok((session, parts.text()?))
}

/// All subscriptions of a session.
pub fn subscriptions(session: SessionNumber) -> KeyRange {
    KeyRange::prefix(build(Table::Subscription, &[&be(session.value())]))
}

/// A QoS 2 delivery that has begun.
pub fn outgoing(session: SessionNumber, stamp: Stamp) -> Vec<u8> {
    build(Table::Outgoing, &[&be(session.value()), &be(stamp.value())])
}

/// The parts of an `outgoing` key.
pub fn parse_outgoing(key: &[u8]) -> Result<(SessionNumber, Stamp), KeyError> {
    let mut parts = Parts::open(Table::Outgoing, key)?;
    let ids = (SessionNumber::new(parts.u64()?), Stamp::new(parts.u64()?));
    parts.end(ids)
}

/// All QoS 2 deliveries of a session.
pub fn outgoings(session: SessionNumber) -> KeyRange {
    KeyRange::prefix(build(Table::Outgoing, &[&be(session.value())]))
}

/// A QoS 2 receipt that has not been released.
pub fn incoming(session: SessionNumber, packet_id: u16) -> Vec<u8> {
    build(
        Table::Incoming,
        &[&be(session.value()), &packet_id.to_be_bytes()],
    )
}

/// The parts of an `incoming` key.
pub fn parse_incoming(key: &[u8]) -> Result<(SessionNumber, u16), KeyError> {
    let mut parts = Parts::open(Table::Incoming, key)?;
    let ids = (
        SessionNumber::new(parts.u64()?),
        u16::from_be_bytes(parts.array()?),
    );
    parts.end(ids)
}

/// All QoS 2 receipts of a session.
pub fn incomings(session: SessionNumber) -> KeyRange {
    KeyRange::prefix(build(Table::Incoming, &[&be(session.value())]))
}

/// The will of a connection, by account (zero for anonymous clients) and client id.
pub fn will(account: AccountId, client_id: &str) -> Vec<u8> {
    build(Table::Will, &[&be(account.value()), client_id.as_bytes()])
}

/// The parts of a `will` key.
pub fn parse_will(key: &[u8]) -> Result<(AccountId, &str), KeyError> {
    let mut parts = Parts::open(Table::Will, key)?;
    let account = AccountId::new(parts.u64()?);
    Ok((account, parts.text()?))
}

/// An ordinary message that some persistent session or group waits for.
pub fn queue(stamp: Stamp) -> Vec<u8> {
    build(Table::Queue, &[&be(stamp.value())])
}

/// The parts of a `queue` key.
pub fn parse_queue(key: &[u8]) -> Result<Stamp, KeyError> {
    let mut parts = Parts::open(Table::Queue, key)?;
    let stamp = Stamp::new(parts.u64()?);
    parts.end(stamp)
}

/// A message that a group of a shared subscription has still to get.
pub fn claim(claim: Stamp) -> Vec<u8> {
    build(Table::Claim, &[&be(claim.value())])
}

/// The parts of a `claim` key.
pub fn parse_claim(key: &[u8]) -> Result<Stamp, KeyError> {
    let mut parts = Parts::open(Table::Claim, key)?;
    let claim = Stamp::new(parts.u64()?);
    parts.end(claim)
}

/// A topic's retained message.
pub fn retained(topic: &str) -> Vec<u8> {
    build(Table::Retained, &[topic.as_bytes()])
}

/// The parts of a `retained` key.
pub fn parse_retained(key: &[u8]) -> Result<&str, KeyError> {
    Parts::open(Table::Retained, key)?.text()
}

/// A change that somebody made; `number` tells apart those of one moment.
pub fn audit(at: Millis, number: u64) -> Vec<u8> {
    build(Table::Audit, &[&be(at.value()), &be(number)])
}

/// The parts of an `audit` key.
pub fn parse_audit(key: &[u8]) -> Result<(Millis, u64), KeyError> {
    let mut parts = Parts::open(Table::Audit, key)?;
    let (at, number) = (Millis::new(parts.u64()?), parts.u64()?);
    parts.end((at, number))
}

/// The value of the `seq` table: eight bytes, big-endian, like a key's part and without a version.
pub fn encode_pos(pos: Pos) -> Vec<u8> {
    be(pos.value()).to_vec()
}

/// Reads what `encode_pos` wrote.
pub fn decode_pos(value: &[u8]) -> Result<Pos, KeyError> {
    let number = value.try_into().map_err(|_| KeyError::Malformed {
        table: Table::Seq,
        bytes: value.len(),
    })?;
    Ok(Pos::new(u64::from_be_bytes(number)))
}

fn be(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn build(table: Table, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table as u8);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// Takes a key apart from its front.
struct Parts<'a> {
    table: Table,
    key_bytes: usize,
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn open(expected: Table, key: &'a [u8]) -> Result<Self, KeyError> {
        let found = Table::of(key)?;
        if found != expected {
            return Err(KeyError::OtherTable { expected, found });
        }
        Ok(Self {
            table: expected,
            key_bytes: key.len(),
            rest: &key[1..],
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64, KeyError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(self) -> Result<&'a str, KeyError> {
        std::str::from_utf8(self.rest).map_err(|_| self.malformed())
    }

    fn end<T>(self, parts: T) -> Result<T, KeyError> {
        if self.rest.is_empty() {
            Ok(parts)
        } else {
            Err(self.malformed())
        }
    }

    fn malformed(&self) -> KeyError {
        KeyError::Malformed {
            table: self.table,
            bytes: self.key_bytes,
        }
    }
}
