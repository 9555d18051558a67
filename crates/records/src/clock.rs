//! Points in time as records and the pure cores know them.
//! Must not ask what time it is: `now` is always given.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// The Unix epoch itself.
    pub const ZERO: Self = Self(0);
    /// Later than anything that will happen.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps milliseconds since the Unix epoch.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The same in microseconds.
    pub const fn micros(self) -> u64 {
        const MICROS: u64 = 1000;
        self.0 * MICROS
    }

    /// That many milliseconds later; stays at `MAX` rather than wrapping.
    #[must_use]
    pub const fn saturating_add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// That many milliseconds earlier; stays at the epoch rather than wrapping.
    #[must_use]
    pub const fn saturating_sub(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds from `earlier` to here, 0 if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Microseconds on a clock of this process that only runs forward, for measuring how long something took. It is never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Nobody knows when: what began at it is not measured.
    pub const UNKNOWN: Self = Self(0);

    /// Wraps microseconds since the process began; they count from 1.
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds from `earlier` to here, 0 if `earlier` is the later one; `None` if nobody knows when it was.
    pub fn micros_since(self, earlier: Self) -> Option<u64> {
        (earlier != Self::UNKNOWN).then(|| self.0.saturating_sub(earlier.0))
    }
}
