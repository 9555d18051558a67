//! Messages that do not get to a session: counted, and whose they are noted for the log.

use crate::metrics::drops::{ClientName, DropReason, Dropped};
use crate::shard::Shard;

impl Shard {
    /// QoS 0 messages that waited for a session in memory are dropped.
    pub(crate) fn drop_qos0(&mut self, slot: u32, messages: u64) {
        if messages > 0 {
            self.metrics.counters.dropped_qos0 += messages;
            self.note_dropped(slot, DropReason::SlowClient, messages);
        }
    }

    /// QoS 1 and 2 messages that waited for a session are dropped.
    pub(crate) fn drop_queued(&mut self, slot: u32, reason: DropReason, messages: u64) {
        if messages > 0 {
            self.metrics.counters.dropped_queued += messages;
            self.note_dropped(slot, reason, messages);
        }
    }

    /// Messages for a session are dropped, and counted by whoever calls.
    pub(crate) fn note_dropped(&mut self, slot: u32, reason: DropReason, messages: u64) {
        if let Some(session) = self.sessions.at(slot) {
            let client = (slot, session.serial);
            self.metrics.drops.note(client, reason, messages);
        }
    }

    /// What was dropped since the last call.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        let sessions = &self.sessions;
        self.metrics.drops.take(|slot, serial| {
            let session = sessions.at(slot)?;
            (session.serial == serial).then(|| ClientName::of(session))
        })
    }
}
