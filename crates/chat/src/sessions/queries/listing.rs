//! What sessions keep in memory of an account that does something: whom it talks to, in which groups it is, what it has stored.
//! Runs where a disk may be waited for.

use records::{AccountId, ConversationId, Place, Table, key};

use crate::sessions::queries::joined;
use crate::stored::damaged::Damaged;
use crate::stored::source::{Source, Unreadable};

/// What is to be read.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) account: AccountId,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) account: AccountId,
    pub(crate) outcome: Result<Conversations, Unreadable>,
}

/// An account's conversations.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    /// Ascending, each with whom or what the account joined, and whether it did so of its own accord.
    pub(crate) joined: Vec<(ConversationId, Place, bool)>,
    /// Groups that it made and all have left, ascending.
    pub(crate) abandoned: Vec<ConversationId>,
    /// Bytes of messages that it has stored.
    pub(crate) stored_bytes: u64,
}

impl Listing {
    pub(crate) fn run(self, source: &dyn Source) -> Listed {
        let outcome = self.read(source);
        Listed {
            account: self.account,
            outcome,
        }
    }

    /// There is no room to read it now.
    pub(crate) fn refuse(self) -> Listed {
        Listed {
            account: self.account,
            outcome: Err(Unreadable),
        }
    }

    fn read(&self, source: &dyn Source) -> Result<Conversations, Unreadable> {
        let mut found = Conversations::default();
        joined::each(source, self.account, |id, row| {
            if row.since.is_some() {
                found.joined.push((id, row.place, row.own));
            }
            if row.abandoned {
                found.abandoned.push(id);
            }
            Ok(())
        })?;
        let at = key::usage(self.account);
        if let Some(value) = source.value(&at)? {
            match key::decode_number(Table::Usage, &value) {
                Ok(bytes) => found.stored_bytes = bytes,
                // It counts on from nothing.
                Err(error) => source.damaged(&Damaged::new(&at, error)),
            }
        }
        Ok(found)
    }
}
