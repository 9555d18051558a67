//! When the server is up: readers and writers wait here while it is down, and whoever kills it for their progress.

use std::time::{Duration, Instant};

use crate::{ClientError, PATIENCE, Watched};

/// The reason code with which a server that is ended in order takes leave.
const SHUTTING_DOWN: u8 = 0x8B;

/// What is to be done while the server is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Write, until the server is killed or the stage closes.
    Busy(u64),
    /// Only finish what was begun; the server stays.
    Last(u64),
}

impl Round {
    /// Whether such an end of a connection is what a round may bring: the server was killed, was ended in order, or the
    /// stage closed. In the last round none is.
    pub fn explains(self, end: &ClientError) -> bool {
        let is_expected = match end {
            ClientError::Lost(_) => true,
            ClientError::Disconnected(code) => *code == SHUTTING_DOWN,
            ClientError::Refused(_) => false,
        };
        is_expected && matches!(self, Self::Busy(_))
    }

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

/// Where the rounds are called.
#[derive(Debug, Default)]
pub struct Stage {
    state: Watched<State>,
}

impl Stage {
    /// Closed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The server is up.
    pub fn open(&self, round: Round) {
        self.state.change(|state| {
            state.round = Some(round);
            state.acknowledged = 0;
        });
    }

    /// The server is down, or everybody is to leave it: without a word, as if the network were gone.
    pub fn close(&self) {
        self.state.change(|state| state.round = None);
    }

    /// Whether this round still goes on.
    pub fn goes_on(&self, round: Round) -> bool {
        self.state.lock().round == Some(round)
    }

    /// The first round after number `seen`.
    pub fn next_round(&self, seen: &mut u64) -> Round {
        let round = self
            .state
            .wait(|state| state.round.filter(|round| round.number() > *seen));
        let round = round.unwrap_or_else(|| panic!("no round after {seen} in {PATIENCE:?}"));
        *seen = round.number();
        round
    }

    /// One more message is acknowledged.
    pub fn acknowledge(&self) {
        self.state.change(|state| state.acknowledged += 1);
    }

    /// Awaits that so many have been acknowledged in this round.
    pub fn acknowledged(&self, count: u64) -> bool {
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(10);
        self.state
            .wait_until(deadline, |state| {
                (state.acknowledged >= count).then_some(())
            })
            .is_some()
    }

    /// For the message of a failure.
    pub fn describe(&self) -> String {
        format!("{:?}", self.state.lock())
    }
}
