//! One who submits, as a shard does: appends go to the committer, and only so many wait for the disk at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};
use records::Write;
use store::{Append, CommitterHandle, Outcome, Sink, Submitter, Ticket};

/// So many appends of one lane wait for the disk.
pub(crate) const OUTSTANDING_APPENDS: usize = 256;

/// Or so many bytes, and one append more.
pub(crate) const OUTSTANDING_BYTES: usize = 512 * 1024;

/// See the file's header.
pub(crate) struct Lane {
    submitter: Submitter,
    outstanding: Arc<Outstanding>,
    ticket: u64,
}

impl Lane {
    pub(crate) fn new(committer: &CommitterHandle) -> Self {
        Self::from_ticket(committer, 0, |_| {})
    }

    /// One whose next ticket is the one behind `ticket`; `told` hears each that is on disk, on the committer's thread.
    pub(crate) fn from_ticket(
        committer: &CommitterHandle,
        ticket: u64,
        told: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        let outstanding = Arc::new(Outstanding {
            state: Mutex::default(),
            room: Condvar::new(),
            told: Box::new(told),
        });
        Self {
            submitter: committer.submitter(outstanding.clone()),
            outstanding,
            ticket,
        }
    }

    /// Submits, once there is room. Fails if an append before it did.
    pub(crate) fn append(&mut self, writes: Vec<Write>) -> Result<()> {
        let bytes = writes.iter().map(Write::bytes).sum();
        self.outstanding.enter(bytes)?;
        self.ticket += 1;
        let append = Append {
            ticket: Ticket(self.ticket),
            preconditions: Vec::new(),
            writes,
        };
        self.submitter
            .submit(append)
            .map_err(|_| anyhow!("the committer has stopped"))
    }

    /// Waits until everything submitted is on disk.
    pub(crate) fn settle(&self) -> Result<()> {
        self.outstanding.settle()
    }
}

struct Outstanding {
    state: Mutex<State>,
    room: Condvar,
    told: Box<dyn Fn(u64) + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of each append that waits, in order.
    waiting: VecDeque<usize>,
    bytes: usize,
    failure: Option<String>,
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(failure) => Err(anyhow!("{failure}")),
        }
    }
}

impl Outstanding {
    fn enter(&self, bytes: usize) -> Result<()> {
        let mut state = self.lock();
        while state.failure.is_none()
            && (state.waiting.len() >= OUTSTANDING_APPENDS || state.bytes >= OUTSTANDING_BYTES)
        {
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.check()?;
        state.waiting.push_back(bytes);
        state.bytes += bytes;
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        let mut state = self.lock();
        while state.failure.is_none() && !state.waiting.is_empty() {
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.check()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Outstanding {
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome) {
        let mut state = self.lock();
        match outcome {
            Outcome::Committed => {
                for _ in tickets {
                    let bytes = state.waiting.pop_front().unwrap_or(0);
                    state.bytes -= bytes;
                }
            }
            Outcome::Refused(refusal) => state.failure = Some(format!("refused: {refusal:?}")),
            Outcome::Failed(error) => state.failure = Some(error.to_string()),
        }
        let failed = state.failure.is_some();
        drop(state);
        self.room.notify_all();
        if !failed && let Some(last) = tickets.last() {
            (self.told)(last.0);
        }
    }
}
