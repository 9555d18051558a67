//! Who comes into a conversation and who goes: rows of members and of their lists, kept in step.

use std::collections::BTreeMap;

use records::{AccountId, ConversationId, Joined, Member, MemberRole, Pos, Stay, key};

use crate::command::Address;
use crate::conversations::partition::{Batch, Partition};
use crate::conversations::shared::Context;
use crate::note::Note;
use crate::refusal::Refusal;
use crate::stored::source::Unreadable;

/// Rows of the `joined` table that a change begins with. They are read before anything is changed.
pub(super) type JoinedRows = BTreeMap<AccountId, Joined>;

/// A row of whoever has never been in a conversation.
pub(super) fn fresh_row(address: &Address, account: AccountId) -> Joined {
    Joined {
        place: address.place(account),
        since: None,
        own: false,
        abandoned: false,
        stays: Vec::new(),
    }
}

impl Partition {
    /// What stands there of some accounts, as this partition has written it last.
    pub(super) fn joined_rows(
        &self,
        id: ConversationId,
        accounts: impl Iterator<Item = AccountId>,
        context: &mut Context<'_>,
    ) -> Result<JoinedRows, Refusal> {
        let Some(conversation) = self.find(id) else {
            return Err(Refusal::unavailable());
        };
        let mut rows = JoinedRows::new();
        for account in accounts {
            let row = match conversation.joined.get(&account) {
                Some(row) => row.clone(),
                None => {
                    let found = context.source.value(&key::joined(account, id));
                    let found = found.map_err(|Unreadable| {
                        context.shared.counters.unreadable += 1;
                        Refusal::unavailable()
                    })?;
                    // A damaged one is written anew.
                    found
                        .and_then(|value| Joined::decode(&value).ok())
                        .unwrap_or_else(|| fresh_row(&conversation.address, account))
                }
            };
            rows.insert(account, row);
        }
        Ok(rows)
    }

    /// New members, who have read everything there is. `actor` is who made them members, `joined` the entry that says so.
    #[expect(
        clippy::too_many_arguments,
        reason = "who joins what, through whom, and the partition's own"
    )]
    pub(super) fn add_members(
        &mut self,
        id: ConversationId,
        actor: AccountId,
        joining: &[(AccountId, MemberRole)],
        joined: Pos,
        mut rows: JoinedRows,
        batch: &mut Batch,
        context: &Context<'_>,
    ) {
        self.pin(id, batch);
        let mut accounts = Vec::with_capacity(joining.len());
        for (account, role) in joining.iter().copied() {
            let own = actor == account;
            let Some(conversation) = self.find_mut(id) else {
                return;
            };
            let last = conversation.last.seq;
            let member = Member {
                role,
                joined,
                joined_at: context.now,
                read: last,
                received: last,
                moved: joined,
                own,
                stored_bytes: 0,
                shown: None,
            };
            batch.put(key::member(id, account), member.encode());
            conversation.insert(account, member);
            let mut row = rows
                .remove(&account)
                .unwrap_or_else(|| fresh_row(&conversation.address, account));
            row.since = Some(joined);
            row.own = own;
            row.abandoned = false;
            self.put_joined(id, account, row, batch);
            accounts.push((account, own));
        }
        self.put_record(id, batch);
        if let Some(conversation) = self.find(id) {
            batch.tell(Note::Joined {
                conversation: id,
                address: conversation.address.clone(),
                accounts,
            });
        }
    }

    /// A member goes with this entry, which is the last that it gets.
    pub(super) fn remove_member(
        &mut self,
        id: ConversationId,
        account: AccountId,
        until: Pos,
        rows: &mut JoinedRows,
        batch: &mut Batch,
    ) {
        let Some(conversation) = self.find_mut(id) else {
            return;
        };
        let seq = conversation.last.seq;
        let Some(member) = conversation.remove(account) else {
            return;
        };
        let mut row = rows
            .remove(&account)
            .unwrap_or_else(|| fresh_row(&conversation.address, account));
        row.since = None;
        row.stays.push(Stay {
            since: member.joined,
            until,
            seq,
        });
        if row.stays.len() > Joined::STAYS_MAX {
            row.stays.remove(0);
        }
        rows.insert(account, row.clone());
        self.put_joined(id, account, row, batch);
        batch.delete(key::member(id, account));
    }

    /// All have left the group, this one last, or somebody has come into it again: it counts for who made it, or leaving would make
    /// room for ever more of them. `rows` has the maker's.
    pub(super) fn set_left_by(
        &mut self,
        id: ConversationId,
        left_by: Option<AccountId>,
        rows: &mut JoinedRows,
        batch: &mut Batch,
    ) {
        let Some(conversation) = self.find_mut(id) else {
            return;
        };
        if conversation.left_by().is_some() == left_by.is_some() {
            return;
        }
        conversation.set_left_by(left_by);
        let maker = conversation.record.created_by;
        let mut row = rows
            .remove(&maker)
            .unwrap_or_else(|| fresh_row(&conversation.address, maker));
        row.abandoned = left_by.is_some();
        rows.insert(maker, row.clone());
        self.put_joined(id, maker, row, batch);
        batch.tell(Note::Abandoned {
            conversation: id,
            maker,
            is_abandoned: left_by.is_some(),
        });
    }
}
