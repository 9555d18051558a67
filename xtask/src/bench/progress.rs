//! What the bench is at, on standard error, and how long it may still take.

use std::time::{Duration, Instant};

/// Counts runs.
pub(super) struct Progress {
    total: u32,
    begun: u32,
    since: Instant,
}

impl Progress {
    pub(super) fn new(total: u32) -> Self {
        Self {
            total,
            begun: 0,
            since: Instant::now(),
        }
    }

    /// The next run begins.
    pub(super) fn next(&mut self, what: &str) {
        let left = left(self.since.elapsed(), self.begun, self.total);
        self.begun += 1;
        eprintln!("bench: [{}/{}] {what}{left}", self.begun, self.total);
    }
}

/// As if what is left took as long as what is done.
fn left(elapsed: Duration, done: u32, total: u32) -> String {
    if done == 0 {
        return String::new();
    }
    let left = elapsed.as_secs_f64() / f64::from(done) * f64::from(total.saturating_sub(done));
    format!(", about {:.0} min left", (left / 60.0).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_is_done() {
        assert_eq!(left(Duration::from_secs(60), 0, 10), "");
        assert_eq!(left(Duration::from_secs(60), 2, 10), ", about 4 min left");
    }
}
