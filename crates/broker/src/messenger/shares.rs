//! Shared filters under `im/`: which devices of an account share one, on this shard and others, and whose turn it is. All shards
//! choose alike.

use ahash::RandomState;
use hashbrown::HashMap;
use records::AccountId;

/// The shares of all accounts.
#[derive(Debug)]
pub(crate) struct ChatShares(HashMap<AccountId, Vec<ChatShare>, RandomState>);

/// Where else devices of an account that share a filter under `im/` are connected.
#[derive(Debug)]
pub(crate) struct ChatShare {
    pub(crate) name: Box<str>,
    pub(crate) filter: Box<str>,
    /// Other shards with a connected device; bit `n` is shard `n`.
    pub(crate) shards: u64,
}

impl ChatShare {
    fn is(&self, name: &str, filter: &str) -> bool {
        &*self.name == name && &*self.filter == filter
    }
}

impl ChatShares {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    /// Those of an account.
    pub(crate) fn of(&self, account: AccountId) -> &[ChatShare] {
        self.0.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Whether an account may have this share, with so many at most.
    pub(crate) fn has_room(
        &self,
        account: AccountId,
        name: &str,
        filter: &str,
        most: usize,
    ) -> bool {
        let shares = self.of(account);
        shares.is_empty()
            || shares.len() < most
            || shares.iter().any(|share| share.is(name, filter))
    }

    /// The share of an account, which begins if there is none.
    pub(crate) fn entry(&mut self, account: AccountId, name: &str, filter: &str) -> &mut ChatShare {
        let shares = self.0.entry(account).or_default();
        let known = shares.iter().position(|share| share.is(name, filter));
        let place = known.unwrap_or_else(|| {
            shares.push(ChatShare {
                name: name.into(),
                filter: filter.into(),
                shards: 0,
            });
            shares.len() - 1
        });
        &mut shares[place]
    }

    /// Another shard has connected devices of the share, or has none any more.
    pub(crate) fn note_remote(
        &mut self,
        account: AccountId,
        (name, filter): (&str, &str),
        shard: u16,
        live: bool,
    ) {
        let share = self.entry(account, name, filter);
        let bit = 1 << shard;
        share.shards &= !bit;
        if live {
            share.shards |= bit;
        }
    }

    /// Forgets the shares of an account of which no device is connected, here or elsewhere.
    pub(crate) fn forget_empty(
        &mut self,
        account: AccountId,
        mut is_here: impl FnMut(&ChatShare) -> bool,
    ) {
        if let Some(shares) = self.0.get_mut(&account) {
            shares.retain(|share| share.shards != 0 || is_here(share));
            if shares.is_empty() {
                self.0.remove(&account);
            }
        }
    }
}

/// The session whose turn it is, if it is one of this shard's.
pub(crate) fn choose(shards: u64, own: u16, turn: u64, here: &[u32]) -> Option<u32> {
    let count = u64::from(shards.count_ones());
    if count == 0 || here.is_empty() {
        return None;
    }
    let below = u64::from((shards & ((1 << own) - 1)).count_ones());
    if turn % count != below {
        return None;
    }
    let place = (turn / count) % here.len() as u64;
    here.get(place as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the devices on all shards each has its turn, and never two at once.
    #[test]
    fn shards_agree_on_whose_turn_it_is() {
        let devices: [(u16, &[u32]); 3] = [(0, &[10, 11]), (2, &[20]), (5, &[50])];
        let shards = devices.iter().fold(0, |mask, (shard, _)| mask | 1 << shard);
        let mut chosen = Vec::new();
        for turn in 0..6 {
            let here = devices
                .iter()
                .filter_map(|(shard, here)| choose(shards, *shard, turn, here));
            chosen.extend(here);
        }
        assert_eq!(chosen, [10, 20, 50, 11, 20, 50]);
        assert_eq!(choose(0, 0, 0, &[1]), None);
    }

    #[test]
    fn a_share_is_forgotten_with_its_last_device() {
        let account = AccountId::new(7);
        let mut shares = ChatShares::new(RandomState::with_seeds(1, 2, 3, 4));
        shares.entry(account, "work", "im/in/+");
        shares.note_remote(account, ("work", "im/in/+"), 3, true);
        shares.forget_empty(account, |_| false);
        assert_eq!(shares.of(account).len(), 1, "one is connected elsewhere");
        assert!(shares.has_room(account, "work", "im/in/+", 1));
        assert!(!shares.has_room(account, "other", "im/in/+", 1));
        shares.note_remote(account, ("work", "im/in/+"), 3, false);
        shares.forget_empty(account, |_| true);
        assert_eq!(shares.of(account).len(), 1, "one is connected here");
        shares.forget_empty(account, |_| false);
        assert!(shares.of(account).is_empty());
    }
}
