//! A byte stream in both directions that lives in memory and costs no file descriptor: two ends, a bounded buffer each way.
//! Readiness is edge-triggered like a socket's and is told to a watcher or to a task. It knows no thread and no packet.

mod direction;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::received::Received;
use direction::Direction;

/// Two ends of a new pipe. Each direction holds at most `capacity` bytes, and no memory while it is empty.
pub fn pipe(capacity: usize) -> (PipeEnd, PipeEnd) {
    assert!(capacity > 0, "a pipe without room carries nothing");
    let pipe = Arc::new(Pipe {
        capacity,
        certificate: OnceLock::new(),
        state: Mutex::default(),
    });
    let near = PipeEnd {
        pipe: pipe.clone(),
        side: Side::Near,
    };
    let far = PipeEnd {
        pipe,
        side: Side::Far,
    };
    (near, far)
}

/// One end. Dropping it ends what it writes and makes whatever the other end still writes fail.
#[derive(Debug)]
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    side: Side,
}

/// What an end can do at once after it could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// There are bytes, or the end of them.
    pub readable: bool,
    /// There is room, or nobody left to write to.
    pub writable: bool,
}

const READABLE: Readiness = Readiness {
    readable: true,
    writable: false,
};
const WRITABLE: Readiness = Readiness {
    readable: false,
    writable: true,
};
const BOTH: Readiness = Readiness {
    readable: true,
    writable: true,
};

/// Is told when an end becomes ready. It is called on the other end's thread and must not wait.
pub trait Watcher: Send + Sync {
    /// The end that is watched under `tag` is ready. May come late, for an end that has been unwatched meanwhile.
    fn ready(&self, tag: u64, readiness: Readiness);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Near,
    Far,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

#[derive(Debug)]
struct Pipe {
    capacity: usize,
    /// Of the peer behind the pipe, in DER form.
    certificate: OnceLock<Box<[u8]>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the side that writes into them.
    directions: [Direction; 2],
    watches: [Watch; 2],
}

/// Who is told about one end.
#[derive(Default)]
enum Watch {
    #[default]
    Nobody,
    Watcher(Arc<dyn Watcher>, u64),
    Task(Waker),
}

/// A call to be made once the lock is let go.
enum Call {
    Watcher(Arc<dyn Watcher>, u64, Readiness),
    Task(Waker),
}

impl PipeEnd {
    /// What has arrived, `most` bytes of it. After `Blocked` readiness is told.
    pub fn read(&self, most: usize) -> Received {
        let mut state = self.lock();
        let direction = state.direction(self.side.other());
        let Some(bytes) = direction.take(most) else {
            return direction.nothing();
        };
        let awaited = state.is_watched(self.side.other())
            && state.direction(self.side.other()).room_was_awaited();
        tell(state, awaited, self.side.other(), WRITABLE);
        Received::Message(bytes)
    }

    /// Writes as much as there is room for. `WouldBlock` if there is none; readiness is told after it.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut state = self.lock();
        let count = state
            .direction(self.side)
            .append(bytes, self.pipe.capacity)?;
        let awaited =
            state.is_watched(self.side.other()) && state.direction(self.side).bytes_were_awaited();
        tell(state, awaited, self.side.other(), READABLE);
        Ok(count)
    }

    /// Says that nothing more will be written: behind what has been, the other end reads `Closed`.
    pub fn finish(&self) {
        let mut state = self.lock();
        state.direction(self.side).finish();
        let awaited =
            state.is_watched(self.side.other()) && state.direction(self.side).bytes_were_awaited();
        tell(state, awaited, self.side.other(), READABLE);
    }

    /// Has `watcher` told of this end under `tag`, from here on; it is told at once of what is ready already.
    pub fn watch(&self, watcher: Arc<dyn Watcher>, tag: u64) {
        let mut state = self.lock();
        let readiness = Readiness {
            readable: state.direction(self.side.other()).is_readable_now(),
            writable: state
                .direction(self.side)
                .is_writable_now(self.pipe.capacity),
        };
        let before = std::mem::replace(state.watch(self.side), Watch::Watcher(watcher, tag));
        let is_ready = readiness.readable || readiness.writable;
        tell(state, is_ready, self.side, readiness);
        // Without the lock, as in `replace_watch`.
        drop(before);
    }

    /// Says which certificate the peer for whom this end stands has proved to hold, in DER form. The first word counts.
    pub fn vouch(&self, certificate: &[u8]) {
        drop(self.pipe.certificate.set(certificate.into()));
    }

    /// The certificate that has been vouched for.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.pipe
            .certificate
            .get()
            .map(|certificate| &**certificate)
    }

    /// Nobody is told any more.
    pub fn unwatch(&self) {
        replace_watch(self.lock(), self.side, Watch::Nobody);
    }

    /// Everything that has arrived, `None` behind the last of it. Of this and the other two `poll_` only one task at a
    /// time may wait for one end.
    pub fn poll_read(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        // Before the look, so that whatever comes behind it wakes.
        wait_as_task(self.lock(), self.side, context);
        match self.read(usize::MAX) {
            Received::Message(bytes) => Poll::Ready(Some(bytes)),
            Received::Closed => Poll::Ready(None),
            Received::Blocked | Received::Buffered(..) | Received::Stage(_) => Poll::Pending,
        }
    }

    /// How many bytes can be written at once, `None` if there is nobody left to read them.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<Option<usize>> {
        let mut state = self.lock();
        let room = state.direction(self.side).room(self.pipe.capacity);
        if room == Some(0) {
            wait_as_task(state, self.side, context);
            return Poll::Pending;
        }
        Poll::Ready(room)
    }

    /// Ready when the other end has been dropped.
    pub fn poll_abandoned(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.direction(self.side).is_abandoned() {
            return Poll::Ready(());
        }
        wait_as_task(state, self.side, context);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is behind it is whole after every statement; a panic elsewhere does not change that.
        self.pipe
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.unwatch();
        let mut state = self.lock();
        state.direction(self.side).finish();
        let unread = state.direction(self.side.other()).abandon();
        tell(state, true, self.side.other(), BOTH);
        drop(unread);
    }
}

impl State {
    fn direction(&mut self, writer: Side) -> &mut Direction {
        &mut self.directions[writer as usize]
    }

    fn watch(&mut self, side: Side) -> &mut Watch {
        &mut self.watches[side as usize]
    }

    /// While nobody watches, what is awaited stays awaited: the next watcher is told.
    fn is_watched(&self, side: Side) -> bool {
        !matches!(self.watches[side as usize], Watch::Nobody)
    }

    fn call(&mut self, side: Side, readiness: Readiness) -> Option<Call> {
        match self.watch(side) {
            Watch::Nobody => None,
            Watch::Watcher(watcher, tag) => Some(Call::Watcher(watcher.clone(), *tag, readiness)),
            Watch::Task(waker) => Some(Call::Task(waker.clone())),
        }
    }
}

/// Has the task of `context` told about `side`.
fn wait_as_task(state: MutexGuard<'_, State>, side: Side, context: &Context<'_>) {
    if let Watch::Task(waker) = &state.watches[side as usize]
        && waker.will_wake(context.waker())
    {
        return;
    }
    replace_watch(state, side, Watch::Task(context.waker().clone()));
}

/// What was told before may own anything, even this pipe: it is let go of without the lock.
fn replace_watch(mut state: MutexGuard<'_, State>, side: Side, watch: Watch) {
    let before = std::mem::replace(state.watch(side), watch);
    drop(state);
    drop(before);
}

/// Tells who watches `side`, if `awaited`; nobody is called while the lock is held.
fn tell(mut state: MutexGuard<'_, State>, awaited: bool, side: Side, readiness: Readiness) {
    if !awaited {
        return;
    }
    let call = state.call(side, readiness);
    drop(state);
    match call {
        None => {}
        Some(Call::Watcher(watcher, tag, readiness)) => watcher.ready(tag, readiness),
        Some(Call::Task(waker)) => waker.wake(),
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Watcher(..) => "Watcher",
            Self::Task(_) => "Task",
        })
    }
}
