//! Which conversations there are, who takes part in each and how far everybody has read. Must not know who may do what.

use std::sync::Arc;

use hashbrown::hash_map::Entry;
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Member, MemberRole, Pos, Seq,
};

use crate::table::{Table, Tables};

/// A conversation, without its messages.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) record: Conversation,
    pub(crate) last_seq: Seq,
    pub(crate) last_pos: Pos,
    /// By account.
    members: Vec<(AccountId, Member)>,
    /// All of them as an audience; `None` after a change.
    audience: Option<Arc<[AccountId]>>,
    /// Set while a group that had members has none.
    pub(crate) abandoned: Option<Abandoned>,
}

/// A group that everybody has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abandoned {
    /// Who was the last to leave, and so owned it; `None` if that is not known.
    pub(crate) last: Option<AccountId>,
}

impl Room {
    pub(crate) fn members(&self) -> &[(AccountId, Member)] {
        &self.members
    }

    pub(crate) fn member(&self, account: AccountId) -> Option<&Member> {
        let at = self.place(account).ok()?;
        Some(&self.members[at].1)
    }

    pub(crate) fn member_mut(&mut self, account: AccountId) -> Option<&mut Member> {
        let at = self.place(account).ok()?;
        Some(&mut self.members[at].1)
    }

    /// Adds or replaces a member.
    pub(crate) fn insert(&mut self, account: AccountId, member: Member) {
        match self.place(account) {
            Ok(at) => self.members[at].1 = member,
            Err(at) => {
                self.members.insert(at, (account, member));
                self.audience = None;
            }
        }
    }

    /// Removes a member and says what it was.
    pub(crate) fn remove(&mut self, account: AccountId) -> Option<Member> {
        let at = self.place(account).ok()?;
        self.audience = None;
        Some(self.members.remove(at).1)
    }

    /// Every member, shared.
    pub(crate) fn audience(&mut self) -> Arc<[AccountId]> {
        let members = &self.members;
        self.audience
            .get_or_insert_with(|| members.iter().map(|(account, _)| *account).collect())
            .clone()
    }

    /// Whom `account` talks to in a direct chat; itself in a chat with oneself.
    pub(crate) fn peer(&self, account: AccountId) -> Option<AccountId> {
        match self.record.kind {
            ConversationKind::Direct { low, high } if low == account => Some(high),
            ConversationKind::Direct { low, .. } => Some(low),
            ConversationKind::Group { .. } | ConversationKind::Ended { .. } => None,
        }
    }

    /// Who becomes owner when the last one leaves: whoever has been there longest.
    pub(crate) fn heir(&self) -> Option<AccountId> {
        let owned = self
            .members
            .iter()
            .any(|(_, member)| member.role == MemberRole::Owner);
        if owned {
            return None;
        }
        self.members
            .iter()
            .min_by_key(|(account, member)| (member.joined, *account))
            .map(|(account, _)| *account)
    }

    fn place(&self, account: AccountId) -> Result<usize, usize> {
        self.members.binary_search_by_key(&account, |(id, _)| *id)
    }
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Rooms {
    by_id: Table<ConversationId, Room>,
    by_slug: Table<Box<str>, ConversationId>,
    by_pair: Table<(AccountId, AccountId), ConversationId>,
    last: ConversationId,
}

impl Rooms {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            by_id: tables.table(),
            by_slug: tables.table(),
            by_pair: tables.table(),
            last: ConversationId::ZERO,
        }
    }

    /// The id of the next conversation.
    pub(crate) fn next_id(&self) -> ConversationId {
        self.last.next()
    }

    /// This id is not given to a new conversation.
    pub(crate) fn reserve(&mut self, id: ConversationId) {
        self.last = self.last.max(id);
    }

    pub(crate) fn insert(
        &mut self,
        id: ConversationId,
        record: Conversation,
        last_seq: Seq,
        last_pos: Pos,
    ) {
        self.last = self.last.max(id);
        match &record.kind {
            ConversationKind::Direct { low, high } => {
                self.by_pair.insert((*low, *high), id);
            }
            ConversationKind::Group { slug, .. } => {
                self.by_slug.insert(slug.as_str().into(), id);
            }
            ConversationKind::Ended { .. } => return,
        }
        let room = Room {
            record,
            last_seq,
            last_pos,
            members: Vec::new(),
            audience: None,
            abandoned: None,
        };
        self.by_id.insert(id, room);
    }

    pub(crate) fn find(&self, id: ConversationId) -> Option<&Room> {
        self.by_id.get(&id)
    }

    pub(crate) fn find_mut(&mut self, id: ConversationId) -> Option<&mut Room> {
        self.by_id.get_mut(&id)
    }

    /// The group with this slug.
    pub(crate) fn group(&self, slug: &str) -> Option<ConversationId> {
        self.by_slug.get(slug).copied()
    }

    /// The direct chat of two accounts.
    pub(crate) fn direct(&self, one: AccountId, other: AccountId) -> Option<ConversationId> {
        self.by_pair.get(&(one.min(other), one.max(other))).copied()
    }

    /// Both, or the one, who talk in a direct chat; nobody for a group.
    pub(crate) fn pair(&self, id: ConversationId) -> Option<(AccountId, AccountId)> {
        match self.by_id.get(&id)?.record.kind {
            ConversationKind::Direct { low, high } => Some((low, high)),
            ConversationKind::Group { .. } | ConversationKind::Ended { .. } => None,
        }
    }

    /// Forgets a conversation; its address is free again, its id is not.
    pub(crate) fn end(&mut self, id: ConversationId) -> Option<Room> {
        let room = self.by_id.remove(&id)?;
        match &room.record.kind {
            ConversationKind::Group { slug, .. } => drop(self.by_slug.remove(slug.as_str())),
            ConversationKind::Direct { low, high } => {
                if self.by_pair.get(&(*low, *high)) == Some(&id) {
                    self.by_pair.remove(&(*low, *high));
                }
            }
            ConversationKind::Ended { .. } => {}
        }
        Some(room)
    }

    /// Leaves each two accounts the oldest of their direct chats; yields the others.
    pub(crate) fn pair_up(&mut self) -> Vec<ConversationId> {
        let direct = |(id, room): (&ConversationId, &Room)| match room.record.kind {
            ConversationKind::Direct { low, high } => Some((*id, (low, high))),
            ConversationKind::Group { .. } | ConversationKind::Ended { .. } => None,
        };
        let mut chats: Vec<_> = self.by_id.iter().filter_map(direct).collect();
        chats.sort_unstable();
        self.by_pair.clear();
        let mut others = Vec::new();
        for (id, pair) in chats {
            match self.by_pair.entry(pair) {
                Entry::Vacant(place) => drop(place.insert(id)),
                Entry::Occupied(_) => others.push(id),
            }
        }
        others
    }

    /// Direct chats of which one of the two is no member, ascending.
    pub(crate) fn incomplete(&self) -> Vec<ConversationId> {
        let is_incomplete = |room: &Room| match room.record.kind {
            ConversationKind::Direct { low, high } => {
                room.member(low).is_none() || room.member(high).is_none()
            }
            ConversationKind::Group { .. } | ConversationKind::Ended { .. } => false,
        };
        let found = self.by_id.iter().filter(|(_, room)| is_incomplete(room));
        let mut incomplete: Vec<_> = found.map(|(id, _)| *id).collect();
        incomplete.sort_unstable();
        incomplete
    }

    /// Groups nobody is in, ascending.
    pub(crate) fn empty(&self) -> Vec<ConversationId> {
        let mut empty: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, room)| room.members.is_empty())
            .filter(|(_, room)| matches!(room.record.kind, ConversationKind::Group { .. }))
            .map(|(id, _)| *id)
            .collect();
        empty.sort_unstable();
        empty
    }
}
