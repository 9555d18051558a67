//! What one turn has done so far, and what it leaves for later ones. It counts and keeps the order; it does nothing itself.

use std::collections::VecDeque;

use crate::io::ConnectionId;
use crate::turn::deferred::DeferredWork;

/// Bytes a turn puts into output buffers for sessions that have something waiting, with [`MESSAGE_WORK`] for each
/// message: about a millisecond.
pub(crate) const TURN_WORK_MAX: usize = 1024 * 1024;
/// What a message costs beside its bytes, in bytes.
const MESSAGE_WORK: usize = 128;
/// What a piece of work costs at least, so that pieces without any result come to an end too.
const PIECE_WORK: usize = 4096;
/// Bytes waiting in all output buffers after which the turn is cut short to write them.
const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes in and out, as [`Turn::spend`] counts them, after which what a client has sent waits for the next turn.
const READ_WORK_MAX: usize = 8 * 1024 * 1024;

/// This turn's work, and what is deferred.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    work: usize,
    /// Bytes that were put into output buffers and have not been written since work was last deferred.
    buffered: usize,
    /// Connections whose bytes wait because the turn was cut short.
    reads: VecDeque<ConnectionId>,
    deferred: VecDeque<DeferredWork>,
}

impl Turn {
    /// What the last turn did no longer counts.
    pub(crate) fn begin(&mut self) {
        self.work = 0;
    }

    /// A message of so many bytes was put into a buffer, or taken in.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.work += bytes + MESSAGE_WORK;
    }

    /// Something was done that costs as much as so many bytes.
    pub(crate) fn spend_exactly(&mut self, work: usize) {
        self.work += work;
    }

    /// What has been done, in bytes.
    pub(crate) fn work(&self) -> usize {
        self.work
    }

    /// Whether this turn has sent as much of what waits as it should.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.work >= TURN_WORK_MAX
    }

    /// Bytes were put into an output buffer.
    #[inline]
    pub(crate) fn buffer(&mut self, bytes: usize) {
        self.buffered += bytes;
    }

    /// Bytes of output buffers are written, or given up with their connection.
    pub(crate) fn unbuffer(&mut self, bytes: usize) {
        self.buffered = self.buffered.saturating_sub(bytes);
    }

    /// Whether what clients have sent has to wait, so that what is buffered can be written first.
    #[inline]
    pub(crate) fn defers_reading(&self) -> bool {
        self.buffered > TURN_BYTES_MAX || self.work > READ_WORK_MAX
    }

    /// Has something go on in a later turn.
    pub(crate) fn defer(&mut self, work: DeferredWork) {
        self.deferred.push_back(work);
    }

    /// Has connections that are not read read again.
    pub(crate) fn defer_reads(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        self.reads.extend(connections);
    }

    pub(crate) fn has_deferred(&self) -> bool {
        !self.reads.is_empty() || !self.deferred.is_empty()
    }

    /// Begins with what was deferred: what is buffered has been written. How many connections are to be read again.
    pub(crate) fn begin_deferred(&mut self) -> usize {
        self.buffered = 0;
        self.work = 0;
        self.reads.len()
    }

    pub(crate) fn next_read(&mut self) -> Option<ConnectionId> {
        self.reads.pop_front()
    }

    /// The next piece of work, unless this turn has done enough.
    pub(crate) fn next_deferred(&mut self) -> Option<DeferredWork> {
        if self.is_spent() {
            return None;
        }
        let next = self.deferred.pop_front()?;
        self.work += PIECE_WORK;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces that find nothing to do end the turn too, and go on in the next one in their order.
    #[test]
    fn a_turn_does_a_bounded_number_of_pieces() {
        let mut turn = Turn::default();
        let pieces = TURN_WORK_MAX / PIECE_WORK + 1;
        for next in 0..pieces as u32 {
            turn.defer(DeferredWork::Redirect { next });
        }
        let mut done = 0;
        while turn.next_deferred().is_some() {
            done += 1;
        }
        assert_eq!(done, pieces - 1);
        assert!(turn.has_deferred());
        turn.begin();
        let last = turn.next_deferred();
        assert!(matches!(last, Some(DeferredWork::Redirect { next }) if next as usize == done));
        assert!(!turn.has_deferred());
    }

    #[test]
    fn nothing_is_read_while_too_much_is_buffered() {
        let mut turn = Turn::default();
        turn.buffer(TURN_BYTES_MAX + 1);
        assert!(turn.defers_reading());
        turn.unbuffer(1);
        assert!(!turn.defers_reading());
        turn.unbuffer(usize::MAX);
        turn.buffer(TURN_BYTES_MAX);
        assert!(!turn.defers_reading(), "it does not go below zero");
    }
}
