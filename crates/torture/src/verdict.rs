//! What was measured, held against what must hold: one line each, and whether all did.

use std::fmt;

/// Lines of one workload.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    failed: bool,
}

/// A measured number, shown with its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    Seconds(f64),
    Millis(f64),
    Bytes(u64),
    Count(u64),
    Ratio(f64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Self::Seconds(number) | Self::Millis(number) | Self::Ratio(number) => number,
            Self::Bytes(number) | Self::Count(number) => number as f64,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(number) => write!(f, "{number:.3} s"),
            Self::Millis(number) => write!(f, "{number:.2} ms"),
            Self::Bytes(number) => write!(f, "{:.1} MB", *number as f64 / 1e6),
            Self::Count(number) => write!(f, "{number}"),
            Self::Ratio(number) => write!(f, "{number:.2}"),
        }
    }
}

impl Verdicts {
    /// A figure that must not exceed its bound.
    pub(crate) fn at_most(&mut self, what: &str, measured: Figure, bound: Figure) {
        let holds = measured.number() <= bound.number();
        self.line(
            holds,
            &format!("{what}: {measured}, must be at most {bound}"),
        );
    }

    /// Something that must be so.
    pub(crate) fn holds(&mut self, what: &str, holds: bool) {
        self.line(holds, what);
    }

    /// A figure without a bound.
    pub(crate) fn note(&self, what: &str, measured: Figure) {
        println!("note  {what}: {measured}");
    }

    /// Whether everything held.
    pub(crate) fn passed(&self) -> bool {
        !self.failed
    }

    fn line(&mut self, holds: bool, text: &str) {
        self.failed |= !holds;
        println!("{}  {text}", if holds { "pass" } else { "FAIL" });
    }
}
