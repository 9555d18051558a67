//! From the store back to the cores, before anybody is answered: accounts, conversations, sessions, stored messages.

use std::cell::RefCell;
use std::sync::Arc;

use broker::{Identity, Output, Rows, Shard};
use bytes::Bytes;
use chat::Chat;
use records::{AccountId, KeyError, KeyRange, Millis, RecordError, Table, Write, describe, key};
use store::{Batch, CommitError, Range, ReadError, Store};

use crate::logins::{Directory, Known};
use crate::readers::{self, StoreSource};
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
    #[error("it is a value this release cannot use: {0}")]
    Record(#[from] RecordError),
    /// A key is not what should stand there.
    #[error("it is a key this release cannot use: {0}")]
    Key(#[from] KeyError),
    /// A row is not what should stand there.
    #[error("the data directory holds a row that cannot be used: {row}: {error}")]
    Row {
        /// Which one.
        row: String,
        /// What is wrong with it.
        error: Box<RecoveryError>,
    },
    /// The messenger cannot begin.
    #[error("the messenger cannot begin with the data directory: {0}")]
    Messenger(#[from] chat::RecoveryError),
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
                writes: vec![Write::Put {
                    key: place,
                    value: fresh.to_vec(),
                }],
                ..Batch::default()
            })?;
            Ok(fresh)
        }
    }
}

/// Takes back accounts, tokens, conversations and members.
pub(crate) fn chat(
    store: &Arc<dyn Store>,
    chat: &mut Chat,
    directory: &Directory,
    now: Millis,
) -> Result<(), RecoveryError> {
    readers::describe();
    let source = StoreSource(store.clone());
    Ok(chat::recover(
        &source,
        chat,
        |change| directory.change(change),
        now,
    )?)
}

/// Takes back sessions, what they wait for, what is retained, and wills. Returns what each shard asks for beyond that, and
/// how much waits.
pub(crate) fn shards(
    store: &dyn Store,
    directory: &Directory,
    shards: &mut [Shard],
    chat: &mut Chat,
    now: Millis,
) -> Result<(Vec<Vec<Output>>, StoredBytes), RecoveryError> {
    let latest_pos = chat.committed_pos();
    let chat = RefCell::new(chat);
    let identity = |account: Option<AccountId>| {
        let known = account.and_then(|id| directory.by_id(id));
        if let (Some(lost), None) = (account, &known) {
            // Its sessions must not fall to the next new account.
            chat.borrow_mut().reserve_account(lost);
        }
        Identity {
            account,
            name: known.as_ref().map(Known::shared_name).unwrap_or_default(),
            admin: known.is_some_and(|known| known.is_admin()),
            token: None,
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
            take(key, value).map_err(|error| RecoveryError::Row {
                row: describe(key),
                error: Box::new(error),
            })?;
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => rest.from = [last.as_ref(), &[0]].concat(),
            Some(_) | None => return Ok(()),
        }
    }
}
