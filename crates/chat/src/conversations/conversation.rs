//! A conversation in memory, without its messages: who takes part in it, how far everybody has read, and where it ends.
//! Must not know who may do what.

use std::collections::BTreeMap;
use std::sync::Arc;

use records::{AccountId, Conversation as Record, ConversationKind, Joined, Member, MemberRole};

use crate::command::Address;
use crate::conversations::authors::Authors;
use crate::conversations::load::Rows;
use crate::stored::entries::Place;

/// Bytes of memory that a conversation takes besides its members and authors, roughly.
const CONVERSATION_BYTES: usize = 512;
/// Bytes that a member takes, in the list and in the audience.
const MEMBER_BYTES: usize = size_of::<(AccountId, Member)>() + size_of::<AccountId>();

/// See the file's header.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) address: Address,
    pub(super) record: Record,
    /// Its newest entry.
    pub(super) last: Place,
    /// By account.
    members: Vec<(AccountId, Member)>,
    /// All of them; `None` after a change.
    audience: Option<Arc<[AccountId]>>,
    pub(super) authors: Authors,
    /// Appends and markers under way, for which it has to stay.
    pub(super) pins: u32,
    /// Whether it was used since it was last looked at.
    pub(super) used: bool,
    /// Rows of the `joined` table that may not be on disk yet.
    pub(super) joined: BTreeMap<AccountId, Joined>,
}

impl Conversation {
    /// Bytes of one that begins.
    pub(super) const BEGINNING_BYTES: usize = CONVERSATION_BYTES;

    /// One that begins.
    pub(super) fn new(address: Address, record: Record) -> Self {
        Self {
            address,
            record,
            last: Place::FIRST,
            members: Vec::new(),
            audience: None,
            authors: Authors::default(),
            pins: 0,
            used: true,
            joined: BTreeMap::new(),
        }
    }

    /// One whose rows were read.
    pub(super) fn of_rows(rows: Rows) -> Self {
        Self {
            last: rows.last,
            members: rows.members,
            ..Self::new(rows.address, rows.record)
        }
    }

    /// Bytes of memory that it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        CONVERSATION_BYTES + self.members.len() * MEMBER_BYTES + self.authors.bytes()
    }

    pub(super) fn members(&self) -> &[(AccountId, Member)] {
        &self.members
    }

    pub(super) fn member(&self, account: AccountId) -> Option<&Member> {
        let at = self.place(account).ok()?;
        Some(&self.members[at].1)
    }

    pub(super) fn member_mut(&mut self, account: AccountId) -> Option<&mut Member> {
        let at = self.place(account).ok()?;
        Some(&mut self.members[at].1)
    }

    /// Adds a member.
    pub(super) fn insert(&mut self, account: AccountId, member: Member) {
        match self.place(account) {
            Ok(at) => self.members[at].1 = member,
            Err(at) => {
                self.members.insert(at, (account, member));
                self.members_changed();
            }
        }
    }

    /// Removes a member and says what it was.
    pub(super) fn remove(&mut self, account: AccountId) -> Option<Member> {
        let at = self.place(account).ok()?;
        let (_, member) = self.members.remove(at);
        self.members_changed();
        Some(member)
    }

    fn members_changed(&mut self) {
        self.audience = None;
        self.record.member_count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
    }

    /// Every member, shared.
    pub(super) fn audience(&mut self) -> Arc<[AccountId]> {
        let members = &self.members;
        self.audience
            .get_or_insert_with(|| members.iter().map(|(account, _)| *account).collect())
            .clone()
    }

    /// Who becomes owner when the last one has left: whoever has been there longest.
    pub(super) fn heir(&self) -> Option<AccountId> {
        let is_owned = self
            .members
            .iter()
            .any(|(_, member)| member.role == MemberRole::Owner);
        if is_owned {
            return None;
        }
        self.members
            .iter()
            .min_by_key(|(account, member)| (member.joined, *account))
            .map(|(account, _)| *account)
    }

    /// Whether anybody may come into it, and any member invite.
    pub(super) fn is_open(&self) -> bool {
        match self.record.kind {
            ConversationKind::Group { open, .. } => open,
            ConversationKind::Direct { .. } | ConversationKind::Ended { .. } => false,
        }
    }

    /// Who left it last, if all have left it.
    pub(super) fn left_by(&self) -> Option<AccountId> {
        match self.record.kind {
            ConversationKind::Group { left_by, .. } => left_by,
            ConversationKind::Direct { .. } | ConversationKind::Ended { .. } => None,
        }
    }

    /// All have left it, this one last; or somebody has come in again.
    pub(super) fn set_left_by(&mut self, last: Option<AccountId>) {
        if let ConversationKind::Group { left_by, .. } = &mut self.record.kind {
            *left_by = last;
        }
    }

    fn place(&self, account: AccountId) -> Result<usize, usize> {
        self.members.binary_search_by_key(&account, |(id, _)| *id)
    }
}
