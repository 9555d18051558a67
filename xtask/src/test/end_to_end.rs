//! The browser tests: pages in a headless Chromium against the real server, run by Node's test runner.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::setup::{Setup, WEB};
use super::tally::{Skip, Tally};
use super::{Plan, RUNNER_LIMIT, step};
use crate::child;
use crate::tree;

const NAME: &str = "browser tests";
const FOLDER: &str = "web/e2e";
/// How a file of tests ends; the others are what the tests share.
const ENDINGS: [&str; 2] = [".test.mjs", ".test.js"];

pub(crate) fn run(plan: &Plan, setup: &Setup, tally: &mut Tally) -> Result<()> {
    let obstacle = setup.web.as_ref().err().or(setup.chromium.as_ref().err());
    if let Some(reason) = obstacle {
        step(&format!("{NAME}: cannot be run: {reason}"));
        tally.skip(NAME, reason);
        return Ok(());
    }
    let files = tree::files(&plan.root, FOLDER, &ENDINGS)?;
    if files.is_empty() {
        tally.skip(NAME, &format!("no file in {FOLDER} ends in {}", ENDINGS[0]));
        return Ok(());
    }
    let web = plan.root.join(WEB);
    // Each file is named: what a folder means to `node --test` changes from version to version.
    let paths = files.iter().map(|file| {
        let path = Path::new(&file.path);
        path.strip_prefix(WEB).unwrap_or(path).to_owned()
    });
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=tap", "--test-concurrency=1"])
        .args(paths)
        .current_dir(web)
        .envs(setup.variables.iter().map(|(name, value)| (name, value)));
    let ended = child::capture(&mut command, RUNNER_LIMIT, |_| {})?;
    let mut found = read(&ended.output);
    if !ended.success && found.failures.is_empty() {
        found.fail(NAME);
    }
    if !found.failures.is_empty() {
        println!("{}", ended.output);
    }
    let took = ended.took.as_secs_f64();
    step(&format!("{NAME}: {} ({took:.1} s)", found.summary()));
    tally.add(found);
    Ok(())
}

/// Reads the Test Anything Protocol as Node writes it: a suite is told after its tests and is none itself.
fn read(output: &str) -> Tally {
    let mut tally = Tally::default();
    let lines: Vec<&str> = output.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((passed, name)) = result(line) else {
            continue;
        };
        let details = lines[index + 1..]
            .iter()
            .map(|line| line.trim())
            .take_while(|line| *line != "...");
        if details.into_iter().any(|line| line == "type: 'suite'") {
            continue;
        }
        let (name, directive) = name.split_once(" # ").unwrap_or((name, ""));
        let full = format!("{NAME}: {name}");
        if let Some(reason) = directive
            .strip_prefix("SKIP")
            .or(directive.strip_prefix("TODO"))
        {
            tally.skips.push(Skip::new(&full, reason.trim()));
        } else if passed {
            tally.passed += 1;
        } else {
            tally.fail(full);
        }
    }
    tally
}

/// `ok 1 - name` or `not ok 1 - name`, at any depth.
fn result(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, name) = rest.split_once(" - ")?;
    number.parse::<u32>().ok()?;
    Some((passed, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
TAP version 13
# Subtest: talking
    # Subtest: two pages talk
    ok 1 - two pages talk
      ---
      duration_ms: 900.1
      ...
    # Subtest: Hangul
    not ok 2 - Hangul # 1
      ---
      failureType: 'testCodeFailure'
      error: 'sent twice'
      ...
    1..2
not ok 1 - talking
  ---
  duration_ms: 2000
  type: 'suite'
  failureType: 'subtestsFailed'
  ...
# Subtest: other
ok 2 - other # SKIP no camera; install: apt-get install camera
  ---
  duration_ms: 0.1
  ...
1..2
# tests 3
# pass 1
";

    #[test]
    fn tests_are_counted_and_suites_are_not() {
        let tally = read(OUTPUT);
        assert_eq!(tally.passed, 1);
        assert_eq!(tally.failures, ["browser tests: Hangul"]);
        let [skip] = &tally.skips[..] else {
            panic!("one skip expected: {:?}", tally.skips);
        };
        assert_eq!(
            (skip.reason.as_str(), skip.install.as_str()),
            ("no camera", "apt-get install camera")
        );
    }
}
