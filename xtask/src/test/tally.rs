//! What came of the tests, over all runners, and the lines that say so.

/// A test that could not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// The command that would install what is missing; empty if none would.
    pub(crate) install: String,
}

impl Skip {
    /// Reads `SKIP <name>: <reason>; install: <command>` as tests print it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let rest = line.trim().strip_prefix("SKIP ")?;
        let (name, rest) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
        Some(Self::new(name, rest))
    }

    /// `why` may end in `; install: <command>`.
    pub(crate) fn new(name: &str, why: &str) -> Self {
        let (reason, install) = why.rsplit_once("; install: ").unwrap_or((why, ""));
        Self {
            name: name.trim().to_owned(),
            reason: reason.trim().to_owned(),
            install: install.trim().to_owned(),
        }
    }
}

impl Skip {
    /// The same test lacks something else as well.
    pub(crate) fn and(&mut self, other: &Self) {
        if !self.reason.contains(&other.reason) {
            self.reason = format!("{}, and {}", self.reason, other.reason);
        }
        if !other.install.is_empty() && !self.install.contains(&other.install) {
            self.install = format!("{} && {}", self.install, other.install);
        }
    }
}

/// Counts of tests, and the names of those that did not pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) skips: Vec<Skip>,
}

impl Tally {
    pub(crate) fn fail(&mut self, name: impl Into<String>) {
        self.failures.push(name.into());
    }

    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.skips.push(Skip::new(name, why));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
    }

    /// `12 passed, 0 failed, 1 skipped`
    pub(crate) fn summary(&self) -> String {
        let (failed, skipped) = (self.failures.len(), self.skips.len());
        format!("{} passed, {failed} failed, {skipped} skipped", self.passed)
    }

    /// Prints what did not pass and the last line; whether the run succeeded.
    pub(crate) fn close(&self, strict: bool) -> bool {
        for line in self.closing_lines(strict) {
            println!("{line}");
        }
        println!("{}", self.summary());
        // A run in which nothing was tested shows nothing.
        let skips_count = strict && !self.skips.is_empty();
        self.failures.is_empty() && self.passed > 0 && !skips_count
    }

    fn closing_lines(&self, strict: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for skip in &self.skips {
            let install = match skip.install.as_str() {
                "" => String::new(),
                command => format!("; install: {command}"),
            };
            lines.push(format!("skipped: {}: {}{install}", skip.name, skip.reason));
        }
        lines.extend(self.failures.iter().map(|name| format!("failed: {name}")));
        if strict && !self.skips.is_empty() {
            lines.push("with --strict a skip is a failure".to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_says_why_and_what_would_help() {
        let line =
            "SKIP paho::talks: no Python: none found; install: apt-get install python3-venv\n";
        let skip = Skip::parse(line).expect("is a skip");
        assert_eq!(skip.name, "paho::talks");
        assert_eq!(skip.reason, "no Python: none found");
        assert_eq!(skip.install, "apt-get install python3-venv");
        assert_eq!(Skip::parse("SKIPPED x: y"), None);
        let tally = Tally {
            skips: vec![skip],
            ..Tally::default()
        };
        assert_eq!(
            tally.closing_lines(false),
            ["skipped: paho::talks: no Python: none found; install: apt-get install python3-venv"]
        );
    }

    #[test]
    fn only_a_strict_run_fails_for_a_skip() {
        let mut tally = Tally {
            passed: 1,
            ..Tally::default()
        };
        assert!(tally.close(true));
        tally.skip("a", "b");
        assert!(tally.close(false));
        assert!(!tally.close(true));
        tally.fail("c");
        assert!(!tally.close(false));
        assert_eq!(tally.summary(), "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_run_without_a_test_is_no_success() {
        assert!(!Tally::default().close(false));
    }
}
