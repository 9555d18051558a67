//! The Rust tests: built once with all crates together, so that everything is compiled with the same features, then
//! run one test program after the other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::group::Group;
use super::libtest;
use super::setup::Setup;
use super::tally::Tally;
use super::{Plan, RUNNER_LIMIT, step};
use crate::{child, tree};

/// A test program that cargo built.
pub(crate) struct TestProgram {
    package: String,
    group: Group,
    /// `store tests/committer`, `store src`
    name: String,
    executable: PathBuf,
    /// The folder of its Cargo.toml, where cargo would run it.
    folder: PathBuf,
}

/// Builds all tests, and with them the server. A workspace that does not compile is one failure.
pub(crate) fn build(plan: &Plan, setup: &mut Setup, tally: &mut Tally) -> Result<Vec<TestProgram>> {
    step("building the tests and the server");
    let Some(artifacts) = cargo(plan, &["test", "--workspace", "--no-run"], tally)? else {
        return Ok(Vec::new());
    };
    note_server(&artifacts, setup);
    let mut programs: Vec<_> = artifacts.iter().filter_map(test_program).collect();
    // Cargo tells them in the order in which they were built, which is another each time.
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Builds the server alone; not if `MAGPIE_BIN` names one.
pub(crate) fn build_server(plan: &Plan, setup: &mut Setup, tally: &mut Tally) -> Result<()> {
    if std::env::var_os("MAGPIE_BIN").is_some_and(|named| !named.is_empty()) {
        return Ok(());
    }
    step("building the server");
    if let Some(artifacts) = cargo(plan, &["build", "--workspace", "--bin", "magpie"], tally)? {
        note_server(&artifacts, setup);
    }
    Ok(())
}

/// Runs the programs of one group.
pub(crate) fn run(
    plan: &Plan,
    setup: &Setup,
    programs: &[TestProgram],
    group: Group,
    tally: &mut Tally,
) -> Result<()> {
    for program in programs.iter().filter(|program| program.group == group) {
        let mut command = Command::new(&program.executable);
        command
            .arg("--show-output")
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .env("CARGO_PKG_NAME", &program.package)
            .envs(setup.variables.iter().map(|(name, value)| (name, value)));
        if let Some(rounds) = plan.rounds {
            command.env("MAGPIE_CRASH_ROUNDS", rounds.to_string());
        }
        if group == Group::Crash {
            step(&format!("{} (this takes a while)", program.name));
        }
        run_one(&program.name, &mut command, tally)?;
    }
    Ok(())
}

/// Runs the examples in the crates' documentation, if there are any: looking for them takes cargo half a minute.
pub(crate) fn run_examples_in_docs(plan: &Plan, setup: &Setup, tally: &mut Tally) -> Result<()> {
    let sources = tree::files(&plan.root, "crates", &[".rs"])?;
    if !sources.iter().any(|source| has_example(&source.text)) {
        return Ok(());
    }
    let mut command = cargo_command(plan);
    command
        .args(["test", "--workspace", "--doc", "--no-fail-fast"])
        .envs(setup.variables.iter().map(|(name, value)| (name, value)));
    run_one("examples in the documentation", &mut command, tally)
}

/// Whether a comment for the documentation opens a block of code.
fn has_example(source: &str) -> bool {
    source.lines().any(|line| {
        let line = line.trim_start();
        let said = line.strip_prefix("///").or(line.strip_prefix("//!"));
        said.is_some_and(|said| said.trim_start().starts_with("```"))
    })
}

fn run_one(name: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let ended = child::capture(command, RUNNER_LIMIT, |_| {})?;
    let mut report = libtest::read(name, &ended.output);
    if !ended.success && report.tally.failures.is_empty() {
        let reason = match (ended.timed_out, report.complete) {
            (true, _) => format!("was ended after {} s", RUNNER_LIMIT.as_secs()),
            (false, false) => "died before its tests had ended".to_owned(),
            (false, true) => "failed".to_owned(),
        };
        report.tally.fail(format!("{name}: {reason}"));
    }
    if !report.tally.failures.is_empty() {
        println!("{}", libtest::failure_part(&ended.output));
    }
    if report.tally != Tally::default() {
        let (summary, took) = (report.tally.summary(), ended.took.as_secs_f64());
        step(&format!("{name}: {summary} ({took:.1} s)"));
    }
    tally.add(report.tally);
    Ok(())
}

/// Runs cargo and returns what it built, or nothing if it failed.
fn cargo(plan: &Plan, arguments: &[&str], tally: &mut Tally) -> Result<Option<Vec<Value>>> {
    let mut command = cargo_command(plan);
    command
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        tally.fail(format!("cargo {}", arguments.join(" ")));
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let artifacts = messages.filter(|message: &Value| message["reason"] == "compiler-artifact");
    Ok(Some(artifacts.collect()))
}

fn cargo_command(plan: &Plan) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&plan.root);
    command
}

fn note_server(artifacts: &[Value], setup: &mut Setup) {
    let server = artifacts.iter().find(|artifact| {
        artifact["target"]["name"] == "magpie"
            && artifact["target"]["kind"][0] == "bin"
            && artifact["profile"]["test"] == false
    });
    let executable = server.and_then(|artifact| artifact["executable"].as_str());
    let named = std::env::var_os("MAGPIE_BIN").is_some_and(|named| !named.is_empty());
    if let (Some(executable), false) = (executable, named) {
        setup
            .variables
            .push(("MAGPIE_BIN", PathBuf::from(executable)));
    }
}

fn test_program(artifact: &Value) -> Option<TestProgram> {
    if artifact["profile"]["test"] != true {
        return None;
    }
    let executable = PathBuf::from(artifact["executable"].as_str()?);
    let folder = Path::new(artifact["manifest_path"].as_str()?).parent()?;
    let package = folder.file_name()?.to_str()?.to_owned();
    let kind = artifact["target"]["kind"][0].as_str()?;
    let target = artifact["target"]["name"].as_str()?;
    let name = match kind {
        "test" => format!("{package} tests/{target}"),
        _ => format!("{package} src"),
    };
    Some(TestProgram {
        group: Group::of(&package, kind, target),
        name,
        executable,
        folder: folder.to_owned(),
        package,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_blocks_in_documentation_are_examples() {
        assert!(has_example("  /// ```\n"));
        assert!(has_example("//! ```no_run\n"));
        assert!(!has_example("// ```\nlet a = \"```\";\n/// a `word`\n"));
    }

    #[test]
    fn test_programs_are_told_from_libraries() {
        let artifact = |kind: &str, test: bool| {
            json!({
                "reason": "compiler-artifact",
                "manifest_path": "/x/crates/magpie/Cargo.toml",
                "target": { "kind": [kind], "name": "crash" },
                "profile": { "test": test },
                "executable": "/x/target/debug/deps/crash-1",
            })
        };
        assert!(test_program(&artifact("lib", false)).is_none());
        let program = test_program(&artifact("test", true)).expect("is a test program");
        assert_eq!(program.name, "magpie tests/crash");
        assert_eq!(program.group, Group::Crash);
        assert_eq!(program.folder, Path::new("/x/crates/magpie"));
    }
}
