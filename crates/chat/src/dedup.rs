//! The same `mid` within seven days is the same message: where its fate is kept, on disk and in flight.

use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;
use records::{AccountId, ConversationId, Dedup, Millis};

use crate::source::{Source, Unreadable};
use crate::stored;
use crate::table::{Table, Tables};

/// Milliseconds of a week, which is how long a mid is remembered.
const WEEK_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// The week since the epoch under which a moment's mids are kept.
pub(crate) fn week(at: Millis) -> u32 {
    u32::try_from(at.value() / WEEK_MILLIS).unwrap_or(u32::MAX)
}

/// Whose mid it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MidKey {
    pub(crate) account: AccountId,
    pub(crate) mid: Box<str>,
}

#[derive(PartialEq, Eq)]
struct MidRef<'a> {
    account: AccountId,
    mid: &'a str,
}

impl Hash for MidKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        MidRef {
            account: self.account,
            mid: &self.mid,
        }
        .hash(state);
    }
}

impl Hash for MidRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.account.hash(state);
        self.mid.hash(state);
    }
}

impl Equivalent<MidKey> for MidRef<'_> {
    fn equivalent(&self, key: &MidKey) -> bool {
        self.account == key.account && *self.mid == *key.mid
    }
}

/// Mids whose messages are not on disk yet; those that are stand in the store.
#[derive(Debug)]
pub(crate) struct Mids {
    in_flight: Table<MidKey, Dedup>,
}

impl Mids {
    pub(crate) fn new(tables: &Tables) -> Self {
        Self {
            in_flight: tables.table(),
        }
    }

    /// What became of a mid that was used within the last seven days.
    /// `lives` tells whether a conversation has not ended.
    pub(crate) fn find(
        &self,
        account: AccountId,
        mid: &str,
        source: &dyn Source,
        lives: impl Fn(ConversationId) -> bool,
        now: Millis,
    ) -> Result<Option<Dedup>, Unreadable> {
        if let Some(known) = self.in_flight.get(&MidRef { account, mid }) {
            return Ok(Some(*known));
        }
        let this_week = week(now);
        for week in [Some(this_week), this_week.checked_sub(1)]
            .into_iter()
            .flatten()
        {
            let known = stored::mid(source, (week, account, mid), &lives)?;
            if let Some(known) = known.filter(|known| now.since(known.at) < WEEK_MILLIS) {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// A message with this mid has been appended.
    pub(crate) fn begin(&mut self, key: MidKey, dedup: Dedup) {
        self.in_flight.insert(key, dedup);
    }

    /// It is on disk.
    pub(crate) fn settle(&mut self, key: &MidKey) {
        self.in_flight.remove(key);
    }
}
