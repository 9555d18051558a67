//! Which groups there are, as the store knows them: an administrator's question, which is not the messenger's to answer. Must
//! not change anything.

use bytes::Bytes;
use records::{
    Account, AccountId, Conversation, ConversationId, ConversationKind, KeyRange, Table, key,
};
use serde::{Deserialize, Serialize};
use store::{EmbeddedStore, Range, Store};

/// Conversations that are looked at for one page.
const PAGE_CONVERSATIONS: usize = 1_000;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Its address.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Whether anybody may join.
    pub open: bool,
    /// How many are in it.
    pub members: u64,
    /// Who made it.
    pub made_by: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// Some of the groups, in the order of their ids, which is by partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupPage {
    pub(super) groups: Vec<GroupEntry>,
    /// The number behind which the next page begins, unless this is the last.
    pub(super) next: Option<u64>,
}

impl GroupPage {
    pub(super) fn read(store: &EmbeddedStore, after: u64) -> Result<Self, String> {
        let from = key::conversation(ConversationId::new(after.saturating_add(1)));
        let range = KeyRange {
            from,
            ..Table::Conversation.range()
        };
        let rows = store.range(&Range::forward(range, PAGE_CONVERSATIONS));
        let rows = rows.map_err(|error| error.to_string())?;
        let mut page = Self {
            groups: Vec::new(),
            next: None,
        };
        for (key, value) in &rows {
            let id = key::parse_conversation(key).map_err(|error| error.to_string())?;
            page.groups.extend(group(store, value)?);
            page.next = Some(id.value());
        }
        if rows.len() < PAGE_CONVERSATIONS {
            page.next = None;
        }
        Ok(page)
    }
}

/// All groups of a store that is open, in the order in which they were made.
pub(crate) fn all(store: &EmbeddedStore) -> Result<Vec<GroupEntry>, String> {
    collect(|after| GroupPage::read(store, after))
}

/// All pages, one after the other, in the order in which the groups were made.
pub(super) fn collect<E>(
    mut page: impl FnMut(u64) -> Result<GroupPage, E>,
) -> Result<Vec<GroupEntry>, E> {
    let mut groups = Vec::new();
    let mut next = Some(0);
    while let Some(after) = next {
        let page = page(after)?;
        groups.extend(page.groups);
        next = page.next;
    }
    groups.sort_by(|one, other| (one.created, &one.slug).cmp(&(other.created, &other.slug)));
    Ok(groups)
}

fn group(store: &EmbeddedStore, value: &Bytes) -> Result<Option<GroupEntry>, String> {
    let record = Conversation::decode(value).map_err(|error| error.to_string())?;
    let ConversationKind::Group {
        slug, title, open, ..
    } = record.kind
    else {
        return Ok(None);
    };
    Ok(Some(GroupEntry {
        slug: slug.as_str().to_owned(),
        title,
        open,
        members: record.member_count.into(),
        made_by: name(store, record.created_by)?,
        created: record.created.value(),
    }))
}

/// Empty for one that is lost.
fn name(store: &EmbeddedStore, account: AccountId) -> Result<String, String> {
    let row = store.get(&key::account(account));
    let row = row.map_err(|error| error.to_string())?;
    let account = row.map(|row| Account::decode(&row).map_err(|error| error.to_string()));
    let account = account.transpose()?;
    Ok(account.map_or_else(String::new, |account| account.name.to_string()))
}
