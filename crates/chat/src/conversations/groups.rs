//! Groups: how they begin, who comes and who goes. What one command does to any number of members is one entry.

use records::{
    AccountId, ConversationId, ConversationKind, Entry, EntryKind, GroupSlug, MemberRole, Pos, key,
};

use crate::command::{Address, Making};
use crate::conversations::conversation::Conversation;
use crate::conversations::members::JoinedRows;
use crate::conversations::partition::{Batch, Partition, new_record};
use crate::conversations::shared::Context;
use crate::format::wire;
use crate::note::{self, Note, Outcome};
use crate::refusal::Refusal;

/// What happened to members.
#[derive(Debug, Clone, Copy)]
enum Action {
    Join,
    Leave,
    LeaveLast,
    Own,
}

impl Partition {
    /// Makes a group; its maker owns it.
    pub(super) fn create(
        &mut self,
        account: AccountId,
        slug: &GroupSlug,
        making: Making,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        if found.is_some() {
            return Err(Refusal::exists(slug.as_str()));
        }
        check_member_count(1 + making.members.len(), context)?;
        let id = self.next_id();
        let kind = ConversationKind::Group {
            slug: slug.clone(),
            title: making.title,
            open: making.open,
            history: making.history,
            left_by: None,
        };
        let address = Address::Group(slug.clone());
        batch.put(address.key(), key::encode_number(id.value()));
        let record = new_record(kind, account, context);
        self.insert(id, Conversation::new(address, record), context);
        let mut joining = vec![(account, MemberRole::Owner)];
        let others = making.members.into_iter();
        joining.extend(others.map(|other| (other, MemberRole::Member)));
        let rows = JoinedRows::new();
        self.join_members(id, account, &joining, rows, batch, context);
        Ok(Outcome::Conversation(id))
    }

    /// Makes accounts members at once.
    pub(super) fn invite(
        &mut self,
        account: AccountId,
        mut accounts: Vec<AccountId>,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let (id, known) = self.member_of(account, found)?;
        let keeps_order = known
            .member(account)
            .is_some_and(|member| match member.role {
                MemberRole::Owner | MemberRole::Moderator => true,
                MemberRole::Member => false,
            });
        if !keeps_order && !known.is_open() {
            let sentence = "only owners and moderators invite to this group";
            return Err(Refusal::not_allowed(sentence));
        }
        accounts.retain(|other| known.member(*other).is_none());
        check_member_count(known.members().len() + accounts.len(), context)?;
        let joining: Vec<_> = accounts
            .iter()
            .map(|other| (*other, MemberRole::Member))
            .collect();
        let rows = self.joined_rows(id, accounts.iter().copied(), context)?;
        self.join_members(id, account, &joining, rows, batch, context);
        let known = self.find(id);
        Ok(Outcome::Invited {
            accounts,
            member_count: known.map_or(0, |known| known.record.member_count),
        })
    }

    /// Comes into an open group.
    pub(super) fn join(
        &mut self,
        account: AccountId,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let Some((id, known)) = found.and_then(|id| Some((id, self.find(id)?))) else {
            return Err(Refusal::no_such_group());
        };
        if known.member(account).is_some() {
            return Ok(Outcome::Conversation(id));
        }
        if !known.is_open() {
            let sentence = "this group is closed: ask an owner or moderator to invite you";
            return Err(Refusal::not_allowed(sentence));
        }
        check_member_count(known.members().len() + 1, context)?;
        // Somebody must be able to invite, and to delete.
        let role = match known.members() {
            [] => MemberRole::Owner,
            _ => MemberRole::Member,
        };
        let maker = known.record.created_by;
        let rows = self.joined_rows(id, [account, maker].into_iter(), context)?;
        self.join_members(id, account, &[(account, role)], rows, batch, context);
        Ok(Outcome::Conversation(id))
    }

    /// Goes. If nobody owns the group then, whoever has been there longest does. If nobody is left, what was said in it stays.
    pub(super) fn leave(
        &mut self,
        account: AccountId,
        found: Option<ConversationId>,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Refusal> {
        let (id, known) = self.member_of(account, found)?;
        if let Address::Pair { .. } = known.address {
            return Err(Refusal::not_allowed("a direct chat cannot be left"));
        }
        let maker = known.record.created_by;
        let is_last = known.members().len() == 1;
        let mut rows = self.joined_rows(id, [account, maker].into_iter(), context)?;
        self.pin(id, batch);
        // Whoever leaves gets this entry, too: devices that are away hear of it.
        let action = if is_last {
            Action::LeaveLast
        } else {
            Action::Leave
        };
        let pos = self.member_event(id, action, &[account], account, batch, context);
        self.remove_member(id, account, pos, &mut rows, batch);
        if let Some(known) = self.find(id) {
            batch.tell(Note::Left {
                conversation: id,
                address: known.address.clone(),
                account,
            });
        }
        if is_last {
            self.set_left_by(id, Some(account), &mut rows, batch);
        } else if let Some(heir) = self.find(id).and_then(Conversation::heir) {
            if let Some(member) = self.find_mut(id).and_then(|known| known.member_mut(heir)) {
                member.role = MemberRole::Owner;
                batch.put(key::member(id, heir), member.encode());
            }
            self.member_event(id, Action::Own, &[heir], account, batch, context);
        }
        self.put_record(id, batch);
        Ok(Outcome::Done)
    }

    /// New members: one entry names them all, everybody gets it, and they get nothing older.
    fn join_members(
        &mut self,
        id: ConversationId,
        actor: AccountId,
        joining: &[(AccountId, MemberRole)],
        mut rows: JoinedRows,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) {
        if joining.is_empty() {
            return;
        }
        self.set_left_by(id, None, &mut rows, batch);
        let accounts: Vec<_> = joining.iter().map(|(account, _)| *account).collect();
        let pos = self.next_pos(batch, context);
        self.add_members(id, actor, joining, pos, rows, batch, context);
        self.put_event(id, Action::Join, pos, &accounts, actor, batch, context);
    }

    /// Something has happened to members: an entry, for all who are members now.
    fn member_event(
        &mut self,
        id: ConversationId,
        action: Action,
        accounts: &[AccountId],
        actor: AccountId,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Pos {
        let pos = self.next_pos(batch, context);
        self.put_event(id, action, pos, accounts, actor, batch, context);
        pos
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what happened to whom, where, and the partition's own"
    )]
    fn put_event(
        &mut self,
        id: ConversationId,
        action: Action,
        pos: Pos,
        accounts: &[AccountId],
        actor: AccountId,
        batch: &mut Batch,
        context: &Context<'_>,
    ) {
        let last = matches!(action, Action::LeaveLast);
        let (action, role) = match action {
            Action::Join => ("join", None),
            Action::Leave | Action::LeaveLast => ("leave", None),
            Action::Own => ("role", Some("owner")),
        };
        let name = |account: &AccountId| context.accounts.name(*account);
        let wire = wire::json(&wire::MemberEvent {
            pos: pos.to_string(),
            kind: "member",
            action,
            accounts: accounts.iter().map(name).collect(),
            role,
            from: name(&actor),
            at: wire::millis(context.now),
            last,
        });
        let Some(known) = self.find_mut(id) else {
            return;
        };
        known.last.pos = pos;
        let entry = Entry {
            pos,
            seq: None,
            from: actor,
            at: context.now,
            kind: EntryKind::Event,
            wire: wire.clone(),
        };
        batch.put(key::entry(id, known.last.seq, pos), entry.encode());
        let note = note::Entry {
            conversation: id,
            address: known.address.clone(),
            pos,
            seq: None,
            speaker: None,
            audience: known.audience(),
            wire,
            line: bytes::Bytes::new(),
            expires_at: None,
            read_at: records::Moment::UNKNOWN,
        };
        batch.tell(Note::Entry(Box::new(note)));
    }

    /// A conversation that an account takes part in.
    pub(super) fn member_of(
        &self,
        account: AccountId,
        found: Option<ConversationId>,
    ) -> Result<(ConversationId, &Conversation), Refusal> {
        let found = found.and_then(|id| Some((id, self.find(id)?)));
        match found {
            Some((id, known)) if known.member(account).is_some() => Ok((id, known)),
            Some((_, known)) => match &known.address {
                Address::Group(slug) => Err(Refusal::not_a_member(slug.as_str())),
                Address::Pair { .. } => Err(Refusal::no_such_group()),
            },
            None => Err(Refusal::no_such_group()),
        }
    }
}

fn check_member_count(members: usize, context: &Context<'_>) -> Result<(), Refusal> {
    let most = context.shared.settings.group_members_max;
    if members <= most {
        return Ok(());
    }
    Err(Refusal::quota(format!(
        "a group has at most {most} members"
    )))
}
