//! Which sessions' subscriptions are changing: nothing that is stored is sent to them before the change is on disk, or it would
//! come again after a crash, as something else.

use std::collections::BTreeMap;

/// By session, packets under way to the disk that change or end subscriptions of QoS 1 or 2.
#[derive(Debug, Default)]
pub(crate) struct PendingChanges(BTreeMap<u32, usize>);

impl PendingChanges {
    /// A packet has begun to change something.
    pub(crate) fn begin(&mut self, slot: u32) {
        *self.0.entry(slot).or_default() += 1;
    }

    /// What a packet has changed is on disk; whether nothing else is changing.
    pub(crate) fn end(&mut self, slot: u32) -> bool {
        let Some(changes) = self.0.get_mut(&slot) else {
            return false;
        };
        *changes -= 1;
        let is_last = *changes == 0;
        if is_last {
            self.0.remove(&slot);
        }
        is_last
    }

    /// Whether a change of a session's subscriptions is on its way to the disk.
    #[inline]
    pub(crate) fn is_changing(&self, slot: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&slot)
    }

    /// The session is no more.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.0.remove(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_changing_until_its_last_packet_is_on_disk() {
        let mut changes = PendingChanges::default();
        changes.begin(7);
        changes.begin(7);
        assert!(!changes.end(7) && changes.is_changing(7));
        assert!(!changes.is_changing(8));
        assert!(changes.end(7) && !changes.is_changing(7));
        assert!(!changes.end(7), "one that was forgotten meanwhile");
    }
}
