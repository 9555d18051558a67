//! Reading a conversation: its rows, checked. Runs where a disk may be waited for.

use records::{
    AccountId, Conversation as Record, ConversationId, ConversationKind, Member, PartitionId, Pos,
    Seq, key,
};

use crate::command::{Address, To};
use crate::conversations::forgotten::Epoch;
use crate::stored::conversations::{find, record};
use crate::stored::damaged::Damaged;
use crate::stored::entries::{self, Place};
use crate::stored::source::{End, Source, Unreadable};

/// Rows of members read at once.
const SLICE: usize = 4_096;
/// Numbers that a conversation can have counted to: JavaScript's numbers are exact up to twice as many.
const SEQ_MAX: Seq = Seq::new(1 << 52);

/// Conversations that a partition can have counted to: half of those that it can number.
const NUMBER_MAX: u64 = 1 << 39;
const BEYOND: &str = "it has a number that no server has counted to";

/// What is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) partition: PartitionId,
    pub(crate) to: To,
    /// What the partition had forgotten by then: rows of it that were read before are worth nothing.
    pub(crate) epoch: Epoch,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) partition: PartitionId,
    pub(crate) to: To,
    pub(crate) epoch: Epoch,
    pub(crate) outcome: Result<Reading, Unreadable>,
}

/// Rows of a conversation, or that there is none.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) rows: Option<Rows>,
    /// The number of the newest conversation of the partition.
    pub(crate) newest: u64,
}

/// A conversation's rows.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) id: ConversationId,
    pub(crate) address: Address,
    pub(crate) record: Record,
    pub(crate) last: Place,
    /// By account.
    pub(crate) members: Vec<(AccountId, Member)>,
}

impl Load {
    pub(crate) fn run(self, source: &dyn Source) -> Loaded {
        let outcome = self.read(source);
        self.outcome(outcome)
    }

    /// There is no room to read it now.
    pub(crate) fn refuse(self) -> Loaded {
        self.outcome(Err(Unreadable))
    }

    fn outcome(self, outcome: Result<Reading, Unreadable>) -> Loaded {
        Loaded {
            partition: self.partition,
            to: self.to,
            epoch: self.epoch,
            outcome,
        }
    }

    fn read(&self, source: &dyn Source) -> Result<Reading, Unreadable> {
        let id = match &self.to {
            To::Conversation(id) => Some(*id),
            To::Address(address) => find(source, address)?,
        };
        let rows = match id {
            Some(id) => rows(source, id)?,
            None => None,
        };
        if let (To::Address(address), Some(_)) = (&self.to, id)
            && rows.as_ref().is_none_or(|rows| rows.address != *address)
        {
            let what = "the conversation it leads to is another one";
            source.damaged(&Damaged::untrue(&address.key(), what));
            return Err(Unreadable);
        }
        // What claims another one's address would get everything that is addressed to that.
        if let (To::Conversation(id), Some(rows)) = (&self.to, &rows)
            && find(source, &rows.address)? != Some(*id)
        {
            let what = "its address leads to another conversation, or to none";
            source.damaged(&Damaged::untrue(&key::conversation(*id), what));
            return Err(Unreadable);
        }
        let newest = match rows {
            Some(_) => 0,
            None => newest(source, self.partition)?,
        };
        Ok(Reading { rows, newest })
    }
}

/// The number of a partition's newest conversation, ended or not. Of one whose row is lost its entries and members are left: who got
/// its number would get those.
pub(super) fn newest(source: &dyn Source, partition: PartitionId) -> Result<u64, Unreadable> {
    let [entries, members] = key::rows_of(partition);
    let conversations = key::conversations(partition);
    let mut newest = 0;
    for (range, id_of) in [
        (conversations, key::parse_conversation as fn(&[u8]) -> _),
        (entries, |at| key::parse_entry(at).map(|(id, ..)| id)),
        (members, |at| key::parse_member(at).map(|(id, _)| id)),
    ] {
        let Some(last) = source.keys(&range, End::Last, 1)?.pop() else {
            continue;
        };
        let damaged = match id_of(&last) {
            Ok(id) if id.number() <= NUMBER_MAX => {
                newest = newest.max(id.number());
                continue;
            }
            Ok(_) => Damaged::untrue(&last, BEYOND),
            Err(error) => Damaged::new(&last, error),
        };
        source.damaged(&damaged);
        return Err(Unreadable);
    }
    Ok(newest)
}

/// Groups of a partition that were deleted, of which something may be left.
pub(super) fn ended(
    source: &dyn Source,
    partition: PartitionId,
) -> Result<Vec<ConversationId>, Unreadable> {
    let rows = source.keys(&key::ended_in(partition), End::First, SLICE)?;
    let mut ended = Vec::new();
    for row in &rows {
        match key::parse_ended(row) {
            Ok(id) => ended.push(id),
            Err(error) => source.damaged(&Damaged::new(row, error)),
        }
    }
    Ok(ended)
}

fn rows(source: &dyn Source, id: ConversationId) -> Result<Option<Rows>, Unreadable> {
    let Some(record) = record(source, id)? else {
        return Ok(None);
    };
    let address = match &record.kind {
        ConversationKind::Ended { .. } => return Ok(None),
        ConversationKind::Direct { low, high } => Address::pair(*low, *high),
        ConversationKind::Group { slug, .. } => Address::Group(slug.clone()),
    };
    let newest = entries::newest_place(source, id)?;
    let last = newest.unwrap_or(Place::FIRST);
    if id.number() > NUMBER_MAX {
        source.damaged(&Damaged::untrue(&key::conversation(id), BEYOND));
        return Err(Unreadable);
    }
    if last.seq > SEQ_MAX || last.pos >= Pos::END {
        let what = "its newest entry has a number that no server has counted to";
        source.damaged(&Damaged::untrue(&key::conversation(id), what));
        return Err(Unreadable);
    }
    let mut members = members(source, id)?;
    if let (ConversationKind::Group { left_by: None, .. }, []) = (&record.kind, &members[..]) {
        let what = "it is a group without members: kept, but nobody sees it";
        source.damaged(&Damaged::untrue(&key::conversation(id), what));
    }
    for (account, member) in &mut members {
        if member.read.max(member.received) > last.seq {
            member.limit_read(last.seq);
            let what = "it has read messages that are not there";
            source.damaged(&Damaged::untrue(&key::member(id, *account), what));
        }
    }
    // Where one of the two is missing or somebody else is there, any of these rows may be the damaged one: it might be
    // anybody's, and is served to nobody.
    if let Address::Pair { low, high } = address {
        let expected: &[AccountId] = if low == high { &[low] } else { &[low, high] };
        let is_theirs = members.iter().map(|(account, _)| account).eq(expected);
        if !is_theirs {
            let what = "it is a direct chat whose members are not its two";
            source.damaged(&Damaged::untrue(&key::conversation(id), what));
            return Err(Unreadable);
        }
    }
    Ok(Some(Rows {
        id,
        address,
        record,
        last,
        members,
    }))
}

/// Every member, by account.
fn members(
    source: &dyn Source,
    id: ConversationId,
) -> Result<Vec<(AccountId, Member)>, Unreadable> {
    let mut members = Vec::new();
    let mut range = key::members(id);
    loop {
        let rows = source.rows(&range, End::First, SLICE, usize::MAX)?;
        for (at, value) in &rows {
            let account = key::parse_member(at).map(|(_, account)| account);
            let read = account
                .map_err(|error| Damaged::new(at, error))
                .and_then(|account| match Member::decode(value) {
                    Ok(member) if member.joined < Pos::END => Ok((account, member)),
                    Ok(_) => Err(Damaged::untrue(
                        at,
                        "it joined at a position that was never given",
                    )),
                    Err(error) => Err(Damaged::new(at, error)),
                });
            match read {
                Ok(member) => members.push(member),
                // A member who is left out would be lost with the next change: nothing is done here until it is mended.
                Err(damaged) => {
                    source.damaged(&damaged);
                    return Err(Unreadable);
                }
            }
        }
        match rows.last() {
            Some((last, _)) if rows.len() == SLICE => range.from = [last, &[0][..]].concat(),
            Some(_) | None => return Ok(members),
        }
    }
}
