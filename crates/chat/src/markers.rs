//! How far members have read and received: markers that only grow, are written down, and are told to the authors of the messages
//! they newly cover, gathered for a second.

use std::collections::BTreeMap;

use records::{AccountId, ConversationId, Millis, Pos, Seq, key};
use serde::Deserialize;

use crate::address;
use crate::chat::Chat;
use crate::delivery;
use crate::door::{Output, Publish};
use crate::json;
use crate::log::Batch;
use crate::refusal::Refusal;
use crate::source::{End, Source, Unreadable};
use crate::stored::{self, Found, Standing};
use crate::timers::Timer;
use crate::wire;

/// How long markers are gathered.
const GATHER_MILLIS: u64 = 1_000;
/// Markers that may be gathered at once; then they are written before their time.
const GATHERED_MAX: usize = 65_536;
/// Markers written in one append.
const WRITES_MAX: usize = 1_024;
/// In larger conversations markers are kept but told to nobody.
const MEMBERS_MAX: usize = 50;
/// Messages whose authors are looked up in the store for one marker; those of older ones are not told.
const AUTHORS_READ_MAX: u64 = 200;
/// Look-ups in the store for all markers of one second; after those, authors who are not remembered are not told.
const LOOKUPS_MAX: usize = 16;
/// Bytes read for all look-ups of one second; each reads one message more at most.
const LOOKUP_BYTES_MAX: usize = 512 * 1024;

/// How a member's markers have moved since they were last told.
#[derive(Debug, Default, Clone, Copy)]
struct Moved {
    /// Where the read marker stood; it is written already.
    read_from: Option<Seq>,
    /// Where the received marker goes.
    received: Option<Seq>,
}

/// Markers that wait to be written or told.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    moved: BTreeMap<(ConversationId, AccountId), Moved>,
    due: Option<Millis>,
}

/// A marker that is to be told.
struct Told {
    id: ConversationId,
    account: AccountId,
    kind: &'static str,
    after: Seq,
    upto: Seq,
}

/// What may still be looked up in the store this second.
struct Budget {
    lookups: usize,
    bytes: usize,
}

#[derive(Deserialize)]
struct Body {
    seq: u64,
}

impl Chat {
    /// `im/to/<conv>/read`.
    pub(crate) fn read(
        &mut self,
        publish: &Publish,
        conv: &str,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<(), Refusal> {
        let body: Body =
            serde_json::from_slice(&publish.payload).map_err(|error| json::refusal(&error))?;
        let account = publish.account;
        let id = self.room_of(account, conv)?;
        let Some(room) = self.rooms.find_mut(id) else {
            return Err(Refusal::no_such_conversation(conv));
        };
        if body.seq == 0 || body.seq > room.last_seq.value() {
            return Err(Refusal::no_such_message(body.seq));
        }
        let seq = Seq::new(body.seq);
        let Some(member) = room.member_mut(account) else {
            return Err(Refusal::not_a_member(conv));
        };
        if seq <= member.read {
            return Ok(());
        }
        let before = member.read;
        member.read = seq;
        member.received = member.received.max(seq);
        batch.put(key::member(id, account), member.encode());
        batch.about.push((id, Some(account)));
        self.counters.markers_moved += 1;
        self.read_moved(id, account, before, now);
        Ok(())
    }

    /// A read marker has moved on from `before`, which is written already.
    pub(crate) fn read_moved(
        &mut self,
        id: ConversationId,
        account: AccountId,
        before: Seq,
        now: Millis,
    ) {
        let moved = self.receipts.moved.entry((id, account)).or_default();
        moved.read_from.get_or_insert(before);
        self.gather_receipts(now);
    }

    /// A device acknowledged a message.
    pub(crate) fn received(
        &mut self,
        account: AccountId,
        id: ConversationId,
        seq: Seq,
        source: &dyn Source,
        now: Millis,
    ) {
        let Some((last_seq, member)) = self
            .rooms
            .find(id)
            .and_then(|room| Some((room.last_seq, room.member(account)?)))
        else {
            self.counters.strays += 1;
            return;
        };
        if seq > last_seq {
            self.counters.strays += 1;
            return;
        }
        if seq <= member.received {
            return;
        }
        let moved = self.receipts.moved.entry((id, account)).or_default();
        moved.received = moved.received.max(Some(seq));
        if self.receipts.moved.len() >= GATHERED_MAX {
            self.counters.receipts_hurried += 1;
            if let Some(due) = self.receipts.due {
                self.timers.cancel(due, Timer::Receipts);
            }
            self.receipts_due(source, now);
            return;
        }
        self.gather_receipts(now);
    }

    fn gather_receipts(&mut self, now: Millis) {
        if self.receipts.due.is_none() {
            let due = now.saturating_add(GATHER_MILLIS);
            self.receipts.due = Some(due);
            self.timers.set(due, Timer::Receipts);
        }
    }

    /// The second is over: writes what is not written yet, and tells.
    pub(crate) fn receipts_due(&mut self, source: &dyn Source, now: Millis) {
        self.receipts.due = None;
        let moved = std::mem::take(&mut self.receipts.moved);
        let mut budget = Budget {
            lookups: LOOKUPS_MAX,
            bytes: LOOKUP_BYTES_MAX,
        };
        let mut batch = Batch::default();
        for ((id, account), moved) in moved {
            for told in self.settle_marker(id, account, moved, &mut batch) {
                let effects = self.receipt_effects(&told, &mut budget, source);
                self.counters.receipts_told += effects.len() as u64;
                batch.effects.extend(effects);
            }
            if batch.writes.len() >= WRITES_MAX {
                self.commit(std::mem::take(&mut batch), now);
            }
        }
        self.commit(batch, now);
    }

    /// Moves the received marker, and says what is to be told of both.
    fn settle_marker(
        &mut self,
        id: ConversationId,
        account: AccountId,
        moved: Moved,
        batch: &mut Batch,
    ) -> impl Iterator<Item = Told> + use<> {
        let told = |kind, after, upto| Told {
            id,
            account,
            kind,
            after,
            upto,
        };
        let member = self
            .rooms
            .find_mut(id)
            .and_then(|room| room.member_mut(account));
        // Who has left in the meantime has no markers.
        let Some(member) = member else {
            return [None, None].into_iter().flatten();
        };
        let mut received = None;
        if let Some(upto) = moved.received.filter(|upto| *upto > member.received) {
            received = Some(told("received", member.received, upto));
            member.received = upto;
            batch.put(key::member(id, account), member.encode());
            self.counters.markers_moved += 1;
        }
        let read = moved
            .read_from
            .map(|after| told("read", after, member.read));
        [read, received].into_iter().flatten()
    }

    fn receipt_effects(
        &mut self,
        told: &Told,
        budget: &mut Budget,
        source: &dyn Source,
    ) -> Vec<Output> {
        let authors = self.authors(told, budget, source);
        let Some(first) = authors.first() else {
            return Vec::new();
        };
        // In a direct chat there is one author, in a group all call it the same.
        let conv = self.conv_name(told.id, *first);
        let payload = wire::json(&wire::Receipt {
            pos: self.log.newest().to_string(),
            kind: told.kind,
            from: self.directory.name(told.account),
            seq: told.upto.value(),
        });
        let packet = delivery::packet(format!("im/in/{conv}/event"), payload);
        let split = self.live.split(authors.iter().copied());
        let key = (told.id, told.account, told.kind);
        let mut dropped = 0;
        for session in split.inactive {
            self.live.hold(session, |pending| {
                dropped += u64::from(!pending.hold_receipt(key, told.upto));
            });
        }
        self.counters.receipts_dropped += dropped;
        let mut effects = Vec::new();
        if !split.whole.is_empty() {
            effects.push(address::to_accounts(split.whole.into(), packet.clone()));
        }
        let single = split.active.into_iter();
        effects.extend(single.map(|session| address::to_session(session, packet.clone())));
        effects
    }

    /// Connected members who wrote what a marker newly covers, except whose marker it is.
    fn authors(&mut self, told: &Told, budget: &mut Budget, source: &dyn Source) -> Vec<AccountId> {
        let Some(room) = self.rooms.find(told.id) else {
            return Vec::new();
        };
        if room.members().len() > MEMBERS_MAX {
            return Vec::new();
        }
        // What lies beyond one's own markers in a direct chat is the other's: sending moves them.
        let mut authors = match room.peer(told.account) {
            Some(peer) => vec![peer],
            None => {
                let (mut authors, unknown) = self.recent.authors(told.id, told.after, told.upto);
                if told.after < unknown && budget.lookups > 0 && budget.bytes > 0 {
                    match stored_authors(told, unknown, budget, source) {
                        Ok(found) => authors.extend(found),
                        Err(Unreadable) => self.counters.unreadable += 1,
                    }
                }
                authors
            }
        };
        authors.retain(|author| {
            *author != told.account
                && room.member(*author).is_some()
                && self.live.is_connected(*author)
        });
        authors.sort_unstable();
        authors.dedup();
        authors
    }
}

/// Authors of the newest messages up to `upto` that a marker covers.
fn stored_authors(
    told: &Told,
    upto: Seq,
    budget: &mut Budget,
    source: &dyn Source,
) -> Result<Vec<AccountId>, Unreadable> {
    let first = upto
        .value()
        .saturating_sub(AUTHORS_READ_MAX)
        .max(told.after.value())
        + 1;
    let Standing::At(from) = stored::pos_of(source, told.id, Seq::new(first))? else {
        return Ok(Vec::new());
    };
    let limit = usize::try_from(AUTHORS_READ_MAX).unwrap_or(usize::MAX);
    let range = (from, Pos::MAX);
    let found = stored::entries(source, told.id, range, End::First, limit, budget.bytes)?;
    let read: usize = found.iter().map(Found::bytes).sum();
    budget.lookups -= 1;
    budget.bytes = budget.bytes.saturating_sub(read);
    Ok(found
        .into_iter()
        .filter_map(|found| found.entry)
        .filter(|entry| entry.seq.is_some_and(|seq| told.after < seq && seq <= upto))
        .map(|entry| entry.from)
        .collect())
}
