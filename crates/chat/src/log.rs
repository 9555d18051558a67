//! The order of things: what is appended, what waits for the disk, and what may be told. Everything that is told waits for every
//! append before it, so nobody hears of a state that a crash could take back.

use std::collections::VecDeque;

use records::{AccountId, ConversationId, Pos, Write};
use smallvec::SmallVec;

use crate::dedup::MidKey;
use crate::door::{Output, Ticket};

/// Appends that may wait for the disk; then publishes are refused until some have come back.
pub(crate) const APPENDS_MAX: usize = 65_536;

/// What a command comes to: writes that belong together, and what is told once they are on disk.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    pub(crate) effects: Vec<Output>,
    /// Mids that are in flight until this is on disk.
    pub(crate) mid: Option<MidKey>,
    /// Whose view of which conversation has changed; `None` is every member.
    pub(crate) about: SmallVec<[(ConversationId, Option<AccountId>); 1]>,
    /// Two accounts that have begun to talk.
    pub(crate) acquainted: Option<(AccountId, AccountId)>,
    /// The conversation that has got a message.
    pub(crate) message: Option<ConversationId>,
}

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { key, value });
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.writes.push(Write::Delete { key });
    }

    pub(crate) fn tell(&mut self, effect: Output) {
        self.effects.push(effect);
    }
}

#[derive(Debug)]
struct InFlight {
    ticket: Ticket,
    /// The newest position once this is on disk.
    pos: Pos,
    effects: Vec<Output>,
    mid: Option<MidKey>,
}

/// See the file's header.
#[derive(Debug, Default)]
pub(crate) struct Log {
    ticket: u64,
    newest: Pos,
    committed: Pos,
    in_flight: VecDeque<InFlight>,
    outputs: VecDeque<Output>,
}

impl Log {
    /// Takes back how far an earlier run had come.
    pub(crate) fn recover(&mut self, pos: Pos) {
        self.newest = self.newest.max(pos);
        self.committed = self.newest;
    }

    /// The newest position given to an entry, perhaps not on disk yet.
    pub(crate) fn newest(&self) -> Pos {
        self.newest
    }

    /// The newest position on disk.
    pub(crate) fn committed(&self) -> Pos {
        self.committed
    }

    /// A position for an entry of the batch that is committed next.
    pub(crate) fn next_pos(&mut self) -> Pos {
        self.newest = self.newest.next();
        self.newest
    }

    /// Whether so many appends wait for the disk that no more should be begun.
    pub(crate) fn full(&self) -> bool {
        self.in_flight.len() >= APPENDS_MAX
    }

    /// Appends the writes; the effects follow when they are on disk, or at once if there is nothing to wait for.
    pub(crate) fn commit(&mut self, writes: Vec<Write>, effects: Vec<Output>, mid: Option<MidKey>) {
        if writes.is_empty() {
            for effect in effects {
                self.tell(effect);
            }
            return;
        }
        self.ticket += 1;
        let ticket = Ticket(self.ticket);
        self.outputs.push_back(Output::Append { ticket, writes });
        self.in_flight.push_back(InFlight {
            ticket,
            pos: self.newest,
            effects,
            mid,
        });
    }

    /// Tells something once everything appended so far is on disk.
    pub(crate) fn tell(&mut self, output: Output) {
        match self.in_flight.back_mut() {
            Some(last) => last.effects.push(output),
            None => self.outputs.push_back(output),
        }
    }

    /// Everything up to the ticket is on disk; what waited for it is told. Yields the mids that are no longer in flight.
    pub(crate) fn appended(&mut self, ticket: Ticket) -> Vec<MidKey> {
        let mut settled = Vec::new();
        while self
            .in_flight
            .front()
            .is_some_and(|first| first.ticket <= ticket)
        {
            let Some(first) = self.in_flight.pop_front() else {
                break;
            };
            self.committed = first.pos;
            self.outputs.extend(first.effects);
            settled.extend(first.mid);
        }
        settled
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
