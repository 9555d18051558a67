//! What one node sends another: batches in order, each carried out once, whatever the network delays, doubles, drops or changes in
//! order. Batches are numbered, acknowledged and sent again. What cannot be kept for that is given up: the numbers begin anew, and the
//! other side knows that it has missed something. Must not know what a batch says.

use std::collections::VecDeque;
use std::sync::Arc;

use records::Millis;

/// How long an acknowledgement is waited for.
const AGAIN_MILLIS: u64 = 200;

/// How much of a link may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLimits {
    /// Batches that may wait for their acknowledgement; with one more all are given up.
    pub waiting_max: usize,
    /// Batches that are sent before the first of them is acknowledged.
    pub window: usize,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            waiting_max: 4_096,
            window: 256,
        }
    }
}

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
    limits: LinkLimits,
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

impl<P> Link<P> {
    pub(super) fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            epoch: 1,
            first: 0,
            waiting: VecDeque::new(),
            sent: 0,
            again_at: None,
            received: Acknowledged::default(),
            owes: false,
        }
    }

    /// Something to be sent. False if too much waits: everything that does is given up, and this as well.
    pub(super) fn push(&mut self, batch: Batch<P>) -> bool {
        if self.waiting.len() >= self.limits.waiting_max {
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
            self.again_at = None;
        }
        let most = self.waiting.len().min(self.limits.window);
        let count = most.saturating_sub(self.sent);
        if count == 0 && !self.owes {
            return None;
        }
        let first = self.first + self.sent as u64;
        let batches = self.waiting.range(self.sent..self.sent + count);
        let batches = batches.cloned().collect();
        self.sent += count;
        // The oldest one is waited for, whatever is sent behind it.
        if count > 0 && self.again_at.is_none() {
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
    pub(super) fn receive(&mut self, envelope: &Envelope<P>, now: Millis) -> Received<P> {
        self.acknowledged(envelope.acknowledged, now);
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

    fn acknowledged(&mut self, acknowledged: Acknowledged, now: Millis) {
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
        self.again_at = (self.sent > 0).then(|| now.saturating_add(AGAIN_MILLIS));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(millis: u64) -> Millis {
        Millis::new(1_000_000 + millis)
    }

    fn link() -> Link<u64> {
        Link::new(LinkLimits::default())
    }

    fn batch(number: u64) -> Batch<u64> {
        Arc::from([number])
    }

    proptest! {
        #[test]
        fn what_is_lost_doubled_or_late_is_carried_out_once_and_in_order(
            steps in proptest::collection::vec((0..5_u8, any::<u8>()), 1..300),
        ) {
            let (mut from, mut to) = (link(), link());
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
                        got.extend(to.receive(envelope, now(at)).batches.iter().map(|batch| batch[0]));
                        back.extend(to.poll(now(at)));
                    }
                    3 if !back.is_empty() => {
                        let envelope: &Envelope<u64> = &back[usize::from(choice) % back.len()];
                        prop_assert!(from.receive(envelope, now(at)).batches.is_empty());
                    }
                    _ if choice < 32 => there.clear(),
                    _ => {}
                }
            }
            for _ in 0..4 {
                at += AGAIN_MILLIS;
                while let Some(envelope) = from.poll(now(at)) {
                    got.extend(to.receive(&envelope, now(at)).batches.iter().map(|batch| batch[0]));
                }
                if let Some(envelope) = to.poll(now(at)) {
                    from.receive(&envelope, now(at));
                }
            }
            prop_assert!(got.iter().copied().eq(0..count));
            prop_assert!(from.waiting.is_empty() && from.next_timeout().is_none());
        }
    }

    #[test]
    fn what_was_given_up_is_known_to_be_missing() {
        let (mut from, mut to) = (link(), link());
        from.push(batch(1));
        let before: Envelope<u64> = from.poll(now(0)).unwrap();
        assert!(
            to.receive(&before, now(0)).has_missed,
            "what was before its time"
        );
        assert!(!to.receive(&before, now(0)).has_missed);
        while from.push(batch(2)) {}
        from.push(batch(3));
        let after = from.poll(now(1)).unwrap();
        let received = to.receive(&after, now(1));
        assert!(received.has_missed);
        assert_eq!(received.batches, [batch(3)]);
        assert!(
            to.receive(&before, now(0)).batches.is_empty(),
            "an old epoch"
        );
    }

    #[test]
    fn what_was_lost_is_sent_again_though_more_is_sent_all_the_time() {
        let (mut from, mut to) = (link(), link());
        from.push(batch(0));
        let lost: Option<Envelope<u64>> = from.poll(now(0));
        assert!(lost.is_some());
        let mut got = Vec::new();
        for number in 1..=6 {
            from.push(batch(number));
            let at = now(number * 50);
            while let Some(envelope) = from.poll(at) {
                let received = to.receive(&envelope, at);
                got.extend(received.batches.iter().map(|batch| batch[0]));
            }
        }
        assert!(got.iter().copied().eq(0..=6), "{got:?}");
    }
}
