//! The subscribers of one filter, from one inline to a hundred thousand: adding, finding and removing one stays
//! cheap, and all of them are one slice. It does not know its filter.

use crate::id_table::IdTable;
use crate::subscriber::{Interest, Subscriber};

/// Up to this many subscribers are searched one by one.
const SCAN_MAX: usize = 32;
/// Below this many the position index is given up.
const SCAN_AGAIN: usize = SCAN_MAX / 2;

/// Subscribers of one filter.
#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(Subscriber),
    Many(Box<Roster>),
}

// One subscriber lies in the filter's own entry.
const _: () = assert!(size_of::<Subscribers>() == 16);

impl Subscribers {
    pub(crate) fn as_slice(&self) -> &[Subscriber] {
        match self {
            Self::None => &[],
            Self::One(subscriber) => std::slice::from_ref(subscriber),
            Self::Many(roster) => &roster.list,
        }
    }

    pub(crate) fn interest(&self) -> Interest {
        match self {
            Self::None => Interest::default(),
            Self::One(subscriber) => Interest {
                live: true,
                durable: subscriber.durable,
            },
            Self::Many(roster) => roster.interest(),
        }
    }

    pub(crate) fn find(&self, session: u32) -> Option<&Subscriber> {
        match self {
            Self::None => None,
            Self::One(subscriber) => {
                Some(subscriber).filter(|subscriber| subscriber.session == session)
            }
            Self::Many(roster) => roster.position(session).map(|at| &roster.list[at]),
        }
    }

    /// Adds a subscriber, or replaces the one of the same session and returns it.
    pub(crate) fn insert(&mut self, subscriber: Subscriber) -> Option<Subscriber> {
        match self {
            Self::None => {
                *self = Self::One(subscriber);
                None
            }
            Self::One(present) if present.session == subscriber.session => {
                Some(std::mem::replace(present, subscriber))
            }
            Self::One(present) => {
                let mut roster = Roster::default();
                roster.insert(*present);
                roster.insert(subscriber);
                *self = Self::Many(Box::new(roster));
                None
            }
            Self::Many(roster) => roster.insert(subscriber),
        }
    }

    pub(crate) fn remove(&mut self, session: u32) -> Option<Subscriber> {
        match self {
            Self::None => None,
            Self::One(present) if present.session != session => None,
            Self::One(present) => {
                let removed = *present;
                *self = Self::None;
                Some(removed)
            }
            Self::Many(roster) => {
                let removed = roster.remove(session);
                if let [last] = roster.list[..] {
                    *self = Self::One(last);
                }
                removed
            }
        }
    }
}

/// Two or more subscribers.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    list: Vec<Subscriber>,
    /// Places in the list by session, while there are more than [`SCAN_MAX`].
    positions: IdTable,
    indexed: bool,
    durable: u32,
}

impl Roster {
    pub(crate) fn interest(&self) -> Interest {
        Interest {
            live: !self.list.is_empty(),
            durable: self.durable > 0,
        }
    }

    fn position(&self, session: u32) -> Option<usize> {
        if self.indexed {
            let at = self.positions.find(spread(session), |at| {
                self.list[at as usize].session == session
            });
            return at.map(|at| at as usize);
        }
        self.list
            .iter()
            .position(|subscriber| subscriber.session == session)
    }

    pub(crate) fn insert(&mut self, subscriber: Subscriber) -> Option<Subscriber> {
        self.durable += u32::from(subscriber.durable);
        if let Some(at) = self.position(subscriber.session) {
            let replaced = std::mem::replace(&mut self.list[at], subscriber);
            self.durable -= u32::from(replaced.durable);
            return Some(replaced);
        }
        if self.indexed {
            self.positions
                .insert(spread(subscriber.session), self.list.len() as u32);
        }
        self.list.push(subscriber);
        if !self.indexed && self.list.len() > SCAN_MAX {
            self.index();
        }
        None
    }

    pub(crate) fn remove(&mut self, session: u32) -> Option<Subscriber> {
        let at = self.position(session)?;
        let removed = self.list.swap_remove(at);
        self.durable -= u32::from(removed.durable);
        if self.indexed {
            self.positions.remove(spread(session), at as u32);
            if let Some(moved) = self.list.get(at) {
                self.positions
                    .rename(spread(moved.session), self.list.len() as u32, at as u32);
            }
        }
        if self.list.len() < SCAN_AGAIN {
            self.positions = IdTable::default();
            self.indexed = false;
        }
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        Some(removed)
    }

    fn index(&mut self) {
        for (at, subscriber) in self.list.iter().enumerate() {
            self.positions.insert(spread(subscriber.session), at as u32);
        }
        self.indexed = true;
    }
}

/// Session slots are dense numbers of our own, so a fixed multiplier (2^32 / golden ratio) spreads them.
fn spread(session: u32) -> u32 {
    session.wrapping_mul(0x9E37_79B1)
}
