//! What one owner has appended and waits for the disk with: whatever follows from an append is told when it is there, in order, so
//! that nobody hears of a state that a crash could take back.

use std::collections::VecDeque;

use crate::io::Ticket;

#[derive(Debug)]
struct InFlight<E> {
    ticket: Ticket,
    effects: Vec<E>,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Log<E> {
    last: Ticket,
    in_flight: VecDeque<InFlight<E>>,
}

impl<E> Log<E> {
    /// An append whose effects follow when it is on disk.
    pub(crate) fn append(&mut self, effects: Vec<E>) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        let ticket = self.last;
        self.in_flight.push_back(InFlight { ticket, effects });
        ticket
    }

    /// Something that follows once everything appended so far is on disk; given back if it is.
    pub(crate) fn follow(&mut self, effect: E) -> Option<E> {
        match self.in_flight.back_mut() {
            Some(last) => {
                last.effects.push(effect);
                None
            }
            None => Some(effect),
        }
    }

    /// Every append up to this one is on disk: what follows from them.
    pub(crate) fn appended(&mut self, upto: Ticket) -> Vec<E> {
        let mut effects = Vec::new();
        while let Some(first) = self.in_flight.front_mut()
            && first.ticket <= upto
        {
            effects.append(&mut first.effects);
            self.in_flight.pop_front();
        }
        effects
    }

    /// Whether this append waits for the disk.
    pub(crate) fn is_under_way(&self, ticket: Ticket) -> bool {
        let first = self.in_flight.front();
        first.is_some_and(|first| (first.ticket..=self.last).contains(&ticket))
    }

    /// Nothing of what waits will be on disk: what would have followed.
    pub(crate) fn give_up(&mut self) -> Vec<E> {
        let last = self.last;
        self.appended(last)
    }
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        Self {
            last: Ticket(0),
            in_flight: VecDeque::new(),
        }
    }
}
