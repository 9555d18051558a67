//! Keys of conversations, their members and entries, and of what accounts have of them.

use super::{KeyError, Parts, Table, be, build};
use crate::range::KeyRange;
use crate::{AccountId, ConversationId, PartitionId, Pos, Seq, SessionNumber};

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

/// Every conversation of a partition.
pub fn conversations(partition: PartitionId) -> KeyRange {
    let first = ConversationId::in_partition(partition, 0).value();
    let last = first | ConversationId::MAX.number();
    KeyRange {
        from: build(Table::Conversation, &[&be(first)]),
        to: build(Table::Conversation, &[&be(last + 1)]),
    }
}

/// All messages and events of a partition, and all its members: what is left of a conversation whose row is lost.
pub fn rows_of(partition: PartitionId) -> [KeyRange; 2] {
    let first = ConversationId::in_partition(partition, 0).value();
    let last = first | ConversationId::MAX.number();
    [Table::Entry, Table::Member].map(|table| KeyRange {
        from: build(table, &[&be(first)]),
        to: build(table, &[&be(last + 1)]),
    })
}

/// A message, or an event that followed the message of this number, which is `Seq::ZERO` before the first. In a conversation
/// the order of numbers is the order of positions, so that one key serves both.
pub fn entry(conversation: ConversationId, seq: Seq, pos: Pos) -> Vec<u8> {
    build(
        Table::Entry,
        &[
            &be(conversation.value()),
            &be(seq.value()),
            &be(pos.value()),
        ],
    )
}

/// The parts of an `entry` key.
pub fn parse_entry(key: &[u8]) -> Result<(ConversationId, Seq, Pos), KeyError> {
    let mut parts = Parts::open(Table::Entry, key)?;
    let ids = (
        ConversationId::new(parts.u64()?),
        Seq::new(parts.u64()?),
        Pos::new(parts.u64()?),
    );
    parts.end(ids)
}

/// All messages and events of a conversation.
pub fn entries(conversation: ConversationId) -> KeyRange {
    KeyRange::prefix(build(Table::Entry, &[&be(conversation.value())]))
}

/// What became of a `mid` that an account sent to a conversation in a week (weeks since the epoch, so that old ones go in one
/// piece).
pub fn dedup(week: u32, conversation: ConversationId, account: AccountId, mid: &str) -> Vec<u8> {
    build(
        Table::Dedup,
        &[
            &week.to_be_bytes(),
            &be(conversation.value()),
            &be(account.value()),
            mid.as_bytes(),
        ],
    )
}

/// The parts of a `dedup` key.
pub fn parse_dedup(key: &[u8]) -> Result<(u32, ConversationId, AccountId, &str), KeyError> {
    let mut parts = Parts::open(Table::Dedup, key)?;
    let week = u32::from_be_bytes(parts.array()?);
    let conversation = ConversationId::new(parts.u64()?);
    let account = AccountId::new(parts.u64()?);
    Ok((week, conversation, account, parts.text()?))
}

/// Every `mid` of the weeks before `week`.
pub fn dedups_before(week: u32) -> KeyRange {
    KeyRange {
        from: vec![Table::Dedup as u8],
        to: build(Table::Dedup, &[&week.to_be_bytes()]),
    }
}

/// The first byte of an address, which says whether two accounts or a slug follow.
const PAIR: u8 = 1;
const SLUG: u8 = 2;

/// Which direct chat two accounts have, in whatever order they are given; the value is a conversation id, as [`encode_number`]
/// writes it.
pub fn pair_address(one: AccountId, other: AccountId) -> Vec<u8> {
    build(
        Table::Address,
        &[
            &[PAIR],
            &be(one.min(other).value()),
            &be(one.max(other).value()),
        ],
    )
}

/// Which group has this slug; the value is as in [`pair_address`].
pub fn group_address(slug: &str) -> Vec<u8> {
    build(Table::Address, &[&[SLUG], slug.as_bytes()])
}

/// The address of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKey<'a> {
    /// Of two accounts, the smaller id first.
    Pair(AccountId, AccountId),
    /// Of a group.
    Slug(&'a str),
}

/// The parts of an `address` key.
pub fn parse_address(key: &[u8]) -> Result<AddressKey<'_>, KeyError> {
    let mut parts = Parts::open(Table::Address, key)?;
    match parts.array()? {
        [PAIR] => {
            let (low, high) = (AccountId::new(parts.u64()?), AccountId::new(parts.u64()?));
            if low > high {
                return Err(parts.malformed());
            }
            parts.end(AddressKey::Pair(low, high))
        }
        [SLUG] => Ok(AddressKey::Slug(parts.text()?)),
        _ => Err(parts.malformed()),
    }
}

/// A conversation that an account takes part in or once did.
pub fn joined(account: AccountId, conversation: ConversationId) -> Vec<u8> {
    build(
        Table::Joined,
        &[&be(account.value()), &be(conversation.value())],
    )
}

/// The parts of a `joined` key.
pub fn parse_joined(key: &[u8]) -> Result<(AccountId, ConversationId), KeyError> {
    let mut parts = Parts::open(Table::Joined, key)?;
    let ids = (
        AccountId::new(parts.u64()?),
        ConversationId::new(parts.u64()?),
    );
    parts.end(ids)
}

/// All conversations of an account.
pub fn joined_by(account: AccountId) -> KeyRange {
    KeyRange::prefix(build(Table::Joined, &[&be(account.value())]))
}

/// Bytes of messages that an account has stored; the value is as [`encode_number`] writes it.
pub fn usage(account: AccountId) -> Vec<u8> {
    build(Table::Usage, &[&be(account.value())])
}

/// The parts of a `usage` key.
pub fn parse_usage(key: &[u8]) -> Result<AccountId, KeyError> {
    let mut parts = Parts::open(Table::Usage, key)?;
    let account = AccountId::new(parts.u64()?);
    parts.end(account)
}

/// What became of a message that a session has sent to a conversation under a packet id.
pub fn sent(session: SessionNumber, packet_id: u16) -> Vec<u8> {
    build(
        Table::Sent,
        &[&be(session.value()), &packet_id.to_be_bytes()],
    )
}

/// The parts of a `sent` key.
pub fn parse_sent(key: &[u8]) -> Result<(SessionNumber, u16), KeyError> {
    let mut parts = Parts::open(Table::Sent, key)?;
    let ids = (
        SessionNumber::new(parts.u64()?),
        u16::from_be_bytes(parts.array()?),
    );
    parts.end(ids)
}

/// What became of a connection's will that names a conversation.
pub fn sent_will(account: AccountId, client_id: &str) -> Vec<u8> {
    build(
        Table::SentWill,
        &[&be(account.value()), client_id.as_bytes()],
    )
}

/// The parts of a `sent_will` key.
pub fn parse_sent_will(key: &[u8]) -> Result<(AccountId, &str), KeyError> {
    let mut parts = Parts::open(Table::SentWill, key)?;
    let account = AccountId::new(parts.u64()?);
    Ok((account, parts.text()?))
}
