//! How fast an account may publish to ordinary topics. Whoever is too fast is not read until its next message is due:
//! nothing is lost, and every version of the protocol understands it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ahash::RandomState;
use hashbrown::HashMap;
use records::{AccountId, Millis};

use crate::door::ConnectionId;
use crate::shard::Shard;

/// Seconds of the rate that may be used up at once.
const BURST_SECS: i64 = 2;
const THOUSAND: i64 = 1000;
/// Publishers remembered before those with nothing against them are looked for.
const REMEMBERED_MIN: usize = 1024;

/// Who pays for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Payer {
    Account(AccountId),
    /// A client without an account, by the serial of its session.
    Session(u32),
}

/// What a publisher has left, in thousandths of a message; below zero it waits.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: i64,
    at: Millis,
}

impl Allowance {
    fn fill(&mut self, per_second: i64, now: Millis) {
        let millis = i64::try_from(now.since(self.at)).unwrap_or(i64::MAX);
        self.at = now;
        let filled = millis.saturating_mul(per_second);
        self.left = self
            .left
            .saturating_add(filled)
            .min(per_second * BURST_SECS * THOUSAND);
    }
}

/// Publishers of this shard, and the connections that wait for them.
#[derive(Debug)]
pub(crate) struct Rates {
    allowances: HashMap<Payer, Allowance, RandomState>,
    /// How many there may be before the next search.
    search_at: usize,
    waiting: BinaryHeap<Reverse<(Millis, u32, u32)>>,
}

impl Rates {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            allowances: HashMap::with_hasher(hasher),
            search_at: REMEMBERED_MIN,
            waiting: BinaryHeap::new(),
        }
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
    fn charge(&mut self, payer: Payer, per_second: i64, now: Millis) -> Option<Millis> {
        if self.allowances.len() >= self.search_at {
            let full = per_second * BURST_SECS * THOUSAND;
            self.allowances.retain(|_, allowance| {
                allowance.fill(per_second, now);
                allowance.left < full
            });
            self.search_at = REMEMBERED_MIN.max(self.allowances.len() * 2);
        }
        let allowance = self.allowances.entry(payer).or_insert(Allowance {
            left: per_second * BURST_SECS * THOUSAND,
            at: now,
        });
        allowance.fill(per_second, now);
        allowance.left -= THOUSAND;
        // The next message has to be there as a whole.
        let lacks = THOUSAND - allowance.left;
        (lacks > 0).then(|| {
            let millis = (lacks + per_second - 1) / per_second;
            now.saturating_add(millis.unsigned_abs())
        })
    }
}

impl Shard {
    /// A client has published to an ordinary topic: it is not read for a while if that was one too many for now.
    pub(crate) fn charge_publish(&mut self, id: ConnectionId, slot: u32, now: Millis) {
        let per_second = i64::from(self.settings.limits.publishes_per_second_max);
        if per_second == 0 {
            return;
        }
        let session = &self.sessions[slot as usize];
        let payer = session
            .account
            .map_or(Payer::Session(session.serial), Payer::Account);
        if let Some(until) = self.rates.charge(payer, per_second, now) {
            self.counters.publishers_slowed += 1;
            self.pause(id);
            let waiting = (until, id.slot, id.serial);
            self.rates.waiting.push(Reverse(waiting));
        }
    }

    /// Reads those again whose time has come.
    pub(crate) fn read_slowed(&mut self, now: Millis) {
        let due: Vec<ConnectionId> = std::iter::from_fn(|| self.rates.take_due(now)).collect();
        self.put_off_reading(due);
    }
}
