//! From the store back to the cores, before anybody is answered: accounts, conversations, sessions, stored messages.

use std::cell::RefCell;

use broker::{Identity, Output, Rows, Shard};
use bytes::Bytes;
use chat::{Chat, CredentialsChange};
use records::{
    Account, AccountId, Conversation, Entry, KeyError, KeyRange, Member, Millis, Pos, RecordError,
    Seq, Table, Token, Write, key,
};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::logins::{Directory, Known};
use crate::stored_bytes::StoredBytes;

/// Keys read at once.
const SLICE: usize = 4096;

/// Why the state cannot be taken back. The store's own checks have passed: this is damage they cannot see, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The secret is not what should stand there.
    #[error("the data directory holds a secret of {bytes} bytes; it has 32")]
    Secret {
        /// How many there are.
        bytes: usize,
    },
    /// A value is not what should stand there.
    #[error("the data directory holds a value this release cannot read: {0}")]
    Record(#[from] RecordError),
    /// A key is not what should stand there.
    #[error("the data directory holds a key this release cannot read: {0}")]
    Key(#[from] KeyError),
}

/// The server's secret; at the first start it becomes `fresh`.
pub(crate) fn secret(store: &dyn Store, fresh: [u8; 32]) -> Result<[u8; 32], RecoveryError> {
    let place = key::meta(key::META_SECRET);
    match store.get(&place)? {
        Some(kept) => kept[..]
            .try_into()
            .map_err(|_| RecoveryError::Secret { bytes: kept.len() }),
        None => {
            store.commit(Batch {
                preconditions: Vec::new(),
                writes: vec![Write::Put {
                    key: place,
                    value: fresh.to_vec(),
                }],
            })?;
            Ok(fresh)
        }
    }
}

/// Takes back accounts, tokens, conversations and members.
pub(crate) fn chat(
    store: &dyn Store,
    chat: &mut Chat,
    directory: &Directory,
    now: Millis,
) -> Result<(), RecoveryError> {
    each(store, Table::Account.range(), |key, value| {
        let (id, account) = (key::parse_account(key)?, Account::decode(value)?);
        directory.change(CredentialsChange::Account {
            id,
            account: account.clone(),
        });
        chat.recover_account(id, account);
        Ok(())
    })?;
    each(store, Table::Token.range(), |key, value| {
        let (sha256, token) = (key::parse_token(key)?, Token::decode(value)?);
        directory.change(CredentialsChange::Token {
            sha256,
            account: token.account,
            expires: token.expires,
        });
        chat.recover_token(sha256, token);
        Ok(())
    })?;
    each(store, Table::Conversation.range(), |key, value| {
        let id = key::parse_conversation(key)?;
        let newest = |range: KeyRange| {
            store
                .range(&Range::backward(range, 1))
                .map(|found| found.into_iter().next())
        };
        let last_seq = match newest(key::seqs(id))? {
            Some((key, _)) => key::parse_seq(&key)?.1,
            None => Seq::ZERO,
        };
        let last_pos = match newest(key::entries(id))? {
            Some((_, value)) => Entry::decode(&value)?.pos,
            None => Pos::ZERO,
        };
        chat.recover_conversation(id, Conversation::decode(value)?, last_seq, last_pos);
        Ok(())
    })?;
    each(store, Table::Member.range(), |key, value| {
        let (conversation, account) = key::parse_member(key)?;
        chat.recover_member(conversation, account, Member::decode(value)?);
        Ok(())
    })?;
    chat.finish_recovery(now);
    Ok(())
}

/// Takes back sessions, what they wait for, what is retained, and wills. Returns what each shard asks for beyond that, and
/// how much waits.
pub(crate) fn shards(
    store: &dyn Store,
    directory: &Directory,
    shards: &mut [Shard],
    latest_pos: Pos,
    now: Millis,
) -> Result<(Vec<Vec<Output>>, StoredBytes), RecoveryError> {
    let identity = |account: Option<AccountId>| {
        let known = account.and_then(|id| directory.by_id(id));
        Identity {
            account,
            name: known.as_ref().map(Known::shared_name).unwrap_or_default(),
            admin: known.is_some_and(|known| known.is_admin()),
        }
    };
    let stored = Stored {
        store,
        bytes: RefCell::default(),
    };
    let first = broker::recover(&stored, shards, identity, latest_pos, now)?;
    Ok((first, stored.bytes.into_inner()))
}

struct Stored<'a> {
    store: &'a dyn Store,
    /// Of the queue.
    bytes: RefCell<StoredBytes>,
}

impl Rows for Stored<'_> {
    type Error = RecoveryError;

    fn each(
        &self,
        table: Table,
        mut take: impl FnMut(&[u8], &Bytes) -> Result<(), RecoveryError>,
    ) -> Result<(), RecoveryError> {
        if table != Table::Queue {
            return each(self.store, table.range(), take);
        }
        each(self.store, table.range(), |key, value| {
            let bytes = (key.len() + value.len()) as u64;
            self.bytes.borrow_mut().find(key::parse_queue(key)?, bytes);
            take(key, value)
        })
    }
}

/// Every key and value of a range, in order and in slices.
fn each(
    store: &dyn Store,
    range: KeyRange,
    mut take: impl FnMut(&[u8], &Bytes) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let mut rest = range;
    loop {
        let slice = store.range(&Range::forward(rest.clone(), SLICE))?;
        for (key, value) in &slice {
            take(key, value)?;
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => rest.from = [last.as_ref(), &[0]].concat(),
            Some(_) | None => return Ok(()),
        }
    }
}
