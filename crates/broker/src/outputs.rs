//! What a shard wants done outside, in order. It keeps what other shards were sent until they are done with it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::io::{Forwarded, Output};

/// Outputs that have not been taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    waiting: VecDeque<Output>,
    /// Messages on their way to other shards, the oldest first.
    forwarded: VecDeque<Arc<Forwarded>>,
}

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.waiting.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.waiting.pop_front()
    }

    /// Sends a message to the shards of this bit mask.
    pub(crate) fn forward(&mut self, shards: u64, forwarded: Forwarded) {
        let forwarded = Arc::new(forwarded);
        self.forwarded.push_back(forwarded.clone());
        self.push(Output::Forward { shards, forwarded });
    }

    /// Drops what the other shards are done with. Whoever comes last frees it, and that is to be the shard that made it:
    /// two threads that give back each other's memory wait for each other in the allocator.
    pub(crate) fn drop_delivered_forwards(&mut self) {
        while let Some(oldest) = self.forwarded.front()
            && Arc::strong_count(oldest) == 1
        {
            self.forwarded.pop_front();
        }
    }
}
