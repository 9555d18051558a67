//! Groups: how they begin, who comes and who goes. Every change of members is an event of the conversation.

use std::sync::Arc;

use bytes::Bytes;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, GroupSlug, MemberRole, Millis, Pos,
    Seq, key,
};
use serde::{Deserialize, Serialize};

use crate::address;
use crate::ask::Reply;
use crate::chat::Chat;
use crate::delivery;
use crate::log::Batch;
use crate::names;
use crate::refusal::Refusal;
use crate::wire;

/// Accounts named in one question, so that one question cannot cause more than so many events.
const NAMES_MAX: usize = 100;

#[derive(Deserialize)]
pub(crate) struct Create {
    slug: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
pub(crate) struct Invite {
    conv: String,
    accounts: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) conv: String,
}

#[derive(Deserialize)]
pub(crate) struct Delete {
    conv: String,
    /// Its address once more, so that nobody deletes another one.
    slug: String,
}

#[derive(Serialize)]
struct Invited<'a> {
    conv: &'a str,
    invited: Vec<&'a str>,
    members: usize,
}

#[derive(Serialize)]
struct Left<'a> {
    conv: &'a str,
}

/// What happened to a member.
#[derive(Debug, Clone, Copy)]
enum Action {
    Join,
    Leave,
    LeaveLast,
    Own,
}

impl Chat {
    /// `group.create`: whoever asks is the owner.
    pub(crate) fn create_group(
        &mut self,
        account: AccountId,
        wanted: &Create,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        let slug = GroupSlug::parse(&wanted.slug)
            .map_err(|error| Refusal::payload(format!("the slug is not fit: {error}")))?;
        if self.rooms.group(slug.as_str()).is_some() {
            return Err(Refusal::exists(slug.as_str()));
        }
        let title = match wanted.title.as_deref() {
            None | Some("") => slug.as_str().to_owned(),
            Some(given) => names::shown("the title", given, self.settings.title_bytes_max)?,
        };
        let mut others = self.named_accounts(&wanted.members)?;
        others.retain(|other| *other != account);
        self.check_members_max(1 + others.len())?;
        self.check_conversations_max(account)?;
        self.take_message_quota(account, 1 + others.len(), now)?;
        self.take_group_quota(account, now)?;

        let id = self.rooms.next_id();
        let record = Conversation {
            kind: ConversationKind::Group {
                slug,
                title,
                open: wanted.open,
            },
            created: now,
            created_by: account,
        };
        batch.put(key::conversation(id), record.encode());
        self.rooms.insert(id, record, Seq::ZERO, Pos::ZERO);
        let mut joining = vec![(account, MemberRole::Owner)];
        joining.extend(others.into_iter().map(|other| (other, MemberRole::Member)));
        self.join_members(id, account, &joining, batch, now);
        self.describe(id, account)
    }

    /// `group.invite`: makes accounts members at once.
    pub(crate) fn invite_to_group(
        &mut self,
        account: AccountId,
        wanted: &Invite,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        let id = self.group_of(account, &wanted.conv)?;
        let mut invited = self.named_accounts(&wanted.accounts)?;
        let Some(room) = self.rooms.find(id) else {
            return Err(Refusal::no_such_conversation(&wanted.conv));
        };
        let keeps_order = room
            .member(account)
            .is_some_and(|member| match member.role {
                MemberRole::Owner | MemberRole::Moderator => true,
                MemberRole::Member => false,
            });
        if !keeps_order && !is_open(&room.record) {
            let sentence = "only owners and moderators invite to this group";
            return Err(Refusal::not_allowed(sentence));
        }
        invited.retain(|other| room.member(*other).is_none());
        self.check_members_max(room.members().len() + invited.len())?;
        self.take_message_quota(account, invited.len(), now)?;

        let joining: Vec<_> = invited
            .iter()
            .map(|other| (*other, MemberRole::Member))
            .collect();
        self.join_members(id, account, &joining, batch, now);
        let members = self.rooms.find(id).map_or(0, |room| room.members().len());
        Ok(Reply::Now(wire::json(&Invited {
            conv: &wanted.conv,
            invited: invited
                .iter()
                .map(|other| self.directory.name(*other))
                .collect(),
            members,
        })))
    }

    /// `group.join`, for open groups.
    pub(crate) fn join_group(
        &mut self,
        account: AccountId,
        wanted: &Named,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        let found = self
            .rooms
            .group(&wanted.conv)
            .and_then(|id| Some((id, self.rooms.find(id)?)));
        let Some((id, room)) = found else {
            return Err(Refusal::no_such_conversation(&wanted.conv));
        };
        if room.member(account).is_some() {
            return self.describe(id, account);
        }
        if !is_open(&room.record) {
            let sentence = "this group is closed: ask an owner or moderator to invite you";
            return Err(Refusal::not_allowed(sentence));
        }
        self.check_members_max(room.members().len() + 1)?;
        self.check_conversations_max(account)?;
        // Somebody must be able to invite, and to delete.
        let role = match room.abandoned {
            Some(_) => MemberRole::Owner,
            None => MemberRole::Member,
        };
        self.take_message_quota(account, 1, now)?;
        self.join_members(id, account, &[(account, role)], batch, now);
        self.describe(id, account)
    }

    /// `group.leave`.
    pub(crate) fn leave_group(
        &mut self,
        account: AccountId,
        wanted: &Named,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        if wanted.conv.starts_with('@') {
            return Err(Refusal::not_allowed("a direct chat cannot be left"));
        }
        let id = self.group_of(account, &wanted.conv)?;
        self.take_message_quota(account, 1, now)?;
        self.leave(id, account, batch, now);
        Ok(Reply::Now(wire::json(&Left { conv: &wanted.conv })))
    }

    /// `group.delete`, by an owner, by who owned it and left it last, or by an administrator.
    pub(crate) fn delete_group(
        &mut self,
        account: AccountId,
        wanted: &Delete,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<Reply, Refusal> {
        if wanted.conv.starts_with('@') {
            return Err(Refusal::not_allowed("a direct chat cannot be deleted"));
        }
        let found = self.rooms.group(&wanted.conv);
        let found = found.and_then(|id| Some((id, self.rooms.find(id)?)));
        let Some((id, room)) = found else {
            return Err(Refusal::no_such_conversation(&wanted.conv));
        };
        let member = room.member(account);
        let may = member.is_some_and(|member| member.role == MemberRole::Owner)
            || room.abandoned.is_some_and(|by| by.last == Some(account))
            || self.directory.is_administrator(account);
        if !may && member.is_none() {
            return Err(Refusal::not_a_member(&wanted.conv));
        }
        if !may {
            let sentence = "only owners of a group and administrators delete it";
            return Err(Refusal::not_allowed(sentence));
        }
        if wanted.slug != wanted.conv {
            let sentence = "slug must be the group's address once more, or nothing is deleted";
            return Err(Refusal::payload(sentence));
        }
        self.take_message_quota(account, 1, now)?;
        self.end_group(id, batch);
        Ok(Reply::Now(wire::json(&Left { conv: &wanted.conv })))
    }

    /// A removed account leaves every group.
    pub(crate) fn leave_all_groups(&mut self, account: AccountId, batch: &mut Batch, now: Millis) {
        let conversations = self.directory.conversations(account).to_vec();
        for id in conversations {
            if self.rooms.pair(id).is_none() {
                self.leave(id, account, batch, now);
            }
        }
    }

    /// New members: each gets an event, all get all events, and none gets anything older.
    fn join_members(
        &mut self,
        id: ConversationId,
        actor: AccountId,
        joining: &[(AccountId, MemberRole)],
        batch: &mut Batch,
        now: Millis,
    ) {
        let Some((first, _)) = joining.first() else {
            return;
        };
        self.take_up(id);
        let conv = self.conv_name(id, *first);
        let joined = self.log.newest().next();
        let mut events = Vec::with_capacity(joining.len());
        for (account, role) in joining {
            self.add_member(id, *account, *role, (joined, actor), batch, now);
            events.push(self.member_event(id, Action::Join, (*account, actor), batch, now));
        }
        let newcomers: Arc<[AccountId]> = joining.iter().map(|(account, _)| *account).collect();
        let packet = delivery::packet(
            "im/me/event".to_owned(),
            wire::own_event("conversation", &conv),
        );
        batch.tell(address::to_accounts(newcomers, packet));
        self.tell_events(id, &events, batch);
    }

    /// A member goes; if nobody owns the group then, whoever has been there longest does. If nobody is left, what was said in it stays.
    fn leave(&mut self, id: ConversationId, account: AccountId, batch: &mut Batch, now: Millis) {
        let conv = self.conv_name(id, account);
        let Some(room) = self.rooms.find_mut(id) else {
            return;
        };
        let Some(member) = room.remove(account) else {
            return;
        };
        let (heir, empty) = (room.heir(), room.members().is_empty());
        self.directory.leave(account, id, &member);
        batch.delete(key::member(id, account));
        self.keep_charging(account, &member, batch);
        let packet = delivery::packet("im/me/event".to_owned(), wire::own_event("left", &conv));
        batch.tell(address::to_accounts(Arc::from([account]), packet));
        if empty {
            // Nobody is there to hear of it, but it is read one day, if only at the next start.
            self.member_event(id, Action::LeaveLast, (account, account), batch, now);
            self.abandon(id, Some(account));
            return;
        }
        let mut events = vec![self.member_event(id, Action::Leave, (account, account), batch, now)];
        if let Some(heir) = heir {
            if let Some(member) = self
                .rooms
                .find_mut(id)
                .and_then(|room| room.member_mut(heir))
            {
                member.role = MemberRole::Owner;
                batch.put(key::member(id, heir), member.encode());
            }
            events.push(self.member_event(id, Action::Own, (heir, account), batch, now));
        }
        self.tell_events(id, &events, batch);
    }

    fn member_event(
        &mut self,
        id: ConversationId,
        action: Action,
        (account, actor): (AccountId, AccountId),
        batch: &mut Batch,
        now: Millis,
    ) -> (Pos, Bytes) {
        let pos = self.log.next_pos();
        let last = matches!(action, Action::LeaveLast);
        let (action, role) = match action {
            Action::Join => ("join", None),
            Action::Leave | Action::LeaveLast => ("leave", None),
            Action::Own => ("role", Some("owner")),
        };
        let wire = wire::json(&wire::MemberEvent {
            pos: pos.to_string(),
            kind: "member",
            action,
            account: self.directory.name(account),
            role,
            from: self.directory.name(actor),
            at: wire::millis(now),
            last,
        });
        if let Some(room) = self.rooms.find_mut(id) {
            room.last_pos = pos;
        }
        self.put_entry(id, pos, None, actor, now, &wire, batch);
        (pos, wire)
    }

    fn tell_events(&mut self, id: ConversationId, events: &[(Pos, Bytes)], batch: &mut Batch) {
        for (pos, wire) in events {
            batch.effects.extend(self.event_deliveries(id, *pos, wire));
        }
        batch.about.push((id, None));
    }

    /// Accounts by name, each once.
    fn named_accounts(&self, names: &[String]) -> Result<Vec<AccountId>, Refusal> {
        if names.len() > NAMES_MAX {
            let sentence = format!("at most {NAMES_MAX} accounts are named at once");
            return Err(Refusal::quota(sentence));
        }
        let mut accounts = Vec::with_capacity(names.len());
        for name in names {
            let plain = name.strip_prefix('@').unwrap_or(name);
            let Some(account) = self.directory.named(plain) else {
                return Err(Refusal::no_such_account(plain));
            };
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        Ok(accounts)
    }

    fn take_group_quota(&mut self, account: AccountId, now: Millis) -> Result<(), Refusal> {
        let most = self.settings.groups_per_minute_max;
        let burst = most.saturating_mul(2);
        let taken = self
            .directory
            .find_mut(account)
            .is_some_and(|state| state.groups.take_one(most, burst, now));
        if taken {
            return Ok(());
        }
        self.counters.quota_refused += 1;
        Err(Refusal::quota(format!(
            "at most {most} groups a minute are made, {burst} after a pause"
        )))
    }

    fn check_members_max(&self, members: usize) -> Result<(), Refusal> {
        let most = self.settings.group_members_max;
        if members <= most {
            return Ok(());
        }
        Err(Refusal::quota(format!(
            "a group has at most {most} members"
        )))
    }

    fn describe(&self, id: ConversationId, account: AccountId) -> Result<Reply, Refusal> {
        match self.row(id, account) {
            Some(row) => Ok(Reply::Row(Box::new(row))),
            None => Err(Refusal::unavailable()),
        }
    }
}

fn is_open(record: &Conversation) -> bool {
    match record.kind {
        ConversationKind::Group { open, .. } => open,
        ConversationKind::Direct { .. } | ConversationKind::Ended { .. } => false,
    }
}
