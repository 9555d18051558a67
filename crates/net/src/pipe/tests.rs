//! Pipes on one thread, and between two that write and read as fast and as oddly as they can.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::task::Wake;
use std::time::{Duration, Instant};

use super::*;

const CAPACITY: usize = 64;
/// Longest wait for a wake-up: one that was lost fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Notes what it is told.
#[derive(Default)]
struct Notes {
    told: Mutex<VecDeque<(u64, Readiness)>>,
    condition: Condvar,
}

impl Notes {
    fn all(&self) -> Vec<(u64, Readiness)> {
        self.told.lock().unwrap().drain(..).collect()
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.told.lock().unwrap();
        while told.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nobody was told in {PATIENCE:?}");
            told = self.condition.wait_timeout(told, left).unwrap().0;
        }
        told.clear();
    }
}

impl Watcher for Notes {
    fn ready(&self, tag: u64, readiness: Readiness) {
        self.told.lock().unwrap().push_back((tag, readiness));
        self.condition.notify_one();
    }
}

impl Wake for Notes {
    fn wake(self: Arc<Self>) {
        self.ready(0, BOTH);
    }
}

fn watched() -> (PipeEnd, Arc<Notes>, PipeEnd) {
    let (near, far) = pipe(CAPACITY);
    let notes = Arc::new(Notes::default());
    near.watch(notes.clone(), 7);
    (near, notes, far)
}

fn bytes(end: &PipeEnd) -> Vec<u8> {
    match end.read(usize::MAX) {
        Received::Message(bytes) => bytes.into(),
        other => panic!("bytes were expected, not {other:?}"),
    }
}

fn is_blocked(outcome: io::Result<usize>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn is_broken(outcome: io::Result<usize>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[test]
fn both_lanes_carry_bytes_and_their_end() {
    let (near, far) = pipe(CAPACITY);
    assert_eq!(near.write(b"question").unwrap(), 8);
    assert_eq!(far.write(b"answer").unwrap(), 6);
    near.finish();
    assert_eq!(bytes(&far), b"question");
    assert!(matches!(far.read(usize::MAX), Received::Closed));
    assert!(is_broken(near.write(b"more")), "the end has been said");
    assert_eq!(
        far.write(b"!").unwrap(),
        1,
        "the other direction is still open"
    );
    assert_eq!(bytes(&near), b"answer!");
    assert!(matches!(near.read(usize::MAX), Received::Blocked));
}

#[test]
fn a_lane_is_bounded_and_says_once_when_there_is_room() {
    let (near, notes, far) = watched();
    assert_eq!(near.write(&[1; CAPACITY + 9]).unwrap(), CAPACITY);
    assert_eq!(bytes(&far).len(), CAPACITY);
    assert_eq!(notes.all(), [], "nobody has waited for room");
    assert_eq!(near.write(&[2; CAPACITY]).unwrap(), CAPACITY);
    assert!(is_blocked(near.write(&[3])));
    assert!(is_blocked(near.write(&[3])));
    assert_eq!(bytes(&far), [2; CAPACITY]);
    assert_eq!(notes.all(), [(7, WRITABLE)]);
    assert_eq!(near.write(&[]).unwrap(), 0);
}

#[test]
fn bytes_are_told_once_until_the_reader_has_found_nothing() {
    let (near, notes, far) = watched();
    far.write(b"a").unwrap();
    far.write(b"b").unwrap();
    assert_eq!(notes.all(), [(7, READABLE)]);
    assert_eq!(bytes(&near), b"ab");
    far.write(b"c").unwrap();
    assert_eq!(notes.all(), [], "it has to read until there is nothing");
    assert_eq!(bytes(&near), b"c");
    assert!(matches!(near.read(usize::MAX), Received::Blocked));
    far.write(b"d").unwrap();
    assert_eq!(notes.all(), [(7, READABLE)]);
    assert_eq!(bytes(&near), b"d");
    assert!(matches!(near.read(usize::MAX), Received::Blocked));
    far.finish();
    assert_eq!(notes.all(), [(7, READABLE)]);
    assert!(matches!(near.read(usize::MAX), Received::Closed));
}

#[test]
fn a_dropped_end_is_told_and_what_it_wrote_can_be_read() {
    let (near, notes, far) = watched();
    near.write(&[0; CAPACITY]).unwrap();
    far.write(b"last words").unwrap();
    notes.all();
    drop(far);
    assert_eq!(notes.all(), [(7, BOTH)]);
    assert_eq!(bytes(&near), b"last words");
    assert!(matches!(near.read(usize::MAX), Received::Closed));
    assert!(is_broken(near.write(b"hello?")));
    let context = Context::from_waker(Waker::noop());
    assert!(near.poll_abandoned(&context).is_ready());
    assert_eq!(near.poll_room(&context), Poll::Ready(None));
}

#[test]
fn another_watcher_learns_what_the_first_one_was_not_told() {
    let (near, first, far) = watched();
    near.write(&[0; CAPACITY]).unwrap();
    assert!(is_blocked(near.write(&[0])));
    near.unwatch();
    far.write(b"meanwhile").unwrap();
    far.read(usize::MAX);
    assert_eq!(first.all(), []);
    let second = Arc::new(Notes::default());
    near.watch(second.clone(), 8);
    assert_eq!(second.all(), [(8, BOTH)]);
    assert_eq!(bytes(&near), b"meanwhile");
    assert!(matches!(near.read(usize::MAX), Received::Blocked));
    near.unwatch();
    near.watch(second.clone(), 9);
    assert_eq!(second.all(), [], "neither bytes nor room were missed");
    far.write(b"later").unwrap();
    assert_eq!(second.all(), [(9, READABLE)]);
    assert_eq!(first.all(), []);
}

#[test]
fn a_reader_takes_no_more_than_it_asks_for() {
    let (near, notes, far) = watched();
    near.write(&[7; CAPACITY]).unwrap();
    assert!(is_blocked(near.write(&[8])));
    for left in (0..CAPACITY).rev() {
        let Received::Message(byte) = far.read(1) else {
            panic!("{left} bytes are left behind this one");
        };
        assert_eq!(byte, [7_u8].as_slice());
    }
    assert_eq!(notes.all(), [(7, WRITABLE)]);
    assert!(matches!(far.read(1), Received::Blocked));
}

#[test]
fn an_empty_lane_keeps_no_memory() {
    let (near, far) = pipe(CAPACITY);
    for _ in 0..3 {
        near.write(&[1; CAPACITY]).unwrap();
        let taken = bytes(&far);
        assert_eq!(near.lock().direction(Side::Near).allocated(), 0);
        drop(taken);
    }
    near.write(b"to nobody").unwrap();
    drop(far);
    assert_eq!(near.lock().direction(Side::Near).allocated(), 0);
}

#[test]
fn a_task_is_woken_for_bytes_for_room_and_for_the_end() {
    let (near, far) = pipe(CAPACITY);
    let notes = Arc::new(Notes::default());
    let waker = Waker::from(notes.clone());
    let context = Context::from_waker(&waker);
    assert_eq!(near.poll_read(&context), Poll::Pending);
    assert_eq!(near.poll_room(&context), Poll::Ready(Some(CAPACITY)));
    assert_eq!(notes.all(), []);
    far.write(b"x").unwrap();
    assert_eq!(notes.all().len(), 1);
    assert_eq!(near.poll_read(&context), Poll::Ready(Some("x".into())));
    near.write(&[0; CAPACITY]).unwrap();
    assert_eq!(near.poll_room(&context), Poll::Pending);
    far.read(usize::MAX);
    assert_eq!(notes.all().len(), 1);
    assert_eq!(near.poll_read(&context), Poll::Pending);
    assert_eq!(near.poll_abandoned(&context), Poll::Pending);
    drop(far);
    assert_eq!(notes.all().len(), 1);
    assert_eq!(near.poll_read(&context), Poll::Ready(None));
}

/// A small generator of numbers that look like none (xorshift64).
struct Odd(u64);

impl Odd {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

const STRESS_BYTES: usize = 300_000;

/// The byte at this place of a side's stream.
fn byte_at(place: usize, side: Side) -> u8 {
    (place as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_be_bytes()[1]
        ^ side as u8
}

/// One end's thread: writes its stream and reads the other's at once, sleeps only when neither goes on, and now and then
/// moves to another watcher as a connection moves to another shard.
fn converse(end: &PipeEnd, seed: u64) {
    let mut odd = Odd(seed);
    let mut notes = Arc::new(Notes::default());
    end.watch(notes.clone(), 0);
    let (mut written, mut read, mut ended) = (0, 0, false);
    while written < STRESS_BYTES || !ended {
        let mut went_on = false;
        if written < STRESS_BYTES {
            let wanted = (1 + odd.below(2 * CAPACITY)).min(STRESS_BYTES - written);
            let chunk: Vec<u8> = (written..written + wanted)
                .map(|place| byte_at(place, end.side))
                .collect();
            match end.write(&chunk) {
                Ok(count) => {
                    written += count;
                    went_on = true;
                    if written == STRESS_BYTES {
                        end.finish();
                    }
                }
                outcome => assert!(is_blocked(outcome)),
            }
        }
        match end.read(1 + odd.below(2 * CAPACITY)) {
            Received::Message(bytes) => {
                assert!(
                    bytes.len() <= CAPACITY,
                    "{} bytes in a direction",
                    bytes.len()
                );
                for byte in bytes {
                    assert_eq!(byte, byte_at(read, end.side.other()), "place {read}");
                    read += 1;
                }
                went_on = true;
            }
            Received::Blocked => {}
            Received::Closed => ended = true,
            Received::Buffered(..) | Received::Stage(_) => panic!("a pipe has its own buffers"),
        }
        if odd.below(500) == 0 {
            end.unwatch();
            notes = Arc::new(Notes::default());
            end.watch(notes.clone(), 0);
        } else if !went_on && (written < STRESS_BYTES || !ended) {
            notes.wait();
        }
    }
    assert_eq!(read, STRESS_BYTES);
}

#[test]
fn two_threads_lose_no_byte_and_no_wakeup() {
    for seed in 1..=8 {
        let (near, far) = pipe(CAPACITY);
        std::thread::scope(|scope| {
            scope.spawn(|| converse(&near, seed));
            converse(&far, seed << 32);
        });
    }
}

/// The same with tasks at one end, as a QUIC connection's are: a thread that polls like an executor.
#[test]
fn a_task_and_a_thread_lose_no_byte_and_no_wakeup() {
    for seed in 1..=8 {
        let (near, far) = pipe(CAPACITY);
        std::thread::scope(|scope| {
            scope.spawn(|| converse(&near, seed));
            converse_as_task(&far);
        });
    }
}

fn converse_as_task(end: &PipeEnd) {
    let notes = Arc::new(Notes::default());
    let waker = Waker::from(notes.clone());
    let context = Context::from_waker(&waker);
    let (mut written, mut read, mut ended) = (0, 0, false);
    while written < STRESS_BYTES || !ended {
        let mut went_on = false;
        if written < STRESS_BYTES
            && let Poll::Ready(room) = end.poll_room(&context)
        {
            let count = room.unwrap().min(STRESS_BYTES - written);
            let chunk: Vec<u8> = (written..written + count)
                .map(|place| byte_at(place, end.side))
                .collect();
            assert_eq!(end.write(&chunk).unwrap(), count, "there was room");
            written += count;
            went_on = true;
            if written == STRESS_BYTES {
                end.finish();
            }
        }
        match end.poll_read(&context) {
            Poll::Ready(Some(bytes)) => {
                for byte in bytes {
                    assert_eq!(byte, byte_at(read, end.side.other()), "place {read}");
                    read += 1;
                }
            }
            Poll::Ready(None) => ended = true,
            Poll::Pending if !went_on => notes.wait(),
            Poll::Pending => {}
        }
    }
    assert_eq!(read, STRESS_BYTES);
}
