//! Who writes faster than the disk takes it waits: a little at each commit, the more the fuller the memtables are and the further
//! merges are behind, so that nobody has to wait for a whole table.

use std::time::{Duration, Instant};

use super::Background;
use super::policy;
use super::shared::Shared;

/// From this fill on commits are slowed down; at 1 they wait.
pub(super) const SLOW_FROM: f64 = 0.5;

/// At `SLOW_FROM` commits may bring so many times what is flushed meanwhile, and at 1 this part of it.
const RATE_AT_FIRST: f64 = 4.0;
const RATE_AT_LAST: f64 = 0.5;

/// Where merges are further behind than that, each half of it more divides the rate by so much …
const RATE_FALLS_BY: f64 = 4.0;

/// … and when they are so far behind, commits wait for them as well.
const DEBT_MAX: f64 = 2.0;

/// The longest that a commit is held up before the memtables are full.
const DELAY_MAX: Duration = Duration::from_millis(50);

/// How often it is looked whether there is room.
const LOOK: Duration = Duration::from_millis(2);

/// Returns when a commit of so many bytes may be made.
pub(super) fn wait(shared: &Shared, bytes: u64) {
    // Who flushes only between commits would wait for himself.
    if shared.background == Background::Caller {
        return;
    }
    let behind = Behind::of(shared);
    let most = behind.memtables.min(1.0).max(behind.merges);
    if most < SLOW_FROM {
        return;
    }
    let begun = Instant::now();
    let seconds = bytes as f64 / (rate(most) * shared.counters.flush_rate());
    std::thread::sleep(Duration::from_secs_f64(seconds).min(DELAY_MAX));
    while Behind::of(shared).is_too_far() && !shared.is_poisoned() {
        shared.wakeup.wait_for_progress(LOOK);
    }
    shared.counters.waited(begun.elapsed());
}

/// How much commits may bring, in parts of what is flushed meanwhile.
fn rate(fill: f64) -> f64 {
    let share = (fill - SLOW_FROM) / (1.0 - SLOW_FROM);
    if share <= 1.0 {
        RATE_AT_FIRST + (RATE_AT_LAST - RATE_AT_FIRST) * share
    } else {
        RATE_AT_LAST / RATE_FALLS_BY.powf(share - 1.0)
    }
}

/// How full the store is of what is not yet written or merged as it should be: 1 is full.
struct Behind {
    memtables: f64,
    merges: f64,
}

impl Behind {
    fn of(shared: &Shared) -> Self {
        let state = shared.read_state();
        let mut behind = Self {
            memtables: 0.0,
            merges: 0.0,
        };
        for family in &state.families {
            behind.merges = behind.merges.max(policy::debt(family));
            behind.memtables = behind.memtables.max(family.fill());
        }
        behind
    }

    fn is_too_far(&self) -> bool {
        self.memtables >= 1.0 || self.merges >= DEBT_MAX
    }
}
