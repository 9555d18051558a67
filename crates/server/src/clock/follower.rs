//! Brings the server's time to the machine's clock, which may be set, and tells when that is off. It reads no clock but when it
//! is asked to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge};
use records::Millis;
use tracing::{info, warn};

use super::{OFFSET, elapsed, wall};
use crate::metric::{counter, gauge};

/// So much ahead is a jump, which is not believed at once.
const JUMP_MS: u64 = 60_000;
/// Behind the machine's clock the server's catches up at once; ahead of it, it loses one in so many until they agree.
const SLOWING: u64 = 10;
/// A look that comes late slows no more than one in time.
const LOOK_MS_MAX: u64 = 2_000;

/// Looks at the machine's clock. The watchdog's.
pub(crate) struct Watch {
    follower: Follower,
    /// For how long a jump ahead has to last.
    believed_secs: Arc<AtomicU64>,
    offset: Gauge,
    jumps: Counter,
}

impl Watch {
    pub(crate) fn new(believed_secs: Arc<AtomicU64>) -> Self {
        Self {
            follower: Follower::default(),
            believed_secs,
            offset: gauge(
                "magpie_clock_offset_seconds",
                "The machine's clock less the server's, which runs on when that is set back and does not believe a jump at once.",
            ),
            jumps: counter(
                "magpie_clock_jumps_total",
                "Times that the machine's clock was set back or ahead by more than a minute.",
            ),
        }
    }

    /// Once a second or so.
    pub(crate) fn look(&mut self) {
        let believed_secs = self.believed_secs.load(Ordering::Relaxed);
        let before = OFFSET.load(Ordering::Relaxed);
        let believed_ms = believed_secs.saturating_mul(1000);
        let (offset, looked) = self.follower.follow(elapsed(), wall(), before, believed_ms);
        OFFSET.store(offset, Ordering::Relaxed);
        self.offset.set(looked.offset_ms as f64 / 1000.0);
        if matches!(looked.turn, Some(Turn::Jumped(_) | Turn::SetBack(_))) {
            self.jumps.increment(1);
        }
        match looked.turn {
            None => {}
            Some(Turn::Jumped(ahead)) => warn!(
                ahead_secs = ahead / 1000,
                believed_secs,
                "the machine's clock has jumped ahead; nothing expires by that unless it stays so"
            ),
            Some(Turn::Believed(ahead)) => warn!(
                ahead_secs = ahead / 1000,
                "the machine's clock has stayed ahead, and is believed: what it says is over expires"
            ),
            Some(Turn::SetBack(behind)) => warn!(
                behind_secs = behind / 1000,
                "the machine's clock has been set back; the server's runs a tenth slower until they agree"
            ),
            Some(Turn::Agrees) => info!("the machine's clock and the server's agree again"),
        }
    }
}

/// How the machine's clock has stood to the server's.
#[derive(Debug, Default)]
struct Follower {
    state: Agreement,
    looked_at: Option<u64>,
}

/// How the machine's clock stands to the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Agreement {
    #[default]
    Agrees,
    /// It jumped ahead at this moment since the machine's start.
    Ahead { since: u64 },
    /// It was set back.
    Behind,
}

/// What a look has found, to be told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The machine's clock has jumped ahead by so many milliseconds.
    Jumped(u64),
    /// It has stayed so, and is believed.
    Believed(u64),
    /// It has been set back by so many.
    SetBack(u64),
    /// It agrees with the server's again.
    Agrees,
}

/// The outcome of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looked {
    /// The machine's clock less the server's.
    offset_ms: i64,
    turn: Option<Turn>,
}

impl Follower {
    /// The new offset of the server's time, and what is to be told.
    fn follow(
        &mut self,
        elapsed: u64,
        wall: Millis,
        offset: u64,
        believed_ms: u64,
    ) -> (u64, Looked) {
        let passed = elapsed.saturating_sub(self.looked_at.unwrap_or(elapsed));
        self.looked_at = Some(elapsed);
        let now = Millis::new(elapsed).saturating_add(offset);
        let (ahead, behind) = (wall.since(now), now.since(wall));
        let before = self.state;
        let mut new = offset;
        let turn;
        if ahead > JUMP_MS {
            let since = match before {
                Agreement::Ahead { since } => since,
                Agreement::Agrees | Agreement::Behind => elapsed,
            };
            if elapsed.saturating_sub(since) >= believed_ms {
                new += ahead;
                self.state = Agreement::Agrees;
                turn = Some(Turn::Believed(ahead));
            } else {
                self.state = Agreement::Ahead { since };
                let begins = !matches!(before, Agreement::Ahead { .. });
                turn = begins.then_some(Turn::Jumped(ahead));
            }
        } else if behind > JUMP_MS {
            new -= (passed.min(LOOK_MS_MAX) / SLOWING).min(offset);
            self.state = Agreement::Behind;
            turn = (before != Agreement::Behind).then_some(Turn::SetBack(behind));
        } else {
            new += ahead;
            new -= behind.min(passed.min(LOOK_MS_MAX) / SLOWING).min(new);
            // Nearly there is not there: one that is followed to the end is told of once.
            let settled = before != Agreement::Behind || behind == 0;
            turn = (settled && before != Agreement::Agrees).then_some(Turn::Agrees);
            if settled {
                self.state = Agreement::Agrees;
            }
        }
        let now = Millis::new(elapsed).saturating_add(new);
        let offset_ms = if wall >= now {
            i64::try_from(wall.since(now)).unwrap_or(i64::MAX)
        } else {
            -i64::try_from(now.since(wall)).unwrap_or(i64::MAX)
        };
        (new, Looked { offset_ms, turn })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BELIEVED_MS: u64 = 600_000;
    const SECOND: u64 = 1000;
    const HOUR: u64 = 3600 * SECOND;
    const START: u64 = 1_800_000_000_000;

    /// A machine, its clock, and the server's time on it.
    struct Machine {
        follower: Follower,
        elapsed: u64,
        /// Of its clock, to the time since its start.
        wall_offset: u64,
        offset: u64,
        turns: Vec<Turn>,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                follower: Follower::default(),
                elapsed: HOUR,
                wall_offset: START,
                offset: START,
                turns: Vec::new(),
            }
        }

        fn now(&self) -> u64 {
            self.elapsed + self.offset
        }

        fn wall(&self) -> u64 {
            self.elapsed + self.wall_offset
        }

        /// Time passes, with a look every second. The server's never stands still nor runs away.
        fn pass(&mut self, secs: u64) {
            for _ in 0..secs {
                let before = self.now();
                self.elapsed += SECOND;
                let wall = Millis::new(self.wall());
                let (offset, looked) =
                    self.follower
                        .follow(self.elapsed, wall, self.offset, BELIEVED_MS);
                self.offset = offset;
                self.turns.extend(looked.turn);
                assert!(self.now() >= before + SECOND * 9 / 10, "{before}");
                assert_eq!(looked.offset_ms, self.wall() as i64 - self.now() as i64);
            }
        }
    }

    #[test]
    fn a_clock_that_drifts_is_followed_at_once() {
        let mut machine = Machine::new();
        for step in [3, 0, 40, 59_000] {
            machine.wall_offset += step;
            machine.pass(1);
            assert_eq!(machine.now(), machine.wall());
        }
        assert_eq!(machine.turns, []);
    }

    #[test]
    fn a_jump_ahead_is_believed_only_when_it_has_lasted() {
        let mut machine = Machine::new();
        machine.pass(1);
        let begun = machine.now();
        machine.wall_offset += 5 * HOUR;
        machine.pass(BELIEVED_MS / SECOND);
        assert_eq!(machine.now(), begun + BELIEVED_MS);
        machine.pass(1);
        assert_eq!(machine.now(), machine.wall());
        let jump = 5 * HOUR;
        assert_eq!(machine.turns, [Turn::Jumped(jump), Turn::Believed(jump)]);
    }

    #[test]
    fn a_jump_ahead_that_is_taken_back_has_ended_nothing() {
        let mut machine = Machine::new();
        machine.pass(1);
        let begun = machine.now();
        for _ in 0..3 {
            machine.wall_offset += 24 * HOUR;
            machine.pass(500);
            machine.wall_offset -= 24 * HOUR;
            machine.pass(500);
        }
        assert_eq!(machine.now(), begun + 3000 * SECOND);
        let once = [Turn::Jumped(24 * HOUR), Turn::Agrees];
        assert_eq!(machine.turns, once.repeat(3));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing_and_is_met_again() {
        let mut machine = Machine::new();
        machine.pass(1);
        let begun = machine.now();
        machine.wall_offset -= 2 * HOUR;
        machine.pass(HOUR / SECOND);
        // Nine tenths of an hour, and not two hours of standing still.
        assert_eq!(machine.now(), begun + HOUR * 9 / 10);
        machine.pass(19 * HOUR / SECOND + 1);
        assert_eq!(machine.now(), machine.wall());
        assert_eq!(machine.turns, [Turn::SetBack(2 * HOUR), Turn::Agrees]);
    }

    #[test]
    fn a_late_look_makes_no_leap() {
        let mut machine = Machine::new();
        machine.pass(1);
        machine.wall_offset -= 2 * HOUR;
        let before = machine.now();
        machine.elapsed += HOUR;
        let wall = Millis::new(machine.wall());
        let (offset, _) =
            machine
                .follower
                .follow(machine.elapsed, wall, machine.offset, BELIEVED_MS);
        assert_eq!(machine.elapsed + offset, before + HOUR - LOOK_MS_MAX / 10);
    }

    proptest! {
        /// Whatever is done to the machine's clock, no hour of the server lasts less than an hour's nine tenths, nor more
        /// than an hour and what has been believed.
        #[test]
        fn nothing_stops_it(steps in prop::collection::vec((0_u64..2_000, -100_000_000_000_i64..100_000_000_000), 1..40)) {
            let mut machine = Machine::new();
            for (secs, step) in steps {
                machine.wall_offset = machine.wall_offset.saturating_add_signed(step);
                let (before, believed) = (machine.now(), machine.turns.len());
                machine.pass(secs);
                let leaps = &machine.turns[believed..];
                let leaps = leaps.iter().any(|turn| matches!(turn, Turn::Believed(_)));
                prop_assert!(leaps || machine.now() <= before + secs * SECOND + JUMP_MS);
            }
        }
    }
}
