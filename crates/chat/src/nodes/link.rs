//! What one node sends another: batches in order, each carried out once, whatever the network delays, doubles, drops or changes in
//! order. Batches are numbered, acknowledged and sent again. What cannot be kept for that is given up: the numbers begin anew, and the
//! other side knows that it has missed something. Must not know what a batch says.

use std::collections::VecDeque;
use std::sync::Arc;

use records::Millis;

/// How long an acknowledgement is waited for.
const AGAIN_MILLIS: u64 = 200;
/// Batches that may wait for their acknowledgement; with one more all are given up.
const WAITING_MAX: usize = 4_096;
/// Batches that are sent before the first of them is acknowledged.
const WINDOW: usize = 256;

/// What is carried out together.
pub(super) type Batch<P> = Arc<[P]>;

/// What goes over the network. Batches beginning with a number, and which ones of the other side have been received.
#[derive(Debug, Clone)]
pub(super) struct Envelope<P> {
    /// Counts how often the numbers began anew.
    epoch: u64,
    /// The number of the first batch.
    first: u64,
    batches: Vec<Batch<P>>,
    acknowledged: Acknowledged,
}

/// Every batch of an epoch with a lower number has been received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Acknowledged {
    epoch: u64,
    next: u64,
}

/// What a frame has brought.
#[derive(Debug)]
pub(super) struct Received<P> {
    /// The other side has given up batches: whatever they said was missed.
    pub(super) has_missed: bool,
    pub(super) batches: Vec<Batch<P>>,
}

/// One side of a link.
#[derive(Debug)]
pub(super) struct Link<P> {
    epoch: u64,
    /// The number of the first batch in `waiting`.
    first: u64,
    /// Batches without acknowledgement.
    waiting: VecDeque<Batch<P>>,
    /// How many of them have been sent.
    sent: usize,
    again_at: Option<Millis>,
    received: Acknowledged,
    /// Whether the other side is owed an acknowledgement.
    owes: bool,
}

impl<P> Default for Link<P> {
    fn default() -> Self {
        Self {
            epoch: 1,
            first: 0,
            waiting: VecDeque::new(),
            sent: 0,
            again_at: None,
            received: Acknowledged::default(),
            owes: false,
        }
    }
}

impl<P> Link<P> {
    /// Something to be sent. False if too much waits: everything that does is given up, and this as well.
    pub(super) fn push(&mut self, batch: Batch<P>) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            self.epoch += 1;
            self.first = 0;
            self.waiting.clear();
            self.sent = 0;
            self.again_at = None;
            return false;
        }
        self.waiting.push_back(batch);
        true
    }

    /// What is to be sent now, if anything.
    pub(super) fn poll(&mut self, now: Millis) -> Option<Envelope<P>> {
        if self.again_at.is_some_and(|at| at <= now) {
            self.sent = 0;
        }
        let count = self.waiting.len().min(WINDOW).saturating_sub(self.sent);
        if count == 0 && !self.owes {
            return None;
        }
        let first = self.first + self.sent as u64;
        let batches = self.waiting.range(self.sent..self.sent + count);
        let batches = batches.cloned().collect();
        self.sent += count;
        if count > 0 {
            self.again_at = Some(now.saturating_add(AGAIN_MILLIS));
        }
        self.owes = false;
        Some(Envelope {
            epoch: self.epoch,
            first,
            batches,
            acknowledged: self.received,
        })
    }

    /// When [`Link::poll`] has something to send again.
    pub(super) fn next_timeout(&self) -> Option<Millis> {
        self.again_at
    }

    /// Something has come.
    pub(super) fn receive(&mut self, envelope: &Envelope<P>) -> Received<P> {
        self.acknowledged(envelope.acknowledged);
        let mut received = Received {
            has_missed: false,
            batches: Vec::new(),
        };
        // Whoever sends an old epoch has sent the next one as well.
        if envelope.epoch < self.received.epoch {
            return received;
        }
        if envelope.epoch > self.received.epoch {
            received.has_missed = true;
            self.received = Acknowledged {
                epoch: envelope.epoch,
                next: 0,
            };
        }
        self.owes |= !envelope.batches.is_empty();
        for (number, batch) in (envelope.first..).zip(&envelope.batches) {
            // What is too early comes again, behind what is missing.
            if number == self.received.next {
                self.received.next += 1;
                received.batches.push(batch.clone());
            }
        }
        received
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged) {
        if acknowledged.epoch != self.epoch {
            return;
        }
        let count = acknowledged.next.saturating_sub(self.first);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let count = count.min(self.waiting.len());
        if count == 0 {
            return;
        }
        self.waiting.drain(..count);
        self.first += count as u64;
        self.sent = self.sent.saturating_sub(count);
        if self.waiting.is_empty() {
            self.again_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(millis: u64) -> Millis {
        Millis::new(1_000_000 + millis)
    }

    fn batch(number: u64) -> Batch<u64> {
        Arc::from([number])
    }

    proptest! {
        #[test]
        fn what_is_lost_doubled_or_late_is_carried_out_once_and_in_order(
            steps in proptest::collection::vec((0..5_u8, any::<u8>()), 1..300),
        ) {
            let (mut from, mut to) = (Link::default(), Link::default());
            let (mut there, mut back, mut got) = (Vec::new(), Vec::new(), Vec::new());
            let (mut at, mut count) = (0, 0);
            for (step, choice) in steps {
                at += u64::from(choice);
                match step {
                    0 => {
                        prop_assert!(from.push(batch(count)));
                        count += 1;
                        there.extend(from.poll(now(at)));
                    }
                    1 => there.extend(from.poll(now(at))),
                    2 if !there.is_empty() => {
                        let envelope: &Envelope<u64> = &there[usize::from(choice) % there.len()];
                        got.extend(to.receive(envelope).batches.iter().map(|batch| batch[0]));
                        back.extend(to.poll(now(at)));
                    }
                    3 if !back.is_empty() => {
                        let envelope: &Envelope<u64> = &back[usize::from(choice) % back.len()];
                        prop_assert!(from.receive(envelope).batches.is_empty());
                    }
                    _ if choice < 32 => there.clear(),
                    _ => {}
                }
            }
            for _ in 0..4 {
                at += AGAIN_MILLIS;
                while let Some(envelope) = from.poll(now(at)) {
                    got.extend(to.receive(&envelope).batches.iter().map(|batch| batch[0]));
                }
                if let Some(envelope) = to.poll(now(at)) {
                    from.receive(&envelope);
                }
            }
            prop_assert!(got.iter().copied().eq(0..count));
            prop_assert!(from.waiting.is_empty() && from.next_timeout().is_none());
        }
    }

    #[test]
    fn what_was_given_up_is_known_to_be_missing() {
        let (mut from, mut to) = (Link::default(), Link::default());
        from.push(batch(1));
        let before: Envelope<u64> = from.poll(now(0)).unwrap();
        assert!(to.receive(&before).has_missed, "what was before its time");
        assert!(!to.receive(&before).has_missed);
        while from.push(batch(2)) {}
        from.push(batch(3));
        let after = from.poll(now(1)).unwrap();
        let received = to.receive(&after);
        assert!(received.has_missed);
        assert_eq!(received.batches, [batch(3)]);
        assert!(to.receive(&before).batches.is_empty(), "an old epoch");
    }
}
