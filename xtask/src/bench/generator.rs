//! The load generators, run on core 1: mqload, found and built outside of its own folder and ours, and `durable_load` of
//! the harness. Both verify every message; what mqload says against a run is kept with the figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broker::Running;
use super::scenario::{Scenario, Tool};
use crate::{child, tree};

const CORE: &str = "1";
const RUN_LIMIT: Duration = Duration::from_secs(10 * 60);
/// What it says when others were at work on the machine: a warning to mqload, a reason for doubt in a comparison.
const DISTURBED: &str = "other processes used";
/// Where its source is, seen from the project's folder, unless `MQLOAD` says otherwise.
const SOURCE: &str = "../shared/mqload";

/// A generator, ready to run.
pub(crate) struct Generator {
    program: PathBuf,
}

/// The generators that a choice of scenarios needs.
pub(crate) struct Generators {
    mqload: Option<Generator>,
    durable: Option<Generator>,
}

impl Generators {
    pub(crate) fn prepare(root: &Path, work: &Path, scenarios: &[Scenario]) -> Result<Self> {
        let wants = |tool| scenarios.iter().any(|scenario| scenario.tool == tool);
        let durable = wants(Tool::DurableTopic) || wants(Tool::DurableChat);
        Ok(Self {
            mqload: wants(Tool::Mqload)
                .then(|| Generator::mqload(root, work))
                .transpose()?,
            durable: durable.then(|| Generator::durable(root)).transpose()?,
        })
    }

    /// Loads the server that runs.
    pub(crate) fn run(&self, scenario: &Scenario, secs: u32, broker: &Running) -> Result<Run> {
        let port_and_pid = [
            format!("--port={}", broker.port),
            format!("--pid={}", broker.pid()),
        ];
        match (scenario.tool, &self.mqload, &self.durable) {
            (Tool::Mqload, Some(mqload), _) => mqload.run_mqload(scenario, secs, broker),
            (Tool::DurableTopic, _, Some(durable)) => {
                let mut command = durable.durable_command(scenario, secs);
                let words = port_and_pid.iter().flat_map(|word| word.split('='));
                run_durable(scenario, command.args(words))
            }
            (tool, _, _) => bail!("{}: {tool:?} cannot load a server that runs", scenario.name),
        }
    }

    /// Loads the messenger of a server that the generator starts itself.
    pub(crate) fn run_messenger(
        &self,
        scenario: &Scenario,
        secs: u32,
        program: &Path,
    ) -> Result<Run> {
        let durable = self.durable.as_ref();
        let durable = durable.context("durable_load has been prepared")?;
        let mut command = durable.durable_command(scenario, secs);
        run_durable(scenario, command.env("MAGPIE_BIN", program))
    }
}

/// What one run gave.
pub(crate) struct Run {
    pub(crate) report: Value,
    /// Why its figures are not to be trusted, if they are not.
    pub(crate) doubts: Vec<String>,
}

impl Generator {
    fn durable(root: &Path) -> Result<Self> {
        println!("bench: building durable_load");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--release", "--quiet", "--package", "harness"])
            .args(["--example", "durable_load"])
            .current_dir(root);
        if !child::show(&mut build)? {
            bail!("durable_load does not build");
        }
        let program = tree::target_dir(root).join("release/examples/durable_load");
        Ok(Self { program })
    }

    /// `MQLOAD` names its source folder or the program itself.
    fn mqload(root: &Path, work: &Path) -> Result<Self> {
        let named = std::env::var_os("MQLOAD").filter(|named| !named.is_empty());
        let place = named.map_or_else(|| root.join(SOURCE), PathBuf::from);
        if place.is_file() {
            return Ok(Self { program: place });
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
        println!("bench: building mqload");
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
        Ok(Self {
            program: target.join("release/mqload"),
        })
    }

    fn durable_command(&self, scenario: &Scenario, secs: u32) -> Command {
        let mut command = Command::new("taskset");
        command
            .args(["-c", CORE])
            .arg(&self.program)
            .args(scenario.arguments(secs));
        command
    }

    fn run_mqload(&self, scenario: &Scenario, secs: u32, broker: &Running) -> Result<Run> {
        let mut command = Command::new(&self.program);
        command
            .args(scenario.arguments(secs))
            .args(["--json", "--cpu", CORE, "--port", &broker.port.to_string()])
            .args(["--pid", &broker.pid().to_string()])
            .arg("--data-dir")
            .arg(&broker.folder);
        let ended = child::capture(&mut command, RUN_LIMIT, |_| {})?;
        if ended.timed_out {
            bail!("mqload {} took too long", scenario.name);
        }
        let report = ended
            .output
            .lines()
            .filter(|line| line.starts_with('{'))
            .find_map(|line| serde_json::from_str::<Value>(line).ok())
            .with_context(|| format!("mqload {}: {}", scenario.name, ended.output))?;
        let reasons = report["reasons"].as_array().into_iter().flatten();
        let mut doubts: Vec<_> = reasons
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let warnings = report["warnings"].as_array().into_iter().flatten();
        let disturbed = warnings
            .filter_map(Value::as_str)
            .filter(|warning| warning.contains(DISTURBED));
        doubts.extend(disturbed.map(str::to_owned));
        if report["trustworthy"] == false && doubts.is_empty() {
            doubts.push("mqload gave no reason".to_owned());
        }
        Ok(Run { report, doubts })
    }
}

/// It fails by itself if a message is lost.
fn run_durable(scenario: &Scenario, command: &mut Command) -> Result<Run> {
    let ended = child::capture(command, RUN_LIMIT, |_| {})?;
    if !ended.success {
        bail!("durable_load {}: {}", scenario.name, ended.output);
    }
    Ok(Run {
        report: read_durable(&ended.output),
        doubts: Vec::new(),
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
    fn the_line_of_durable_load_is_read() {
        let line = "Chat: 50 pairs, window 20, 64 B: 12345 messages/s, 23456 messages per server-CPU-second, 0.53 cores, \
            mean time to PUBACK 1.5 ms, 70000 sent, 70000 received\n";
        let expected = serde_json::json!({ "messages_per_s": 12345.0, "messages_per_cpu_s": 23456.0, "ack_ms": 1.5 });
        assert_eq!(read_durable(line), expected);
    }
}
