//! How fast an account may publish to ordinary topics. Whoever is too fast is not read until its next message is due:
//! nothing is lost, and every version of the protocol understands it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use records::{AccountId, Millis};

use crate::io::ConnectionId;
use crate::publishing::allowances::{Allowances, Pace};

/// Publishers remembered before those with nothing against them are looked for.
const REMEMBERED_MIN: usize = 1024;

/// Who pays for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    Account(AccountId),
    /// A client without an account, by the serial of its session.
    Session(u32),
}

/// Publishers of this shard, and the connections that wait for them.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Those of accounts are shared with the other shards.
    paces: HashMap<Payer, Arc<Pace>, RandomState>,
    /// How many there may be before the next search.
    search_at: usize,
    waiting: BinaryHeap<Reverse<(Millis, u32, u32)>>,
}

impl Rates {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            paces: HashMap::with_hasher(hasher),
            search_at: REMEMBERED_MIN,
            waiting: BinaryHeap::new(),
        }
    }

    /// Another configuration brings other allowances.
    pub(crate) fn forget(&mut self) {
        self.paces.clear();
    }

    /// When the next connection may be read again.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.waiting.peek().map(|Reverse((at, ..))| *at)
    }

    /// A connection that may be read again.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<ConnectionId> {
        let Reverse((at, slot, serial)) = *self.waiting.peek()?;
        if at > now {
            return None;
        }
        self.waiting.pop();
        Some(ConnectionId { slot, serial })
    }

    /// Charges one message that came by this connection; whether it was one too many, and the connection waits for its time.
    pub(crate) fn slows(
        &mut self,
        id: ConnectionId,
        payer: Payer,
        allowances: &Allowances,
        per_second: u32,
        now: Millis,
    ) -> bool {
        let until = self.charge(payer, allowances, per_second, now);
        if let Some(until) = until {
            self.waiting.push(Reverse((until, id.slot, id.serial)));
        }
        until.is_some()
    }

    /// Charges one message; until when to wait before the next one.
    fn charge(
        &mut self,
        payer: Payer,
        allowances: &Allowances,
        per_second: u32,
        now: Millis,
    ) -> Option<Millis> {
        if self.paces.len() >= self.search_at {
            self.paces.retain(|_, pace| !pace.is_rested(now));
            self.search_at = REMEMBERED_MIN.max(self.paces.len() * 2);
        }
        let pace = self.paces.entry(payer).or_insert_with(|| match payer {
            Payer::Account(account) => allowances.of(account, now),
            Payer::Session(_) => Arc::default(),
        });
        pace.charge(per_second, now)
    }
}
