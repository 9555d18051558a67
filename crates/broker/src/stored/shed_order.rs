//! What accounts have to lose of the messages that wait for them on disk, as far as it has been carried out.

use std::sync::Arc;

use crate::io::Shed;
use crate::stored::survey::Holder;

/// The sessions that may have to lose their oldest messages, as far as they have been looked through.
#[derive(Debug)]
pub(crate) struct Shedding {
    pub(crate) order: Arc<Shed>,
    /// The slot looked at next.
    pub(crate) next: u32,
    /// How many that one has still to lose, if it has lost some.
    pub(crate) left: Option<usize>,
    /// What was less than one message, in [`Shed::PARTS`].
    carried: u64,
}

impl Shedding {
    /// Nothing has been looked at.
    pub(crate) fn new(order: Arc<Shed>) -> Self {
        Self {
            order,
            next: 0,
            left: None,
            carried: 0,
        }
    }

    /// How many of so many messages of an account are to be dropped; what is less than one counts for the next.
    pub(crate) fn part(&mut self, holder: Holder, messages: usize) -> usize {
        let Some(parts) = self.order.parts.get(&holder) else {
            return 0;
        };
        self.carried += messages as u64 * u64::from(*parts);
        let all = u64::from(Shed::PARTS);
        let part = self.carried / all;
        self.carried %= all;
        part as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use records::{AccountId, Stamp};

    use super::*;

    /// An account with very many small sessions loses as much as one with a single large one.
    #[test]
    fn parts_of_a_message_add_up() {
        let bob = Some(AccountId::new(7));
        let order = Shed {
            parts: BTreeMap::from([(bob, Shed::PARTS / 4)]),
            before: Stamp::MAX,
        };
        let mut shedding = Shedding::new(Arc::new(order));
        let dropped: usize = (0..10).map(|_| shedding.part(bob, 1)).sum();
        assert_eq!(dropped, 2);
        assert_eq!(shedding.part(bob, 2), 1, "with the half that was left");
        assert_eq!(shedding.part(None, 100), 0);
    }
}
