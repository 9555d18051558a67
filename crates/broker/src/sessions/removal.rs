//! The end of a session's place in the table: what else is kept by its slot goes with it.

use crate::shard::Shard;

impl Shard {
    /// Whoever gets the slot next gets nothing of what was the session's.
    pub(crate) fn remove_session(&mut self, slot: u32) {
        self.sessions.unlist(slot);
        self.fanouts.forget(slot);
        self.cursors.redeliveries.forget(slot);
        self.subscriptions.forget_session(slot);
        self.sessions.remove(slot);
    }
}
