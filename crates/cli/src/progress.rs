//! Progress on standard error: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use server::storage::Progress;

use crate::size;

/// Between two looks of a terminal's line.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
/// Between two lines of a log.
const LINES_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far something is.
#[derive(Debug)]
pub(crate) struct Display {
    verb: &'static str,
    terminal: bool,
    begun: Instant,
    shown: Instant,
    line_stands: bool,
}

impl Display {
    /// Of what is being done: `copied`.
    pub(crate) fn new(verb: &'static str) -> Self {
        let now = Instant::now();
        Self {
            verb,
            terminal: std::io::stderr().is_terminal(),
            begun: now,
            shown: now,
            line_stands: false,
        }
    }

    /// It is so far.
    pub(crate) fn show(&mut self, progress: Progress) {
        let interval = if self.terminal {
            TERMINAL_INTERVAL
        } else {
            LINES_INTERVAL
        };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let line = line(self.verb, progress, self.begun.elapsed());
        // Nobody is left to be told that standard error is gone.
        let _ = if self.terminal {
            self.line_stands = true;
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }

    /// Takes a terminal's line away, so that something else can be said.
    pub(crate) fn clear(&mut self) {
        if self.line_stands {
            self.line_stands = false;
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(verb: &str, progress: Progress, took: Duration) -> String {
    let done = size::human(progress.done);
    let rate = progress.done as f64 / took.as_secs_f64().max(0.001);
    let per_second = size::human(rate as u64);
    let Some(total) = progress.total.filter(|total| *total > 0) else {
        return format!("{verb} {done}, {per_second}/s");
    };
    let percent = progress.done.saturating_mul(100) / total;
    let left = total.saturating_sub(progress.done) as f64 / rate.max(1.0);
    let total = size::human(total);
    format!(
        "{verb} {done} of {total}, {percent} %, {per_second}/s, {} left",
        duration(left)
    )
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_still() {
        let progress = |done, total| Progress { done, total };
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("copied", progress(1 << 30, Some(4 << 30)), ten),
            "copied 1.00 GiB of 4.00 GiB, 25 %, 102 MiB/s, 30 s left"
        );
        assert_eq!(
            line("restored", progress(5 << 20, None), ten),
            "restored 5.00 MiB, 512 KiB/s"
        );
        assert_eq!(duration(61.0), "1 min 1 s");
        assert_eq!(duration(7_261.0), "2 h 1 min");
    }
}
