//! Conversations with their addresses and members, and the lists of conversations that accounts have.

use records::{
    AccountId, AddressKey, Conversation, ConversationId, ConversationKind, Joined, Member,
    PartitionId, Place, Pos, RecordError, Table, key,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Judged, References, Wrong, fault};
use crate::embedded::family::Family;

/// A conversation, as far as others name it.
pub(super) struct Known {
    kind: Kind,
    /// Members that it says it has; `None` if that cannot be read.
    member_count: Option<u32>,
    /// Members that were found.
    members: u32,
    /// Whether its address leads to it.
    addressed: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Direct { low: AccountId, high: AccountId },
    Group,
    Ended,
    Unreadable,
}

impl Known {
    /// Whether what is in it goes in pieces.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.kind, Kind::Ended)
    }
}

/// A sum over memberships in any order: millions of them are compared without being remembered.
#[derive(Default, PartialEq, Eq)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, conversation: ConversationId, account: AccountId, since: Pos) {
        let parts = [conversation.value(), account.value(), since.value()];
        let hash = xxh3_64(parts.map(u64::to_be_bytes).as_flattened());
        self.0 = self.0.wrapping_add(hash);
    }
}

impl References<'_, '_> {
    pub(super) fn conversations(&mut self) {
        self.each(Table::Conversation, |all, key, value| {
            let id = key::parse_conversation(key)?;
            let record = Conversation::decode(value);
            let kind = record.as_ref().map_or(Kind::Unreadable, kind_of);
            let known = Known {
                kind,
                member_count: record.as_ref().ok().map(|record| record.member_count),
                members: 0,
                addressed: false,
            };
            all.conversations.insert(id, known);
            all.judge_conversation(id, &record?.kind)
        });
        self.addresses();
        let (of_members, of_accounts) = (self.members(), self.joined());
        if of_members != of_accounts {
            self.compare_memberships();
        }
        self.judge_whole_conversations();
    }

    fn judge_conversation(&mut self, id: ConversationId, kind: &ConversationKind) -> Judged {
        let partition = match kind {
            ConversationKind::Ended { .. } => id.partition(),
            ConversationKind::Group { slug, .. } => {
                if self.slugs.contains_key(slug.as_str()) {
                    return fault("another group has the same address");
                }
                self.slugs.insert(slug.as_str().into(), id);
                Some(PartitionId::of_group(slug.as_str()))
            }
            ConversationKind::Direct { low, high } => {
                if low > high {
                    return fault("it is a direct chat of two accounts in the wrong order");
                }
                self.has_account(*low)?;
                self.has_account(*high)?;
                Some(PartitionId::of_pair(*low, *high))
            }
        };
        match partition {
            Some(_) if partition == id.partition() => Ok(()),
            Some(_) => fault("it is in another partition than its address"),
            None => fault("it is in no partition"),
        }
    }

    fn addresses(&mut self) {
        self.each(Table::Address, |all, key, value| {
            let address = key::parse_address(key)?;
            let id = ConversationId::new(key::decode_number(Table::Address, value)?);
            let of_slug = match address {
                AddressKey::Slug(slug) => all.slugs.get(slug).copied(),
                AddressKey::Pair(..) => None,
            };
            let Some(known) = all.conversations.get_mut(&id) else {
                return fault("its conversation does not exist");
            };
            let is_its_own = match (known.kind, address) {
                (Kind::Ended, _) => return Err(Wrong::Leftover),
                (Kind::Unreadable, _) => true,
                (Kind::Direct { low, high }, AddressKey::Pair(one, other)) => {
                    (low, high) == (one, other)
                }
                (Kind::Group, AddressKey::Slug(_)) => of_slug == Some(id),
                (Kind::Direct { .. }, AddressKey::Slug(_))
                | (Kind::Group, AddressKey::Pair(..)) => false,
            };
            known.addressed |= is_its_own;
            match is_its_own {
                true => Ok(()),
                false => fault("its conversation has another address"),
            }
        });
    }

    /// Every member, and what their rows come to.
    fn members(&mut self) -> Sum {
        let mut sum = Sum::default();
        self.each(Table::Member, |all, key, value| {
            let (conversation, account) = key::parse_member(key)?;
            let Some(known) = all.conversations.get_mut(&conversation) else {
                return fault("its conversation does not exist");
            };
            known.members = known.members.saturating_add(1);
            let kind = known.kind;
            let member = Member::decode(value)?;
            if let Kind::Ended = kind {
                return Err(Wrong::Leftover);
            }
            sum.add(conversation, account, member.joined);
            match kind {
                Kind::Direct { low, high } if account != low && account != high => {
                    fault("it is in a direct chat of two others")
                }
                Kind::Direct { .. } | Kind::Group | Kind::Ended | Kind::Unreadable => {
                    all.has_account(account)
                }
            }
        });
        sum
    }

    /// Every conversation of every account, and what those come to of which it is a member.
    fn joined(&mut self) -> Sum {
        let mut sum = Sum::default();
        self.each(Table::Joined, |all, key, value| {
            let (account, conversation) = key::parse_joined(key)?;
            let joined = Joined::decode(value)?;
            let Some(known) = all.conversations.get(&conversation) else {
                return fault("its conversation does not exist");
            };
            let is_there = match (known.kind, &joined.place) {
                (Kind::Ended, _) => {
                    return match joined.since {
                        Some(_) => Err(Wrong::Leftover),
                        None => Ok(()),
                    };
                }
                (Kind::Unreadable, _) => true,
                (Kind::Direct { low, high }, Place::Direct { peer }) => {
                    (account.min(*peer), account.max(*peer)) == (low, high)
                }
                (Kind::Group, Place::Group { slug }) => {
                    all.slugs.get(slug.as_str()) == Some(&conversation)
                }
                (Kind::Direct { .. }, Place::Group { .. })
                | (Kind::Group, Place::Direct { .. }) => false,
            };
            if let Some(since) = joined.since {
                sum.add(conversation, account, since);
            }
            if !is_there {
                return fault("its conversation has another address");
            }
            all.has_account(account)
        });
        sum
    }

    /// Looks up each member among its account's conversations, and the other way round.
    fn compare_memberships(&mut self) {
        let state = &self.views[Family::State as usize];
        self.each(Table::Member, |all, key, value| {
            let (conversation, account) = key::parse_member(key)?;
            let Some(member) = all.living(conversation, Member::decode(value)) else {
                return Ok(());
            };
            let Ok(found) = state.find(&key::joined(account, conversation)) else {
                return Ok(());
            };
            match found.map(|row| Joined::decode(&row).map(|joined| joined.since)) {
                None => fault("it is not among its account's conversations"),
                Some(Ok(None)) => fault("its account's conversations say that it has left"),
                Some(Ok(Some(since))) if since != member.joined => {
                    fault("its account's conversations say that it joined at another entry")
                }
                // What cannot be read has been told of.
                Some(Ok(Some(_)) | Err(_)) => Ok(()),
            }
        });
        self.each(Table::Joined, |all, key, value| {
            let (account, conversation) = key::parse_joined(key)?;
            let joined = all.living(conversation, Joined::decode(value));
            if joined.and_then(|joined| joined.since).is_none() {
                return Ok(());
            }
            match state.find(&key::member(conversation, account)) {
                Ok(None) => fault("its member is missing"),
                Ok(Some(_)) | Err(_) => Ok(()),
            }
        });
    }

    /// A row of a conversation that goes on, if it can be read: all others have been judged.
    fn living<T>(&self, conversation: ConversationId, row: Result<T, RecordError>) -> Option<T> {
        let known = self.conversations.get(&conversation)?;
        row.ok().filter(|_| !known.has_ended())
    }

    /// What only shows when all rows of a conversation have been seen.
    fn judge_whole_conversations(&mut self) {
        let mut wrong: Vec<(ConversationId, &'static str)> = Vec::new();
        for (id, known) in &self.conversations {
            let in_direct = match known.kind {
                Kind::Ended | Kind::Unreadable => continue,
                Kind::Direct { low, high } => Some(if low == high { 1 } else { 2 }),
                Kind::Group => None,
            };
            if !known.addressed {
                wrong.push((*id, "its address does not lead to it"));
            }
            if in_direct.is_some_and(|members| known.members < members) {
                wrong.push((*id, "one of its two members is missing"));
            } else if known.member_count != Some(known.members) {
                wrong.push((*id, "it says another number of members than it has"));
            }
        }
        wrong.sort_unstable();
        for (id, kind) in wrong {
            self.judge(Table::Conversation, &key::conversation(id), fault(kind));
        }
    }
}

fn kind_of(record: &Conversation) -> Kind {
    match &record.kind {
        ConversationKind::Direct { low, high } => Kind::Direct {
            low: *low,
            high: *high,
        },
        ConversationKind::Group { .. } => Kind::Group,
        ConversationKind::Ended { .. } => Kind::Ended,
    }
}
