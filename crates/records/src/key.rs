//! The one ordered key space: which table a key belongs to and how its parts are laid out.
//! First byte is the table, ids follow big-endian, a text is always last, so that byte order is the wanted order.

mod messenger;

use thiserror::Error;

pub use crate::range::KeyRange;
use crate::{AccountId, ConversationId, Millis, PartitionId, SessionNumber, Stamp};
pub use messenger::*;

/// The longest text (client id, filter, topic, mid) that a key may end with: the store takes keys up to
/// 65,535 bytes, and the ids in front of a text take at most 32. Longer ones must be refused where they come in.
pub const TEXT_BYTES_MAX: usize = 65_500;

/// The `meta` name under which the version of the key space stands.
pub const META_FORMAT: &str = "format";

/// The `meta` name under which the store counts its commits, as eight bytes, big-endian.
pub const META_COMMIT: &str = "commit";

/// The `meta` name under which the server's secret stands, as 32 bytes: what must be the same after a restart, and
/// nobody can guess, is made from it.
pub const META_SECRET: &str = "secret";

/// What the `meta` names begin with under which stands, as eight bytes, big-endian, a tick that no position of a partition has reached.
pub const META_POSITIONS: &str = "positions/";

/// What the `meta` names begin with under which groups stand that were deleted.
const META_ENDED: &str = "ended/";

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
    /// Messages and events by conversation, seq and pos.
    Entry = 0x22,
    /// Recent mids by week, conversation, account and mid.
    Dedup = 0x24,
    /// Conversations by their two accounts or their slug.
    Address = 0x25,
    /// Conversations of an account.
    Joined = 0x26,
    /// Bytes of messages that an account has stored.
    Usage = 0x27,
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
    /// What became of QoS 2 messages to conversations, by session number and packet id, until their receipt is released.
    Sent = 0x35,
    /// What became of wills that name a conversation, by account and client id, until they are gone.
    SentWill = 0x36,
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
    pub const ALL: [Self; 21] = [
        Self::Meta,
        Self::Account,
        Self::Token,
        Self::Conversation,
        Self::Member,
        Self::Entry,
        Self::Dedup,
        Self::Address,
        Self::Joined,
        Self::Usage,
        Self::Session,
        Self::Subscription,
        Self::Outgoing,
        Self::Incoming,
        Self::Will,
        Self::Sent,
        Self::SentWill,
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

/// Under this `meta` key stands a tick that no position of a partition has reached.
pub fn positions(partition: PartitionId) -> Vec<u8> {
    meta(&format!("{META_POSITIONS}{:02x}", partition.number()))
}

/// Under this `meta` key stands a tick above everything that a node has promised not to give any more.
pub fn promised_positions(node: u16) -> Vec<u8> {
    meta(&format!("{META_POSITIONS}node-{node:04x}"))
}

/// Every [`positions`] key, and every [`promised_positions`] key.
pub fn all_positions() -> KeyRange {
    KeyRange::prefix(meta(META_POSITIONS))
}

/// Under this `meta` key stands that a group was deleted, whose entries and members may still be there: they go as ranges, which a
/// crash can prevent. The value is empty.
pub fn ended(conversation: ConversationId) -> Vec<u8> {
    meta(&format!("{META_ENDED}{:016x}", conversation.value()))
}

/// The conversation of an [`ended`] key.
pub fn parse_ended(key: &[u8]) -> Result<ConversationId, KeyError> {
    let number = parse_meta(key)?.strip_prefix(META_ENDED);
    let id = number.and_then(|number| u64::from_str_radix(number, 16).ok());
    match id.map(ConversationId::new) {
        Some(id) if ended(id) == key => Ok(id),
        Some(_) | None => Err(KeyError::Malformed {
            table: Table::Meta,
            bytes: key.len(),
        }),
    }
}

/// Every [`ended`] key of a partition.
pub fn ended_in(partition: PartitionId) -> KeyRange {
    let first = ConversationId::in_partition(partition, 0).value();
    let last = first | ConversationId::MAX.number();
    KeyRange {
        from: ended(ConversationId::new(first)),
        to: ended(ConversationId::new(last + 1)),
    }
}

/// Every [`ended`] key.
pub fn all_ended() -> KeyRange {
    KeyRange::prefix(meta(META_ENDED))
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

/// The value of the `address` and `usage` tables: eight bytes, big-endian, like a key's part and without a version.
pub fn encode_number(number: u64) -> Vec<u8> {
    be(number).to_vec()
}

/// Reads what `encode_number` wrote.
pub fn decode_number(table: Table, value: &[u8]) -> Result<u64, KeyError> {
    let number = value.try_into().map_err(|_| KeyError::Malformed {
        table,
        bytes: value.len(),
    })?;
    Ok(u64::from_be_bytes(number))
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
