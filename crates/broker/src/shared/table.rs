//! The groups of shared subscriptions to ordinary filters: who is in them on this shard and others, and what they wait for.

use routing::SharedIndex;

use crate::shared::waiting_claims::WaitingClaims;

/// The groups.
#[derive(Debug)]
pub(crate) struct SharedSubscriptions {
    /// Whose turn it is.
    pub(crate) index: SharedIndex,
    /// What waits for members.
    pub(crate) waiting: WaitingClaims,
}

impl SharedSubscriptions {
    pub(crate) fn new(seeds: [u64; 4]) -> Self {
        Self {
            index: SharedIndex::new(seeds),
            waiting: WaitingClaims::default(),
        }
    }
}
