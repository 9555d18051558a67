//! Groups that are deleted: what was said in them goes, their address is free, their id is not given again.

use records::{
    AccountId, ConversationId, ConversationKind, KeyRange, MemberRole, Pos, Seq, Stay, key,
};

use crate::command::Address;
use crate::conversations::Effect;
use crate::conversations::load;
use crate::conversations::members::JoinedRows;
use crate::conversations::partition::{Batch, Follow, Partition};
use crate::conversations::shared::Context;
use crate::note::{Departed, Note, Outcome};
use crate::refusal::Refusal;
use crate::stored::source::End;

/// Rows of members' lists that one append has.
const ROWS_MAX: usize = 1_000;

impl Partition {
    /// Deletes a group for an owner, for who owned it and left it last, or for an administrator.
    pub(super) fn delete(
        &mut self,
        account: AccountId,
        by_administrator: bool,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let Some((id, known)) = found.and_then(|id| Some((id, self.find(id)?))) else {
            return Err(Refusal::no_such_group());
        };
        let Address::Group(slug) = &known.address else {
            return Err(Refusal::not_allowed("a direct chat cannot be deleted"));
        };
        let member = known.member(account);
        let may = member.is_some_and(|member| member.role == MemberRole::Owner)
            || known.left_by() == Some(account)
            || by_administrator;
        if !may && member.is_none() {
            return Err(Refusal::not_a_member(slug.as_str()));
        }
        if !may {
            let sentence = "only owners of a group and administrators delete it";
            return Err(Refusal::not_allowed(sentence));
        }
        let mut listed: Vec<AccountId> = known.members().iter().map(|(id, _)| *id).collect();
        if known.left_by().is_some() {
            listed.push(known.record.created_by);
        }
        let mut rows = self.joined_rows(id, listed.iter().copied(), context)?;
        let at = self.next_pos(batch, context);
        self.set_left_by(id, None, &mut rows, batch);
        for account in listed.iter().take(ROWS_MAX) {
            self.strike_out(id, *account, at, &mut rows, batch);
        }
        let Some(known) = self.remove(id, batch, context) else {
            return Ok(Outcome::Done);
        };
        let mut record = known.record.clone();
        record.kind = ConversationKind::Ended { at };
        record.member_count = 0;
        batch.put(key::conversation(id), record.encode());
        batch.delete(known.address.key());
        batch.put(key::ended(id), Vec::new());
        let departed = known.members().iter().map(|(account, member)| Departed {
            account: *account,
            stored_bytes: member.stored_bytes,
        });
        batch.tell(Note::Ended {
            conversation: id,
            address: known.address.clone(),
            members: departed.collect(),
        });
        for range in rows_of(id) {
            batch.follows.push(Follow::Trim(range));
        }
        context.shared.counters.groups_ended += 1;
        // What a crash leaves of the rest counts a conversation too many for an account, and no more.
        for accounts in listed.get(ROWS_MAX..).unwrap_or_default().chunks(ROWS_MAX) {
            let mut more = Batch::default();
            for account in accounts {
                self.strike_out(id, *account, at, &mut rows, &mut more);
            }
            batch.later.push(more);
        }
        Ok(Outcome::Done)
    }

    /// These groups were deleted in an earlier run. What a crash has left of them goes; once nothing is left, they are not looked
    /// for again.
    pub(super) fn finish_ended(&mut self, ended: &[ConversationId], context: &mut Context<'_>) {
        let Ok(newest) = load::newest(context.source, self.id) else {
            return;
        };
        let mut batch = Batch::default();
        for id in ended {
            let mut is_gone = true;
            for range in rows_of(*id) {
                let found = context.source.keys(&range, End::First, 1);
                if found.is_ok_and(|found| found.is_empty()) {
                    continue;
                }
                is_gone = false;
                let trim = Effect::Trim(range);
                context.shared.effects.push_back(trim);
            }
            if is_gone {
                batch.delete(key::ended(*id));
            }
            // The newest one says which numbers were given.
            if is_gone && id.number() < newest {
                batch.delete(key::conversation(*id));
            }
            if batch.writes.len() >= ROWS_MAX {
                self.commit(std::mem::take(&mut batch), context);
            }
        }
        self.commit(batch, context);
    }

    /// An account takes no longer part in a conversation that has ended.
    fn strike_out(
        &mut self,
        id: ConversationId,
        account: AccountId,
        at: Pos,
        rows: &mut JoinedRows,
        batch: &mut Batch,
    ) {
        if let Some(mut row) = rows.remove(&account) {
            row.since = None;
            row.abandoned = false;
            // Devices that were away hear of it by this.
            row.stays = vec![Stay {
                since: at,
                until: at,
                seq: Seq::ZERO,
            }];
            self.put_joined(id, account, row, batch);
        }
    }
}

/// A group may have many members: their rows are deleted with one, not one by one.
fn rows_of(id: ConversationId) -> [KeyRange; 2] {
    [key::entries(id), key::members(id)]
}
