//! Who writes faster than the disk takes it waits: a little at each commit, the more the fuller the memtables are, so that nobody
//! has to wait for a whole table.

use std::time::{Duration, Instant};

use super::Background;
use super::policy;
use super::shared::Shared;

/// From this fill on commits are slowed down; at 1 they wait.
const SLOW_FROM: f64 = 0.5;

/// At `SLOW_FROM` commits may bring so many times what is flushed meanwhile, and at 1 this part of it.
const RATE_AT_FIRST: f64 = 4.0;
const RATE_AT_LAST: f64 = 0.5;

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
    let fill = fill(shared);
    if fill < SLOW_FROM {
        return;
    }
    let begun = Instant::now();
    let share = (fill.min(1.0) - SLOW_FROM) / (1.0 - SLOW_FROM);
    let rate = RATE_AT_FIRST + (RATE_AT_LAST - RATE_AT_FIRST) * share;
    let seconds = bytes as f64 / (rate * shared.counters.flush_rate());
    std::thread::sleep(Duration::from_secs_f64(seconds).min(DELAY_MAX));
    while self::fill(shared) >= 1.0 && !shared.is_poisoned() {
        shared.wakeup.wait_for_progress(LOOK);
    }
    shared.counters.waited(begun.elapsed());
}

/// How full the store is of what is not yet written or merged as it should be.
fn fill(shared: &Shared) -> f64 {
    let state = shared.read_state();
    let families = state.families.iter();
    let fills = families.map(|family| {
        let tables = policy::debt(family.family, shared.scale, &family.tables);
        family.fill().max(tables)
    });
    fills.fold(0.0, f64::max)
}
