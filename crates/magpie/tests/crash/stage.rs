//! When the server is up: readers and writers wait here while it is down, and the test for their progress.

use std::time::{Duration, Instant};

use harness::{PATIENCE, Watched};

/// What is to be done while the server is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Write, until the server is killed.
    Busy(u64),
    /// Only finish what was begun; the server stays.
    Last(u64),
}

impl Round {
    fn number(self) -> u64 {
        match self {
            Self::Busy(number) | Self::Last(number) => number,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    round: Option<Round>,
    acknowledged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Stage {
    state: Watched<State>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The server is up.
    pub(crate) fn open(&self, round: Round) {
        self.state.change(|state| {
            state.round = Some(round);
            state.acknowledged = 0;
        });
    }

    /// The server is down.
    pub(crate) fn close(&self) {
        self.state.change(|state| state.round = None);
    }

    /// The first round after number `seen`.
    pub(crate) fn next_round(&self, seen: &mut u64) -> Round {
        let round = self
            .state
            .wait(|state| state.round.filter(|round| round.number() > *seen));
        let round = round.unwrap_or_else(|| panic!("no round after {seen} in {PATIENCE:?}"));
        *seen = round.number();
        round
    }

    /// One more message is acknowledged.
    pub(crate) fn acknowledge(&self) {
        self.state.change(|state| state.acknowledged += 1);
    }

    /// Awaits that so many have been acknowledged in this round.
    pub(crate) fn acknowledged(&self, count: u64) -> bool {
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(10);
        self.state
            .wait_until(deadline, |state| {
                (state.acknowledged >= count).then_some(())
            })
            .is_some()
    }

    pub(crate) fn describe(&self) -> String {
        format!("{:?}", self.state.lock())
    }
}
