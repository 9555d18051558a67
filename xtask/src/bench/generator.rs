//! The load generators, run on core 1: mqload, found and built outside of its own folder and ours, and the examples of
//! `harness` and `broker`. All verify what they measure; what mqload says against a run is kept with the figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scenario::{Scenario, Tool};
use super::servers::{Running, Server};
use crate::{child, tree};

const CORE: &str = "1";
const RUN_LIMIT: Duration = Duration::from_secs(4 * 60);
/// Filling a server with a million messages takes its time, too.
const LONG_RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
/// What mqload says when others were at work on the machine.
const DISTURBED: &str = "other processes used";
/// Warnings to mqload that make a comparison void.
const VOID: [&str; 2] = ["offered rate not sustained", "QoS 0 messages lost"];
/// Where its source is, seen from the project's folder, unless `MQLOAD` says otherwise.
const SOURCE: &str = "../shared/mqload";

/// The generators that a choice of scenarios needs, built.
pub(crate) struct Generators {
    mqload: Option<PathBuf>,
    durable: Option<PathBuf>,
    measure: Option<PathBuf>,
    core: Option<PathBuf>,
    shards: Option<PathBuf>,
}

/// How far a run's figures are to be trusted; the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    Whole,
    /// Others were at work on the machine.
    Disturbed,
    /// The server broke a promise, or the load was not what it should be.
    Broken,
}

/// What one run gave.
pub(crate) struct Run {
    pub(crate) report: Value,
    /// Promises that the server broke, or why the figures do not mean what they should.
    pub(crate) reasons: Vec<String>,
    /// What others on the machine did meanwhile.
    pub(crate) disturbances: Vec<String>,
}

impl Run {
    pub(crate) fn trust(&self) -> Trust {
        match (self.reasons.is_empty(), self.disturbances.is_empty()) {
            (true, true) => Trust::Whole,
            (true, false) => Trust::Disturbed,
            (false, _) => Trust::Broken,
        }
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = &str> {
        self.reasons
            .iter()
            .chain(&self.disturbances)
            .map(String::as_str)
    }
}

impl Generators {
    pub(crate) fn prepare(root: &Path, work: &Path, scenarios: &[Scenario]) -> Result<Self> {
        let wants = |tool| scenarios.iter().any(|scenario| scenario.tool == tool);
        let example = |wanted: bool, package, name| {
            wanted
                .then(|| build_example(root, package, name))
                .transpose()
        };
        let durable = wants(Tool::DurableTopic) || wants(Tool::DurableChat);
        Ok(Self {
            mqload: wants(Tool::Mqload)
                .then(|| build_mqload(root, work))
                .transpose()?,
            durable: example(durable, "harness", "durable_load")?,
            measure: example(wants(Tool::Measure), "harness", "measure")?,
            core: example(wants(Tool::Core), "broker", "sessions")?,
            shards: example(wants(Tool::Shards), "broker", "shards")?,
        })
    }

    /// Loads a server that runs.
    pub(crate) fn load(
        &self,
        scenario: &Scenario,
        secs: u32,
        server: &Server,
        running: &Running,
    ) -> Result<Run> {
        match scenario.tool {
            Tool::Mqload => self.run_mqload(scenario, secs, server, running),
            Tool::DurableTopic => {
                let mut command = pinned(self.durable.as_deref(), scenario, secs)?;
                command
                    .args(["--port", &running.port.to_string()])
                    .args(["--pid", &running.pid().to_string()]);
                run_durable(scenario, &mut command)
            }
            tool @ (Tool::DurableChat | Tool::Measure | Tool::Core | Tool::Shards) => {
                bail!("{}: {tool:?} cannot load a server that runs", scenario.name)
            }
        }
    }

    /// Runs a generator that starts the server itself.
    pub(crate) fn run_with(&self, scenario: &Scenario, secs: u32, program: &Path) -> Result<Run> {
        let generator = match scenario.tool {
            Tool::DurableChat => self.durable.as_deref(),
            Tool::Measure => self.measure.as_deref(),
            Tool::Core => self.core.as_deref(),
            Tool::Shards => self.shards.as_deref(),
            Tool::Mqload | Tool::DurableTopic => None,
        };
        let mut command = pinned(generator, scenario, secs)?;
        command.env("MAGPIE_BIN", program);
        if scenario.tool == Tool::DurableChat {
            return run_durable(scenario, &mut command);
        }
        let ended = child::capture(&mut command, LONG_RUN_LIMIT, |_| {})?;
        if !ended.success {
            bail!(
                "{} {}: {}",
                scenario.tool.program(),
                scenario.name,
                last_lines(&ended.output)
            );
        }
        Ok(Run {
            report: json_line(&ended.output).with_context(|| scenario.name.clone())?,
            reasons: Vec::new(),
            disturbances: Vec::new(),
        })
    }

    fn run_mqload(
        &self,
        scenario: &Scenario,
        secs: u32,
        server: &Server,
        running: &Running,
    ) -> Result<Run> {
        let program = self.mqload.as_ref().context("mqload has been prepared")?;
        let mut command = Command::new(program);
        command
            .args(scenario.arguments(secs))
            .args(["--json", "--cpu", CORE, "--port", &running.port.to_string()])
            .args(["--pid", &running.pid().to_string()])
            .args(server.kind.login())
            .arg("--data-dir")
            .arg(&running.folder);
        let ended = child::capture(&mut command, RUN_LIMIT, |_| {})?;
        if ended.timed_out {
            bail!("not done after {} s", RUN_LIMIT.as_secs());
        }
        let report = json_line(&ended.output).with_context(|| last_lines(&ended.output))?;
        let said = |key: &str| -> Vec<String> {
            let said = report[key].as_array().into_iter().flatten();
            said.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (mut reasons, warnings) = (said("reasons"), said("warnings"));
        reasons.extend(
            warnings
                .iter()
                .filter(|warning| VOID.iter().any(|void| warning.contains(void)))
                .cloned(),
        );
        if report["trustworthy"] == false && reasons.is_empty() {
            reasons.push("mqload gave no reason".to_owned());
        }
        let disturbances = warnings
            .into_iter()
            .filter(|warning| warning.contains(DISTURBED))
            .collect();
        Ok(Run {
            report,
            reasons,
            disturbances,
        })
    }
}

fn build_example(root: &Path, package: &str, name: &str) -> Result<PathBuf> {
    eprintln!("bench: building {name}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            package,
            "--example",
            name,
        ])
        .current_dir(root);
    if !child::show(&mut build)? {
        bail!("{name} does not build");
    }
    Ok(tree::target_dir(root).join("release/examples").join(name))
}

/// `MQLOAD` names its source folder or the program itself.
fn build_mqload(root: &Path, work: &Path) -> Result<PathBuf> {
    let named = std::env::var_os("MQLOAD").filter(|named| !named.is_empty());
    let place = named.map_or_else(|| root.join(SOURCE), PathBuf::from);
    if place.is_file() {
        return Ok(place);
    }
    if !place.join("Cargo.toml").is_file() {
        bail!(
            "mqload is not at {}; name its folder or the program with MQLOAD",
            place.display()
        );
    }
    // A copy: its folder may be read-only, and cargo writes a lock file beside the source.
    let source = work.join("mqload");
    fs::create_dir_all(source.join("src"))?;
    fs::copy(place.join("Cargo.toml"), source.join("Cargo.toml"))?;
    for entry in fs::read_dir(place.join("src"))? {
        let entry = entry?;
        fs::copy(entry.path(), source.join("src").join(entry.file_name()))?;
    }
    eprintln!("bench: building mqload");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = work.join("mqload-target");
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--quiet"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target);
    if !child::show(&mut build)? {
        bail!("mqload does not build");
    }
    Ok(target.join("release/mqload"))
}

/// The generator on its core; one that has the shards in itself, on the scenario's.
fn pinned(generator: Option<&Path>, scenario: &Scenario, secs: u32) -> Result<Command> {
    let generator =
        generator.with_context(|| format!("{} has been prepared", scenario.tool.program()))?;
    let mut command = Command::new("taskset");
    let cores = match scenario.tool {
        Tool::Shards => scenario.cores.as_str(),
        _ => CORE,
    };
    command
        .args(["-c", cores])
        .arg(generator)
        .args(scenario.arguments(secs));
    Ok(command)
}

fn json_line(output: &str) -> Option<Value> {
    let mut lines = output.lines().filter(|line| line.starts_with('{'));
    lines.find_map(|line| serde_json::from_str(line).ok())
}

/// What a program that failed said, in one line: the message of its panic, or what it said last.
fn last_lines(output: &str) -> String {
    let mut lines = output.lines();
    if lines.any(|line| line.contains("panicked at"))
        && let Some(message) = lines.next()
    {
        return message.to_owned();
    }
    let lines: Vec<_> = output.lines().rev().take(3).collect();
    let lines: Vec<_> = lines.into_iter().rev().collect();
    lines.join(" / ")
}

/// It fails by itself if a message is lost.
fn run_durable(scenario: &Scenario, command: &mut Command) -> Result<Run> {
    let ended = child::capture(command, RUN_LIMIT, |_| {})?;
    if !ended.success {
        bail!(
            "durable_load {}: {}",
            scenario.name,
            last_lines(&ended.output)
        );
    }
    Ok(Run {
        report: read_durable(&ended.output),
        reasons: Vec::new(),
        disturbances: Vec::new(),
    })
}

/// The figures of its one line: `…: 1234 messages/s, 5678 messages per server-CPU-second, …, mean time to PUBACK 1.2 ms, …`.
fn read_durable(output: &str) -> Value {
    let mut report = serde_json::Map::new();
    for part in output.split([',', ':']).map(str::trim) {
        let number = part
            .split(' ')
            .find_map(|word| word.parse::<f64>().ok())
            .map(Value::from);
        let name = match part {
            _ if part.ends_with("messages/s") => "messages_per_s",
            _ if part.ends_with("messages per server-CPU-second") => "messages_per_cpu_s",
            _ if part.starts_with("mean time to PUBACK") => "ack_ms",
            _ => continue,
        };
        report.insert(name.to_owned(), number.unwrap_or_default());
    }
    Value::Object(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_one_line() {
        let panic = "begun\nthread 'main' panicked at a.rs:1:2:\nlost: 3 messages\nstack backtrace:\n 1: x\n";
        assert_eq!(last_lines(panic), "lost: 3 messages");
        assert_eq!(last_lines("one\ntwo\nthree\nfour\n"), "two / three / four");
    }

    #[test]
    fn the_line_of_durable_load_is_read() {
        let line = "Chat: 50 pairs, window 20, 64 B: 12345 messages/s, 23456 messages per server-CPU-second, 0.53 cores, \
            mean time to PUBACK 1.5 ms, 70000 sent, 70000 received\n";
        let expected = serde_json::json!({ "messages_per_s": 12345.0, "messages_per_cpu_s": 23456.0, "ack_ms": 1.5 });
        assert_eq!(read_durable(line), expected);
    }
}
