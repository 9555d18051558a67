//! What time it is, for cores that must not ask: milliseconds since the epoch that never go back, whatever is done to the
//! machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use records::Millis;

/// A thread's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Millis,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { last: Millis::ZERO }
    }

    /// The time, or the last one told if the machine's clock has been set back.
    pub(crate) fn now(&mut self) -> Millis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last = self.last.max(Millis::new(now));
        self.last
    }
}
