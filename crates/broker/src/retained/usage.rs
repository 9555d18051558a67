//! How many retained messages there are, whose they are, and who may have another. It does not know the messages.

use std::collections::BTreeMap;

use records::AccountId;

use crate::settings::Limits;

/// Messages, and their bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// One retained message: who is charged for it, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    /// Clients without an account are charged together.
    pub(crate) account: Option<AccountId>,
    pub(crate) bytes: usize,
}

impl Charge {
    /// Bytes by which a message that names no account grows when one replaces it with the same.
    fn grown(&self) -> usize {
        if self.account.is_none() {
            size_of::<AccountId>()
        } else {
            0
        }
    }
}

/// The retained messages of a shard, counted by account.
#[derive(Debug, Default)]
pub(crate) struct RetainedUsage {
    total: Amount,
    accounts: BTreeMap<Option<AccountId>, Amount>,
}

impl RetainedUsage {
    pub(crate) fn total(&self) -> Amount {
        self.total
    }

    /// Whether there is room for another message in the place of `previous`. An account may have as much as is still free for
    /// the others, unless the configuration says how much: whoever has most is refused first, and the last place is nobody's.
    pub(crate) fn fits(&self, new: Charge, previous: Option<Charge>, limits: &Limits) -> bool {
        if previous.is_some_and(|previous| new.bytes <= previous.bytes + previous.grown()) {
            // It takes nothing from anybody.
            return true;
        }
        let before = self.accounts.get(&new.account).copied();
        let before = before.unwrap_or_default();
        let mut own = before.plus(new.bytes);
        let mut total = self.total.plus(new.bytes);
        if let Some(previous) = previous {
            total = total.minus(previous.bytes);
            if previous.account == new.account {
                own = own.minus(previous.bytes);
            }
        }
        let most = Amount {
            messages: limits.retained_messages_max,
            bytes: limits.retained_bytes_max,
        };
        let share = |configured: usize, most: usize, total: usize| match configured {
            0 => most.saturating_sub(total),
            configured => configured,
        };
        let messages_share = share(
            limits.retained_messages_per_account_max,
            most.messages,
            total.messages,
        );
        let bytes_share = share(
            limits.retained_bytes_per_account_max,
            most.bytes,
            total.bytes,
        );
        // What was within its share when there was more room can still be updated.
        let is_within = |own, before, share| own <= before || own <= share;
        total.messages <= most.messages
            && total.bytes <= most.bytes
            && is_within(own.messages, before.messages, messages_share)
            && is_within(own.bytes, before.bytes, bytes_share)
    }

    pub(crate) fn add(&mut self, charge: Charge) {
        self.total = self.total.plus(charge.bytes);
        let own = self.accounts.entry(charge.account).or_default();
        *own = own.plus(charge.bytes);
    }

    pub(crate) fn remove(&mut self, charge: Charge) {
        self.total = self.total.minus(charge.bytes);
        if let Some(own) = self.accounts.get_mut(&charge.account) {
            *own = own.minus(charge.bytes);
            if own.messages == 0 {
                self.accounts.remove(&charge.account);
            }
        }
    }
}

impl Amount {
    fn plus(self, bytes: usize) -> Self {
        Self {
            messages: self.messages + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn minus(self, bytes: usize) -> Self {
        Self {
            messages: self.messages - 1,
            bytes: self.bytes - bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            retained_messages_max: 100,
            retained_bytes_max: 1000,
            ..Limits::default()
        }
    }

    fn of(account: u64, bytes: usize) -> Charge {
        let account = (account != 0).then(|| AccountId::new(account));
        Charge { account, bytes }
    }

    /// Adds messages until one is refused.
    fn fill(usage: &mut RetainedUsage, charge: Charge) -> usize {
        let mut added = 0;
        while usage.fits(charge, None, &limits()) {
            usage.add(charge);
            added += 1;
        }
        added
    }

    #[test]
    fn one_account_has_half_and_every_other_finds_room() {
        let mut usage = RetainedUsage::default();
        assert_eq!(fill(&mut usage, of(1, 1)), 50);
        assert_eq!(fill(&mut usage, of(0, 1)), 25, "half of what is left");
        assert_eq!(fill(&mut usage, of(2, 1)), 12);
        assert_eq!(fill(&mut usage, of(1, 1)), 0);
        usage.remove(of(0, 1));
        assert_eq!(fill(&mut usage, of(1, 1)), 0, "it still has most");
        assert_eq!(fill(&mut usage, of(3, 1)), 7);
    }

    #[test]
    fn bytes_are_shared_like_messages() {
        let mut usage = RetainedUsage::default();
        assert_eq!(fill(&mut usage, of(1, 100)), 5);
        assert_eq!(fill(&mut usage, of(2, 100)), 2);
        assert_eq!(
            usage.total(),
            Amount {
                messages: 7,
                bytes: 700
            }
        );
    }

    #[test]
    fn what_a_message_replaces_makes_room_for_it() {
        let mut usage = RetainedUsage::default();
        fill(&mut usage, of(1, 100));
        let (own, others) = (of(1, 100), of(2, 100));
        usage.add(others);
        assert!(usage.fits(own, Some(own), &limits()), "no more than before");
        assert!(!usage.fits(of(1, 200), Some(own), &limits()));
        assert!(!usage.fits(of(1, 101), Some(others), &limits()));
        // Also where bounds have become smaller, and for messages of a release that named no accounts.
        let smaller = Limits {
            retained_messages_max: 1,
            retained_bytes_max: 1,
            ..Limits::default()
        };
        assert!(usage.fits(own, Some(own), &smaller));
        assert!(usage.fits(of(1, 108), Some(of(0, 100)), &limits()));
        assert!(!usage.fits(of(1, 109), Some(of(0, 100)), &limits()));
        assert!(usage.fits(others, Some(own), &limits()));
    }

    #[test]
    fn the_operator_may_say_how_much_an_account_has() {
        let given = Limits {
            retained_messages_per_account_max: 70,
            retained_bytes_per_account_max: 990,
            ..limits()
        };
        let mut usage = RetainedUsage::default();
        for _ in 0..70 {
            assert!(usage.fits(of(1, 10), None, &given));
            usage.add(of(1, 10));
        }
        assert!(!usage.fits(of(1, 10), None, &given));
        assert!(usage.fits(of(2, 300), None, &given));
        assert!(!usage.fits(of(2, 301), None, &given), "the whole is full");
    }
}
