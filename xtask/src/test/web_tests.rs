//! The web client's type check and unit tests, through its own npm scripts.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::setup::{Setup, WEB};
use super::tally::Tally;
use super::{Plan, RUNNER_LIMIT, step};
use crate::child;

pub(crate) fn run(plan: &Plan, setup: &Setup, tally: &mut Tally) -> Result<()> {
    if let Err(reason) = &setup.web {
        step(&format!("{WEB}: cannot be tested: {reason}"));
        tally.skip(&format!("{WEB}: check and unit tests"), reason);
        return Ok(());
    }
    check(plan, tally)?;
    unit_tests(plan, tally)
}

/// The type check counts as one test.
fn check(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let mut command = npm(plan, &["run", "check"]);
    let ended = child::capture(&mut command, RUNNER_LIMIT, |_| {})?;
    let outcome = if ended.success {
        tally.passed += 1;
        "passed"
    } else {
        println!("{}", ended.output);
        tally.fail(format!("{WEB}: npm run check"));
        "failed"
    };
    let took = ended.took.as_secs_f64();
    step(&format!("{WEB}: npm run check: {outcome} ({took:.1} s)"));
    Ok(())
}

fn unit_tests(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let report = plan.work.join("web-tests.json");
    if report.exists() {
        fs::remove_file(&report).context("the last report of the web tests")?;
    }
    let mut command = npm(plan, &["test", "--", "--reporter=default"]);
    command
        .arg("--reporter=json")
        .arg(format!("--outputFile.json={}", report.display()));
    let ended = child::capture(&mut command, RUNNER_LIMIT, |_| {})?;
    let mut found = match fs::read_to_string(&report) {
        Ok(text) => read(&serde_json::from_str(&text).context("the report of the web tests")?),
        Err(_) => Tally::default(),
    };
    if !ended.success && found.failures.is_empty() {
        found.fail(format!("{WEB}: npm test"));
    }
    if !found.failures.is_empty() {
        println!("{}", ended.output);
    }
    let took = ended.took.as_secs_f64();
    step(&format!(
        "{WEB}: npm test: {} ({took:.1} s)",
        found.summary()
    ));
    tally.add(found);
    Ok(())
}

/// Reads Vitest's report.
fn read(report: &Value) -> Tally {
    let mut tally = Tally::default();
    let files = report["testResults"].as_array().into_iter().flatten();
    for file in files {
        let tests = file["assertionResults"].as_array();
        for test in tests.into_iter().flatten() {
            let name = format!("{WEB}: {}", test["fullName"].as_str().unwrap_or("?"));
            match test["status"].as_str() {
                Some("passed") => tally.passed += 1,
                Some("skipped" | "pending" | "todo" | "disabled") => {
                    tally.skip(&name, "switched off in its file");
                }
                _ => tally.fail(name),
            }
        }
        // A file that cannot even be loaded has failed without a test in it.
        if file["status"] == "failed" && tests.is_none_or(Vec::is_empty) {
            tally.fail(format!("{WEB}: {}", file["name"].as_str().unwrap_or("?")));
        }
    }
    tally
}

fn npm(plan: &Plan, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command
        .arg("--silent")
        .args(arguments)
        .current_dir(plan.root.join(WEB))
        .env("CI", "1");
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vitests_report_is_read() {
        let report = json!({ "testResults": [
            { "name": "a.test.ts", "status": "failed", "assertionResults": [
                { "fullName": "markers only grow", "status": "passed" },
                { "fullName": "enter sends once", "status": "failed" },
                { "fullName": "later", "status": "skipped" },
            ] },
            { "name": "b.test.ts", "status": "failed", "assertionResults": [] },
        ] });
        let tally = read(&report);
        assert_eq!(tally.passed, 1);
        assert_eq!(tally.failures, ["web: enter sends once", "web: b.test.ts"]);
        assert_eq!(tally.skips.len(), 1);
    }
}
