//! How threads reach each other: a queue that is emptied as a whole, with a wake-up that is rung once for each emptying.
//! Sending never waits, because two shards that waited for each other would stand still; senders that can wait, or can
//! leave their sockets unread, ask first whether it is full.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Letters that may lie in a mailbox before its senders stop taking in work.
pub(crate) const MAILBOX_MAX: usize = 16_384;
/// How often a sender that waits looks again.
const FULL_LOOK: Duration = Duration::from_micros(200);

/// Wakes the thread that reads a mailbox.
pub(crate) trait Bell: Send + Sync {
    /// Makes the thread look.
    fn ring(&self);
}

impl Bell for mio::Waker {
    fn ring(&self) {
        // Fails only if the poll is gone, and with it whoever would look.
        drop(self.wake());
    }
}

/// For threads that sleep on a condition variable.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell for Doorbell {
    fn ring(&self) {
        *lock(&self.rung) = true;
        self.condition.notify_one();
    }
}

impl Doorbell {
    /// Sleeps until it is rung, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut rung = lock(&self.rung);
        if !*rung {
            rung = self
                .condition
                .wait_timeout(rung, timeout)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *rung = false;
    }
}

/// A thread's mailbox. Cheap to clone.
pub(crate) struct Mailbox<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    letters: Mutex<VecDeque<T>>,
    /// As many as there are letters, to be read without the lock.
    len: AtomicUsize,
    /// Nobody reads any more.
    closed: AtomicBool,
    bell: Arc<dyn Bell>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new(bell: Arc<dyn Bell>) -> Self {
        let inner = Inner {
            letters: Mutex::default(),
            len: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            bell,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Sends one letter.
    pub(crate) fn send(&self, letter: T) {
        self.send_all(std::iter::once(letter));
    }

    /// Sends several in their order, with one wake-up.
    pub(crate) fn send_all(&self, letters: impl IntoIterator<Item = T>) {
        let mut queue = lock(&self.inner.letters);
        if self.inner.closed.load(Ordering::Acquire) {
            return;
        }
        let was_empty = queue.is_empty();
        queue.extend(letters);
        self.inner.len.store(queue.len(), Ordering::Release);
        let ring = was_empty && !queue.is_empty();
        drop(queue);
        if ring {
            self.inner.bell.ring();
        }
    }

    /// Moves everything into `letters`, which must be empty.
    pub(crate) fn take(&self, letters: &mut VecDeque<T>) {
        debug_assert!(
            letters.is_empty(),
            "letters are handled before the next ones are taken"
        );
        if self.is_empty() {
            return;
        }
        let mut queue = lock(&self.inner.letters);
        std::mem::swap(&mut *queue, letters);
        // Under the lock: a letter sent right behind it must not be counted away.
        self.inner.len.store(0, Ordering::Release);
    }

    /// Nobody reads it any more: what lies in it and what still comes is thrown away, and nobody waits for room.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.inner.letters);
        self.inner.closed.store(true, Ordering::Release);
        self.inner.len.store(0, Ordering::Release);
        // Letters may hold sockets and answers: they are let go of without the lock.
        let left = std::mem::take(&mut *queue);
        drop(queue);
        drop(left);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.len.load(Ordering::Acquire) == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.inner.len.load(Ordering::Acquire) >= MAILBOX_MAX
    }

    /// Waits until it is not full. Only for threads that no reader of this mailbox ever waits for.
    pub(crate) fn wait_for_room(&self) {
        while self.is_full() {
            std::thread::sleep(FULL_LOOK);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.len.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole after every statement; a panic elsewhere does not change that.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Bell for Counter {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_bell_rings_once_for_everything_until_the_mailbox_is_emptied() {
        let bell = Arc::new(Counter::default());
        let mailbox = Mailbox::new(bell.clone());
        mailbox.send(1);
        mailbox.send_all([2, 3]);
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        let mut letters = VecDeque::new();
        mailbox.take(&mut letters);
        assert_eq!(letters, [1, 2, 3]);
        assert!(mailbox.is_empty());
        mailbox.send(4);
        assert_eq!(bell.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn nobody_waits_for_the_reader_of_a_closed_mailbox() {
        let mailbox = Mailbox::new(Arc::new(Counter::default()));
        mailbox.send_all(0..MAILBOX_MAX);
        assert!(mailbox.is_full());
        mailbox.close();
        mailbox.wait_for_room();
        mailbox.send(1);
        assert_eq!(mailbox.len(), 0);
    }

    #[test]
    fn letters_sent_while_others_are_taken_are_not_lost() {
        let bell = Arc::new(Doorbell::default());
        let mailbox = Mailbox::new(bell.clone());
        let sender = mailbox.clone();
        let thread = std::thread::spawn(move || {
            for number in 0..20_000 {
                sender.send(number);
            }
        });
        let (mut letters, mut expected) = (VecDeque::new(), 0);
        while expected < 20_000 {
            mailbox.take(&mut letters);
            for letter in letters.drain(..) {
                assert_eq!(letter, expected);
                expected += 1;
            }
            if expected < 20_000 {
                bell.wait(Duration::from_secs(20));
            }
        }
        thread.join().expect("the sender ends");
    }
}
