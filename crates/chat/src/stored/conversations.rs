//! Rows of conversations and of their members, one at a time.

use records::{AccountId, Conversation as Record, ConversationId, Member, Table, key};

use crate::command::Address;
use crate::stored::damaged::Damaged;
use crate::stored::source::{Source, Unreadable};

/// Which conversation has this address.
pub(crate) fn find(
    source: &dyn Source,
    address: &Address,
) -> Result<Option<ConversationId>, Unreadable> {
    let at = address.key();
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    let id = key::decode_number(Table::Address, &value).map(ConversationId::new);
    match id {
        Ok(id) if id.partition() == Some(address.partition()) => Ok(Some(id)),
        Ok(_) => {
            let what = "it leads to a conversation of another partition";
            source.damaged(&Damaged::untrue(&at, what));
            Err(Unreadable)
        }
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Err(Unreadable)
        }
    }
}

/// A conversation's record; `None` if there is none.
pub(crate) fn record(
    source: &dyn Source,
    id: ConversationId,
) -> Result<Option<Record>, Unreadable> {
    let at = key::conversation(id);
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    match Record::decode(&value) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Err(Unreadable)
        }
    }
}

/// A member's row; `None` if it is none.
pub(crate) fn member(
    source: &dyn Source,
    id: ConversationId,
    account: AccountId,
) -> Result<Option<Member>, Unreadable> {
    let at = key::member(id, account);
    let Some(value) = source.value(&at)? else {
        return Ok(None);
    };
    match Member::decode(&value) {
        Ok(member) => Ok(Some(member)),
        Err(error) => {
            source.damaged(&Damaged::new(&at, error));
            Err(Unreadable)
        }
    }
}
