//! What waits for the committer: appends in their order and trims, both bounded.
//! Must not know what becomes of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use records::KeyRange;

use super::{Append, Sink, SubmitError};

/// The queue holds at most so many appends.
pub const QUEUE_APPENDS_MAX: usize = 16_384;

/// The queue takes appends while it holds fewer bytes than this, so that it never holds more than this and one append.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// So many trims can be under way.
pub const TRIMS_MAX: usize = 64;

/// A sink and a number to tell it from others by.
#[derive(Clone)]
pub(super) struct SinkRef {
    pub(super) id: u64,
    pub(super) sink: Arc<dyn Sink>,
}

impl fmt::Debug for SinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkRef({})", self.id)
    }
}

/// An append and whom to tell.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) append: Append,
    pub(super) sink: SinkRef,
    bytes: usize,
}

/// What one commit has to do.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    pub(super) trims: Vec<KeyRange>,
    /// Sinks whose `try_submit` was refused since the last time.
    pub(super) refused: Vec<SinkRef>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    trims: Vec<KeyRange>,
    /// Trims that `take` gave out last, and that may come back.
    trims_given: usize,
    refused: Vec<SinkRef>,
    closed: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.items.len() >= QUEUE_APPENDS_MAX || self.bytes >= QUEUE_BYTES_MAX
    }

    fn push(&mut self, append: Append, sink: &SinkRef) {
        let bytes = append.bytes();
        self.bytes += bytes;
        self.items.push_back(Item {
            append,
            sink: sink.clone(),
            bytes,
        });
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
        }
    }

    pub(super) fn try_push(&self, append: Append, sink: &SinkRef) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SubmitError::Closed(append));
        }
        if state.is_full() {
            if !state.refused.iter().any(|refused| refused.id == sink.id) {
                state.refused.push(sink.clone());
            }
            return Err(SubmitError::Full(append));
        }
        state.push(append, sink);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn push(&self, append: Append, sink: &SinkRef) -> Result<(), Append> {
        let mut state = self.lock();
        while !state.closed && state.is_full() {
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(append);
        }
        state.push(append, sink);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn push_trim(&self, range: KeyRange) -> bool {
        let mut state = self.lock();
        if state.closed || state.trims.len() + state.trims_given >= TRIMS_MAX {
            return false;
        }
        state.trims.push(range);
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Puts back the rest of a trim that `take` gave out; always fits, as its place is kept.
    pub(super) fn continue_trim(&self, range: KeyRange) {
        let mut state = self.lock();
        state.trims_given = state.trims_given.saturating_sub(1);
        state.trims.push(range);
    }

    /// Waits for work and takes as much as the limits allow, at least one append if there is any.
    /// `None` once the queue is closed and its appends are done; trims are not waited for.
    pub(super) fn take(&self, appends_max: usize, bytes_max: usize) -> Option<Work> {
        let mut state = self.lock();
        state.trims_given = 0;
        while state.items.is_empty() && state.trims.is_empty() && !state.closed {
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed && state.items.is_empty() {
            return None;
        }
        let mut count = 0;
        let mut bytes = 0;
        for item in state.items.iter().take(appends_max) {
            if count > 0 && bytes + item.bytes > bytes_max {
                break;
            }
            bytes += item.bytes;
            count += 1;
        }
        state.bytes -= bytes;
        let items = state.items.drain(..count).collect();
        let trims = std::mem::take(&mut state.trims);
        state.trims_given = trims.len();
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        self.room.notify_all();
        Some(Work {
            items,
            trims,
            refused,
        })
    }

    /// No more is taken in; what is there is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// Closes, and drops what is there: nobody will take it.
    pub(super) fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        state.bytes = 0;
        let items = std::mem::take(&mut state.items);
        drop(state);
        drop(items);
    }

    /// Appends and bytes that wait.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.items.len(), state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
