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
use crate::shard::Shard;

/// Publishers remembered before those with nothing against them are looked for.
const REMEMBERED_MIN: usize = 1024;

/// Who pays for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Payer {
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

    fn take_due(&mut self, now: Millis) -> Option<ConnectionId> {
        let Reverse((at, slot, serial)) = *self.waiting.peek()?;
        if at > now {
            return None;
        }
        self.waiting.pop();
        Some(ConnectionId { slot, serial })
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

impl Shard {
    /// A client has published to an ordinary topic: it is not read for a while if that was one too many for now.
    pub(crate) fn charge_publish(&mut self, id: ConnectionId, slot: u32, now: Millis) {
        let per_second = self.settings.limits.publishes_per_second_max;
        if per_second == 0 {
            return;
        }
        let session = &self.sessions[slot];
        let payer = session
            .account
            .map_or(Payer::Session(session.serial), Payer::Account);
        let allowances = &self.settings.allowances;
        if let Some(until) = self.rates.charge(payer, allowances, per_second, now) {
            self.metrics.counters.publishers_slowed += 1;
            self.connections.pause(id);
            let waiting = (until, id.slot, id.serial);
            self.rates.waiting.push(Reverse(waiting));
        }
    }

    /// Reads those again whose time has come.
    pub(crate) fn read_slowed(&mut self, now: Millis) {
        let due: Vec<ConnectionId> = std::iter::from_fn(|| self.rates.take_due(now)).collect();
        self.turn.defer_reads(due);
    }
}
