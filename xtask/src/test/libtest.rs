//! What a Rust test program prints, with `--show-output`: counts, names, and the skips that its tests tell.

use super::tally::{Skip, Tally};

/// What was read from the output of one or more test programs.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// Whether a `test result:` line was seen: without one the program died.
    pub(crate) complete: bool,
}

/// Reads the whole output. A test that says SKIP has run and returned: it is taken off the passed ones.
pub(crate) fn read(program: &str, output: &str) -> Report {
    let mut tally = Tally::default();
    let mut complete = false;
    // A test may lack several things, and is one skip all the same.
    let mut told: Vec<Skip> = Vec::new();
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            complete = true;
            tally.passed += count(result, "passed");
        } else if let Some((name, outcome)) = outcome(line) {
            let full = format!("{program} {name}");
            if outcome == "FAILED" {
                tally.fail(full);
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                tally.skip(&full, if reason.is_empty() { "ignored" } else { reason });
            }
        } else if let Some(mut skip) = Skip::parse(line) {
            skip.name = format!("{program} {}", skip.name);
            match told.iter_mut().find(|other| other.name == skip.name) {
                Some(other) => other.and(&skip),
                None => told.push(skip),
            }
        }
    }
    tally.passed = tally.passed.saturating_sub(told.len());
    tally.skips.extend(told);
    Report { tally, complete }
}

/// What is worth showing of a program that failed: from its list of failures on, or its last lines.
pub(crate) fn failure_part(output: &str) -> &str {
    const LAST_LINES: usize = 80;
    if let Some(at) = output.find("\nfailures:\n") {
        return &output[at..];
    }
    let from = output.rmatch_indices('\n').nth(LAST_LINES);
    from.map_or(output, |(at, _)| &output[at..])
}

/// `test a::b ... ok`
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.rsplit_once(" ... ")
}

/// The number before `what` in `ok. 5 passed; 0 failed; …`.
fn count(result: &str, what: &str) -> usize {
    result
        .split(['.', ';'])
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test a::works ... ok
test b::is_skipped ... ok
test c::breaks ... FAILED
test d::later ... ignored, needs a second machine

successes:

---- b::is_skipped stdout ----
SKIP b::is_skipped: no strace; install: apt-get install strace

successes:
    a::works

failures:

---- c::breaks stdout ----
thread 'c::breaks' panicked at src/lib.rs:1:1:
no

failures:
    c::breaks

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn counts_names_and_skips_are_read() {
        let report = read("store", OUTPUT);
        assert!(report.complete);
        assert_eq!(report.tally.passed, 1);
        assert_eq!(report.tally.failures, ["store c::breaks"]);
        let skips: Vec<_> = report
            .tally
            .skips
            .iter()
            .map(|s| s.reason.as_str())
            .collect();
        assert_eq!(skips, ["needs a second machine", "no strace"]);
    }

    #[test]
    fn a_test_that_lacks_two_things_is_one_skip() {
        let output = "SKIP a: no x; install: get x\nSKIP a: no y; install: get y\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        let tally = read("magpie", output).tally;
        assert_eq!(tally.passed, 2);
        let [skip] = &tally.skips[..] else {
            panic!("one skip expected: {:?}", tally.skips);
        };
        assert_eq!(
            (skip.reason.as_str(), skip.install.as_str()),
            ("no x, and no y", "get x && get y")
        );
    }

    #[test]
    fn a_program_that_died_is_seen() {
        let report = read("store", "running 2 tests\ntest a ... ok\n");
        assert!(!report.complete);
    }

    #[test]
    fn of_a_failure_the_failures_are_shown() {
        let part = failure_part(OUTPUT);
        assert!(part.contains("panicked") && !part.contains("SKIP"));
        assert_eq!(failure_part("Segmentation fault"), "Segmentation fault");
    }
}
