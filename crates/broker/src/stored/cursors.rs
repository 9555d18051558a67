//! Which sessions' cursors have moved and have still to be written, and what had been sent before the server's last end.

use std::collections::VecDeque;

use records::Millis;

use crate::stored::redelivery::Redeliveries;

/// How often changed cursors are written; a crash repeats at most this much of QoS 1.
const CURSOR_INTERVAL_MS: u64 = 1000;
/// Sessions whose cursors are written in one call.
const CURSORS_PER_CALL: usize = 512;

/// How far sessions have come, as far as that is not on disk, or was only there when the shard was built.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// Sessions whose cursors are to be written, the one that has waited longest first.
    moved: VecDeque<u32>,
    due: Option<Millis>,
    pub(crate) redeliveries: Redeliveries,
}

impl Cursors {
    /// The cursors of a session that is not listed yet have moved.
    pub(crate) fn note_moved(&mut self, slot: u32, now: Millis) {
        self.moved.push_back(slot);
        self.write_soon(now);
    }

    /// Something is written with the next cursors, or where they would be.
    pub(crate) fn write_soon(&mut self, now: Millis) {
        self.due
            .get_or_insert(now.saturating_add(CURSOR_INTERVAL_MS));
    }

    /// When cursors are written next.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due
    }

    pub(crate) fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// The sessions whose cursors are written by now. Those that are too many for one call are due at once.
    pub(crate) fn take(&mut self, now: Millis) -> Vec<u32> {
        let count = self.moved.len().min(CURSORS_PER_CALL);
        let slots = self.moved.drain(..count).collect();
        self.due = (!self.moved.is_empty()).then_some(now);
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_written_together_and_not_too_many_at_once() {
        let now = Millis::new(1_766_000_000_000);
        let mut cursors = Cursors::default();
        assert_eq!(cursors.next_due(), None);
        for slot in 0..CURSORS_PER_CALL as u32 + 1 {
            cursors.note_moved(slot, now.saturating_add(u64::from(slot)));
        }
        let due = now.saturating_add(CURSOR_INTERVAL_MS);
        assert_eq!(cursors.next_due(), Some(due), "the first one says when");
        assert_eq!(cursors.take(due).len(), CURSORS_PER_CALL);
        assert_eq!(cursors.next_due(), Some(due), "the last one is due at once");
        assert_eq!(cursors.take(due), [CURSORS_PER_CALL as u32]);
        assert!(cursors.next_due().is_none() && !cursors.has_moved());
    }
}
